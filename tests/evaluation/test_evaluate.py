"""An evaluation from end to end, on a small made-up log: what must hold between its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from emafusion.cli import app
from emafusion.evaluation.baselines import BASELINES
from emafusion.evaluation.evaluation import Evaluation, evaluate
from emafusion.evaluation.folds import EMAFUSION, split_rows
from emafusion.evaluation.report import write_report
from emafusion.log import read_log
from tests.evaluation.synthetic_log import CANDIDATES, make_log, write


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate(read_log(make_log(240, seed=7)), folds=2, resamples=200, budgets=(5e-4,))


def test_every_method_answers_every_query(found: Evaluation) -> None:
    assert found.queries == 240
    assert found.left_out == 0
    assert set(found.comparison.standings) == {EMAFUSION, *BASELINES}


def test_nobody_beats_the_oracle(found: Evaluation) -> None:
    standings = found.comparison.standings
    for name, standing in standings.items():
        assert standing.peak <= standings["oracle"].peak + 1e-12, name
        assert standing.log_area <= standings["oracle"].log_area + 1e-12, name
        assert standing.area <= standings["oracle"].area + 1e-12, name


def test_single_candidates_are_what_the_log_says(found: Evaluation) -> None:
    lines = make_log(240, seed=7)
    mean = {n: np.mean([line["outcomes"][n]["score"] for line in lines]) for n in CANDIDATES}
    cost = {n: np.mean([line["outcomes"][n]["cost_usd"] for line in lines]) for n in CANDIDATES}
    standings = found.comparison.standings
    assert standings["cheapest"].quality == pytest.approx(mean["tiny"])
    assert standings["dearest"].cost == pytest.approx(cost["huge"])
    assert standings["random"].quality == pytest.approx(np.mean(list(mean.values())))
    assert found.comparison.cheapest == pytest.approx(cost["tiny"])
    assert found.comparison.average == pytest.approx(np.mean(list(cost.values())))
    assert sum(found.best_single.values()) == 2


def test_reading_the_query_or_the_answers_pays_on_this_log(found: Evaluation) -> None:
    standings = found.comparison.standings
    assert standings[EMAFUSION].log_area > standings["zero-router hull"].log_area
    assert found.comparison.differences["best single"].low > 0


def test_intervals_hold_their_estimates(found: Evaluation) -> None:
    for interval in (*found.comparison.differences.values(), *found.comparison.headline.values()):
        assert interval.low <= interval.estimate <= interval.high


def test_at_the_cost_of_another_emafusion_spends_no_more(found: Evaluation) -> None:
    floor = min(found.comparison.frontiers[EMAFUSION][0])
    for row in found.comparison.own_cost:
        assert row.emafusion_cost <= max(row.cost, floor) * (1 + 1e-9)
        assert row.difference == pytest.approx(row.emafusion - row.quality)


def test_the_confidence_is_accounted_for(found: Evaluation) -> None:
    points = len(found.comparison.values)
    assert sum(own.answers for own in found.calibration.accepted.values()) == 240 * points
    assert sum(b["count"] for b in found.calibration.bins) == 240 * points
    assert found.calibration.worst_point >= 0.0


def test_tables_by_category_count_every_query_once(found: Evaluation) -> None:
    assert sum(row.queries for row in found.categories) == 240
    assert {row.category for row in found.tasks} == {"sum", "capital", "date"}
    assert sum(row.queries for row in found.tasks) == 240


def test_what_cost_most_for_nothing_is_sorted_and_wrong(found: Evaluation) -> None:
    costs = [row.cost for row in found.waste]
    assert costs == sorted(costs, reverse=True)
    lines = {line["id"]: line for line in make_log(240, seed=7)}
    for row in found.waste:
        assert lines[row.id]["outcomes"][row.answered_by]["score"] == 0.0
        if row.rescue is not None:
            assert lines[row.id]["outcomes"][row.rescue]["score"] == 1.0


def test_the_report_is_one_file_with_its_pictures_inside(found: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(found, path, title="a <b>log</b>")
    page = path.read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "a &lt;b&gt;log&lt;/b&gt;" in page
    assert "<script" not in page
    assert 'href="http' not in page.split("</style>")[1].replace('xlink:href="http', "")
    for name in found.comparison.standings:
        assert f"<td>{name}</td>" in page


def test_the_command_writes_json_that_can_be_read_back(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", make_log(120, seed=8))
    test = write(tmp_path / "test.jsonl", make_log(60, seed=9, start=900))
    result = CliRunner().invoke(
        app,
        ["evaluate", str(train), "--test", str(test), "--resamples", "100", "--json", "--encoder", "hashing-64"]
        + ["--report", str(tmp_path / "report.html")],
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["method"] == "held-out test log"
    assert said["queries"] == 60
    assert said["budgets"][0]["queries"] == 60
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_folds_are_a_partition() -> None:
    parts = split_rows(103, 5, seed=3)
    assert sorted(np.concatenate([test for _, test in parts]).tolist()) == list(range(103))
    for train, test in parts:
        assert not set(train.tolist()) & set(test.tolist())
        assert len(train) + len(test) == 103
