"""Judges that make several calls, run the user's own code, or make no call at all, as the engine hears them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from emafusion import (
    CallableJudge,
    Candidate,
    ConfigError,
    Fusion,
    LLMJudge,
    LogProbability,
    Objective,
    PairwiseJudge,
    Price,
    Query,
    Reply,
    SelfConsistency,
    Usage,
    Verdict,
)
from emafusion.engine.drivers import arun, astream, run, stream
from emafusion.judges.base import AUTHOR, Judge
from emafusion.policies.moves import Ask, Move, Try
from emafusion.types import Call, Decision
from tests.engine.scripted import ScriptedTransport, ask, candidate, fusion, scripted

USED = Usage(input_tokens=100, output_tokens=10)


@dataclass(frozen=True)
class Polled:
    """Asks k times whether the answer is right."""

    samples: int = 3
    name: str = "polled"
    model: Any = AUTHOR
    weight: float = 1.0

    def calls(self, query: Query, answer: Reply, author: str, model: str) -> tuple[Call, ...]:
        return (Call("judge", model, prompt=(), judge=self.name),) * self.samples

    def read(self, replies: Sequence[Reply], author: str, cost_usd: float) -> Verdict:
        if not replies:
            return Verdict(self.name, author, None, "silence", cost_usd)
        yes = sum(r.text == "yes" for r in replies)
        return Verdict(self.name, author, yes / len(replies), f"{yes} of {len(replies)} say yes", cost_usd)


class Room(ScriptedTransport):
    """Judges' calls are answered from a list, in turn; an exception in it is raised."""

    def __init__(self, answers: dict[str, Any], said: Sequence[Any]) -> None:
        super().__init__(answers)
        self.said = list(said)
        self._turn = threading.Lock()

    def _reply(self, call: Call) -> Reply:
        if call.purpose != "judge":
            return super()._reply(call)
        with self._turn:
            self.calls.append(call)
            said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Reply) else Reply(said, usage=USED)


def heard(judge: Judge, said: Sequence[Any], *, answer: Any = "The answer is 391.") -> tuple[Decision, Room]:
    room = Room({"small": answer, "big": "391"}, said)
    one = scripted([Try(("small",)), Ask((judge.name,), "small")], judges=[judge])
    return run(one.steps(ask()), room).decision, room


def judges_of(decision: Decision) -> dict[str, Verdict]:
    return {v.judge: v for v in decision.verdicts}


# -- the protocol ------------------------------------------------------------------------------------------------


def test_the_shipped_judges_keep_to_the_protocol() -> None:
    def check(query: Query, reply: Reply) -> bool:
        return True

    for judge in (LLMJudge(), PairwiseJudge(), SelfConsistency(), LogProbability(), CallableJudge(check), Polled()):
        assert isinstance(judge, Judge)


def test_every_call_of_a_judge_is_paid_for_and_goes_to_the_author() -> None:
    decision, room = heard(Polled(), ["yes", "no", "yes"])
    verdict = judges_of(decision)["polled"]
    assert verdict.score == pytest.approx(2 / 3)
    assert verdict.reason == "2 of 3 say yes"
    assert {c.candidate for c in room.calls} == {"small"}
    assert verdict.cost_usd == pytest.approx(3 * fusion().pool.price("small").cost(USED))
    assert decision.judge_cost_usd == pytest.approx(verdict.cost_usd)


def test_a_call_that_fails_is_left_out_with_a_warning() -> None:
    decision, _ = heard(Polled(), ["yes", TimeoutError("slow"), "no"])
    assert judges_of(decision)["polled"].reason == "1 of 2 say yes"
    assert any("'polled' failed in one of its calls" in w and "slow" in w for w in decision.warnings)


def test_a_judge_all_of_whose_calls_fail_abstains_with_one_warning() -> None:
    decision, _ = heard(Polled(), [TimeoutError("slow")] * 3)
    assert judges_of(decision)["polled"].score is None
    assert [w for w in decision.warnings if "polled" in w] == ["judge 'polled' failed and abstains: TimeoutError: slow"]


@pytest.mark.parametrize("part", ["calls", "read"])
def test_a_judge_that_raises_abstains_and_the_request_is_answered(part: str) -> None:
    class Broken(Polled):
        pass

    def fail(*arguments: Any) -> Any:
        raise KeyError("bug")

    setattr(Broken, part, fail)
    decision, _ = heard(Broken(), ["yes"] * 3)
    assert judges_of(decision)["polled"].score is None
    assert any("failed and abstains: KeyError" in w for w in decision.warnings)
    assert decision.answered_by == "small"


