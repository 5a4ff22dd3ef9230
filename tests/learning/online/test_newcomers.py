"""Which stored questions may place a new candidate, and what its answers to them are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emafusion import Candidate, Price
from emafusion.config import Pool
from emafusion.learning.online.newcomers import Anchor, choose, eligible
from emafusion.tokens import count_messages
from emafusion.types import Forecast, Message

FORECAST = Forecast(("new",), (0.6,), (0.1,), (0.001,), (50.0,))
P_GOOD = {"small": 0.6, "mid": 0.7, "big": 0.9}


def pool(*names: str) -> Pool:
    return Pool([Candidate(n, name=n, price=Price(0.1 * (i + 1), 0.4 * (i + 1))) for i, n in enumerate(names)])


def stored(
    asked: str = "What is 17 * 23?",
    *,
    response: str | None = "391",
    cluster: int = 0,
    truth: str | None = None,
    **changed: Any,
) -> dict[str, Any]:
    said = [] if truth is None else [{"kind": "truth", "text": truth, "score": 1.0, "candidate": None}]
    return {
        "text": asked,
        "text_hash": asked,
        "anchor": None,
        "sticky": False,
        "tools": None,
        "schema": None,
        "prompt_tokens": count_messages((Message("user", asked),)),
        "answered_by": "small",
        "confidence": 0.9,
        "feedback": None if truth is None else 1.0,
        "feedbacks": said,
        "attempts": [{"candidate": "small", "response": response, "confidence": 0.9, "cluster": cluster}],
        "forecast": {name: {"p_good": p} for name, p in P_GOOD.items()},
        **changed,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"text": None},
        {"anchor": True},
        {"sticky": True},
        {"tools": [{"name": "search"}]},
        {"schema": {"type": "object"}},
        {"prompt_tokens": 4000},
        {"confidence": 0.3},
        {"cluster": -1},
        {"response": None},
    ],
)
def test_a_question_that_cannot_be_asked_alone_or_graded_is_no_anchor(changed: dict[str, Any]) -> None:
    assert len(eligible([stored()])) == 1
    assert eligible([stored(**changed)]) == []


def test_a_question_is_asked_once_and_with_its_truth_whatever_was_answered() -> None:
    told = stored(response="I cannot say.", cluster=-1, truth="391", confidence=0.1)
    (anchor,) = eligible([told, told])
    assert anchor.truth == "391"
    assert anchor.accepted is None
    assert anchor.scores == {**P_GOOD, "small": 1.0}


def test_a_known_truth_grades_exactly_and_an_accepted_answer_by_how_likely_it_is_right() -> None:
    known = Anchor("What is 17 * 23?", "391", "391", 0.9, {})
    assert (known.grade("It is 391.", "new", FORECAST), known.grade("390", "new", FORECAST)) == (1.0, 0.0)
    doubtful = [Anchor("What is 17 * 23?", None, "391", right, {}) for right in (1.0, 0.8, 0.6)]
    agreeing = [a.grade("391", "new", FORECAST) for a in doubtful]
    differing = [a.grade("390", "new", FORECAST) for a in doubtful]
    assert all(grade is not None and grade >= 1.0 for grade in agreeing)
    assert all(grade is not None and grade <= 0.0 for grade in differing)
    # Averaged over how often it agrees, the grade is the quality, whatever the accepted answer was.
    for right, yes, no in zip((1.0, 0.8, 0.6), agreeing, differing):
        assert yes is not None
        assert no is not None
        for good in (0.0, 1.0):
            agrees = good * right * 0.85 + (1 - good) * (1 - right) * 0.30
            assert agrees * yes + (1 - agrees) * no == pytest.approx(good)


def test_an_answer_that_cannot_be_compared_has_no_grade() -> None:
    said = "I would rather not say it,\nfor it is long, and I am tired, and so are you."
    assert Anchor("Q", None, "391", 0.9, {}).grade(said, "new", FORECAST) is None


def test_anchors_are_those_that_tell_most_and_the_first_where_nothing_tells_them_apart() -> None:
    rng = np.random.default_rng(0)
    easy = [Anchor(f"easy {i}", "1", None, 1.0, dict.fromkeys(("a", "b", "c", "d"), 0.95)) for i in range(90)]
    apart = {"a": 0.05, "b": 0.2, "c": 0.8, "d": 0.95}
    telling = [Anchor(f"hard {i}", "1", None, 1.0, apart) for i in range(10)]
    mixed = [[*easy, *telling][i] for i in rng.permutation(100)]
    chosen = choose(mixed, pool("a", "b", "c", "d", "new"), "new", 10)
    assert len({a.text for a in chosen}) == 10
    assert sum(a.text.startswith("hard") for a in chosen) >= 4  # one, if they were drawn
    assert choose(mixed, pool("a", "b", "new"), "new", 10) == mixed[:10]
    assert choose(mixed[:3], pool("a", "b", "c", "new"), "new", 10) == mixed[:3]


def test_anchors_are_questions_whose_accepted_answer_is_likely_and_else_the_likeliest() -> None:
    known = dict.fromkeys(("a", "b", "c"), 0.8)
    likely = [Anchor(f"likely {i}", None, "1", 0.9, known) for i in range(12)]
    told = [Anchor("told", "1", None, 0.0, known)]  # its accepted answer was wrong, its true one is known
    doubtful = [Anchor(f"doubtful {i}", None, "1", 0.5 + 0.01 * i, known) for i in range(30)]
    mixed = [*doubtful, *likely, *told]
    chosen = choose(mixed, pool("a", "b", "c", "new"), "new", 10)
    assert {a.text.split()[0] for a in chosen} <= {"likely", "told"}
    assert {a.text for a in choose(mixed, pool("a", "b", "c", "new"), "new", 14)} == {
        *(a.text for a in [*likely, *told]),
        "doubtful 29",
    }
