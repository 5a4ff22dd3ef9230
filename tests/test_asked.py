"""Routing reads what is being asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emafusion import Message, ToolCall
from emafusion.asked import asked_text, build_query, session_key

SYSTEM = Message("system", "You are a careful assistant who writes long Python programs.")
QUESTION = Message("user", "What is the capital of France, and how many people live there?")


def test_the_system_prompt_is_never_what_is_asked() -> None:
    assert asked_text([SYSTEM, QUESTION]) == QUESTION.text


def test_tool_output_and_the_assistants_turns_are_never_what_is_asked() -> None:
    loop = [
        SYSTEM,
        QUESTION,
        Message("assistant", "", (ToolCall("search", {"q": "x"}),)),
        Message("tool", "Paris " * 99),
    ]
    assert asked_text(loop) == QUESTION.text


def test_a_turn_that_cannot_stand_alone_borrows_the_turns_before_it() -> None:
    chat = [
        QUESTION,
        Message("assistant", "Paris."),
        Message("user", "and Spain?"),
        Message("assistant", "Madrid."),
        Message("user", "why?"),
    ]
    assert asked_text(chat) == f"{QUESTION.text}\nand Spain?\nwhy?"


def test_a_turn_that_stands_alone_borrows_nothing() -> None:
    second = "Now write a sonnet about the sea in winter."
    assert asked_text([QUESTION, Message("assistant", "Paris."), Message("user", second)]) == second


def test_with_no_human_turn_the_last_text_stands_in() -> None:
    assert asked_text([SYSTEM]) == SYSTEM.text
    assert asked_text([]) == ""


def test_a_tool_loop_keeps_its_session_and_a_new_question_gets_another() -> None:
    loop = [SYSTEM, QUESTION, Message("assistant", "", (ToolCall("search"),)), Message("tool", "...")]
    assert session_key([SYSTEM, QUESTION]) == session_key(loop)
    assert session_key(loop) != session_key(
        [*loop, Message("assistant", "Paris."), Message("user", "Thanks. And Rome?")]
    )
    assert session_key(loop, "thread 1") != session_key(loop, "thread 2")


def test_a_query_knows_what_it_needs_and_where_it_stands() -> None:
    turn = Message("user", "What is in this picture, please tell me", media=frozenset({"image"}))
    fresh = build_query([turn], tools=[{"name": "f"}], schema={"type": "object"})
    assert fresh.needs == {"image", "tools", "schema"}
    assert not fresh.mid_turn
    assert fresh.prompt_tokens > 800
    assert build_query([turn, Message("assistant", "A cat.")]).mid_turn


@given(
    st.lists(
        st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), st.text(max_size=60)), max_size=8
    )
)
def test_any_conversation_makes_a_query(messages: list[Message]) -> None:
    query = build_query(messages)
    human = [m.text.strip() for m in messages if m.role == "user" and m.text.strip()]
    assert not human or query.text.endswith(human[-1])
