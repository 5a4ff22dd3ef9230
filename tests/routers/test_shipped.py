"""What is taken for granted of candidates before any outcome: the user's word, else a rating, else a price."""

from __future__ import annotations

from typing import Any

import pytest

from emafusion import Candidate, Price
from emafusion.config import Pool
from emafusion.routers.hybrid import TaxonomyRouter
from emafusion.types import Query

QUESTION = Query("A train leaves at 14:35 and the trip takes 2 hours 50 minutes. When does it arrive?")
OLD, NEW = "gpt-3.5-turbo-0125", "gpt-4o-mini-2024-07-18"  # the newer is stronger, and costs a third


def forecast(**candidates: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Candidate -> probability of a good answer and its standard deviation."""
    pool = Pool([Candidate(None, **{"name": key, **given}) for key, given in candidates.items()])
    told = TaxonomyRouter(pool).forecast(QUESTION)
    return {key: (p, sd) for key, p, sd in zip(candidates, told.p_good, told.spread)}


CHEAP, DEAR = Price(0.15, 0.6), Price(0.5, 1.5)


def test_a_stronger_model_is_forecast_better_though_it_costs_less() -> None:
    told = forecast(old={"name": OLD, "price": DEAR}, new={"name": NEW, "price": CHEAP})
    assert told["new"][0] > told["old"][0] + 0.05


def test_where_no_name_is_known_the_dearer_is_forecast_better_and_less_is_known() -> None:
    told = forecast(dear={"price": DEAR}, cheap={"price": CHEAP})
    assert told["dear"][0] > told["cheap"][0]
    rated = forecast(old={"name": OLD, "price": DEAR}, new={"name": NEW, "price": CHEAP})
    assert min(sd for _, sd in told.values()) > 2 * max(sd for _, sd in rated.values())


def test_what_the_user_says_wins_over_the_table() -> None:
    by_rating = forecast(old={"name": OLD, "price": DEAR, "rating": 1500.0}, new={"name": NEW, "price": CHEAP})
    assert by_rating["old"][0] > by_rating["new"][0]
    by_ability = forecast(old={"name": OLD, "price": DEAR, "ability": 0.95}, new={"name": NEW, "price": CHEAP})
    assert by_ability["old"][0] > by_ability["new"][0]


def test_a_stranger_among_few_known_ones_is_placed_by_its_price() -> None:
    known = {"old": {"name": OLD, "price": DEAR}, "new": {"name": NEW, "price": CHEAP}}
    cheap = forecast(**known, stranger={"price": Price(0.01, 0.02)})
    assert cheap["stranger"][0] < cheap["old"][0]
    dear = forecast(**known, stranger={"price": Price(20.0, 60.0)})
    assert dear["stranger"][0] == pytest.approx(dear["new"][0])
    assert dear["stranger"][1] > dear["new"][1]


def test_a_stranger_among_several_known_ones_gets_what_its_price_buys_among_them() -> None:
    known = {
        "weak": {"name": "llama-3-8b-instruct", "price": Price(0.2, 0.2)},
        "old": {"name": OLD, "price": DEAR},
        "new": {"name": NEW, "price": CHEAP},
        "strong": {"name": "gpt-4o-2024-05-13", "price": Price(5.0, 15.0)},
    }
    placed = [forecast(**known, stranger={"price": Price(p, 3 * p)})["stranger"] for p in (0.05, 0.5, 5.0, 500.0)]
    by_price = [p for p, _ in placed]
    assert by_price == sorted(by_price)
    least, most = (bound(p for p, _ in forecast(**known).values()) for bound in (min, max))
    assert all(least < p < most for p in by_price)  # better than the worst: the cheapest need not be the weakest
    free = forecast(**known, stranger={"price": Price(0.0, 0.0)})["stranger"]
    assert free == pytest.approx(placed[0])
