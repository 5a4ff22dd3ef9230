"""Extraction from short texts of our own: e-mails, invoices, notices; one field, a list of names, or a JSON object."""

from __future__ import annotations

import json
import random

from emafusion.demo.grading import json_value, number, phrase
from emafusion.demo.tasks.prompt import DemoPrompt, Draft, drawn, numbered

_FIRST = ("Clara", "Hugo", "Nadia", "Erik", "Salma", "Pavel", "Rosa", "Kenji", "Marta", "Elias")
_LAST = ("Berger", "Okafor", "Lindqvist", "Moreau", "Castillo", "Novak", "Haddad", "Fischer", "Tanaka", "Silva")
_FIRMS = ("Nordlicht GmbH", "Bluefin Ltd", "Casa Verde SL", "Orbit Foods", "Kestrel Labs", "Mosaic Print")
_CITIES = ("Bergen", "Porto", "Leipzig", "Ghent", "Turku", "Graz", "Cork", "Split")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_ONLY = " Reply with the answer only."


def _person(rng: random.Random) -> str:
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def _two(rng: random.Random, pool: tuple[str, ...]) -> tuple[str, str]:
    first, second = rng.sample(pool, 2)
    return first, second


def _asked(text: str, question: str, right: str, wrong: str) -> Draft:
    return f"{text}\n\n{question}{_ONLY}", phrase(right), right, wrong


def _phone(rng: random.Random) -> Draft:
    number_, order = f"0{rng.randint(20, 89)}-{rng.randint(100000, 999999)}", rng.randint(10000, 99999)
    text = f"Hello,\nmy order {order} has not come yet. Please call me on {number_}.\n{_person(rng)}"
    return _asked(text, "What is the phone number?", number_, str(order))


def _order(rng: random.Random) -> Draft:
    number_, order = f"0{rng.randint(20, 89)}-{rng.randint(100000, 999999)}", f"A{rng.randint(1000, 9999)}"
    text = (
        f"Hello,\nyou can reach me on {number_}. I would like to return order {order}, it is too small.\n{_person(rng)}"
    )
    return _asked(text, "What is the order number?", order, number_)


def _moved_meeting(rng: random.Random) -> Draft:
    old, new = _two(rng, _DAYS)
    body = f"we planned to meet on {old}, but I have to move it to {new}. Same time."
    text = f"Dear {rng.choice(_FIRST)},\n{body}\n{_person(rng)}"
    return _asked(text, "On which day is the meeting now?", new, old)


def _sender(rng: random.Random) -> Draft:
    writer, reader = _two(rng, tuple(f"{a} {b}" for a, b in zip(_FIRST, _LAST)))
    text = f"Dear {reader},\nthank you for the flowers. Greetings from {rng.choice(_CITIES)}.\n{writer}"
    return _asked(text, "Who wrote this message? Give the full name.", writer, reader)


def _email_address(rng: random.Random) -> Draft:
    one, two = (f"{name.lower()}@{rng.choice(('mail', 'post', 'corp'))}.test" for name in _two(rng, _FIRST))
    text = f"Please do not write to {one} any more, that mailbox is closed. Use {two} instead."
    return _asked(text, "Which e-mail address is in use?", two, one)


def _invoice_total(rng: random.Random) -> Draft:
    net, firm = rng.randint(210, 980), rng.choice(_FIRMS)
    tax = round(net * 0.2, 2)
    sums = f"Net {net:.2f} EUR\nTax 20 % {tax:.2f} EUR\nTotal {net + tax:.2f} EUR"
    text = f"{firm}\nInvoice {rng.randint(2000, 8000)}\n{sums}"
    ask = f"{text}\n\nWhat is the total in EUR? Reply with the number only."
    return ask, number(round(net + tax, 2)), f"{net + tax:.2f} EUR", f"{net:.2f}"


