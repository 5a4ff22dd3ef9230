"""What judges are worth: figures that must hold on a log whose judges' skill is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emafusion.encoders.hashing import HashingEncoder
from emafusion.evaluation.folds import Split, fold_of, split_rows
from emafusion.evaluation.judging import JudgeRow, by_judge, judged_part, with_verifications
from emafusion.evaluation.processes import EncoderSource
from emafusion.learning.table import read_answers, tabulate
from emafusion.learning.verifications import recorded_verifications
from emafusion.log import read_log
from emafusion.taxonomy.classifier import TaxonomyClassifier
from tests.evaluation.synthetic_log import make_log
from tests.judges.verdict_columns import drawn_verdicts

BAD = ("useless", "contrary", "copy")


def judged_log(n: int, seed: int) -> list[dict[str, Any]]:
    """A log with a good judge, a copy of it, one that errs on purpose and one that throws dice."""
    rng = np.random.default_rng(seed)
    log = make_log(n, seed=seed)
    for line in log:
        for outcome in line["outcomes"].values():
            good = np.array([outcome["score"]])
            sharp = float(drawn_verdicts(good, (0.8,), 0.0, rng)[0, 0])
            contrary = float(drawn_verdicts(1.0 - good, (0.65,), 0.0, rng)[0, 0])
            outcome["verdicts"] = {"sharp": sharp, "copy": sharp, "contrary": contrary, "useless": float(rng.random())}
            outcome["verification"] = [bool(rng.random() < (0.8 if outcome["score"] else 0.4)) for _ in range(4)]
    return log


@pytest.fixture(scope="module")
def rows() -> dict[str, JudgeRow]:
    entries = read_log(judged_log(500, 3))
    encoder = HashingEncoder(64)
    table = tabulate(entries)
    table = with_verifications(table, recorded_verifications(entries, table.candidates))
    answers = read_answers(entries, table, encoder)
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    labels = TaxonomyClassifier(encoder=encoder).categories(table.texts, vectors)
    values = np.geomspace(1e-5, 1e-1, 10)
    trials = []
    for train, test in split_rows(len(table), 2, 0):
        split = Split(table, answers, vectors, labels, EncoderSource.of(encoder), train, test, values, 0)
        fold, _ = fold_of(split)
        trials.append(judged_part(fold.test, fold.model.belief, values, 0))
    mean = np.nanmean(table.cost, axis=0)
    return {row.judge: row for row in by_judge(trials, float(mean.min()), float(mean.max()), 0)}


def test_every_judge_has_its_row(rows: dict[str, JudgeRow]) -> None:
    assert set(rows) == {"agreement", "rules", "sharp", "copy", "contrary", "useless", "verification"}
    assert rows["agreement"].cost == rows["rules"].cost == 0.0
    assert rows["sharp"].cost is None
    assert rows["sharp"].answers == 500 * 4
    assert all(isinstance(row.as_dict()["marginal_worth"]["low"], float) for row in rows.values())


def test_judges_are_told_apart_by_their_auroc(rows: dict[str, JudgeRow]) -> None:
    found = {name: row.auroc or 0.0 for name, row in rows.items()}
    assert found["contrary"] < 0.4 < found["useless"] < 0.6 < found["verification"] < found["sharp"]
    assert found["agreement"] > 0.6
    assert found["copy"] == pytest.approx(found["sharp"])


def test_the_confidence_that_rests_on_one_judge_is_calibrated(rows: dict[str, JudgeRow]) -> None:
    assert all(row.ece < 0.05 for row in rows.values()), {name: row.ece for name, row in rows.items()}


def test_agreement_is_worth_something(rows: dict[str, JudgeRow]) -> None:
    assert rows["agreement"].worth.estimate > 0


@pytest.mark.parametrize("judge", BAD)
def test_a_bad_judge_does_not_worsen_the_frontier_beyond_noise(judge: str, rows: dict[str, JudgeRow]) -> None:
    worth = rows[judge].worth
    assert worth.estimate > -0.006
    assert worth.high >= 0
