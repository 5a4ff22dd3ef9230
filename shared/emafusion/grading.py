"""Grading answers by a ground truth: what each candidate's answer was worth, once the right one is known."""

from __future__ import annotations

from collections.abc import Mapping

from emafusion.answers import extract_answer, same_answer
from emafusion.answers.words import normal_form

__all__ = ["graded"]


def graded(question: str, responses: Mapping[str, str], truth: str) -> dict[str, float]:
    """Candidate -> 1.0 where its answer is the true one, by value, else 0.0.

    Free text is compared word by word, so it is right only when it says the same in the same words; those that
    cannot be told are left out.

    Examples
    --------
    >>> graded("What is 1/2 + 1/4?", {"small": "It is 0.75.", "big": "The answer is 3/5."}, "3/4")
    {'small': 1.0, 'big': 0.0}
    """
    wanted, out = extract_answer(truth, question), {}
    for name, response in responses.items():
        found = extract_answer(response, question)
        same = same_answer(found, wanted) or normal_form(response) == normal_form(truth)
        telling = found.kind not in ("text", "none") and wanted.kind not in ("text", "none")
        if same or telling:
            out[name] = float(same)
    return out
