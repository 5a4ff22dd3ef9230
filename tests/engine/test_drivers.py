"""One algorithm, four drivers: whatever the candidates do, all four end alike."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emafusion import AllCandidatesFailed, Objective, Reply, Result
from emafusion.engine.drivers import arun, astream, run, stream
from emafusion.policies.moves import Try
from emafusion.types import Call
from tests.engine.scripted import ScriptedTransport, ask, fusion, scripted

ANSWERS = st.one_of(
    st.sampled_from(["391", "The answer is 391.", "390", "", "I'm sorry, I can't help with that."]),
    st.sampled_from([RuntimeError("down"), TimeoutError("slow")]),
)
OBJECTIVES = st.sampled_from(
    [Objective(), Objective(usd_value=0.0005), Objective(usd_value=0.05), Objective(usd_value=5.0)]
)


async def _drain(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def _outcome(result: Result) -> tuple[Any, ...]:
    d = result.decision
    return d.answered_by, result.reply.text, round(d.cost_usd, 12), [a.candidate for a in d.attempts], d.reason


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(("small", "mid", "big"), ANSWERS)), OBJECTIVES)
def test_all_four_drivers_end_alike(answers: dict[str, Any], objective: Objective) -> None:
    one = fusion(stream_mode="buffered")
    ends: list[Any] = []

    def note(make: Any) -> None:
        try:
            ends.append(make())
        except AllCandidatesFailed as error:
            ends.append(sorted(error.errors))

    note(lambda: _outcome(run(one.steps(ask(), objective), ScriptedTransport(answers))))
    note(lambda: _outcome(asyncio.run(arun(one.steps(ask(), objective), ScriptedTransport(answers)))))
    note(lambda: _outcome(list(stream(one.steps(ask(), objective), ScriptedTransport(answers)))[-1]))
    note(lambda: _outcome(asyncio.run(_drain(astream(one.steps(ask(), objective), ScriptedTransport(answers))))[-1]))
    assert ends[0] == ends[1] == ends[2] == ends[3]


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(("small", "mid", "big"), ANSWERS)), OBJECTIVES)
def test_what_is_streamed_is_the_accepted_answer_and_nothing_else(
    answers: dict[str, Any], objective: Objective
) -> None:
    transport = ScriptedTransport(answers)
    try:
        *chunks, result = stream(fusion().steps(ask(), objective), transport)
    except AllCandidatesFailed:
        return
    assert " ".join(chunks) == (" ".join(result.reply.text.split()) if result.streamed else "")


def test_a_live_stream_that_breaks_after_its_first_token_raises_instead_of_falling_back() -> None:
    class Breaking(ScriptedTransport):
        def stream(self, call: Call) -> Iterator[Any]:
            self.calls.append(call)
            yield "391"
            raise ConnectionError("cut off")

    transport = Breaking({})
    chunks = stream(scripted([Try(("big",), commit=True)], judges=()).steps(ask()), transport)
    assert next(chunks) == "391"
    with pytest.raises(ConnectionError, match="cut off"):
        next(chunks)
    assert transport.drafts() == ["big"]


def test_a_live_stream_that_breaks_before_its_first_token_falls_back_to_the_next_candidate() -> None:
    class Broken(ScriptedTransport):
        def stream(self, call: Call) -> Iterator[Any]:
            if call.candidate == "big":
                self.calls.append(call)
                raise ConnectionError("refused")
            yield from super().stream(call)

    moves = [Try(("big",), commit=True), Try(("mid",), commit=True)]
    *chunks, result = stream(scripted(moves, judges=()).steps(ask()), Broken({"mid": "391"}))
    assert chunks == ["391"]
    assert result.decision.answered_by == "mid"
    assert "refused" in result.decision.warnings[0]


def test_closing_a_stream_closes_the_steps() -> None:
    steps = scripted([Try(("big",), commit=True)], judges=()).steps(ask())
    chunks = stream(steps, ScriptedTransport({"big": "3 9 1"}))
    assert next(chunks) == "3"
    chunks.close()  # type: ignore[attr-defined]
    assert inspect.getgeneratorstate(steps) == inspect.GEN_CLOSED


async def test_cancelling_a_request_closes_the_steps_and_the_pending_calls() -> None:
    cancelled = []

    class Slow(ScriptedTransport):
        async def acall(self, call: Call) -> Reply:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.append(call.candidate)
                raise
            return Reply("never")

    steps = scripted([Try(("small", "mid"))], judges=()).steps(ask())
    task = asyncio.ensure_future(arun(steps, Slow({})))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(cancelled) == ["mid", "small"]
    assert inspect.getgeneratorstate(steps) == inspect.GEN_CLOSED


def test_parallel_drafts_run_at_the_same_time_and_see_the_callers_context() -> None:
    user = contextvars.ContextVar("user", default="nobody")
    together = threading.Barrier(2, timeout=10)
    seen = []

    class Meeting(ScriptedTransport):
        def call(self, call: Call) -> Reply:
            together.wait()  # both must be in flight, or this times out
            seen.append(user.get())
            return Reply("391")

    user.set("ada")
    result = run(scripted([Try(("small", "mid"))], judges=()).steps(ask()), Meeting({}))
    assert seen == ["ada", "ada"]
    assert result.decision.confidence > 0.8
