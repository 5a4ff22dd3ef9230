"""Bad configuration is refused at construction, in words that say what to do."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion import (
    Candidate,
    ConfigError,
    Fusion,
    LLMJudge,
    Objective,
    ObjectiveError,
    Pool,
    Price,
    PriceError,
    Usage,
)
from emafusion.pricing import list_price
from tests.engine.scripted import candidate


def test_no_candidates() -> None:
    with pytest.raises(ConfigError, match="candidates is empty: give at least one model"):
        Fusion([])


def test_a_string_is_no_list_of_candidates() -> None:
    with pytest.raises(ConfigError, match="candidates must be a list of models"):
        Fusion("openai:gpt-4o-mini")


def test_duplicate_names() -> None:
    with pytest.raises(ConfigError, match=r"two candidates are named 'small' \(positions 0 and 2\)"):
        Pool([candidate("small"), candidate("big"), candidate("small")])


def test_an_unknown_price_names_the_candidate_and_shows_how_to_give_one() -> None:
    with pytest.raises(
        PriceError, match=r"'mystery' has no known price: give Candidate\(model, name='mystery', price=Price"
    ):
        Pool([Candidate("m", name="mystery")])


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf, "1"])
def test_a_price_is_a_number_of_usd(wrong: Any) -> None:
    with pytest.raises(PriceError, match="a price is USD per million tokens, a number >= 0"):
        Price(input=wrong, output=1.0)


def test_two_objectives_at_once() -> None:
    with pytest.raises(ObjectiveError, match=r"give one objective, not 2 \(usd_per_query, quality_floor\)"):
        Objective(usd_per_query=0.01, quality_floor=0.9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"usd_per_query": 0}, "usd_per_query must be a number of USD above 0"),
        ({"usd_value": -1}, "usd_value must be a number of USD above 0"),
        ({"quality_floor": 1.5}, r"quality_floor must be in \(0, 1\]"),
        ({"budget": 3}, "budget: Extra inputs are not permitted"),
        ({"usd_value": "much"}, "usd_value"),
    ],
)
def test_an_objective_out_of_range(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ObjectiveError, match=said):
        Objective(**given)


def test_the_default_objective_keeps_99_percent_of_the_reference() -> None:
    assert Objective().as_dict() == {"quality_floor": 0.99}


def test_a_reference_that_is_no_candidate() -> None:
    with pytest.raises(ConfigError, match="reference 'huge' is not a candidate"):
        Fusion([candidate("small")], objective=Objective(reference="huge"))


@pytest.mark.parametrize(("option", "value"), [("stream_mode", "sometimes"), ("abstain_below", 1.5)])
def test_options_out_of_range(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=option):
        Fusion([candidate("small")], **{option: value})


def test_two_judges_of_one_name() -> None:
    with pytest.raises(ConfigError, match="judges need different names"):
        Fusion([candidate("small"), candidate("big")], judges=[LLMJudge(), LLMJudge()])


def test_feedback_is_checked() -> None:
    one = Fusion([candidate("small")])
    with pytest.raises(ConfigError, match=r"score must be a number in \[0, 1\], got 5"):
        one.feedback("x", 5)
    with pytest.raises(ConfigError, match="no decision has the id 'x'"):
        one.feedback("x", 1.0)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 100), st.floats(0, 100))
def test_a_cost_is_never_negative_and_grows_with_use(i: int, c: int, o: int, pi: float, po: float) -> None:
    price = Price(pi, po, cached_input=pi / 2)
    cost = price.cost(Usage(i, o, cached_input_tokens=c))
    assert 0 <= cost <= price.cost(Usage(i, o)) + 1e-12


def test_list_prices_come_without_the_tier_for_long_prompts() -> None:
    known = list_price("gpt-4o-mini", "openai")
    assert known is not None
    assert (known.input, known.output, known.cached_input) == (0.15, 0.6, 0.075)
    assert "openai/gpt-4o-mini" in known.source
