"""Dates and clock times: weekdays, days between, adding days and minutes, rewriting a date in another format."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

from emafusion.demo.grading import label, number, phrase
from emafusion.demo.tasks.prompt import DemoPrompt, Draft, drawn, numbered

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def _day(rng: random.Random) -> date:
    return date(2027, 1, 1) + timedelta(days=rng.randrange(700))


def _long(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _iso_from_long(rng: random.Random) -> Draft:
    day = _day(rng)
    style = rng.choice((_long(day), f"{_MONTHS[day.month - 1]} {day.day}, {day.year}", day.strftime("%d.%m.%Y")))
    ask = f"Write the date {style} as YYYY-MM-DD. Reply with the date only."
    return ask, phrase(day.isoformat()), day.isoformat(), (day + timedelta(days=1)).isoformat()


def _slashes(rng: random.Random) -> Draft:
    day = _day(rng)
    right, wrong = day.strftime("%d/%m/%Y"), (day + timedelta(days=31)).strftime("%d/%m/%Y")
    return f"Write {day.isoformat()} in the format DD/MM/YYYY. Reply with the date only.", phrase(right), right, wrong


def _weekday_after(rng: random.Random) -> Draft:
    start, step = rng.randrange(7), rng.choice((2, 3, 5, 9, 10, 16, 25))
    right = _DAYS[(start + step) % 7]
    ask = f"Today is {_DAYS[start]}. Which weekday is it in {step} days? Reply with the weekday only."
    return ask, label(right, _DAYS), right, _DAYS[(start + step + 1) % 7]


def _weekday_before(rng: random.Random) -> Draft:
    start, step = rng.randrange(7), rng.choice((2, 4, 8, 12, 20))
    right = _DAYS[(start - step) % 7]
    ask = f"Today is {_DAYS[start]}. Which weekday was it {step} days ago? Reply with the weekday only."
    return ask, label(right, _DAYS), right, _DAYS[(start - step + 1) % 7]


def _weekday_in_month(rng: random.Random) -> Draft:
    day = _day(rng).replace(day=rng.randint(1, 6))
    later = day + timedelta(days=rng.randint(8, 22))
    right = _DAYS[later.weekday()]
    ask = f"{_long(day)} is a {_DAYS[day.weekday()]}. Which weekday is {_long(later)}? Reply with the weekday only."
    return ask, label(right, _DAYS), right, _DAYS[(later.weekday() + 2) % 7]


def _days_between(rng: random.Random) -> Draft:
    first = _day(rng)
    gap = rng.choice((6, 11, 19, 27, 34, 48))
    last = _long(first + timedelta(days=gap))
    ask = f"How many days are there from {_long(first)} to {last}? Reply with the number only."
    return ask, number(gap), f"{gap} days", f"{gap + 1} days"


def _add_days(rng: random.Random) -> Draft:
    first, step = _day(rng), rng.choice((3, 7, 10, 14, 21, 30))
    right = (first + timedelta(days=step)).isoformat()
    ask = f"Which date is {step} days after {first.isoformat()}? Reply with the date as YYYY-MM-DD only."
    return ask, phrase(right), right, (first + timedelta(days=step + 1)).isoformat()


def _end_time(rng: random.Random) -> Draft:
    start = datetime(2027, 1, 1, rng.randint(7, 20), rng.choice((5, 15, 20, 35, 40, 50)))
    minutes = rng.choice((25, 45, 55, 80, 95, 130))
    right, wrong = ((start + timedelta(minutes=m)).strftime("%H:%M") for m in (minutes, minutes + 10))
    ask = f"A meeting starts at {start:%H:%M} and lasts {minutes} minutes. When does it end? Reply as HH:MM only."
    return ask, phrase(right), right, wrong


def _clock(rng: random.Random) -> Draft:
    moment = datetime(2027, 1, 1, rng.randint(13, 23), rng.choice((5, 10, 25, 40, 55)))
    twelve = f"{moment.hour - 12}:{moment:%M} PM"
    ask = f"Write {twelve} on the 24-hour clock as HH:MM. Reply with the time only."
    return ask, phrase(moment.strftime("%H:%M")), moment.strftime("%H:%M"), f"{moment.hour - 12:02d}:{moment:%M}"


def _leap(rng: random.Random) -> Draft:
    year = rng.choice((1900, 1996, 2000, 2023, 2100, 2024, 2026))
    days = 366 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 365
    return (
        f"How many days does the year {year} have? Reply with the number only.",
        number(days),
        str(days),
        str(731 - days),
    )


_TEMPLATES = (
    (_iso_from_long, 7), (_slashes, 4), (_weekday_after, 4), (_weekday_before, 2), (_weekday_in_month, 3),
    (_days_between, 3), (_add_days, 4), (_end_time, 4), (_clock, 3), (_leap, 2),
)  # fmt: skip


def build(seed: int = 202) -> list[DemoPrompt]:
    """36 questions over ten templates."""
    rng = random.Random(seed)
    return numbered("dates", [draft for template, times in _TEMPLATES for draft in drawn(template, times, rng)])
