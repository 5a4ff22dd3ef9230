"""Baselines: they learn from the training part alone, cope with gaps, and are what they are named for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emafusion import LogError
from emafusion.encoders import default_encoder
from emafusion.evaluation.baselines import BASELINES, Fold, Part, mlp
from emafusion.evaluation.baselines.bandit import linear_bandit
from emafusion.evaluation.baselines.chains import Chain, limits, run_chains
from emafusion.evaluation.baselines.factorisation import _factorised
from emafusion.evaluation.baselines.mlp import _trained
from emafusion.evaluation.baselines.ridge import expected_costs, ridge
from emafusion.evaluation.baselines.threshold_cascade import _expected
from emafusion.evaluation.folds import Split, fold_of
from emafusion.evaluation.points import Array, Points
from emafusion.evaluation.processes import EncoderSource
from emafusion.learning.table import read_answers, tabulate
from emafusion.learning.verifications import read_verifications, recorded_verifications
from emafusion.log import read_log
from emafusion.taxonomy.classifier import TaxonomyClassifier
from tests.evaluation.synthetic_log import make_log

ADDED = (
    "multilayer perceptron",
    "matrix factorisation",
    "linear bandit",
    "pairwise cascades",
    "threshold cascades",
    "AutoMix",
    "AutoMix threshold",
)


def made_fold(lines: list[dict[str, Any]], test: int) -> Fold:
    """A fold whose last queries are its test part."""
    entries, encoder = read_log(lines), default_encoder()
    table = tabulate(entries)
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    labels = TaxonomyClassifier(encoder=encoder).categories(table.texts, vectors)
    rows = np.arange(len(lines))
    values = np.geomspace(2e-5, 1.0, 7)
    verified = read_verifications(entries, table.candidates)
    answers, source = read_answers(entries, table, encoder), EncoderSource.of(encoder)
    return fold_of(Split(table, answers, vectors, labels, source, rows[:-test], rows[-test:], values, 0, verified))[0]


@pytest.fixture(scope="module")
def fold() -> Fold:
    return made_fold(make_log(260, seed=3), 100)


@pytest.fixture(scope="module")
def points(fold: Fold) -> Mapping[str, Points]:
    return {name: BASELINES[name](fold) for name in ADDED}


def with_gaps(part: Part, seed: int) -> Part:
    """A third of the scores forgotten, and one candidate's altogether; every query keeps one."""
    gone = np.random.default_rng(seed).random(part.score.shape) < 1 / 3
    gone[:, 2] = True
    gone[:, 0] &= ~gone[:, 1:].all(1)
    return rescored(part, np.where(gone, np.nan, part.score))


def rescored(part: Part, score: Array) -> Part:
    return replace(part, table=replace(part.table, score=score), recording=replace(part.recording, score=score))


@pytest.mark.parametrize("name", ADDED)
def test_what_a_method_reports_is_what_the_log_holds(name: str, fold: Fold, points: Mapping[str, Points]) -> None:
    mine, test, rows = points[name], fold.test, np.arange(100)
    assert mine.score.shape == (7, 100)
    assert (mine.score == test.score[rows, mine.answered]).all()
    assert (mine.cost >= test.cost[rows, mine.answered] - 1e-15).all()
    assert mine.calls is not None
    once = mine.calls == 1
    assert mine.cost[once] == pytest.approx(test.cost[rows, mine.answered][once])
    assert (mine.cost[~once] > test.cost[rows, mine.answered][~once]).all()


@pytest.mark.parametrize("name", ADDED)
def test_more_is_spent_where_a_good_answer_is_worth_more(name: str, points: Mapping[str, Points]) -> None:
    assert points[name].mean_cost[-1] > points[name].mean_cost[0]
    assert points[name].quality[-1] > points[name].quality[0]


