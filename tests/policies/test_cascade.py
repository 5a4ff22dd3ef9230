"""The default policy, over the real panel: when it asks, whom, and how it says why."""

from __future__ import annotations

import numpy as np
import pytest

from emafusion import Candidate, Decision, Fusion, LLMJudge, Objective, Price, Reply
from emafusion.engine.drivers import run
from emafusion.judges.panel import Belief
from emafusion.policies.base import Terms
from emafusion.policies.cascade import CascadeRouting
from emafusion.policies.moves import Abstain, Move, Try
from tests.engine.scripted import ScriptedTransport, ask, candidate, fusion

ESSAY = ask("Explain to a colleague why our quarterly report should not bury the loss in a footnote.")


def two_and_a_judge() -> Fusion:
    judge = Candidate("examiner", name="examiner", price=Price(0.01, 0.01))
    return Fusion(
        [candidate("small", ability=0.7), candidate("big", ability=0.9)], judges=[LLMJudge(judge, name="examiner")]
    )


def decide(one: Fusion, verdict: str, objective: Objective, text: str = "Because readers find it anyway.") -> Decision:
    transport = ScriptedTransport({n: f"{text} ({n})" for n in one.pool.names}, verdict)
    return run(one.steps(ESSAY, objective), transport).decision


def test_a_cheap_judge_lets_a_cheap_draft_be_tried_first() -> None:
    decision = decide(two_and_a_judge(), '{"correct": true, "confidence": 0.95}', Objective(usd_value=0.03))
    assert [a.candidate for a in decision.attempts] == ["small"]
    assert [v.judge for v in decision.verdicts] == ["examiner"]
    assert decision.answered_by == "small"
    assert decision.saved_usd > 0


def test_a_bad_verdict_escalates() -> None:
    decision = decide(two_and_a_judge(), '{"correct": false, "confidence": 0.95}', Objective(usd_value=0.03))
    assert [a.candidate for a in decision.attempts] == ["small", "big"]
    assert decision.answered_by == "big"


def test_a_judge_that_costs_more_than_it_is_worth_is_not_asked() -> None:
    judge = Candidate("oracle", name="oracle", price=Price(1000.0, 1000.0))
    one = Fusion([candidate("small"), candidate("big")], judges=[LLMJudge(judge, name="oracle")])
    assert decide(one, "{}", Objective(usd_value=0.03)).verdicts == ()


def test_the_judge_is_charged_at_its_own_price() -> None:
    decision = decide(two_and_a_judge(), '{"correct": true, "confidence": 0.95}', Objective(usd_value=0.03))
    assert 0 < decision.judge_cost_usd < 1e-5


def test_where_no_second_call_can_pay_for_itself_the_first_answer_goes_out_live() -> None:
    one = two_and_a_judge()
    dearer_than_an_answer = one.explain(ESSAY, Objective(usd_value=1e-9))
    assert (dearer_than_an_answer.first, dearer_than_an_answer.commit) == (("small",), True)
    transport = ScriptedTransport({n: f"Because readers find it anyway. ({n})" for n in one.pool.names})
    assert run(one.steps(ESSAY, Objective(usd_value=1e-9)), transport).decision.verdicts == ()
    assert transport.drafts() == ["small"]


def test_an_unusable_answer_is_followed_by_another_even_if_none_is_worth_its_cost() -> None:
    one = two_and_a_judge()
    transport = ScriptedTransport({"small": "", "big": "Because readers find it anyway."})
    assert run(one.steps(ESSAY, Objective(usd_value=1e-9)), transport).decision.answered_by == "big"


def test_agreement_of_cheap_candidates_spares_the_dear_one() -> None:
    transport = ScriptedTransport(dict.fromkeys(("small", "mid", "big"), "The answer is 391."))
    decision = run(fusion(judges=()).steps(ask()), transport).decision
    assert "big" not in transport.drafts()
    assert "agrees" in decision.reason


