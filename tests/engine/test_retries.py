"""Transient errors pass: the call is made anew, with patience that has an end, and never behind the consumer's back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion import ConfigError, Reply
from emafusion.engine.drivers import arun, astream, run, stream
from emafusion.engine.retries import Retries, is_context_overflow, is_transient, retry_after
from emafusion.policies.moves import Ask, Try
from emafusion.types import Call
from tests.engine.scripted import ScriptedTransport, ask, scripted


class Told(Exception):
    """An error as HTTP clients raise it."""

    def __init__(self, status: int | None = None, text: str = "", **headers: str) -> None:
        super().__init__(text or f"status {status}")
        if status is not None:
            self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Clock:
    """Remembers how long was waited, and does not wait."""

    def __init__(self, **rules: Any) -> None:
        self.waits: list[float] = []
        self.retries = Retries(**{"pause": self.waits.append, "apause": self._apause, **rules})

    async def _apause(self, seconds: float) -> None:
        self.waits.append(seconds)


class Flaky(ScriptedTransport):
    """Candidates that raise these errors first, one a call."""

    def __init__(self, clock: Clock, errors: Sequence[Exception], **answers: Any) -> None:
        super().__init__(answers)
        self.retries = clock.retries
        self.errors = list(errors)

    def _reply(self, call: Call) -> Reply:
        if call.candidate in ("small", "judge") and self.errors:
            self.calls.append(call)
            raise self.errors.pop(0)
        return super()._reply(call)


async def _end(way: str, steps: Any, transport: Any) -> Any:
    if way == "run":
        return run(steps, transport)
    if way == "arun":
        return await arun(steps, transport)
    items = list(stream(steps, transport)) if way == "stream" else [i async for i in astream(steps, transport)]
    return items[-1]


ways = pytest.mark.parametrize("way", ["run", "arun", "stream", "astream"])
FIRST_SMALL = [Try(("small",), commit=True), Try(("mid",), commit=True)]


@ways
async def test_a_transient_error_is_retried_before_another_candidate_is_asked(way: str) -> None:
    clock = Clock(first_wait=0.5)
    transport = Flaky(clock, [Told(503), TimeoutError()], small="391", mid="391")
    result = await _end(way, scripted(FIRST_SMALL, judges=()).steps(ask()), transport)
    assert result.decision.answered_by == "small"
    assert [c.candidate for c in transport.calls] == ["small"] * 3
    assert 0.5 <= clock.waits[0] <= 1.0
    assert 1.0 <= clock.waits[1] <= 1.5


@ways
async def test_after_the_last_retry_the_next_candidate_is_asked(way: str) -> None:
    clock = Clock(limit=2)
    transport = Flaky(clock, [Told(500)] * 9, small="391", mid="391")
    result = await _end(way, scripted(FIRST_SMALL, judges=()).steps(ask()), transport)
    assert result.decision.answered_by == "mid"
    assert [c.candidate for c in transport.calls] == ["small"] * 3 + ["mid"]
    assert len(clock.waits) == 2


@ways
@pytest.mark.parametrize(
    "error", [Told(400), Told(401), ValueError("no"), Told(400, "maximum context length is 8192 tokens")]
)
async def test_an_error_that_time_does_not_heal_is_not_retried(way: str, error: Exception) -> None:
    clock = Clock()
    transport = Flaky(clock, [error], small="391", mid="391")
    result = await _end(way, scripted(FIRST_SMALL, judges=()).steps(ask()), transport)
    assert result.decision.answered_by == "mid"
    assert clock.waits == []


@ways
async def test_retry_after_is_waited_for_and_what_exceeds_the_patience_is_not(way: str) -> None:
    clock = Clock(max_wait=10.0)
    transport = Flaky(clock, [Told(429, retry_after="7")], small="391", mid="391")
    result = await _end(way, scripted(FIRST_SMALL, judges=()).steps(ask()), transport)
    assert (result.decision.answered_by, clock.waits) == ("small", [7.0])
    clock = Clock(max_wait=10.0)
    transport = Flaky(clock, [Told(429, retry_after="7"), Told(429, retry_after="7")], small="391", mid="391")
    result = await _end(way, scripted(FIRST_SMALL, judges=()).steps(ask()), transport)
    assert (result.decision.answered_by, clock.waits) == ("mid", [7.0])


async def test_a_judges_call_is_retried_too() -> None:
    moves: list[Any] = [Try(("mid",)), Ask(("llm",), "mid"), Try(("big",), commit=True)]

    class JudgeDown(ScriptedTransport):
        failures = 1

        def _reply(self, call: Call) -> Reply:
            if call.purpose == "judge" and self.failures:
                self.failures -= 1
                raise Told(529)
            return super()._reply(call)

    clock, transport = Clock(), JudgeDown({"mid": "391", "big": "391"})
    transport.retries = clock.retries  # type: ignore[attr-defined]
    result = run(scripted(moves).steps(ask()), transport)
    assert [v.score is None for v in result.decision.verdicts if v.judge == "llm"] == [False]
    assert len(clock.waits) == 1


class Speaks(ScriptedTransport):
    """A stream whose first chunk is empty, as OpenAI's role chunk is, and which then breaks or speaks."""

    def __init__(self, clock: Clock, *plan: Sequence[Any]) -> None:
        super().__init__({"mid": "fallback", "small": "never"})
        self.retries, self.plan = clock.retries, list(plan)

    def says(self, chunk: str) -> bool:
        return bool(chunk)

    def stream(self, call: Call) -> Iterator[Any]:
        if call.candidate != "small":
            yield from super().stream(call)
            return
        self.calls.append(call)
        for item in self.plan.pop(0):
            if isinstance(item, Exception):
                raise item
            yield item

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        for item in self.stream(call):
            yield item


