"""What the engine does with a policy's moves, and what it does when things go wrong."""

from __future__ import annotations

import pytest

from emafusion import AllCandidatesFailed, Candidate, Fusion, Message, NoCandidateFits, Objective, Price, Reply, Usage
from emafusion.asked import build_query
from emafusion.engine.binding import Binding
from emafusion.engine.drivers import run
from emafusion.judges.llm import LLMJudge
from emafusion.policies.moves import Accept, Ask, Try
from emafusion.types import Forecast, Query
from tests.engine.scripted import ScriptedTransport, ask, candidate, fusion, scripted


def test_the_cost_of_every_draft_and_judge_is_in_the_total() -> None:
    used = Usage(input_tokens=1000, output_tokens=100)
    transport = ScriptedTransport({"small": Reply("390", usage=used), "big": Reply("391", usage=used)})
    one = scripted(
        [Try(("small",)), Ask(("llm",), "small"), Try(("big",)), Accept("big", "it is better")],
        judges=[LLMJudge("mid")],
    )
    decision = run(one.steps(ask()), transport).decision
    small, big = (one.pool.price(n).cost(used) for n in ("small", "big"))
    assert decision.draft_cost_usd == pytest.approx(small + big)
    assert decision.judge_cost_usd > 0
    assert decision.cost_usd == pytest.approx(decision.draft_cost_usd + decision.judge_cost_usd)
    assert decision.saved_usd == pytest.approx(big - decision.cost_usd)
    assert [v.judge for v in decision.verdicts] == ["llm"]


def test_usage_that_no_provider_reported_is_estimated_and_charged() -> None:
    decision = run(scripted([Try(("big",))], judges=()).steps(ask()), ScriptedTransport({"big": "391 " * 100})).decision
    usage = decision.attempts[0].reply.usage if decision.attempts[0].reply else None
    assert usage is not None
    assert usage.estimated
    assert decision.cost_usd > 0


def test_a_failing_candidate_is_replaced_by_the_next_best() -> None:
    transport = ScriptedTransport({"small": RuntimeError("down"), "mid": "391", "big": "391"})
    result = run(fusion().steps(ask(), Objective(usd_value=0.001)), transport)
    assert result.reply.text == "391"
    assert any("'small' failed: RuntimeError: down" in w for w in result.decision.warnings)


def test_when_every_candidate_fails_each_error_is_named() -> None:
    transport = ScriptedTransport({n: RuntimeError(f"{n} is down") for n in ("small", "mid", "big")})
    with pytest.raises(AllCandidatesFailed, match="small is down") as caught:
        run(fusion().steps(ask()), transport)
    assert set(caught.value.errors) == {"small", "mid", "big"}


def test_a_failing_router_leaves_the_choice_to_prices() -> None:
    class Broken:
        def forecast(self, query: Query) -> Forecast:
            raise ValueError("no idea")

    one = Fusion([candidate(n) for n in ("small", "mid", "big")], router=Broken())
    decision = run(one.steps(ask()), ScriptedTransport(dict.fromkeys(("small", "mid", "big"), "391"))).decision
    assert decision.warnings[0].startswith("the router failed, so candidates are ordered by price: ValueError")


def test_a_failing_policy_still_ends_in_an_answer() -> None:
    transport = ScriptedTransport({"big": "391"})
    result = run(scripted([RuntimeError("lost"), RuntimeError("lost again")], judges=()).steps(ask()), transport)
    assert result.reply.text == "391"
    assert result.decision.answered_by == "big"


def test_a_failing_judge_abstains() -> None:
    class Deaf(ScriptedTransport):
        def call(self, call):  # type: ignore[no-untyped-def]
            if call.purpose == "judge":
                raise TimeoutError("no verdict today")
            return super().call(call)

    one = scripted([Try(("small",)), Ask(("llm",), "small")], judges=[LLMJudge("big")])
    decision = run(one.steps(ask()), Deaf({"small": "391"})).decision
    assert decision.verdicts[0].score is None
    assert decision.answered_by == "small"


def test_an_empty_answer_that_was_to_be_accepted_unseen_is_not_accepted() -> None:
    transport = ScriptedTransport({"small": "", "big": "391"})
    moves = [Try(("small",), commit=True), Try(("big",), commit=True)]
    assert run(scripted(moves, judges=()).steps(ask()), transport).decision.answered_by == "big"