def test_disagreement_calls_the_dear_one() -> None:
    transport = ScriptedTransport({"small": "390", "mid": "391", "big": "391"})
    decision = run(fusion(judges=()).steps(ask()), transport).decision
    assert transport.drafts() == ["small", "mid", "big"]
    assert decision.attempts[0].cluster != decision.attempts[1].cluster


@pytest.mark.parametrize("floor", [0.5, 0.8, 0.95, 0.99, 1.0])
def test_the_value_for_a_floor_is_settled_once_and_grows_with_it(floor: float) -> None:
    one = fusion(judges=())
    values = []
    for wanted in (0.5, floor):
        query = ask()
        belief: Belief = one.engine.panel.begin(query, one.router.forecast(query), one.pool.names, one.engine.model)
        one.engine.policy.next_move(belief, Terms(0.4, wanted, "big"))
        values.append(belief.value or 0.0)
        settled = belief.value
        one.engine.policy.next_move(belief, Terms(0.4, 1.0, "big"))
        assert belief.value == settled
    assert values[0] <= values[1]


def test_an_answer_that_cannot_be_trusted_is_marked() -> None:
    one = Fusion([candidate("small", ability=0.3), candidate("big", ability=0.4)], judges=(), abstain_below=0.9)
    decision = run(one.steps(ask(), Objective(usd_value=1e-6)), ScriptedTransport({"small": "1", "big": "2"})).decision
    assert decision.abstained
    assert "not to be trusted" in decision.reason


def test_with_the_choice_confined_only_that_candidate_is_asked() -> None:
    one = fusion(judges=())
    policy = CascadeRouting(one.engine.panel)
    query = ask()
    belief = one.engine.panel.begin(query, one.router.forecast(query), one.pool.names, one.engine.model)
    move: Move = policy.next_move(belief, Terms(1.0, only=("mid",)))
    assert not isinstance(move, Abstain)
    assert move.candidates == ("mid",)  # type: ignore[union-attr]


def test_an_allowance_leaves_the_calls_that_it_pays_for_and_the_cheapest_at_least() -> None:
    one = fusion(judges=())
    query = ask()
    belief = one.engine.panel.begin(query, one.router.forecast(query), one.pool.names, one.engine.model)
    small, mid = belief.cost[belief.index("small")], belief.cost[belief.index("mid")]

    def first(allowance: float, only: tuple[str, ...] = ()) -> str:
        move = one.engine.policy.next_move(belief, Terms(100.0, only=only, allowance=allowance))
        assert isinstance(move, Try)
        return move.candidates[0]

    assert first(float("inf")) == "big"
    assert first(float(mid)) == "mid"
    assert first(float(small) / 2) == "small"
    assert first(float(small) / 2, only=("big",)) == "small"


@pytest.mark.parametrize("judges", [(), None])
def test_an_answer_is_accepted_without_a_plan_just_where_a_plan_would_accept_it(
    judges: tuple[()] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = fusion(judges=judges)
    policy, settled = one.engine.policy, 0
    assert isinstance(policy, CascadeRouting)
    for text in ("What is 17 * 23? Reply with a number.", "Write a haiku about snow.", "Is 7 prime? Answer yes or no."):
        query = ask(text)
        forecast = one.router.forecast(query)
        for answered in (("small",), ("big",), ("small", "mid"), ("small", "mid", "big")):
            for value in np.geomspace(1e-6, 1.0, 13):
                belief = one.engine.panel.begin(query, forecast, one.pool.names, one.engine.model)
                for name in answered:
                    said = Reply("391" if name != "mid" else "392", finish_reason="stop")
                    one.engine.panel.observe(belief, name, said)
                terms = Terms(float(value))
                move = policy.next_move(belief, terms)
                settled += policy._settled(belief, policy.problem(belief, terms)) is not None
                with monkeypatch.context() as patched:
                    patched.setattr(CascadeRouting, "_settled", lambda *_: None)
                    assert policy.next_move(belief, terms) == move
    assert settled > 20
