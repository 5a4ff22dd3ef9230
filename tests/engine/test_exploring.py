"""What the engine does where chance has a part: drafts that are explored, and answers that are audited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emafusion import Fusion
from emafusion.engine.drivers import run, stream
from emafusion.engine.steps import StreamMode
from emafusion.judges.panel import Belief
from emafusion.policies.base import Terms
from emafusion.policies.exploring import Opening
from emafusion.policies.moves import Accept, Try
from emafusion.types import Result
from tests.engine.scripted import ScriptedTransport, ask, scripted

ANSWERS = {"small": "390", "mid": "391", "big": "391"}


class Always:
    """Explores this candidate, or audits, every time."""

    def __init__(self, name: str | None = None, *, audit: bool = False) -> None:
        self.name, self.audit = name, audit

    def open(self, belief: Belief, terms: Terms, move: Try) -> Opening:
        if self.name is None:
            return Opening(move, {move.candidates[0]: 1.0})
        return Opening(Try((self.name,), reason="explored"), {self.name: 0.1, move.candidates[0]: 0.9}, explored=True)

    def audits(self, belief: Belief, accepted: str, reference: str) -> bool:
        return self.audit


class Broken:
    def open(self, belief: Belief, terms: Terms, move: Try) -> Opening:
        raise ValueError("no dice")

    def audits(self, belief: Belief, accepted: str, reference: str) -> bool:
        raise ValueError("no dice")


def with_explorer(fusion: Fusion, explorer: object) -> Fusion:
    fusion.engine = replace(fusion.engine, explorer=explorer)  # type: ignore[arg-type]
    return fusion


def test_an_explored_draft_is_asked_first_and_the_policy_carries_on_from_its_answer() -> None:
    one = with_explorer(scripted([Try(("mid",), commit=True), Try(("big",))], judges=()), Always("small"))
    transport = ScriptedTransport(ANSWERS)
    decision = run(one.steps(ask()), transport).decision
    assert transport.drafts() == ["small", "big"]
    assert decision.explored
    assert decision.first == ("small",)
    assert decision.propensities == {"small": 0.1, "mid": 0.9}


def test_an_explored_draft_never_streams_before_it_is_judged() -> None:
    one = with_explorer(scripted([Try(("mid",), commit=True), Try(("big",)), Accept("big")]), Always("small"))
    *pieces, result = stream(one.steps(ask()), ScriptedTransport(ANSWERS))
    assert isinstance(result, Result)
    assert "390" not in pieces
    assert not result.streamed


def test_an_explored_answer_outside_of_what_the_guard_allows_is_not_handed_over() -> None:
    one = with_explorer(Fusion(list(scripted([]).pool), judges=()), Always("small"))
    terms = replace(one.trade_off.terms(one.objective), only=("big",), value=1.0, floor=None)
    decision = run(one.engine.steps(ask(), one.objective, terms), ScriptedTransport(ANSWERS)).decision
    assert decision.explored
    assert decision.answered_by == "big"


def test_an_audit_asks_the_reference_after_the_answer_has_been_accepted() -> None:
    one = with_explorer(scripted([Try(("small",)), Accept("small", "enough")], judges=()), Always(audit=True))
    transport = ScriptedTransport(ANSWERS)
    result = run(one.steps(ask()), transport)
    assert result.reply.text == "390"
    assert result.decision.audited == "big"
    assert transport.drafts() == ["small", "big"]
    assert result.decision.cost_usd == pytest.approx(sum(a.cost_usd for a in result.decision.attempts))


def test_an_audit_that_fails_takes_nothing_away() -> None:
    one = with_explorer(scripted([Try(("small",)), Accept("small", "enough")], judges=()), Always(audit=True))
    result = run(one.steps(ask()), ScriptedTransport({"small": "390", "big": RuntimeError("down")}))
    assert result.reply.text == "390"
    assert result.decision.audited is None


def test_the_reference_is_not_audited_against_itself() -> None:
    one = with_explorer(scripted([Try(("big",)), Accept("big")], judges=()), Always(audit=True))
    assert run(one.steps(ask()), ScriptedTransport(ANSWERS)).decision.audited is None


@pytest.mark.parametrize("mode", ["live", "auto"])
def test_chance_that_fails_leaves_the_policy_alone(mode: StreamMode) -> None:
    one = with_explorer(scripted([Try(("small",)), Accept("small")], judges=(), stream_mode=mode), Broken())
    decision = run(one.steps(ask()), ScriptedTransport(ANSWERS)).decision
    assert decision.answered_by == "small"
    assert not decision.explored
    assert decision.propensities == {"small": 1.0}


def test_where_answers_go_out_live_nothing_is_explored() -> None:
    one = with_explorer(scripted([Try(("mid",))], judges=(), stream_mode="live"), Always("small"))
    assert run(one.steps(ask()), ScriptedTransport(ANSWERS)).decision.first == ("mid",)