def test_a_policy_that_never_ends_is_ended() -> None:
    one = scripted([Try(("small",))] * 50, judges=())
    transport = ScriptedTransport({"small": "391"})
    run(one.steps(ask()), transport)
    assert len(transport.calls) <= one.engine.max_calls


def test_a_prompt_longer_than_every_context_window_is_refused_before_any_call() -> None:
    one = Fusion([candidate("small", context_window=100), candidate("big", context_window=200)])
    with pytest.raises(
        NoCandidateFits, match=r"small: the request of about \d+ tokens exceeds its context window of 100"
    ):
        next(one.steps(ask("word " * 1000)))


def test_a_prompt_too_long_for_one_candidate_goes_to_one_that_fits() -> None:
    one = Fusion([candidate("small", context_window=100), candidate("big", context_window=100_000)])
    transport = ScriptedTransport({"big": "done"})
    assert run(one.steps(ask("word " * 1000)), transport).decision.answered_by == "big"


def test_an_image_for_a_pool_that_reads_only_text_is_refused() -> None:
    one = Fusion([candidate(n, abilities=frozenset({"tools", "schema"})) for n in ("small", "big")])
    query = build_query([Message("user", "What is this?", media=frozenset({"image"}))])
    with pytest.raises(NoCandidateFits, match="it does not take image"):
        next(one.steps(query))


def test_within_a_tool_loop_the_candidate_stays() -> None:
    one = fusion(judges=())
    turn = [Message("system", "Be brief."), Message("user", "How warm is it in Rome today, in degrees?")]
    first = run(
        one.steps(build_query(turn), Objective(usd_value=10.0)),
        ScriptedTransport(dict.fromkeys(("small", "mid", "big"), "x")),
    )
    chosen = first.decision.answered_by
    loop = [*turn, Message("assistant", ""), Message("tool", "21")]
    transport = ScriptedTransport(dict.fromkeys(("small", "mid", "big"), "It is 21 degrees."))
    second = run(one.steps(build_query(loop), Objective(usd_value=0.0001)), transport)
    assert second.decision.answered_by == chosen
    assert second.decision.sticky
    assert transport.drafts() == [chosen]


def test_a_tool_loop_leaves_its_candidate_when_that_fails() -> None:
    one = fusion(judges=())
    turn = [Message("user", "How warm is it in Rome today, in degrees?")]
    one.engine.bind(build_query(turn).session or "", Binding("mid"))
    query = build_query([*turn, Message("assistant", ""), Message("tool", "21")])
    result = run(one.steps(query), ScriptedTransport({"small": "21", "mid": RuntimeError("down"), "big": "21"}))
    assert result.decision.answered_by in {"small", "big"}
    assert not result.decision.sticky


def test_savings_count_against_the_reference_that_the_objective_names() -> None:
    goal = Objective(usd_value=0.0001, reference="mid")
    decision = run(
        fusion().steps(ask(), goal), ScriptedTransport(dict.fromkeys(("small", "mid", "big"), "391"))
    ).decision
    assert decision.reference == "mid"


def test_a_free_candidate_is_no_error_and_costs_nothing() -> None:
    one = Fusion([Candidate("own", name="own", price=Price(0, 0)), candidate("big")])
    decision = run(
        one.steps(ask(), Objective(usd_value=0.00001)), ScriptedTransport({"own": "391", "big": "391"})
    ).decision
    assert decision.answered_by == "own"
    assert decision.cost_usd == 0


def test_what_is_remembered_of_a_decision_holds_no_answer_objects() -> None:
    one = fusion(judges=())
    result = run(one.steps(ask()), ScriptedTransport(dict.fromkeys(("small", "mid", "big"), Reply("391", native=one))))
    one.finish(ask(), result)
    remembered = one.decision(result.decision.id)
    assert remembered is not None
    assert [a.reply.text for a in remembered.attempts if a.reply] == ["391"] * len(remembered.attempts)
    assert all(a.reply is not None and a.reply.native is None for a in remembered.attempts)
    assert result.reply.native is one
