"""Tool calls: pick one of the offered functions and write the call as JSON, with arguments of the right type."""

from __future__ import annotations

import json

from emafusion.demo.grading import json_value
from emafusion.demo.tasks.prompt import DemoPrompt, Grade, numbered

_HOME = (
    "set_light(room: str, on: bool)",
    "set_temperature(room: str, celsius: int)",
    "play_music(artist: str, volume: int)",
)
_OFFICE = (
    "send_email(to: str, subject: str)",
    "create_event(title: str, date: str, hour: int)",
    "search_files(query: str, limit: int)",
)
_SHOP = (
    "find_product(name: str, max_price: int)",
    "add_to_cart(product_id: str, quantity: int)",
    "cancel_order(order_id: int)",
)
_TRAVEL = (
    "get_weather(city: str)",
    "convert_currency(amount: int, source: str, target: str)",
    "book_train(origin: str, destination: str, passengers: int)",
)
Call = tuple[str, str, dict[str, object]]

_REQUESTS: tuple[tuple[tuple[str, ...], tuple[Call, ...]], ...] = (
    (
        _HOME,
        (
            ("Turn on the light in the kitchen.", "set_light", {"room": "kitchen", "on": True}),
            ("It is too bright in the bedroom, switch the lamp off.", "set_light", {"room": "bedroom", "on": False}),
            ("Set the office to 21 degrees.", "set_temperature", {"room": "office", "celsius": 21}),
            ("Warm the bathroom up to twenty-four degrees.", "set_temperature", {"room": "bathroom", "celsius": 24}),
            ("Play Nina Simone at volume 30.", "play_music", {"artist": "Nina Simone", "volume": 30}),
            (
                "Put some Daft Punk on, half volume (the scale is 0 to 100).",
                "play_music",
                {"artist": "Daft Punk", "volume": 50},
            ),
            ("Nobody is in the garage, no need for light there.", "set_light", {"room": "garage", "on": False}),
            (
                "The nursery is at 18, make it three degrees warmer.",
                "set_temperature",
                {"room": "nursery", "celsius": 21},
            ),
        ),
    ),
    (
        _OFFICE,
        (
            ("Mail kim@acme.test with the subject Budget.", "send_email", {"to": "kim@acme.test", "subject": "Budget"}),
            ("Find 5 files about tax.", "search_files", {"query": "tax", "limit": 5}),
            (
                "Put Standup into my calendar on 2027-03-04 at 9.",
                "create_event",
                {"title": "Standup", "date": "2027-03-04", "hour": 9},
            ),
            (
                "Add an event called Dentist on 2027-06-11 at 3 pm (hours run from 0 to 23).",
                "create_event",
                {"title": "Dentist", "date": "2027-06-11", "hour": 15},
            ),
            (
                "Look for the file named invoice, show at most a dozen.",
                "search_files",
                {"query": "invoice", "limit": 12},
            ),
            (
                "Write to lea@north.test, the subject line is Trip plan.",
                "send_email",
                {"to": "lea@north.test", "subject": "Trip plan"},
            ),
            (
                "Schedule Review for the 2nd of May 2027 at 14 o'clock (dates as YYYY-MM-DD).",
                "create_event",
                {"title": "Review", "date": "2027-05-02", "hour": 14},
            ),
            ("Find 8 files about Norway.", "search_files", {"query": "Norway", "limit": 8}),
            ("Mail jo@hill.test with the subject Lunch.", "send_email", {"to": "jo@hill.test", "subject": "Lunch"}),
            ("Give me the top 3 hits for roadmap in my files.", "search_files", {"query": "roadmap", "limit": 3}),
        ),
    ),
    (
        _SHOP,
        (
            ("Cancel order 4471.", "cancel_order", {"order_id": 4471}),
            ("Put 3 of product K-20 into my cart.", "add_to_cart", {"product_id": "K-20", "quantity": 3}),
            ("Search for a toaster of at most 45 euros.", "find_product", {"name": "toaster", "max_price": 45}),
            ("I changed my mind about order number 90210, please stop it.", "cancel_order", {"order_id": 90210}),
            ("I want a pair of item B7.", "add_to_cart", {"product_id": "B7", "quantity": 2}),
            ("Is there a tent for less than or exactly 120?", "find_product", {"name": "tent", "max_price": 120}),
            ("A dozen of X-99 for the cart, please.", "add_to_cart", {"product_id": "X-99", "quantity": 12}),
            ("Cancel order 508.", "cancel_order", {"order_id": 508}),
            ("Search for a lamp of at most 30 euros.", "find_product", {"name": "lamp", "max_price": 30}),
            ("I do not need order 317 any more, but keep 318.", "cancel_order", {"order_id": 317}),
        ),
    ),
    (
        _TRAVEL,
        (
            ("What is the weather in Oslo?", "get_weather", {"city": "Oslo"}),
            (
                "How much is 250 USD in EUR?",
                "convert_currency",
                {"amount": 250, "source": "USD", "target": "EUR"},
            ),
            (
                "Two train tickets from Graz to Vienna.",
                "book_train",
                {"origin": "Graz", "destination": "Vienna", "passengers": 2},
            ),
            ("Will I need an umbrella in Lisbon?", "get_weather", {"city": "Lisbon"}),
            (
                "I have 80 GBP and need JPY.",
                "convert_currency",
                {"amount": 80, "source": "GBP", "target": "JPY"},
            ),
            (
                "Take me, my wife and our son by train to Milan; we start in Turin.",
                "book_train",
                {"origin": "Turin", "destination": "Milan", "passengers": 3},
            ),
            (
                "What would I get in CHF for half of 300 EUR?",
                "convert_currency",
                {"amount": 150, "source": "EUR", "target": "CHF"},
            ),
            ("What is the weather in Accra?", "get_weather", {"city": "Accra"}),
            ("How much is 75 EUR in SEK?", "convert_currency", {"amount": 75, "source": "EUR", "target": "SEK"}),
            ("I fly from Rome to Quito tomorrow: how warm is it where I land?", "get_weather", {"city": "Quito"}),
        ),
    ),
)


def build() -> list[DemoPrompt]:
    """34 requests over four sets of tools."""
    drafts: list[tuple[str, Grade, str, str]] = []
    for tools, requests in _REQUESTS:
        offer = "Tools:\n" + "\n".join(f"- {tool}" for tool in tools)
        # The set's last request is also its worked example, for every other of the requests before it.
        example, example_tool, example_arguments = requests[-1]
        answer = json.dumps({"tool": example_tool, "arguments": example_arguments})
        for i, (request, tool, arguments) in enumerate(requests[:-1]):
            form = 'Reply with one JSON object only: {"tool": NAME, "arguments": {...}}'
            prompt = f"{offer}\n{form}\n\nUser: {request}"
            if i % 2 == 0:
                prompt = f"{offer}\n{form}\n\nUser: {example}\nCall: {answer}\n\nUser: {request}\nCall:"
            right: dict[str, object] = {"tool": tool, "arguments": arguments}
            last = list(arguments)[-1]
            wrong = {"tool": tool, "arguments": arguments | {last: _other(arguments[last])}}
            drafts.append((prompt, json_value(right), json.dumps(right), json.dumps(wrong)))
    return numbered("tool_calls", drafts)


def _other(value: object) -> object:
    """A wrong argument of the same type."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}s"