def test_judges_of_one_step_run_in_parallel() -> None:
    meeting = threading.Barrier(5, timeout=10)

    class Waits(ScriptedTransport):
        def call(self, call: Call) -> Reply:
            if call.purpose == "judge":
                meeting.wait()  # breaks unless all five are under way at once
                return Reply("yes", usage=USED)
            return super().call(call)

    judges = [Polled(3, "three"), Polled(2, "two")]
    one = scripted([Try(("small",)), Ask(("three", "two"), "small")], judges=judges)
    decision = run(one.steps(ask()), Waits({"small": "391"})).decision
    assert [v.score for v in decision.verdicts] == [1.0, 1.0]


def test_a_judge_may_not_be_named_twice() -> None:
    with pytest.raises(ConfigError, match="different names"):
        fusion(judges=[Polled(), Polled()])


# -- self-consistency --------------------------------------------------------------------------------------------


def test_samples_that_agree_stop_the_sampling_early() -> None:
    decision, room = heard(SelfConsistency(samples=12, batch=4), ["391", "It is 391.", "So: 391", "391.0"] * 3)
    verdict = judges_of(decision)["self-consistency"]
    assert verdict.reason == "4 of 4 further samples agree"
    assert verdict.score == pytest.approx(5 / 6)
    judged = [c for c in room.calls if c.purpose == "judge"]
    assert len(judged) == 4
    assert all(c.prompt is None and c.temperature == 1.0 and c.candidate == "small" for c in judged)


def test_samples_that_scatter_are_taken_to_the_end_and_speak_against_the_answer() -> None:
    decision, room = heard(SelfConsistency(samples=7, batch=3), [str(n) for n in (390, 391, 17, 390, 5, 23, 92)])
    verdict = judges_of(decision)["self-consistency"]
    assert verdict.reason == "1 of 7 further samples agree"
    assert verdict.score is not None
    assert verdict.score < 0.3
    assert len([c for c in room.calls if c.purpose == "judge"]) == 7


def test_an_answer_without_a_final_answer_is_not_sampled_again() -> None:
    decision, room = heard(SelfConsistency(), [], answer="   ")
    assert judges_of(decision)["self-consistency"].score is None
    assert len(room.calls) == 1


def test_self_consistency_is_priced_as_so_many_drafts() -> None:
    one = fusion(judges=[SelfConsistency(samples=5)])
    belief = one.engine.panel.begin(ask(), one.router.forecast(ask()), one.pool.names, one.engine.model)
    ((_, model, cost),) = one.engine.panel.available(belief, "mid")
    assert model == "mid"
    assert cost == pytest.approx(5 * belief.cost[belief.index("mid")])


# -- log-probabilities -------------------------------------------------------------------------------------------


def told(*tokens: tuple[str, float]) -> Reply:
    return Reply("".join(t for t, _ in tokens), usage=USED, tokens=tuple(t for t, _ in tokens),
                 logprobs=tuple(p for _, p in tokens), finish_reason="stop")  # fmt: skip


def test_log_probabilities_are_read_without_a_call_and_asked_for_with_the_draft() -> None:
    sure, unsure = (told(("The answer is ", -0.01), ("3", p), ("91", p), (".", -0.01)) for p in (-0.001, -1.5))
    scores = []
    for reply in (sure, unsure):
        room = Room({"small": reply}, [])
        decision = run(scripted([Try(("small",))], judges=[LogProbability()]).steps(ask()), room).decision
        assert [c.logprobs for c in room.calls] == [True]
        assert decision.judge_cost_usd == 0
        scores.append(judges_of(decision)["log-probability"].score)
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[0] > 0.5 > scores[1]
    assert "the answer's 0.22" in judges_of(decision)["log-probability"].reason


def test_where_no_log_probabilities_are_reported_their_judge_abstains() -> None:
    decision = run(scripted([Try(("small",))], judges=[LogProbability()]).steps(ask()), Room({"small": "391"}, []))
    assert judges_of(decision.decision)["log-probability"].score is None


def test_log_probabilities_are_not_asked_for_where_no_judge_reads_them() -> None:
    room = Room({"small": "391"}, [])
    run(scripted([Try(("small",))], judges=()).steps(ask()), room)
    assert [c.logprobs for c in room.calls] == [False]


