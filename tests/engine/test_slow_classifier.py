"""The slow classifier: asked when asked for, fused, paid for, and never in the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emafusion import ConfigError, Decision, Objective
from emafusion.engine.drivers import run
from emafusion.types import Call, Reply
from tests.engine.scripted import ScriptedTransport, ask, fusion

LABELS = json.dumps({"task": {"translation": 0.95}, "domain": {}, "complexity": {}, "format": {}})
CHEAP = Objective(usd_value=1e-6)


class Labelling(ScriptedTransport):
    def __init__(self, says: Any) -> None:
        super().__init__(dict.fromkeys(("small", "mid", "big"), "391"))
        self.says = says

    def call(self, call: Call) -> Reply:
        if call.purpose != "classify":
            return super().call(call)
        self.calls.append(call)
        if isinstance(self.says, Exception):
            raise self.says
        return Reply(self.says)


def decide(says: Any, **options: Any) -> tuple[Decision, Labelling]:
    transport = Labelling(says)
    one = fusion(judges=(), **options)
    return run(one.steps(ask(), CHEAP), transport).decision, transport


def test_nothing_is_labelled_slowly_unless_asked_for() -> None:
    _, transport = decide(LABELS)
    assert [c.purpose for c in transport.calls] == ["draft"]


def test_its_labels_are_fused_and_its_call_is_paid_for() -> None:
    fast, _ = decide(LABELS)
    slow, transport = decide(LABELS, slow_classifier="big", slow_weight=1.0)
    assert (transport.calls[0].purpose, transport.calls[0].candidate) == ("classify", "big")
    assert fast.forecast.category == "arithmetic_reasoning"
    assert slow.forecast.category == "translation"
    assert slow.judge_cost_usd > 0
    assert slow.cost_usd == pytest.approx(slow.draft_cost_usd + slow.judge_cost_usd)


def test_a_weight_of_zero_leaves_the_fast_labels() -> None:
    slow, _ = decide(LABELS, slow_classifier="big", slow_weight=0.0)
    assert slow.forecast.category == "arithmetic_reasoning"


@pytest.mark.parametrize("says", [TimeoutError("no labels today"), "I would rather not.", ""])
def test_a_failing_or_rambling_classifier_changes_nothing(says: Any) -> None:
    decision, _ = decide(says, slow_classifier="big")
    assert decision.forecast.category == "arithmetic_reasoning"
    assert decision.answered_by


def test_what_is_asked_stays_out_of_its_system_turn() -> None:
    _, transport = decide(LABELS, slow_classifier="mid")
    prompt = transport.calls[0].prompt
    assert prompt is not None
    assert "17 * 23" not in prompt[0].text
    assert "17 * 23" in prompt[1].text


def test_a_weight_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"slow_weight must be in \[0, 1\]"):
        fusion(slow_weight=2.0)