@pytest.mark.parametrize("name", ADDED)
def test_scores_of_the_test_part_choose_nothing(name: str, fold: Fold, points: Mapping[str, Points]) -> None:
    # A bandit may learn from the scores of what it chose, so those stay.
    chosen = np.zeros(fold.test.score.shape, dtype=bool)
    if name == "linear bandit":
        for answered in points[name].answered:
            chosen[np.arange(100), answered] = True
    other = rescored(fold.test, np.where(chosen, fold.test.score, 1.0 - fold.test.score))
    again = BASELINES[name](replace(fold, test=other))
    assert (again.answered == points[name].answered).all()


@pytest.mark.parametrize("name", ADDED)
def test_missing_outcomes_are_neither_chosen_nor_fatal(name: str, fold: Fold) -> None:
    sparse = replace(fold, train=with_gaps(fold.train, 1), test=with_gaps(fold.test, 2))
    mine = BASELINES[name](sparse)
    assert np.isfinite(mine.score).all()
    assert np.isfinite(mine.cost).all()
    assert (mine.answered != 2).all()


@pytest.mark.parametrize("name", ADDED)
def test_a_seed_decides_all(name: str, fold: Fold, points: Mapping[str, Points]) -> None:
    again = BASELINES[name](replace(fold))
    assert (again.answered == points[name].answered).all()
    assert (again.cost == points[name].cost).all()


def test_a_chain_stops_at_the_first_answer_that_scores_well(fold: Fold) -> None:
    test = fold.test.take(np.arange(3))
    scores = np.array([[0.9, 0.0, 0.0, 0.0], [0.1, 0.8, 0.0, 0.0], [0.1, 0.2, 0.0, 0.0]])
    found = run_chains(test, [Chain((0, 1, 3), (0.5, 0.5))], scores, np.zeros(4))
    assert found.answered.tolist() == [[0, 1, 3]]
    assert found.calls is not None
    assert found.calls.tolist() == [[1.0, 2.0, 3.0]]
    spent = test.cost[:, [0, 1, 3]]
    assert found.cost[0] == pytest.approx([spent[0, 0], spent[1, :2].sum(), spent[2].sum()])


def test_a_chain_passes_over_what_a_query_lacks(fold: Fold) -> None:
    test = fold.test.take(np.arange(3))
    score = test.score.copy()
    score[0, 0] = score[1, 1] = np.nan
    score[2, :2] = np.nan
    found = run_chains(rescored(test, score), [Chain((0, 1), (0.5,))], np.zeros((3, 4)), np.array([0, 0, 0.7, 0.9]))
    assert found.answered.tolist() == [[1, 0, 3]]
    assert found.calls is not None
    assert found.calls.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize("chain", [(1,), (0, 3), (0, 1, 3)])
def test_the_search_over_thresholds_expects_what_running_the_chain_gives(chain: tuple[int, ...], fold: Fold) -> None:
    train, held_out = fold.train, fold.answer_scores[0]
    stages = [limits(held_out[:, j], 5) for j in chain[:-1]]
    kept = [(held_out[:, j] >= stage[:, None]).astype(float) for j, stage in zip(chain, stages)]
    score, spent = train.score[:, chain].T, train.cost[:, chain].T
    quality, cost = _expected(score, np.zeros_like(score), kept), _expected(np.zeros_like(score), spent, kept)
    for at in np.ndindex(quality.shape):
        thresholds = tuple(float(stage[t]) for stage, t in zip(stages, at))
        run = run_chains(train, [Chain(chain, thresholds)], held_out, np.zeros(4))
        assert run.quality[0] == pytest.approx(quality[at])
        assert run.mean_cost[0] == pytest.approx(cost[at])


def verified(score: Array) -> NDArray[np.float64]:
    return np.where(score >= 0.5, 1.0, 0.0)


