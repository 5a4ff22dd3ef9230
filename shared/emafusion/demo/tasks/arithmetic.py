"""Arithmetic word problems in four levels: one step, two steps, percentages and rates, several steps in order."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from emafusion.demo.grading import number
from emafusion.demo.tasks.prompt import DemoPrompt, Draft, distinct, numbered

Template = Callable[[random.Random], tuple[str, float]]
_NAMES = ("Mia", "Jonas", "Priya", "Omar", "Lena", "Tomas", "Aiko", "Ruben", "Zoe", "Farid", "Ines", "Viktor")
_THINGS = ("pens", "apples", "stickers", "marbles", "books", "candles", "tickets", "postcards")


def _who(rng: random.Random) -> str:
    return rng.choice(_NAMES)


def _gain(rng: random.Random) -> tuple[str, float]:
    a, b, thing = rng.randint(6, 40), rng.randint(3, 29), rng.choice(_THINGS)
    return f"{_who(rng)} has {a} {thing} and gets {b} more. How many {thing} is that?", a + b


def _loss(rng: random.Random) -> tuple[str, float]:
    a, b, thing = rng.randint(14, 60), rng.randint(3, 12), rng.choice(_THINGS)
    return f"A shop had {a} {thing} and sold {b} of them. How many {thing} are left?", a - b


def _rows(rng: random.Random) -> tuple[str, float]:
    a, b = rng.randint(3, 12), rng.randint(5, 20)
    return f"A hall has {a} rows with {b} seats each. How many seats does it have?", a * b


def _share(rng: random.Random) -> tuple[str, float]:
    each, heads = rng.randint(4, 30), rng.randint(2, 8)
    return f"{each * heads} euros are shared equally by {heads} people. How many euros does each get?", each


def _boxes_left(rng: random.Random) -> tuple[str, float]:
    a, b, c, thing = rng.randint(7, 18), rng.randint(8, 24), rng.randint(15, 49), rng.choice(_THINGS)
    text = f"{_who(rng)} has {a} boxes with {b} {thing} each and gives away {c} {thing}. How many {thing} are left?"
    return text, a * b - c


def _two_prices(rng: random.Random) -> tuple[str, float]:
    a, p, b, q = rng.randint(3, 9), rng.randint(4, 12), rng.randint(2, 8), rng.randint(13, 26)
    return (
        f"{a} notebooks cost {p} euros each and {b} bags cost {q} euros each. What do they cost together?",
        a * p + b * q,
    )


def _change(rng: random.Random) -> tuple[str, float]:
    a, p = rng.randint(3, 7), rng.randint(6, 13)
    return (
        f"{_who(rng)} pays {a} tickets at {p} euros each with a 100 euro note. How many euros come back?",
        100 - a * p,
    )


def _older(rng: random.Random) -> tuple[str, float]:
    a, gap, years = rng.randint(9, 17), rng.randint(19, 31), rng.randint(6, 15)
    text = f"{_who(rng)} is {a} years old. The aunt is {gap} years older. How old will the aunt be in {years} years?"
    return text, a + gap + years


def _half_then_more(rng: random.Random) -> tuple[str, float]:
    a, b, thing = 2 * rng.randint(23, 71), rng.randint(12, 38), rng.choice(_THINGS)
    text = f"{_who(rng)} had {a} {thing}, gave half of them away and then bought {b} more. How many {thing} now?"
    return text, a // 2 + b


def _discount(rng: random.Random) -> tuple[str, float]:
    price, off = 20 * rng.randint(3, 19), rng.choice((15, 20, 25, 30, 35, 45))
    return f"A coat of {price} euros is sold with {off} % off. What is the new price in euros?", price * (
        100 - off
    ) / 100


def _speed(rng: random.Random) -> tuple[str, float]:
    speed, quarters = 4 * rng.randint(13, 29), rng.choice((5, 6, 7, 9, 10, 11))
    text = f"A train runs {speed} km per hour. How many kilometres does it run in {quarters * 15} minutes?"
    return text, speed * quarters / 4


def _recipe(rng: random.Random) -> tuple[str, float]:
    serves, per, wanted = rng.choice((4, 5, 6)), rng.randint(35, 85), rng.randint(7, 14)
    need = f"A soup for {serves} people needs {serves * per} grams of lentils."
    text = f"{need} How many grams are needed for {wanted} people?"
    return text, per * wanted


def _work_rate(rng: random.Random) -> tuple[str, float]:
    people, days, others = rng.choice(((6, 8, 4), (5, 12, 6), (9, 4, 12), (8, 9, 6), (3, 20, 12)))
    text = f"{people} painters need {days} days for a house. How many days do {others} painters need at the same pace?"
    return text, people * days / others


def _mean(rng: random.Random) -> tuple[str, float]:
    mean, marks = rng.randint(62, 81), [rng.randint(48, 95) for _ in range(3)]
    three = f"{marks[0]}, {marks[1]} and {marks[2]}"
    text = f"The mean of four marks is {mean}. Three of them are {three}. What is the fourth?"
    return text, 4 * mean - sum(marks)


def _tank(rng: random.Random) -> tuple[str, float]:
    inflow, outflow, minutes, start = rng.randint(14, 26), rng.randint(4, 11), rng.randint(12, 28), rng.randint(45, 160)
    text = (
        f"A tank holds {start} litres. A tap adds {inflow} litres a minute "
        f"while a leak loses {outflow} litres a minute. "
        f"How many litres are in the tank after {minutes} minutes?"
    )
    return text, start + (inflow - outflow) * minutes


def _wages(rng: random.Random) -> tuple[str, float]:
    rate, hours = 2 * rng.randint(7, 13), rng.randint(43, 52)
    text = (
        f"{_who(rng)} earns {rate} euros an hour for the first 40 hours of a week and one and a half times as much "
        f"for every hour beyond. What does a week of {hours} hours pay in euros?"
    )
    return text, rate * 40 + rate * 1.5 * (hours - 40)


def _two_rises(rng: random.Random) -> tuple[str, float]:
    start, up, down = 200 * rng.randint(2, 9), rng.choice((10, 20, 30, 50)), rng.choice((10, 20, 25, 40))
    text = f"A rent of {start} euros rises by {up} % and then falls by {down} %. What is it then, in euros?"
    return text, start * (100 + up) * (100 - down) / 10_000


def _crates(rng: random.Random) -> tuple[str, float]:
    crates, bottles, broken, pack = (
        rng.randint(11, 19),
        rng.choice((12, 18, 24)),
        rng.randint(5, 16),
        rng.choice((4, 6)),
    )
    whole = crates * bottles - broken
    text = (
        f"{crates} crates hold {bottles} bottles each. {broken} bottles break. "
        f"The rest is packed into cartons of {pack}; only full cartons are sold. How many cartons are sold?"
    )
    return text, whole // pack


def _fence(rng: random.Random) -> tuple[str, float]:
    width, length, gap = 6 * rng.randint(2, 7), 6 * rng.randint(8, 14), rng.choice((2, 3))
    text = (
        f"A rectangular field of {width} by {length} metres gets a fence "
        f"with a post every {gap} metres all the way round. How many posts are needed?"
    )
    return text, 2 * (width + length) / gap


_LEVELS: tuple[tuple[Template, ...], ...] = (
    (_gain, _loss, _rows, _share),
    (_boxes_left, _two_prices, _change, _older, _half_then_more),
    (_discount, _speed, _recipe, _work_rate, _mean),
    (_tank, _wages, _two_rises, _crates, _fence),
)
_EACH = (4, 2, 2, 2)
_ASK = ' Work it out step by step in at most three short lines, then end with a line "Answer: <number>".'

_EXAMPLES = (
    "Q: Tom has 5 cups and gets 4 more. How many cups is that?\nA: 5 + 4 = 9. Answer: 9\n\n"
    "Q: A shop had 12 hats and sold 2 of them. How many hats are left?\nA: 12 - 2 = 10. Answer: 10\n\n"
    "Q: 12 euros are shared equally by 4 people. How many euros does each get?\nA: 12 / 4 = 3. Answer: 3\n\n"
    "Q: A van has 3 rows with 4 seats each. How many seats does it have?\nA: 3 * 4 = 12. Answer: 12\n\n"
)


def build(seed: int = 101) -> list[DemoPrompt]:
    """46 problems: four of every template of the first level, two of every other."""
    rng = random.Random(seed)
    drafts: list[Draft] = []
    for templates, times in zip(_LEVELS, _EACH):
        first_level = templates is _LEVELS[0]
        for template in templates:
            drafts += distinct(partial(_draft, template, first_level), times, rng)
    return numbered("arithmetic", drafts)


def _draft(template: Template, first_level: bool, rng: random.Random) -> Draft:
    """One problem: the first level follows worked examples, the others ask for a few steps."""
    text, answer = template(rng)
    prompt = f"{_EXAMPLES}Q: {text}\nA:" if first_level else text + _ASK
    return prompt, number(answer), f"Answer: {answer:g}", f"Answer: {answer + 1:g}"
