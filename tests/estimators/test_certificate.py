"""The share of a reference's quality that is certain to be kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion.estimators.certificate import DELTA, certified_share


def pairs(n: int, quality: float, reference: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores that agree on four queries of five, with these means on the rest."""
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.8
    theirs = (rng.random(n) < reference).astype(np.float64)
    return np.where(same, theirs, rng.random(n) < quality), theirs


@pytest.mark.parametrize("share", [0.9, 0.98, 1.0])
def test_a_share_that_is_just_missed_is_certified_less_often_than_promised(share: float) -> None:
    reference = 0.8
    own = reference * (1 - (1 - share + 1e-3) / 0.2)  # so that the whole reaches a little less than the share
    wrong = [certified_share(*pairs(400, own, reference, seed), shares=(share,)) == share for seed in range(300)]
    assert np.mean(wrong) <= DELTA


def test_a_better_policy_on_many_queries_is_certified_beyond_the_reference() -> None:
    assert certified_share(*pairs(2500, 0.95, 0.8, 0)) > 1.0


def test_more_queries_certify_more() -> None:
    found = [np.mean([certified_share(*pairs(n, 0.8, 0.8, s)) for s in range(20)]) for n in (60, 250, 1000, 4000)]
    assert found == sorted(found)
    assert 0.97 < found[-1] < 1.0


@given(st.integers(0, 40), st.integers(0, 1000))
def test_few_or_unknown_scores_certify_a_share_that_was_tested_or_none(n: int, seed: int) -> None:
    score, reference = pairs(n, 0.8, 0.8, seed)
    if n:
        score[0] = np.nan
    assert certified_share(score, reference, (0.5, 0.9)) in (0.0, 0.5, 0.9)