@pytest.mark.parametrize("name", ["AutoMix", "AutoMix threshold"])
def test_automix_escalates_what_its_verification_calls_wrong(fold: Fold, name: str) -> None:
    sure = replace(
        fold,
        train=replace(fold.train, verification=verified(fold.train.score)),
        test=replace(fold.test, verification=verified(fold.test.score)),
    )
    knowing, guessing = BASELINES[name](sure), BASELINES[name](fold)
    assert knowing.calls is not None
    once = knowing.calls[-1] == 1.0
    (small,) = np.unique(knowing.answered[-1][once])
    assert (fold.test.score[once, small] == 1.0).all()
    assert (fold.test.score[~once, small] == 0.0).all()
    assert knowing.quality[-1] > guessing.quality[-1]


def test_automix_pays_for_verifications_whose_cost_was_recorded(fold: Fold) -> None:
    dear = np.full(fold.train.score.shape, 10.0), np.full(fold.test.score.shape, 10.0)
    priced = replace(
        fold,
        train=replace(fold.train, verification=verified(fold.train.score), verification_cost=dear[0]),
        test=replace(fold.test, verification=verified(fold.test.score), verification_cost=dear[1]),
    )
    points = BASELINES["AutoMix"](priced)
    assert points.mean_cost[-1] < 1.0
    assert points.calls is not None
    assert points.calls[-1].max() == 1.0


def test_verifications_are_shares_or_lists_of_verdicts() -> None:
    lines = make_log(3, seed=0)
    assert recorded_verifications(read_log(lines), ("tiny", "huge")) is None
    lines[0]["outcomes"]["tiny"]["verification"] = [True, False, True, True]
    lines[1]["outcomes"]["huge"]["verification"] = 0.5
    found = recorded_verifications(read_log(lines), ("tiny", "huge"))
    assert found is not None
    assert np.nan_to_num(found, nan=-1.0).tolist() == [[0.75, -1.0], [-1.0, 0.5], [-1.0, -1.0]]
    lines[2]["outcomes"]["tiny"]["verification"] = "correct"
    with pytest.raises(LogError, match="query 'q2', tiny: verification must be a share"):
        recorded_verifications(read_log(lines), ("tiny", "huge"))


def test_ridge_is_scikit_learns_on_the_known_rows(fold: Fold) -> None:
    from sklearn.linear_model import Ridge

    train = with_gaps(fold.train, 5)
    found = ridge(train, train.score, fold.test.vectors, penalty=2.0)
    for j in (0, 1, 3):
        own = train.available[:, j]
        model = Ridge(alpha=2.0).fit(train.vectors[own], train.score[own, j])
        assert found[:, j] == pytest.approx(model.predict(fold.test.vectors), abs=1e-8)
    assert (found[:, 2] == 0.0).all()
    assert np.isinf(expected_costs(train, fold.test.vectors)[:, 2]).all()


def brier(expected: Array, score: Array) -> float:
    return float(((expected - score) ** 2).mean())


def test_what_reads_the_query_knows_more_than_the_candidates_means(fold: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "STEPS", 600)
    means = np.tile(fold.train.means()[0], (100, 1))
    known = brier(means, fold.test.score)
    assert brier(_factorised(fold.train, fold.test.vectors, 2, 30.0, 0), fold.test.score) < known
    assert brier(_trained(fold.train, fold.test.vectors, (64,), 10.0, 0), fold.test.score) < known


def test_a_bandit_learns_on_while_it_serves(fold: Fold) -> None:
    served = linear_bandit(fold)
    # What it chose at the last value turns out bad from the start of the test part on: it must turn to others.
    score = fold.test.score.copy()
    usual = int(np.bincount(served.answered[-1]).argmax())
    score[:, usual] = 0.0
    score[:, [j for j in range(4) if j != usual]] = 1.0
    turned = linear_bandit(replace(fold, test=rescored(fold.test, score)))
    late = slice(50, None)
    assert (turned.answered[-1, late] == usual).mean() < (served.answered[-1, late] == usual).mean()
