"""A new candidate is placed by stored questions that are put to it through the calls that requests take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emafusion import Candidate, Learning, Price
from emafusion.store import Store
from llamaindex_emafusion import EMAFusion
from tests.llamaindex.conftest import Clients
from tests.sums_models import adder, question, total

QUIET = Learning(exploration=0.0, audit=0.0, drift=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "x.sqlite") as opened:
        yield opened


@pytest.fixture
def llm(clients: Clients, store: Store) -> EMAFusion:
    """One that has answered twenty questions, of half of which the truth was told."""
    for name in ("cheap", "middle", "dear", "right"):
        clients.server.add(adder(name))
    clients.server.add(adder("wrong", off_every=1))
    llm = EMAFusion([clients.candidate(n) for n in ("cheap", "middle", "dear")], judges=[], store=store, learning=QUIET)
    for i in range(20):
        answer = llm.complete(question(i))
        if i % 2:
            llm.feedback(answer.additional_kwargs["emafusion"]["id"], truth=str(total(question(i))))
    assert store.flush()
    clients.server.clear()
    return llm


def newcomer(clients: Clients, name: str) -> Candidate:
    return Candidate(clients.model(name), price=Price(0.5, 0.5))


def hope(llm: EMAFusion, name: str) -> float:
    return llm.explain(question(99)).forecast.of(name)["p_good"]


def test_by_default_a_new_candidate_costs_no_call(llm: EMAFusion, clients: Clients) -> None:
    llm.add_candidate(newcomer(clients, "wrong"))
    assert clients.server.count() == 0


def test_anchors_tell_a_candidate_that_fails_from_one_that_does_not(
    llm: EMAFusion, clients: Clients, store: Store
) -> None:
    for name in ("wrong", "right"):
        llm.add_candidate(newcomer(clients, name), anchors=12)
        assert clients.server.count(name) == 12
    assert clients.server.count() == 24
    assert hope(llm, "right") > hope(llm, "wrong") + 0.25
    anchors = [d for d in store.decisions() if d["anchor"]]
    assert len(anchors) == 24
    assert all(d["cost_usd"] > 0 for d in anchors)
    assert [c.name for c in llm.candidates] == ["cheap", "middle", "dear", "wrong", "right"]


async def test_a_coroutine_does_the_same(llm: EMAFusion, clients: Clients) -> None:
    await llm.aadd_candidate(newcomer(clients, "wrong"), anchors=12)
    assert clients.server.count("wrong") == 12
    assert hope(llm, "wrong") < 0.5
