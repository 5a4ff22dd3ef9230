"""Off-policy evaluation against logged bandits whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emafusion.errors import ConfigError
from emafusion.evaluation.logged_decisions import LoggedDecisions
from emafusion.evaluation.off_policy import DELTA, Estimate, difference, evidence, value_of
from tests.evaluation.bandit_logs import Bandit, make_bandit

LOGS = 60


def differences(bandits: list[Bandit]) -> list[Estimate]:
    return [difference(b.logged, b.candidate, b.incumbent) for b in bandits]


def errors(bandits: list[Bandit], estimates: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(np.array(estimates) - np.array([b.difference for b in bandits]))


@pytest.mark.parametrize("forecast", ["good", "biased", "absent"])
@pytest.mark.parametrize("known", [1.0, 0.3])
def test_doubly_robust_is_unbiased_whatever_the_forecast_says(forecast: str, known: float) -> None:
    bandits = [make_bandit(1500, seed=s, forecast=forecast, known=known) for s in range(LOGS)]  # type: ignore[arg-type]
    found = differences(bandits)
    off = errors(bandits, [e.value for e in found])
    assert abs(off.mean()) < 3.0 * off.std() / np.sqrt(LOGS)
    # The standard error that it reports is the error that it makes.
    claimed = float(np.mean([e.standard_error for e in found]))
    assert 0.7 * off.std() < claimed < 1.4 * off.std()


def test_it_is_nearer_the_truth_than_weights_alone_or_a_wrong_model_alone() -> None:
    bandits = [make_bandit(3000, seed=s, forecast="biased", explore=0.2, gain=0.15) for s in range(LOGS)]
    found = differences(bandits)

    def loss(estimates: list[float]) -> float:
        return float(np.sqrt((errors(bandits, estimates) ** 2).mean()))

    robust = loss([e.value for e in found])
    assert robust < 0.8 * loss([e.weighted for e in found])
    # The router's forecast taken at its word; the model that is learned on the log has corrected it in part.
    told = [
        float(((b.candidate - b.incumbent) * (b.logged.expected_quality - b.logged.expected_cost)).sum(1).mean())
        for b in bandits
    ]
    assert robust < 0.5 * loss(told)


def test_judges_that_know_something_narrow_the_estimate_where_truth_is_scarce() -> None:
    bandits = [make_bandit(2000, seed=s, known=0.2) for s in range(20)]
    deaf = [replace(b.logged, confidence=np.full(len(b.logged), np.nan)) for b in bandits]
    heard = np.mean([e.standard_error for e in differences(bandits)])
    unheard = np.mean([difference(logged, b.candidate, b.incumbent).standard_error for logged, b in zip(deaf, bandits)])
    assert heard < 0.8 * unheard


@pytest.mark.parametrize(("n", "known"), [(40, 1.0), (300, 1.0), (300, 0.3), (2000, 0.3)])
def test_the_bounds_hold_at_any_number_of_decisions(n: int, known: float) -> None:
    bandits = [make_bandit(n, seed=s, known=known, explore=0.3) for s in range(LOGS)]
    found = differences(bandits)
    assert sum(e.lower > b.difference for e, b in zip(found, bandits)) <= 0.05 * LOGS
    assert sum(e.upper < b.difference for e, b in zip(found, bandits)) <= 0.05 * LOGS


def test_the_bound_holds_for_whoever_looks_again_and_again() -> None:
    crossed = 0
    for seed in range(LOGS):
        bandit = make_bandit(1000, seed=seed, gain=0.01, explore=0.5)  # dearer by 0.01: worth exactly as much
        looks = (np.arange(end) for end in (50, 100, 200, 400, 700, 1000))
        crossed += any(
            difference(bandit.logged.take(r), bandit.candidate[r], bandit.incumbent[r]).lower > 0 for r in looks
        )
    assert crossed <= 0.05 * LOGS


def test_the_evidence_suffices_exactly_where_the_bound_is_above_zero() -> None:
    seen = set()
    for seed in range(12):
        bandit = make_bandit(1500, seed=seed, gain=0.2, explore=0.3)
        capital = evidence(bandit.logged, bandit.candidate, bandit.incumbent)
        shown = bool(capital[-1] >= np.log(1 / DELTA))
        assert shown == (difference(bandit.logged, bandit.candidate, bandit.incumbent).lower > 0)
        seen.add(shown)
    assert seen == {True, False}


def test_the_bound_closes_in_on_the_truth() -> None:
    widths = []
    for n in (500, 5000, 50_000):
        bandit = make_bandit(n, seed=1, explore=0.3)
        widths.append(bandit.difference - difference(bandit.logged, bandit.candidate, bandit.incumbent).lower)
    assert widths[0] > 1.5 * widths[1] > 1.5**2 * widths[2] > 0


def test_decisions_on_which_both_agree_add_nothing() -> None:
    bandit = make_bandit(500, seed=0)
    same = difference(bandit.logged, bandit.incumbent, bandit.incumbent)
    assert (same.value, same.standard_error, same.lower, same.upper) == (0.0, 0.0, 0.0, 0.0)


def test_a_first_move_that_is_never_explored_counts_against_the_policy_that_makes_it() -> None:
    bandit = make_bandit(2000, seed=0, gain=0.3)
    keep = np.flatnonzero(bandit.logged.action != 1)
    kept = bandit.logged.take(keep)
    logged = replace(kept, propensity=kept.propensity * np.array([1.0, 0.0, 1.0, 1.0]))
    mine, theirs = bandit.candidate[keep], bandit.incumbent[keep]
    found = difference(logged, mine, theirs)
    assert found.lower < 0.0 < found.upper
    # Of the first moves that differ, half (the candidate's) have no support.
    assert found.supported == pytest.approx(0.5)


def test_the_value_of_the_logging_policy_is_the_mean_of_what_it_earned() -> None:
    bandit = make_bandit(5000, seed=3)
    logged = bandit.logged
    found = value_of(logged, logged.propensity)
    assert found.value == pytest.approx(float((logged.quality - logged.cost).mean()), abs=4e-3)
    assert found.effective_size == pytest.approx(len(logged))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 80), candidates=st.integers(2, 5), seed=st.integers(0, 10**6), known=st.floats(0.0, 1.0))
def test_bounds_are_ordered_and_mirror_each_other(n: int, candidates: int, seed: int, known: float) -> None:
    bandit = make_bandit(n, seed=seed, candidates=candidates, known=known)
    there = difference(bandit.logged, bandit.candidate, bandit.incumbent)
    back = difference(bandit.logged, bandit.incumbent, bandit.candidate)
    assert there.lower <= there.upper
    assert there.value == pytest.approx(-back.value)
    assert there.lower == pytest.approx(-back.upper)
    assert there.standard_error == pytest.approx(back.standard_error)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"propensity": np.zeros((3, 2))}, "propensity is not positive"),
        ({"propensity": np.full((3, 2), 0.7)}, "add up to at most 1"),
        ({"quality": np.array([0.0, 1.0, 1.5])}, r"quality must be in \[0, 1\]"),
        ({"cost": np.array([0.0, np.nan, 0.0])}, "costs must be known"),
        ({"action": np.array([0, 1, 2])}, "actions must be columns"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], complaint: str) -> None:
    sound = LoggedDecisions(
        action=np.array([0, 1, 0]),
        propensity=np.full((3, 2), 0.5),
        quality=np.array([0.0, 1.0, np.nan]),
        confidence=np.full(3, 0.5),
        cost=np.zeros(3),
        expected_quality=np.full((3, 2), np.nan),
        expected_cost=np.full((3, 2), np.nan),
    )
    with pytest.raises(ConfigError, match=complaint):
        replace(sound, **change)  # type: ignore[arg-type]
