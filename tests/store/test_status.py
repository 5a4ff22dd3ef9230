"""The state of a store, against what is computed from its decisions one by one; on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, text, update

from emafusion.store import Store
from emafusion.store.choices import choices
from emafusion.store.existing import ExistingStore
from emafusion.store.status import Status, status_of
from emafusion.store.tables import table
from tests.cli.conftest import run, succeeded
from tests.store.decisions import answered

NAMES = ("cheap", "mid-1.5", "dear")
COST = {"cheap": 0.001, "mid-1.5": 0.01, "dear": 0.1}
NOW = datetime(2026, 3, 15, 12)


def fill(url: str, n: int, *, feedback: float = 0.3, worse_lately: float = 0.0, seed: int = 0) -> list[dict[str, Any]]:
    """``n`` decisions over 60 days, each answered by one of three; calls cost 1.2 times as much as forecast."""
    rng = np.random.default_rng(seed)
    decisions, attempts, said = [], [], []
    for i in range(n):
        p = {name: float(rng.uniform(0.5, 0.7) + 0.1 * j) for j, name in enumerate(NAMES)}
        name = str(rng.choice(NAMES, p=(0.6, 0.3, 0.1)))
        recent = i >= 0.9 * n
        good = bool(rng.random() < p[name] - (worse_lately if recent and name == "cheap" else 0.0))
        confidence = float(np.clip(0.2 + 0.5 * good + 0.3 * rng.random(), 0, 1))
        cost = 1.2 * COST[name]
        decisions.append(
            {
                "id": f"d{i}",
                "created_at": NOW - timedelta(days=60) * (1 - (i + 1) / n),
                "text": f"question {i}",
                "text_hash": "",
                "prompt_tokens": 10,
                "answered_by": name,
                "confidence": confidence,
                "cost_usd": cost,
                "draft_cost_usd": cost,
                "judge_cost_usd": 0.0,
                "reference": "dear",
                "saved_usd": 0.0,
                "objective": {"quality_floor": 0.99},
                "category": "math",
                "labels": {},
                "familiarity": 0.5,
                "forecast": {
                    m: {"p_good": p[m], "spread": 0.1, "cost_usd": COST[m], "output_tokens": 9.0} for m in NAMES
                },
                "reason": "",
                "abstained": False,
                "sticky": False,
                "warnings": [],
                "first": [name],
                "propensities": dict.fromkeys(NAMES, 1 / 3),
                "explored": i % 20 == 0,
                "audited": "dear" if i % 50 == 0 and name != "dear" else None,
                "policy": "p",
                "tick": float(i),
            }
        )
        asked = [name] + (["dear"] if decisions[-1]["audited"] else [])
        for position, who in enumerate(asked):
            attempts.append(
                {
                    "decision_id": f"d{i}",
                    "position": position,
                    "candidate": who,
                    "cost_usd": 1.2 * COST[who],
                    "cluster": 0,
                }
            )
        if rng.random() < feedback:
            said.append(
                {"key": f"d{i}", "decision_id": f"d{i}", "kind": "score", "score": float(good), "given_at": NOW}
            )
    Store(url).close()
    store = ExistingStore(url)
    with store.engine.begin() as connection:
        for name, rows in (("decisions", decisions), ("attempts", attempts), ("feedback", said)):
            if rows:
                connection.execute(insert(table(name)), rows)
    store.close()
    return decisions


def look(url: str) -> Status:
    with ExistingStore(url) as store:
        return status_of(store, now=NOW)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    found: str = request.getfixturevalue("postgres_url")
    return found


def test_an_empty_store_has_a_status(url: str) -> None:
    Store(url).close()
    found = look(url)
    assert found.span.decisions == 0
    assert [s.usd for s in found.spending] == [0.0] * 4
    assert (found.savings, found.quality, found.traffic, found.drift) == ((), (), (), ())
    said = run("status", url)
    assert said.exit_code == 0, said.output
    assert "No decisions yet." in said.stdout


def test_one_decision_has_a_status(url: str) -> None:
    with Store(url) as store:
        store.record(*answered("only"))
        store.flush()
    found = look(url)
    assert found.span.decisions == 1
    assert found.quality[0].basis == "judges alone"
    assert found.quality[0].low is None
    assert all(s.low is None for s in found.savings)
    assert found.drift == ()
    json.dumps(succeeded("status", url), allow_nan=False)


def test_the_sums_are_those_of_the_decisions_one_by_one(url: str) -> None:
    made = fill(url, 400)
    found = look(url)
    assert found.span.decisions == 400
    assert found.span.explored == 20
    assert found.span.audited == found.span.audits_agreeing == sum(d["audited"] is not None for d in made)
    windows = {s.window: s for s in found.spending}
    for name, start in (("7 days", datetime(2026, 3, 9)), ("month", datetime(2026, 3, 1)), ("all", datetime.min)):
        here = [d for d in made if d["created_at"] >= start]
        assert windows[name].decisions == len(here)
        assert windows[name].usd == pytest.approx(sum(d["cost_usd"] for d in here))
    assert windows["all"].usd_per_query == pytest.approx(windows["all"].usd / 400)
    # Calls turned out 1.2 times as dear as forecast, so the dearest would have cost as much.
    saved = next(s for s in found.savings if s.against == "dearest" and s.window == "all")
    assert saved.candidate == "dear"
    assert saved.measured
    assert saved.usd == pytest.approx(400 * 1.2 * COST["dear"] - windows["all"].usd)
    assert saved.low is not None
    assert saved.low < saved.usd < (saved.high or 0.0)
    assert sum(t.decisions for t in found.traffic) == 400
    assert found.health.schema_version >= 2


def test_anchors_cost_but_are_no_answers_to_users(url: str) -> None:
    made = fill(url, 400)
    asked = [d for d in made if d["id"].endswith("7")]
    with ExistingStore(url) as store, store.engine.begin() as connection:
        d = table("decisions")
        connection.execute(update(d).where(d.c.id.in_([a["id"] for a in asked])).values(anchor=True))
    found = look(url)
    assert (found.span.decisions, found.span.anchors) == (400, 40)
    spent = sum(d["cost_usd"] for d in made)
    everything = {s.window: s for s in found.spending}["all"]
    assert everything.usd == pytest.approx(spent)
    assert found.quality[0].decisions == sum(t.decisions for t in found.traffic) == 360
    saved = next(s for s in found.savings if s.against == "dearest" and s.window == "all")
    assert saved.usd == pytest.approx(360 * 1.2 * COST["dear"] - spent)


def test_quality_is_the_truth_within_its_interval_and_narrower_with_judges(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    made = fill(url, 3000, feedback=0.2)
    overall, *each = look(url).quality
    truth = np.mean([d["forecast"][d["answered_by"]]["p_good"] for d in made])
    assert overall.low is not None
    assert overall.high is not None
    assert overall.low < truth < overall.high
    assert overall.basis == "feedback and judges"
    alone = 1.96 * float(np.sqrt(truth * (1 - truth) / overall.known))
    assert (overall.high - overall.low) / 2 < 0.9 * alone
    assert sum(q.known for q in each) == overall.known
    assert {q.candidate for q in each} == set(NAMES)


def test_drift_rings_for_the_candidate_that_got_worse_and_no_other(tmp_path: Path) -> None:
    steady, worse = f"sqlite:///{tmp_path}/steady.sqlite", f"sqlite:///{tmp_path}/worse.sqlite"
    fill(steady, 3000)
    fill(worse, 3000, worse_lately=0.4)
    assert not any(d.alarm for d in look(steady).drift)
    assert [d.candidate for d in look(worse).drift if d.alarm] == ["cheap"]


def test_the_score_that_counts_is_the_one_that_the_store_reads_back(url: str) -> None:
    fill(url, 3, feedback=0.0)
    said: Sequence[dict[str, Any]] = (
        {"key": "a", "decision_id": "d0", "kind": "score", "score": 0.2, "given_at": NOW},
        {"key": "b", "decision_id": "d0", "kind": "score", "score": 0.4, "given_at": NOW + timedelta(hours=1)},
        {"key": "c", "decision_id": "d0", "kind": "thumbs", "score": 1.0, "given_at": NOW + timedelta(hours=2)},
        {"key": "d", "decision_id": "d1", "kind": "score", "score": 0.1, "given_at": NOW},
        {"key": "e", "decision_id": "d1", "kind": "truth", "score": 0.9, "given_at": NOW - timedelta(hours=1)},
        {"key": "f", "decision_id": "d2", "kind": "score", "score": 0.5, "given_at": NOW, "candidate": "nobody"},
    )
    store = ExistingStore(url)
    with store.engine.begin() as connection:
        for row in said:
            connection.execute(insert(table("feedback")), row)
    with store.engine.connect() as connection:
        found = {row["id"]: row["feedback"] for row in choices(connection)}
    store.close()
    assert found == {"d0": 0.4, "d1": 0.9, "d2": None}
    with Store(url) as whole:
        assert {d["id"]: d["feedback"] for d in whole.decisions()} == found


def test_choices_are_the_newest_oldest_first(url: str) -> None:
    fill(url, 30)
    store = ExistingStore(url)
    with store.engine.connect() as connection:
        assert [row["id"] for row in choices(connection, limit=3)] == ["d27", "d28", "d29"]
        since = NOW - timedelta(days=60) * (1 - 28.5 / 30)
        assert [row["id"] for row in choices(connection, since=since)] == ["d28", "d29"]
    store.close()


def test_budgets_are_shown_where_there_are_any(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    Store(url).close()
    store = ExistingStore(url)
    with store.engine.begin() as connection:
        connection.execute(text("CREATE TABLE budget_example (name TEXT PRIMARY KEY, spent INTEGER)"))
        connection.execute(text("INSERT INTO budget_example VALUES ('team', 7)"))
    store.close()
    assert look(url).budgets["budget_example"] == [{"name": "team", "spent": 7}]
    assert "team" in run("status", url).stdout


def test_records_that_a_writer_holds_are_seen_from_outside(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        query, result = answered("first")
        store.record(query, result)
        store.flush()
        found = look(f"sqlite:///{tmp_path}/store.sqlite").health
        assert (found.writers, found.waiting) == (1, 0)
        assert store.decisions()[0]["id"] == replace(result.decision, id="first").id
    assert look(f"sqlite:///{tmp_path}/store.sqlite").health.writers == 0