def test_a_verdict_is_as_sure_as_the_token_that_says_it() -> None:
    said = told(("So ", -0.1), ('{"correct": ', -0.1), ("tr", -0.2), ("ue", -0.3), (', "confidence": 0.99}', -0.1))
    verdict = LLMJudge().read([said], "small", 0.0)
    assert verdict.score == pytest.approx(0.6065, abs=1e-3)
    assert "by log-probability" in verdict.reason


# -- pairs -------------------------------------------------------------------------------------------------------


def compared(*said: Any) -> Verdict:
    room = Room({"small": "390", "mid": "391"}, said)
    moves: list[Move] = [Try(("small",)), Try(("mid",)), Ask(("pairwise",), "mid")]
    decision = run(scripted(moves, judges=[PairwiseJudge("big")]).steps(ask()), room).decision
    judged = [c for c in room.calls if c.purpose == "judge"]
    assert len(judged) == 2
    assert all(c.candidate == "big" for c in judged)
    return judges_of(decision)["pairwise"]


def test_a_preference_that_survives_the_swap_is_evidence() -> None:
    first, second = '{"better": "first", "confidence": 0.8}', '{"better": "second", "confidence": 0.9}'

    class Prefers391(Room):
        def _reply(self, call: Call) -> Reply:
            if call.purpose != "judge":
                return super()._reply(call)
            shown = call.prompt[1].text if call.prompt else ""
            return Reply(first if shown.index("391\n") < shown.index("390\n") else second, usage=USED)

    for author, better in (("mid", True), ("small", False)):
        room = Prefers391({"small": "390", "mid": "391"}, [])
        moves: list[Move] = [Try(("small",)), Try(("mid",)), Ask(("pairwise",), author)]
        decision = run(scripted(moves, judges=[PairwiseJudge("big")]).steps(ask()), room).decision
        verdict = judges_of(decision)["pairwise"]
        assert verdict.score == pytest.approx(0.85 if better else 0.15)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('{"better": "equal"}', "no difference"),
        ('{"better": "first"}', "changes with their order"),
        ("the first", "no verdict"),
        (TimeoutError("slow"), "failed"),
    ],
)
def test_a_pairwise_judge_that_cannot_decide_abstains(said: Any, why: str) -> None:
    verdict = compared(said, said)
    assert verdict.score is None
    assert why in verdict.reason


def test_there_is_no_pair_without_another_answer() -> None:
    one = fusion(judges=[PairwiseJudge("big")])
    panel, query = one.engine.panel, ask()
    belief = panel.begin(query, one.router.forecast(query), one.pool.names, one.engine.model)
    panel.observe(belief, "small", Reply("391", usage=USED))
    assert panel.available(belief, "small") == []
    panel.observe(belief, "mid", Reply("The answer is 391", usage=USED))
    assert panel.available(belief, "small") == []  # it says the same
    panel.observe(belief, "big", Reply("17", usage=USED))
    assert panel.available(belief, "mid") != []


# -- the user's own checks ---------------------------------------------------------------------------------------

asked_by: contextvars.ContextVar[str] = contextvars.ContextVar("asked_by", default="nobody")


def is_391(query: Query, reply: Reply) -> bool:
    return "391" in reply.text and asked_by.get() == "the test"


async def is_391_by_and_by(query: Query, reply: Reply) -> bool:
    await asyncio.sleep(0)
    return is_391(query, reply)


@pytest.mark.parametrize("check", [is_391, is_391_by_and_by])
async def test_a_check_is_run_on_every_draft_in_its_own_way(check: Any) -> None:
    asked_by.set("the test")
    moves = [Try(("small",)), Try(("big",))]
    for drive in ("run", "run below a loop", "arun"):
        one = scripted(list(moves), judges=[CallableJudge(check, name="test")])
        transport = ScriptedTransport({"small": "17", "big": "391"})
        if drive == "arun":
            result = await arun(one.steps(ask()), transport)
        elif drive == "run":
            result = await asyncio.to_thread(run, one.steps(ask()), transport)
        else:
            result = run(one.steps(ask()), transport)
        verdicts = [v for v in result.decision.verdicts if v.judge == "test"]
        assert [(v.candidate, v.score) for v in verdicts] == [("small", 0.1), ("big", 0.9)]
        assert result.decision.answered_by == "big"
        assert result.decision.judge_cost_usd == 0


