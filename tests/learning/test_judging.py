"""Verdicts in a log: read, checked, fitted, saved; and labels made of agreement where nobody scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emafusion import LogError
from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.judge_stack import JudgeStack
from emafusion.learning.fitting import fit_router
from emafusion.learning.pseudo_labels import agreement_labels, corrected_labels, corrected_mean
from emafusion.learning.table import tabulate
from emafusion.log import read_log, write_log
from emafusion.routers.artefact import load_router, save_router
from tests.judges.verdict_columns import Array, drawn_verdicts
from tests.learning.synthetic import arithmetic_log


def judged_log(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """A log with a good judge, a useless one, and one that abstains half of the time."""
    rng = np.random.default_rng(seed)
    log = arithmetic_log(n, seed)
    for line in log:
        for outcome in line["outcomes"].values():
            sharp = drawn_verdicts(np.array([outcome["score"]]), (0.85,), 0.0, rng)[0, 0]
            outcome["verdicts"] = {"sharp": float(sharp), "useless": float(rng.random())}
            outcome["verdicts"]["shy"] = float(sharp) if rng.random() < 0.5 else None
    return log


def test_a_log_with_verdicts_is_read_and_written_back(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write_log(read_log(judged_log(20)), path)
    entries = read_log(path)
    table = tabulate(entries)
    assert table.judges == ("sharp", "shy", "useless")
    assert table.verdicts is not None
    assert table.heard is not None
    assert table.heard.all()
    shy = table.verdicts[:, :, 1]
    assert 0 < np.isnan(shy).mean() < 1  # null is kept: the judge was asked and abstained
    part = table.take(np.array([3, 5]))
    assert part.verdicts is not None
    assert part.verdicts.shape == (2, 3, 3)


@pytest.mark.parametrize("bad", [1.5, -0.1, "yes", float("nan"), [0.5]])
def test_a_verdict_that_is_no_share_is_an_error_that_says_where(bad: Any) -> None:
    log = judged_log(3)
    log[1]["outcomes"]["mid"]["verdicts"]["sharp"] = bad
    with pytest.raises(LogError, match=r"log:2: outcomes\.mid\.verdicts\.sharp"):
        read_log(log)


def test_a_fit_learns_which_judges_to_trust_and_saves_it(tmp_path: Path) -> None:
    model, _ = fit_router(judged_log(400))
    stack = model.belief.judges
    assert stack.judges == ("sharp", "shy", "useless")

    def says(judge: str) -> float:
        return stack.llr({judge: 0.9}, {}) - stack.llr({judge: 0.1}, {})

    assert says("sharp") > 1.0
    assert abs(says("useless")) < 0.3 * says("sharp")
    save_router(model, tmp_path / "router.json")
    again = load_router(tmp_path / "router.json").belief.judges
    assert again.llr({"sharp": 0.9, "shy": None}, {}) == pytest.approx(stack.llr({"sharp": 0.9, "shy": None}, {}))


def test_a_router_saved_before_there_were_stacks_still_loads() -> None:
    config = BeliefModel.prior(("a", "b")).to_config()
    del config["judges"]
    again = BeliefModel.from_config(config).judges
    assert again.llr({"llm": 0.9}, {"llm": 1.2}) == pytest.approx(1.2)


# -- pseudo-labels -------------------------------------------------------------------------------------------------


def test_agreement_with_the_strongest_is_a_label_for_all_but_itself() -> None:
    label = np.array([[0, 0, 1], [-1, 0, 0], [0, 1, -1]])
    assert np.array_equal(
        agreement_labels(label, 2), np.array([[0.0, 0.0, np.nan], [np.nan, 1.0, np.nan], [np.nan] * 3]), equal_nan=True
    )


def biased(seed: int, n: int = 4000, audited: int = 200) -> tuple[Array, Array, Array]:
    """Two candidates, right as often as each other; the pseudo-label favours the first: truth, pseudo, scores."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 2)) < 0.5).astype(np.float64)
    flip = rng.random((n, 2))
    pseudo = np.where(truth > 0.5, flip < 0.95, flip < np.array([0.6, 0.1])).astype(np.float64)
    score = np.full((n, 2), np.nan)
    score[:audited] = truth[:audited]
    return truth, pseudo, score


def test_a_bias_towards_one_candidate_does_not_become_its_quality() -> None:
    corrected, naive = [], []
    for seed in range(20):
        truth, pseudo, score = biased(seed)
        means = [corrected_mean(pseudo[:, j], score[:, j]) for j in (0, 1)]
        corrected.append([mean - t for (mean, _), t in zip(means, truth.mean(0))])
        naive.append(pseudo.mean(0) - truth.mean(0))
        assert all(error < 0.04 for _, error in means)
    assert np.abs(np.mean(naive, axis=0))[0] > 0.2
    assert np.abs(np.mean(corrected, axis=0)).max() < 0.015


def test_corrected_labels_vary_less_than_the_audits_alone() -> None:
    alone, corrected = [], []
    for seed in range(60):
        truth, pseudo, score = biased(seed, audited=60)
        alone.append(np.nanmean(score[:, 1]) - truth[:, 1].mean())
        corrected.append(corrected_mean(pseudo[:, 1], score[:, 1])[0] - truth[:, 1].mean())
    assert np.std(corrected) < 0.75 * np.std(alone)


def test_a_judge_that_favours_a_candidate_is_not_believed_for_it() -> None:
    """Fitted on raw pseudo-labels that share its bias the judge looks good; fitted on corrected ones it does not."""
    rng = np.random.default_rng(3)
    truth, pseudo, score = biased(3, audited=400)
    verdict = np.where(np.arange(2) == 0, 0.9, 0.1) * np.ones(truth.shape) + 0.05 * rng.random(truth.shape)
    heard = np.ones((truth.size, 1), dtype=bool)
    fixed = corrected_labels(pseudo, score)

    def trust(target: Array, count: Array) -> float:
        stack = JudgeStack.fit(
            ("partial",), verdict.reshape(-1, 1), heard, target.ravel(), np.zeros(truth.size), count=count.ravel()
        )
        return stack.llr({"partial": 0.92}, {}) - stack.llr({"partial": 0.12}, {})

    assert trust(pseudo, np.ones(truth.shape)) > 0.8
    assert abs(trust(fixed.target, fixed.count)) < 0.35


def test_candidates_without_audits_keep_their_pseudo_labels_to_themselves() -> None:
    _, pseudo, score = biased(0)
    score[:, 1] = np.nan
    target = corrected_labels(pseudo, score).target
    assert np.isnan(target[:, 1]).all()
    assert not np.isnan(target[:, 0]).any()
