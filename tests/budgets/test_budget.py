"""What a budget may be, and in which window a moment is."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion import Budget, Budgets, ConfigError
from emafusion.budgets.budget import dollars, least_units, units


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd": 0},
        {"usd": -1.0},
        {"usd": float("nan")},
        {"usd": float("inf")},
        {"usd": True},
        {"usd": 1.0, "per": "user"},
        {"usd": 1.0, "window": "hour"},
        {"usd": 1.0, "at_limit": "stop"},
        {"usd": 1.0, "per": "request", "window": "day"},
        {"usd": 1.0, "per": "request", "at_limit": "queue"},
        {"usd": 1.0, "max_wait": -1.0},
        {"usd": 1.0, "name": ""},
    ],
)
def test_a_wrong_budget_is_refused_at_construction(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Budget"):
        Budget(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"budgets": []},
        {"budgets": Budget(1.0)},
        {"budgets": [1.0]},
        {"budgets": [Budget(1.0), Budget(2.0)]},
        {"budgets": [Budget(1.0)], "bytes_per_token": 0.5},
        {"budgets": [Budget(1.0)], "output_tokens": 0},
        {"budgets": [Budget(1.0)], "lease": 0.0},
        {"budgets": [Budget(1.0)], "unreachable": "shrug"},
    ],
)
def test_wrong_budgets_are_refused_at_construction(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="budgets"):
        Budgets(**wrong)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), st.sampled_from(["minute", "day", "month"]))
def test_a_moment_is_in_its_window_and_the_next_begins_where_it_ends(at: datetime, window: Any) -> None:
    now = at.replace(tzinfo=timezone.utc).timestamp()
    budget = Budget(1.0, window=window)
    start, end = budget.span(now)
    assert end is not None
    assert start <= now < end
    assert budget.span(end).start == end
    assert budget.span(end - 0.001) == (start, end)
    first = datetime.fromtimestamp(start, timezone.utc)
    assert (first.second, first.minute if window != "minute" else 0) == (0, 0)
    assert window != "month" or first.day == 1


@given(st.floats(1e-9, 1e6))
def test_amounts_are_rounded_against_the_spender(usd: float) -> None:
    assert least_units(usd) <= units(usd) <= least_units(usd) + 1
    assert dollars(units(usd)) == pytest.approx(usd, abs=1e-11, rel=1e-12)


def test_a_tenth_of_a_dollar_ten_times_is_a_dollar() -> None:
    assert 10 * units(0.1) == least_units(1.0)