@pytest.mark.parametrize(
    ("found", "score"), [(True, 0.9), (False, 0.1), (0.75, 0.75), (None, None), (Verdict("mine", "x", 0.6, "so"), 0.6)]
)
def test_a_check_may_return_a_bool_a_share_a_verdict_or_nothing(found: Any, score: float | None) -> None:
    one = scripted([Try(("small",))], judges=[CallableJudge(lambda query, reply: found, name="check")])
    verdict = judges_of(run(one.steps(ask()), ScriptedTransport({"small": "391"})).decision)["check"]
    assert (verdict.score, verdict.candidate) == (score, "small")


def test_a_check_that_raises_or_returns_nonsense_abstains_with_a_warning() -> None:
    def fails(query: Query, reply: Reply) -> bool:
        raise ZeroDivisionError("by zero")

    def rambles(query: Query, reply: Reply) -> Any:
        return "fine"

    one = scripted([Try(("small",))], judges=[CallableJudge(fails), CallableJudge(rambles)])
    decision = run(one.steps(ask()), ScriptedTransport({"small": "391"})).decision
    assert [v.score for v in decision.verdicts] == [None, None]
    assert any("'fails' failed and abstains: ZeroDivisionError: by zero" in w for w in decision.warnings)
    assert any("returned 'fine': expected a bool" in w for w in decision.warnings)


def test_execution_outranks_opinion() -> None:
    opinions = [LLMJudge("big", name="a"), LLMJudge("mid", name="b")]
    one = scripted(
        [Try(("small",)), Ask(("a", "b"), "small")],
        judges=[CallableJudge(lambda query, reply: False, name="tests"), *opinions],
    )
    plain = scripted([Try(("small",))], judges=())
    transport = ScriptedTransport({"small": "391"})
    judged, alone = (run(x.steps(ask()), transport).decision.confidence for x in (one, plain))
    assert judged < alone


def test_an_answer_that_fails_its_check_is_not_accepted_unseen() -> None:
    judges = [CallableJudge(lambda query, reply: reply.text == "391", name="tests")]
    one = scripted([Try(("small",), commit=True), Try(("big",), commit=True)], judges=judges, stream_mode="buffered")
    assert run(one.steps(ask()), ScriptedTransport({"small": "17", "big": "391"})).decision.answered_by == "big"


async def test_a_check_sees_a_streamed_answer_too_but_cannot_take_it_back() -> None:
    for asynchronous in (False, True):
        one = scripted([Try(("small",), commit=True)], judges=[CallableJudge(lambda query, reply: False, name="no")])
        transport = ScriptedTransport({"small": "17 it is", "big": "391"})
        steps = one.steps(ask())
        items = [i async for i in astream(steps, transport)] if asynchronous else list(stream(steps, transport))
        *chunks, result = items
        assert chunks == ["17", "it", "is"]
        assert result.decision.answered_by == "small"
        assert [v.score for v in result.decision.verdicts] == [0.1]


def test_a_check_is_made_before_a_dearer_judge_is_weighed() -> None:
    calls: list[str] = []

    def check(query: Query, reply: Reply) -> bool:
        calls.append("check")
        return True

    one = Fusion(list(fusion().pool), judges=[LLMJudge("big"), CallableJudge(check)])
    decision = run(one.steps(ask()), ScriptedTransport(dict.fromkeys(("small", "mid", "big"), "391"))).decision
    assert calls
    assert decision.verdicts[0].judge == "check"


def test_a_dear_judge_is_not_asked_where_a_check_has_settled_it() -> None:
    """The cascade of judges: what the free check says is in before the dear one is weighed."""
    judge = Candidate("examiner", name="examiner", price=Price(0.5, 2.0))
    answers = ScriptedTransport({"small": "391", "big": "391"})

    def judges_asked(*checks: CallableJudge) -> list[str]:
        pool = [candidate("small", ability=0.7), candidate("big", ability=0.9)]
        one = Fusion(pool, judges=[LLMJudge(judge, name="examiner"), *checks])
        decision = run(one.steps(ask(), Objective(usd_value=0.02)), answers).decision
        return [v.judge for v in decision.verdicts]

    assert "examiner" in judges_asked()
    assert judges_asked(CallableJudge(lambda query, reply: True, name="tests", weight=5.0)) == ["tests"]


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a function"):
        CallableJudge("assert 1")  # type: ignore[arg-type]