async def _pieces(way: str, transport: Speaks) -> list[Any]:
    steps = scripted(FIRST_SMALL, judges=()).steps(ask())
    if way == "stream":
        return list(stream(steps, transport))
    return [item async for item in astream(steps, transport)]


streams = pytest.mark.parametrize("way", ["stream", "astream"])


@streams
async def test_a_stream_that_breaks_before_its_first_word_is_opened_anew_and_nothing_is_said_twice(way: str) -> None:
    clock = Clock()
    transport = Speaks(clock, ["", ConnectionError()], ["", "3", "91", Reply("391", finish_reason="stop")])
    *chunks, result = await _pieces(way, transport)
    assert chunks == ["", "3", "91"]
    assert (result.decision.answered_by, len(clock.waits)) == ("small", 1)


@streams
async def test_an_empty_first_chunk_leaves_the_way_open_to_another_candidate(way: str) -> None:
    *chunks, result = await _pieces(way, Speaks(Clock(limit=0), ["", ConnectionError()]))
    assert chunks == ["fallback"]
    assert result.decision.answered_by == "mid"


@streams
async def test_after_the_first_word_there_is_no_retry(way: str) -> None:
    clock = Clock()
    transport = Speaks(clock, ["", "3", ConnectionError("cut off")])
    with pytest.raises(ConnectionError, match="cut off"):
        await _pieces(way, transport)
    assert (len(transport.calls), clock.waits) == (1, [])


@streams
async def test_a_stream_that_says_nothing_hands_nothing_over(way: str) -> None:
    *chunks, result = await _pieces(way, Speaks(Clock(), ["", "", Reply("", finish_reason="stop")]))
    assert chunks == ["fallback"]
    assert result.decision.answered_by == "mid"


def test_an_answer_that_a_listener_has_begun_to_read_is_not_asked_for_again() -> None:
    class Overheard(Flaky):
        broken: Exception | None = None

        def _reply(self, call: Call) -> Reply:
            try:
                return super()._reply(call)
            except Exception as error:
                self.broken = error
                raise

    clock = Clock()
    transport = Overheard(clock, [Told(503)], small="391", mid="391")
    run(scripted(FIRST_SMALL, judges=()).steps(ask()), transport)
    assert [c.candidate for c in transport.calls] == ["small", "mid"]
    assert clock.waits == []


