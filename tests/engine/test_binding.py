"""A tool loop stays with its candidate, but for what another would be worth without its prompt cache."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion import Candidate, Fusion, Message, Objective, Price, Reply, Usage
from emafusion.asked import build_query
from emafusion.engine.drivers import run
from emafusion.policies.base import Terms
from emafusion.policies.moves import Accept, Try
from emafusion.policies.staying import Outlook, better_than_staying
from emafusion.types import Decision, Query, ToolCall
from tests.engine.scripted import ScriptedPolicy, ScriptedTransport

TURN = Message("user", "How warm will it be in Rome on Sunday, in degrees?")
WORTH = Objective(usd_value=1.0)
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
CALL = Reply("", tool_calls=(ToolCall("weather", {"city": "Rome"}),), finish_reason="tool_calls")
BROKEN = Reply("", tool_calls=(ToolCall("weather", {}, valid=False),), finish_reason="tool_calls")


def step(*told: str) -> Query:
    """The turn, and a call and its result for each of ``told``."""
    loop = [m for text in told for m in (Message("assistant", tool_calls=CALL.tool_calls), Message("tool", text))]
    return build_query([TURN, *loop], tools=TOOLS)


def loop(*results: str, cached_input: float | None, first: Reply = CALL, cached: int | None = None) -> list[Decision]:
    """Decisions of a loop that the policy begins with the dear one, which then reads these results."""
    pool = [
        Candidate("small", name="small", price=Price(0.1, 0.4)),
        Candidate("big", name="big", price=Price(10.0, 40.0, cached_input=cached_input)),
    ]
    one = Fusion(pool, judges=())
    object.__setattr__(one.engine, "policy", ScriptedPolicy([Try(("big",)), Accept("big", "as scripted")]))
    decisions = []
    for i in range(len(results) + 1):
        query = step(*results[:i])
        usage = None if cached is None else Usage(query.prompt_tokens, 20, cached)
        reply = Reply(CALL.text, CALL.tool_calls, CALL.finish_reason, usage=usage)
        answers = {"small": CALL, "big": first if i == 0 else reply}
        result = run(one.steps(query, WORTH), ScriptedTransport(answers))
        decisions.append(result.decision)
    return decisions


def words(n: int) -> str:
    return "word " * n


def test_a_loop_stays_while_its_history_is_short() -> None:
    told = loop("21", "22", "23", cached_input=1.0)
    assert [d.answered_by for d in told] == ["big"] * 4
    assert [d.sticky for d in told] == [False, True, True, True]


def test_a_result_that_makes_the_dear_candidate_too_dear_ends_its_part() -> None:
    told = loop("21", words(200_000), cached_input=1.0)
    assert [d.answered_by for d in told] == ["big", "big", "small"]
    assert not told[2].sticky
    assert "the tool loop goes on with small" in told[2].reason
    assert told[2].attempts[0].candidate == "small"


def test_what_the_provider_has_cached_keeps_a_long_loop_where_it_is() -> None:
    """Two long results: reading both anew is not worth it, reading one and the other from the cache is."""
    long = words(10_000)
    assert [d.answered_by for d in loop(long, long, cached_input=0.05)] == ["big", "big", "big"]
    assert [d.answered_by for d in loop(long, long, cached_input=None)] == ["big", "big", "small"]


def test_a_cache_that_the_provider_did_not_keep_is_not_counted_on() -> None:
    """With the second step its provider says how much it had cached."""
    results = (words(10_000), words(10_000), "21")
    kept, lost = (loop(*results, cached_input=0.05, cached=n) for n in (10_000_000, 0))
    assert [d.answered_by for d in kept] == ["big"] * 4
    assert [d.answered_by for d in lost] == ["big", "big", "small", "small"]


def test_a_broken_call_that_was_handed_over_for_want_of_a_better_makes_the_policy_look_again() -> None:
    told = loop("21", cached_input=1.0, first=BROKEN)
    assert told[0].answered_by == "big"
    assert told[1].answered_by == "small"


def test_the_cached_price_is_what_a_step_costs() -> None:
    forecasts = [d.forecast.of("big")["cost_usd"] for d in loop(words(3000), "21", cached_input=1.0)]
    anew = [d.forecast.of("big")["cost_usd"] for d in loop(words(3000), "21", cached_input=None)]
    assert forecasts[0] == anew[0]
    assert forecasts[2] < 0.5 * anew[2]


chance, cost = st.floats(0.0, 1.0), st.floats(0.0, 10.0)


@given(st.lists(st.tuples(chance, cost, cost), min_size=2, max_size=6), st.floats(1e-6, 10.0), chance)
def test_what_has_not_changed_is_no_reason_to_leave(rows: list[tuple[float, float, float]], v: float, f: float) -> None:
    names = [f"m{i}" for i in range(len(rows))]
    chances = {n: p for n, (p, _, _) in zip(names, rows)}
    chosen = Outlook(chances, {n: c for n, (_, c, _) in zip(names, rows)})
    assert better_than_staying("m0", chosen, chosen, Terms(v), v) is None
    now = Outlook(chances, {n: c for n, (_, _, c) in zip(names, rows)})
    found = better_than_staying("m0", chosen, now, Terms(v, floor=f, reference="m1"), v)
    if found is not None:
        assert now.lead(found, "m0", v) > 0.0 >= chosen.lead(found, "m0", v)
        assert chances[found] >= min(chances["m0"], f * chances["m1"])
        assert better_than_staying("m0", chosen, now, Terms(v, only=("m0",)), v) is None


def test_a_pool_that_changed_meanwhile_leaves_the_loop_where_it_is() -> None:
    one = Fusion([Candidate(n, name=n, price=Price(1.0, 4.0)) for n in ("small", "big")], judges=())
    first = run(one.steps(step(), WORTH), ScriptedTransport({"small": CALL, "big": CALL})).decision
    one.add_candidate(Candidate("new", name="new", price=Price(0.001, 0.001)))
    answers = dict.fromkeys(("small", "big", "new"), CALL)
    second = run(one.steps(step("21"), WORTH), ScriptedTransport(answers)).decision
    assert (second.answered_by, second.sticky) == (first.answered_by, True)


@pytest.mark.parametrize("failing", ["small", "big"])
def test_a_candidate_that_failed_is_no_reason_to_leave(failing: str) -> None:
    one = Fusion([Candidate(n, name=n, price=Price(1.0, 4.0)) for n in ("small", "big")], judges=())
    other = {"small": "big", "big": "small"}[failing]
    answers: dict[str, Any] = {failing: RuntimeError("down"), other: CALL}
    for query in (step(), step("21"), step("21", words(100_000))):
        decision = run(one.steps(query, WORTH), ScriptedTransport(answers)).decision
        assert decision.answered_by == other
