"""The AutoMix policy through the engine, with calls of the verifying judge: who is asked what, and what is kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from emafusion import Fusion, Objective, Price, Reply
from emafusion.config import Candidate
from emafusion.engine.drivers import run
from emafusion.judges.self_verification import SelfVerification
from emafusion.learning.automix import automix_rules
from emafusion.policies.automix import ACCEPT, CHECK, FINAL, NOTHING, AutoMix, AutoMixPolicy, Kind, Ladder
from emafusion.types import Call, Result
from tests.engine.scripted import ScriptedTransport, ask
from tests.learning.verified_log import simulated

NAMES = ("small", "big")
VALUE = 3.5e-3


class SelfCritic(ScriptedTransport):
    """Answers drafts from a table; of eight verdicts on itself a model gives so many that say correct."""

    def __init__(self, answers: dict[str, Any], correct: int) -> None:
        super().__init__(answers)
        self.left = correct

    def _reply(self, call: Call) -> Reply:
        if call.purpose != "judge":
            return super()._reply(call)
        self.calls.append(call)
        self.left -= 1
        return Reply("Correct" if self.left >= 0 else "Incorrect", finish_reason="stop")


@pytest.fixture(scope="module")
def rules() -> AutoMix:
    return automix_rules(NAMES, simulated(2000, 0), np.geomspace(1e-4, 0.03, 12))


def fusion(rules: AutoMix, kind: Kind = "pomdp", **options: Any) -> Fusion:
    prices = {"small": 0.1, "big": 5.0, "spare": 9.0}
    candidates = [Candidate(name, name=name, price=Price(usd, 4 * usd)) for name, usd in prices.items()]
    one = Fusion(candidates, judges=[SelfVerification()])
    one.engine = replace(one.engine, policy=AutoMixPolicy(rules, one.engine.panel.judges, kind=kind, **options))
    return one


def answered(one: Fusion, transport: ScriptedTransport, value: float = VALUE, only: Any = None) -> Result:
    return run(one.steps(ask(), Objective(usd_value=value), only), transport)


def asked(transport: ScriptedTransport) -> Counter[tuple[str, str]]:
    return Counter((call.purpose, call.candidate) for call in transport.calls)


@pytest.mark.parametrize("kind", ["pomdp", "threshold"])
def test_an_answer_that_its_author_stands_by_is_kept(rules: AutoMix, kind: Kind) -> None:
    transport = SelfCritic({"small": "391", "big": "391"}, correct=8)
    decision = answered(fusion(rules, kind), transport).decision
    assert decision.answered_by == "small"
    assert asked(transport) == {("draft", "small"): 1, ("judge", "small"): 8}
    assert decision.verdicts[-1].reason == "8 of 8 say correct"
    assert decision.judge_cost_usd > 0


def test_an_answer_in_doubt_is_passed_on(rules: AutoMix) -> None:
    transport = SelfCritic({"small": "390", "big": "391"}, correct=4)
    assert answered(fusion(rules), transport).decision.answered_by == "big"


def test_what_nobody_can_solve_is_not_passed_on_by_the_pomdp_but_is_by_thresholds(rules: AutoMix) -> None:
    hopeless = {kind: SelfCritic({"small": "390", "big": "391"}, correct=0) for kind in ("pomdp", "threshold")}
    said = {kind: answered(fusion(rules, kind), t).decision.answered_by for kind, t in hopeless.items()}  # type: ignore[arg-type]
    assert said == {"pomdp": "small", "threshold": "big"}


def test_a_candidate_that_fails_is_passed_over(rules: AutoMix) -> None:
    transport = SelfCritic({"small": RuntimeError("down"), "big": "391"}, correct=8)
    assert answered(fusion(rules), transport).decision.answered_by == "big"
    transport = SelfCritic({"small": "390", "big": RuntimeError("down")}, correct=4)
    assert answered(fusion(rules), transport).decision.answered_by == "small"


def test_an_unusable_answer_is_not_verified(rules: AutoMix) -> None:
    transport = SelfCritic({"small": "", "big": "391"}, correct=8)
    assert answered(fusion(rules), transport).decision.answered_by == "big"
    assert ("judge", "small") not in asked(transport)


def test_who_is_not_of_the_chain_answers_where_nobody_else_can(rules: AutoMix) -> None:
    broken = RuntimeError("down")
    transport = SelfCritic({"small": broken, "big": broken, "spare": "391"}, correct=8)
    assert answered(fusion(rules), transport).decision.answered_by == "spare"
    assert answered(fusion(rules), SelfCritic({"spare": "391"}, 8), only=["spare"]).decision.answered_by == "spare"


def test_without_the_judge_on_the_panel_nothing_is_asked(rules: AutoMix) -> None:
    one = fusion(rules)
    one.engine = replace(one.engine, policy=AutoMixPolicy(rules, ()))
    transport = SelfCritic({"small": "390", "big": "391"}, correct=8)
    answered(one, transport)
    assert not any(call.purpose == "judge" for call in transport.calls)


def test_little_value_takes_the_cheapest_unseen_and_much_value_the_best(rules: AutoMix) -> None:
    for value, name in ((1e-5, "small"), (0.03, "big")):
        transport = SelfCritic({"small": "391", "big": "391"}, correct=4)
        assert answered(fusion(rules), transport, value).decision.answered_by == name


def test_the_forecast_may_set_the_prior(rules: AutoMix) -> None:
    one = fusion(rules, prior="forecast")
    assert answered(one, SelfCritic({"small": "391", "big": "391"}, correct=8)).decision.answered_by == "small"


def test_below_the_level_it_abstains(rules: AutoMix) -> None:
    one = fusion(rules, abstain_below=0.999)
    assert answered(one, SelfCritic({"small": "391", "big": "391"}, correct=8)).decision.abstained


def test_a_ladder_is_climbed_step_by_step() -> None:
    ladder = Ladder(1.0, (0, 2, 3), (0.5, 0.7))
    what, whom = ladder.step(None, np.array([np.nan]))
    assert (what[0], whom[0]) == (CHECK, 0)
    what, whom = ladder.step(0, np.array([0.4, 0.5, np.nan]))
    assert (what.tolist(), whom.tolist()) == ([CHECK, ACCEPT, CHECK], [2, 0, 2])
    what, whom = ladder.step(2, np.array([0.6, 0.7]))
    assert (what.tolist(), whom.tolist()) == ([FINAL, ACCEPT], [3, 2])


def test_where_nothing_can_be_done_it_says_so(rules: AutoMix) -> None:
    no = np.zeros((1, 2), dtype=bool)
    what, _ = rules.choose("pomdp", 0, rules.solvability.prior[None], np.array([np.nan]), VALUE, no, no)
    assert what.tolist() == [NOTHING]


@pytest.mark.parametrize("wrong", [{"kind": "oracle"}, {"prior": "hope"}])
def test_unknown_settings_are_refused(rules: AutoMix, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AutoMixPolicy(rules, **wrong)
