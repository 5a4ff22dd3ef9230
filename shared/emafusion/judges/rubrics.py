"""What a judge should look at, by the task type of the query."""

from __future__ import annotations

__all__ = ["rubric"]

_COMPUTE = "Work the result out by yourself, step by step, before you look at the one proposed. Only the result counts."
_TRACE = "Run the code in your head line by line and note the values. The answer is right if it says what comes out."
_CODE = (
    "Check that the code does what was asked, edge cases included, and that it runs as written. Style does not count."
)
_CALL = (
    "Check that it calls the right function, no more and no fewer, with every required argument, and that each value "
    "is what the task says, of the right type. An answer in prose, where a call was wanted, is wrong."
)
_FACT = "Recall the fact before you look at the answer. A confident tone is no evidence; a different fact is wrong."
_CHOICE = "Decide on an option yourself, then compare. Only the option counts."
_FAITHFUL = "Compare with the source sentence by sentence. What it adds, drops or turns round makes it wrong."
_FORM = "Check that content and form are both as asked: every item, no invented one, the format that was named."
_FREE = (
    "There is no single right answer. Right means that it does all that was asked, keeps every constraint, and says "
    "nothing false. Length and polish do not count."
)
_RUBRICS = {
    "arithmetic_reasoning": _COMPUTE,
    "competition_mathematics": _COMPUTE,
    "code_reasoning": _TRACE,
    "code_generation": _CODE,
    "function_calling": _CALL,
    "extraction": _FORM,
    "classification": _CHOICE,
    "summarisation": _FAITHFUL,
    "translation": _FAITHFUL,
    "rewriting_editing": _FAITHFUL,
    "open_question_answering": _FACT,
    "multiple_choice_knowledge": _CHOICE,
    "data_transformation": _FORM,
    "creative_writing": _FREE,
    "planning_advice": _FREE,
    "conversation": _FREE,
}
_GENERAL = "Work the task out briefly for yourself and compare."


def rubric(task: str) -> str:
    """The rubric of a task type; a general one where it has none."""
    return _RUBRICS.get(task, _GENERAL)