def _invoice_sum(rng: random.Random) -> Draft:
    prices = [rng.randint(11, 89) for _ in range(3)]
    things = rng.sample(("paper", "ink", "stapler", "folder", "lamp", "desk mat"), 3)
    rows = "\n".join(f"{thing} {price} EUR" for thing, price in zip(things, prices))
    dearest = things[prices.index(max(prices))]
    cheapest = things[prices.index(min(prices))]
    return _asked(f"Invoice\n{rows}", "Which item is the most expensive?", dearest, cheapest)


def _due(rng: random.Random) -> Draft:
    day, month = rng.randint(10, 28), rng.randint(1, 8)
    issued, due = f"2027-{month:02d}-{day:02d}", f"2027-{month + 1:02d}-{day - 3:02d}"
    text = f"{rng.choice(_FIRMS)}, invoice of {issued}. Please pay by {due}. Late payments cost 5 EUR."
    return _asked(text, "By which date must it be paid?", due, issued)


def _people_list(rng: random.Random) -> Draft:
    names, city = rng.sample(_FIRST, 3), rng.choice(_CITIES)
    text = f"{names[0]} and {names[1]} took the bus to {city}, where {names[2]} was waiting at the station."
    ask = f"{text}\n\nList the people's names as a JSON array of strings, in order. Reply with the JSON only."
    return ask, json_value(names), json.dumps(names), json.dumps([*names, city])


def _contact_json(rng: random.Random) -> Draft:
    name, city, age = _person(rng), rng.choice(_CITIES), rng.randint(24, 71)
    text = rng.choice(
        (
            f"My name is {name}, I am {age} and I live in {city}.",
            f"{name} moved to {city} last spring and turned {age} in May.",
            f"At {age}, {name} runs a small bakery in {city}.",
        )
    )
    right: dict[str, object] = {"name": name, "age": age, "city": city}
    ask = f'{text}\n\nReply with a JSON object only, keys "name", "age", "city".'
    return ask, json_value(right, numeric_text=True), json.dumps(right), json.dumps(right | {"age": age + 1})


def _booking_json(rng: random.Random) -> Draft:
    guests, nights, (start, end) = rng.randint(2, 5), rng.randint(2, 6), _two(rng, _CITIES)
    text = (
        f"Good evening, this is {_person(rng)} from {start}. "
        f"We would like a room in {end} for {guests} people, {nights} nights, with breakfast."
    )
    right: dict[str, object] = {"city": end, "guests": guests, "nights": nights, "breakfast": True}
    ask = f'{text}\n\nReply with a JSON object only, keys "city", "guests", "nights", "breakfast" (true or false).'
    return ask, json_value(right, numeric_text=True), json.dumps(right), json.dumps(right | {"city": start})


def _negated_json(rng: random.Random) -> Draft:
    wanted, refused = _two(rng, ("window", "aisle", "table", "quiet", "family"))
    count = rng.randint(1, 4)
    text = (
        f"{count + 1} seats were planned, but one of us is ill. "
        f"Please no {refused} seats, {wanted} seats if there are any."
    )
    right: dict[str, object] = {"seats": count, "kind": wanted}
    keys = '"seats" is how many we need now, "kind" is the kind we want (one word)'
    ask = f"{text}\n\nReply with a JSON object only: {keys}."
    return ask, json_value(right, numeric_text=True), json.dumps(right), json.dumps(right | {"seats": count + 1})


_TEMPLATES = (
    (_phone, 5), (_order, 4), (_moved_meeting, 4), (_sender, 4), (_email_address, 4), (_invoice_total, 4),
    (_invoice_sum, 3), (_due, 4), (_people_list, 4), (_contact_json, 6), (_booking_json, 4), (_negated_json, 2),
)  # fmt: skip


def build(seed: int = 404) -> list[DemoPrompt]:
    """48 texts over twelve templates."""
    rng = random.Random(seed)
    return numbered("extraction", [draft for template, times in _TEMPLATES for draft in drawn(template, times, rng)])