async def test_a_cancellation_passes_while_a_call_waits_for_its_retry() -> None:
    waiting = asyncio.Event()

    async def forever(seconds: float) -> None:
        waiting.set()
        await asyncio.sleep(60)

    transport = Flaky(Clock(apause=forever), [Told(503)], small="391", mid="391")
    task = asyncio.ensure_future(arun(scripted(FIRST_SMALL, judges=()).steps(ask()), transport))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(transport.calls) == 1


def test_without_retries_a_call_is_made_once() -> None:
    calls = []

    def make() -> None:
        calls.append(1)
        raise Told(503)

    with pytest.raises(Told):
        Retries(0).call(make)
    assert calls == [1]


@given(st.integers(0, 6), st.floats(0.0, 60.0), st.floats(0.01, 5.0), st.lists(st.floats(0.0, 40.0), max_size=8))
def test_neither_the_number_of_calls_nor_the_waiting_exceeds_its_limit(
    limit: int, max_wait: float, first_wait: float, asked: list[float]
) -> None:
    waits: list[float] = []
    calls = [0]

    def make() -> None:
        calls[0] += 1
        seconds = asked[calls[0] - 1] if calls[0] <= len(asked) else 0.0
        raise Told(429, retry_after=str(seconds))

    with pytest.raises(Told):
        Retries(limit, max_wait, first_wait, pause=waits.append).call(make)
    assert calls[0] == len(waits) + 1 <= limit + 1
    assert sum(waits) <= max_wait
    assert all(wait >= wanted for wait, wanted in zip(waits, asked))


class ContextOverflowError(Exception):
    """Named as LangChain's."""


class RateLimitError(Exception):
    """Named as most clients'."""

    code = "insufficient_quota"


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (Told(429), True),
        (Told(500), True),
        (Told(501), False),
        (Told(404), False),
        (Told(400, x_should_retry="true"), True),
        (Told(503, x_should_retry="false"), False),
        (ConnectionResetError(), True),
        (asyncio.TimeoutError(), True),
        (RateLimitError("you exceeded your quota"), False),
        (ContextOverflowError("too long"), False),
        (KeyError("x"), False),
    ],
)
def test_transient_errors_are_told_from_lasting_ones(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


def test_a_wrapped_error_is_known_by_its_cause() -> None:
    error = RuntimeError("the client failed")
    error.__cause__ = Told(503, retry_after="2")
    assert is_transient(error)
    assert retry_after(error) == 2.0


def test_the_servers_wish_is_read_as_seconds_milliseconds_or_a_date() -> None:
    soon = datetime.now(timezone.utc) + timedelta(seconds=60)
    assert retry_after(Told(429, Retry_After="3")) == 3.0
    assert retry_after(Told(429, retry_after_ms="250")) == 0.25
    assert 50.0 < (retry_after(Told(429, retry_after=format_datetime(soon, usegmt=True))) or 0.0) <= 60.0
    assert retry_after(Told(429, retry_after="soon")) is None
    assert retry_after(Told(429, retry_after="-1")) is None
    assert retry_after(Told(429)) is None


def test_a_prompt_that_is_too_long_is_known_from_other_bad_requests() -> None:
    assert is_context_overflow(ContextOverflowError())
    assert is_context_overflow(Told(400, "This model's maximum context length is 8192 tokens"))
    assert not is_context_overflow(Told(400, "unknown field"))
    assert not is_context_overflow(ValueError("the context window of my house"))


@pytest.mark.parametrize("rules", [{"limit": -1}, {"max_wait": -1.0}, {"first_wait": float("nan")}])
def test_impossible_settings_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be 0 or more"):
        Retries(**rules)
