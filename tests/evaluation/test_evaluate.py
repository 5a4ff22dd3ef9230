"""An evaluation from end to end, on a small made-up log: what must hold between its numbers."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from emafusion import ConfigError
from emafusion.cli import app
from emafusion.cli.evaluation_tables import draw
from emafusion.evaluation import evaluation, folds
from emafusion.evaluation.baselines import BASELINES
from emafusion.evaluation.budgets import Adherence, pooled
from emafusion.evaluation.evaluation import Evaluation, evaluate
from emafusion.evaluation.folds import EMAFUSION, FoldResult, Split, run_split, split_rows
from emafusion.evaluation.report import write_report
from emafusion.log import read_log
from tests.evaluation.synthetic_log import CANDIDATES, make_log, write
from tests.learning.verified_log import with_verifications


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate(read_log(make_log(240, seed=7)), folds=2, resamples=200, budgets=(5e-4,), floors=50)


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


def test_believed_probabilities_are_scored_by_candidate(found: Evaluation) -> None:
    own = found.calibration.accepted
    total = sum(each.answers for each in own.values())
    assert sum(each.answers * each.brier for each in own.values()) / total == pytest.approx(found.calibration.brier)
    assert {each.answers for each in found.calibration.forecast.values()} == {240}
    assert sum(b["count"] for b in found.calibration.forecast_bins) == 4 * 240


def test_every_method_has_peers_figures_and_the_oracle_no_regret(found: Evaluation) -> None:
    peers = found.comparison.peers
    assert set(peers) == set(found.comparison.standings)
    assert peers["oracle"].regret_share == 0.0
    for name, figures in peers.items():
        assert min(figures.regret) >= -1e-12, name
    assert peers["best single"].perf_gain == 0.0
    assert peers["best single"].cost_save == pytest.approx(0.0)


def test_budgets_are_kept_over_every_fold(found: Evaluation) -> None:
    (kept,) = found.budgets
    assert kept.queries == 240
    assert len(kept.by_fold) == 2
    assert kept.off_by == pytest.approx(np.mean(kept.by_fold))  # folds of equal size
    assert kept.spread == pytest.approx(abs(kept.by_fold[0] - kept.by_fold[1]) / np.sqrt(2))


def test_folds_of_a_budget_are_pooled_by_what_was_spent() -> None:
    one = Adherence(0.1, spent=0.08, quality=0.5, queries=100, scored=50, least=0.01, by_fold=(-0.2,))
    two = Adherence(0.1, spent=0.11, quality=0.8, queries=300, scored=100, least=0.02, by_fold=(0.1,))
    found = pooled([one, two])
    assert found.spent == pytest.approx((8 + 33) / 400)
    assert found.off_by == pytest.approx(0.025)
    assert found.quality == pytest.approx((25 + 80) / 150)
    assert found.least == pytest.approx(0.0175)
    assert found.by_fold == (-0.2, 0.1)
    assert one.spread is None


def test_floors_are_checked_on_what_is_held_out(found: Evaluation) -> None:
    assert [check.floor for check in found.floors[:4]] == [0.9, 0.95, 0.98, 1.0]
    for check in found.floors:
        assert check.calibrations == 50
        assert 0.0 <= check.held <= 1.0
        assert check.reference in CANDIDATES
    costs = [check.cost for check in found.floors[:4]]
    assert costs == sorted(costs)


def test_scores_and_costs_are_averaged_over_the_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, FoldResult]] = []

    def watched(split: Split) -> FoldResult:
        seen.append((split.seed, run_split(split)))
        return seen[-1][1]

    few = ("cheapest", "best single", "linear bandit", "oracle")
    monkeypatch.setattr(folds, "BASELINES", {name: BASELINES[name] for name in few})
    monkeypatch.setattr(evaluation, "run_split", watched)
    learn, ask = read_log(make_log(60, seed=1)), read_log(make_log(30, seed=2, start=900))
    found = evaluate(learn, ask, seeds=5, seed=3, resamples=100, budgets=())
    assert found.seeds == (3, 4, 5, 6, 7)
    assert [seed for seed, _ in seen] == [3, 4, 5, 6, 7]
    for name in (EMAFUSION, "linear bandit", "oracle"):
        cost, quality = found.comparison.frontiers[name]
        assert quality == pytest.approx(np.mean([r.points[name].quality for _, r in seen], axis=0))
        assert cost == pytest.approx(np.mean([r.points[name].mean_cost for _, r in seen], axis=0))
    assert np.std([r.points["linear bandit"].quality for _, r in seen], axis=0).max() > 0.0


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
        assert page.count(f"<td>{name}</td>") >= 3, name  # its standing, peers' figures, regret
    for heading in (
        "Quality floors",
        "Average budgets",
        "What the judges are worth",
        "By task of the taxonomy",
        "cost most for nothing",
    ):
        assert heading in page


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
    assert said["budgets"][0]["spread"] is None
    assert said["floors"] == []
    assert set(said["methods"]["AutoMix"]) >= {"apgr", "cpt_50", "cpt_80", "arena", "perf_gain", "cost_save", "regret"}
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_tables_name_every_method_and_the_floors(found: Evaluation) -> None:
    console = Console(width=160, record=True, file=StringIO())
    draw(console, found)
    text = console.export_text()
    for name in found.comparison.standings:
        assert text.count(name) >= 3
    assert "Quality floors in 50 random calibrations" in text
    assert all(word in text for word in ("Judges", "agreement", "rules", "marginal worth"))
    assert "Average budgets, 240 queries (parts: 2)" in " ".join(text.split())


def test_too_few_calibrations_are_refused() -> None:
    with pytest.raises(ConfigError, match="--floors 5: give 0 for no check, or at least 20"):
        evaluate(read_log(make_log(60, seed=1)), floors=5)


def test_folds_are_a_partition() -> None:
    parts = split_rows(103, 5, seed=3)
    assert sorted(np.concatenate([test for _, test in parts]).tolist()) == list(range(103))
    for train, test in parts:
        assert not set(train.tolist()) & set(test.tolist())
        assert len(train) + len(test) == 103


def test_automix_can_be_what_emafusion_is_served_by() -> None:
    entries = read_log(with_verifications(make_log(240, seed=12)))
    found = evaluate(entries, folds=2, resamples=100, budgets=(0.0005,), policy="automix")
    names = set(found.as_dict()["methods"])
    assert {"EMAFusion", "AutoMix", "AutoMix threshold"} <= names
    (kept,) = found.budgets
    assert kept.as_dict()["queries"] == 240
