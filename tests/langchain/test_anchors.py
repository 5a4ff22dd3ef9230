"""A new candidate is placed by stored questions that are put to it through the calls that requests take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emafusion import Budget, Candidate, ConfigError, Learning, Price
from emafusion.store import Store
from emafusion.store.existing import ExistingStore
from emafusion.store.status import status_of
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import client
from tests.loopback import LoopbackModel, LoopbackServer
from tests.sums_models import adder, question, total

QUIET = Learning(exploration=0.0, audit=0.0, drift=False)
POOL = {"cheap": 0.1, "middle": 1.0, "dear": 10.0}
ASKED = 24


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(*(adder(name) for name in (*POOL, "right")), adder("wrong", off_every=1)) as server:
        yield server


def served(server: LoopbackServer, store: Store, **options: Any) -> ChatEMAFusion:
    """A model that has answered ``ASKED`` questions, of half of which the truth was told."""
    pool = [Candidate(client(server, name), price=Price(usd, usd)) for name, usd in POOL.items()]
    llm = ChatEMAFusion(pool, judges=[], store=store, learning=QUIET, **options)
    for i in range(ASKED):
        answer = llm.invoke(question(i))
        if i % 2:
            llm.feedback(answer.response_metadata["emafusion"]["id"], truth=str(total(question(i))))
    assert store.flush()
    server.clear()
    return llm


def newcomer(server: LoopbackServer, name: str) -> Candidate:
    return Candidate(client(server, name), price=Price(0.5, 0.5))


def hope(llm: ChatEMAFusion, name: str) -> float:
    return float(llm.explain(question(99)).forecast.of(name)["p_good"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "x.sqlite") as opened:
        yield opened


def test_by_default_a_new_candidate_costs_no_call(server: LoopbackServer, store: Store) -> None:
    llm = served(server, store)
    llm.add_candidate(newcomer(server, "wrong"))
    assert server.count() == 0


def test_anchors_tell_a_candidate_that_fails_from_one_that_does_not(server: LoopbackServer, store: Store) -> None:
    llm = served(server, store)
    for name in ("wrong", "right"):
        llm.add_candidate(newcomer(server, name), anchors=12)
    assert {name: server.count(name) for name in (*POOL, "wrong", "right")} == {
        **dict.fromkeys(POOL, 0),
        "wrong": 12,
        "right": 12,
    }
    assert hope(llm, "right") > hope(llm, "wrong") + 0.25


def test_what_anchors_cost_and_were_worth_is_kept_and_marked(server: LoopbackServer, store: Store) -> None:
    llm = served(server, store)
    llm.add_candidate(newcomer(server, "wrong"), anchors=8)
    anchors = [d for d in store.decisions() if d["anchor"]]
    assert [d["answered_by"] for d in anchors] == ["wrong"] * 8
    assert all(d["cost_usd"] > 0 and d["attempts"][0]["input_tokens"] for d in anchors)
    assert all(d["propensities"] == {} for d in anchors)  # nobody chose: no policy is judged by them
    told = {d["feedback"] for d in anchors if any(f["kind"] == "truth" for f in d["feedbacks"])}
    assert told <= {0.0}
    assert len({d["text"] for d in anchors}) == 8
    assert {d["text"] for d in anchors} <= {question(i) for i in range(ASKED)}
    with ExistingStore(store.engine.url.render_as_string(hide_password=False)) as seen:
        assert status_of(seen).span.anchors == 8


def test_a_second_newcomer_is_not_asked_what_only_the_first_answered(server: LoopbackServer, store: Store) -> None:
    llm = served(server, store)
    for name in ("wrong", "right"):
        llm.add_candidate(newcomer(server, name), anchors=ASKED)
        assert server.count(name) == ASKED


async def test_a_coroutine_does_the_same(server: LoopbackServer, store: Store) -> None:
    llm = served(server, store)
    await llm.aadd_candidate(newcomer(server, "wrong"), anchors=12)
    assert server.count("wrong") == 12
    assert hope(llm, "wrong") < 0.5


def test_a_candidate_that_fails_is_there_nevertheless(
    server: LoopbackServer, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    llm = served(server, store, max_retries=0)
    server.add(LoopbackModel("broken", "42", error_status=500))
    llm.add_candidate(newcomer(server, "broken"), anchors=3)
    assert "broken" in llm.fusion.pool
    assert caplog.text.count("'broken' was not asked an anchor") == 3
    assert "placed by 0 of 3 anchors" in caplog.text


def test_budgets_hold_for_anchors_and_end_them(
    server: LoopbackServer, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    llm = served(server, store, budgets=[Budget(1.0, name="all")], max_tokens=20)
    (before,) = llm.fusion.budgets()
    llm.add_candidate(newcomer(server, "right"), anchors=4)
    (after,) = llm.fusion.budgets()
    spent = sum(d["cost_usd"] for d in store.decisions() if d["anchor"])
    assert after["spent"] - before["spent"] == pytest.approx(spent, rel=1e-6)
    tight = served(server, store, budgets=[Budget(0.005, name="tight")], max_tokens=20)
    server.clear()
    tight.add_candidate(Candidate(client(server, "wrong"), price=Price(1000.0, 1000.0)), anchors=4)
    assert server.count("wrong") == 0
    assert caplog.text.count("was not asked an anchor: BudgetExceeded") == 1


def test_without_texts_there_is_nothing_to_ask(
    server: LoopbackServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(tmp_path / "private.sqlite", store_text=False) as store:
        llm = served(server, store)
        llm.add_candidate(newcomer(server, "right"), anchors=4)
    assert server.count("right") == 0
    assert "'right' is placed by 0 of 4 anchors" in caplog.text


@pytest.mark.parametrize("anchors", [-1, True, 2.5])
def test_anchors_are_a_number(server: LoopbackServer, store: Store, anchors: Any) -> None:
    llm = served(server, store)
    with pytest.raises(ConfigError, match="number of stored questions"):
        llm.add_candidate(newcomer(server, "right"), anchors=anchors)
    assert "right" not in llm.fusion.pool


def test_anchors_need_a_store_and_learning(server: LoopbackServer) -> None:
    llm = ChatEMAFusion([newcomer(server, "cheap")], judges=[], learning=QUIET)
    with pytest.raises(ConfigError, match="give store= and learning="):
        llm.add_candidate(newcomer(server, "right"), anchors=4)
    assert llm.fusion.pool.names == ("cheap",)


def test_a_candidate_that_is_a_router_itself_explores_as_ever(server: LoopbackServer, store: Store) -> None:
    llm = served(server, store)
    inner = ChatEMAFusion([newcomer(server, "right")], judges=[], learning=QUIET)
    llm.add_candidate(Candidate(inner, name="inner", price=Price(0.5, 0.5)), anchors=3)
    assert server.count("right") == 3
    assert inner.fusion.last is not None
    assert not inner.fusion.last.anchor
    assert inner.fusion.last.propensities == {"right": 1.0}
