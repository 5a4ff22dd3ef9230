"""A log as arrays, and which of its answers a fit reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emafusion.learning import table as module
from emafusion.learning.fitting import fit_router
from emafusion.learning.table import read_answers, rows_to_read, tabulate
from emafusion.log import read_log
from tests.learning.synthetic import arithmetic_log


def without_scores(line: dict[str, Any]) -> dict[str, Any]:
    bare = {name: {k: v for k, v in o.items() if k != "score"} for name, o in line["outcomes"].items()}
    return {**line, "outcomes": bare}


def test_all_answers_of_a_log_of_ordinary_size_are_read() -> None:
    table = tabulate(read_log(arithmetic_log(60)))
    np.testing.assert_array_equal(rows_to_read(table), np.arange(60))


def test_of_a_large_log_a_sample_is_read_that_prefers_rows_with_scores() -> None:
    lines = [line if i % 3 else without_scores(line) for i, line in enumerate(arithmetic_log(90))]
    table = tabulate(read_log(lines))
    rows = rows_to_read(table, seed=1, most=50)
    assert len(set(rows.tolist())) == 50
    assert np.all(np.diff(rows) > 0)
    assert not np.isnan(table.score[rows]).any()
    np.testing.assert_array_equal(rows, rows_to_read(table, seed=1, most=50))
    assert len(rows_to_read(table, most=80)) == 80


def test_equal_answers_are_read_alike() -> None:
    lines = arithmetic_log(8)
    for line in lines:
        line["outcomes"]["big"]["response"] = line["outcomes"]["small"]["response"]
    entries = read_log(lines)
    table = tabulate(entries)
    answers = read_answers(entries, table)
    big, small = table.candidates.index("big"), table.candidates.index("small")
    np.testing.assert_array_equal(answers.rules[:, big], answers.rules[:, small])
    np.testing.assert_array_equal(answers.label[:, big], answers.label[:, small])
    assert answers.known.all()


def test_a_fit_that_reads_some_answers_forecasts_from_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = fit_router(arithmetic_log(150))
    monkeypatch.setattr(module, "ANSWER_ROWS", 80)
    sampled, report = fit_router(arithmetic_log(150))
    assert (report.queries, report.labelled) == (150, 150)
    np.testing.assert_array_equal(whole.forecaster.oof_.p, sampled.forecaster.oof_.p)
    assert sampled.curve is not None
    assert sampled.belief.fitted
