"""Messages cross between the framework, the core and other providers without loss that matters."""

from __future__ import annotations

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from emafusion.types import Message, ToolCall
from llamaindex_emafusion.messages import from_turns, parsed_arguments, to_turns
from llamaindex_emafusion.portable import Reader, portable


def test_every_role_has_its_counterpart() -> None:
    messages = [ChatMessage(role=r, content="x") for r in MessageRole]
    assert {m.role.value: t.role for m, t in zip(messages, to_turns(messages))} == {
        "system": "system",
        "developer": "system",
        "user": "user",
        "assistant": "assistant",
        "chatbot": "assistant",
        "model": "assistant",
        "tool": "tool",
        "function": "tool",
    }


def test_media_are_named_and_citable_text_is_read() -> None:
    cited = CitableBlock(title="t", source="s", content=[TextBlock(text="inside"), ImageBlock(image=b"x")])
    blocks = [TextBlock(text="see"), AudioBlock(audio=b"x"), DocumentBlock(data=b"x"), cited]
    (turn,) = to_turns([ChatMessage(role="user", blocks=blocks)])
    assert turn == Message("user", "see\ninside", media=frozenset({"audio", "document", "image"}))


def test_tool_calls_are_read_from_text_and_from_dicts() -> None:
    blocks = [
        ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs='{"a": 1}'),
        ToolCallBlock(tool_call_id="2", tool_name="g", tool_kwargs={"b": 2}),
        ToolCallBlock(tool_call_id="3", tool_name="h", tool_kwargs='{"broken'),
    ]
    (turn,) = to_turns([ChatMessage(role="assistant", blocks=blocks)])
    assert turn.tool_calls == (
        ToolCall("f", {"a": 1}, "1"),
        ToolCall("g", {"b": 2}, "2"),
        ToolCall("h", {}, "3", valid=False),
    )


def test_arguments_that_are_no_object_are_refused() -> None:
    assert parsed_arguments("[1]") is None
    assert parsed_arguments("") == {}


def test_an_observation_in_the_users_name_is_a_tools_turn() -> None:
    turns = to_turns(
        [
            ChatMessage(role="user", content="How many?"),
            ChatMessage(role="assistant", content="Thought: count\nAction: count\nAction Input: {}"),
            ChatMessage(role="user", content="Observation: 42"),
        ]
    )
    assert [t.role for t in turns] == ["user", "assistant", "tool"]
    (turn,) = to_turns([ChatMessage(role="user", content="Observation: birds fly")])
    assert turn.role == "user"


def test_another_candidates_reasoning_and_raw_calls_do_not_travel() -> None:
    written = ChatMessage(
        role="assistant",
        blocks=[
            ThinkingBlock(content="hm", additional_information={"signature": "s"}),
            TextBlock(text="so"),
            ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs='{"a": 1}'),
        ],
        additional_kwargs={"tool_calls": ["raw"], "emafusion": {"answered_by": "dear"}},
    )
    before = written.model_dump()
    (own,) = portable([written], Reader("dear"))
    (other,) = portable([written], Reader("cheap"))
    assert [b.block_type for b in own.blocks] == ["thinking", "text", "tool_call"]
    assert own.additional_kwargs == {"tool_calls": ["raw"]}
    assert [b.block_type for b in other.blocks] == ["text", "tool_call"]
    assert other.additional_kwargs == {}
    assert other.blocks[1].tool_kwargs == {"a": 1}  # type: ignore[union-attr]
    assert written.model_dump() == before


def test_copies_share_nothing_that_a_provider_could_change() -> None:
    message = ChatMessage(role="user", content="hi", additional_kwargs={"k": 1})
    (copy,) = portable([message], Reader("cheap"))
    copy.content = "changed"
    copy.blocks.append(TextBlock(text="more"))
    copy.additional_kwargs["k"] = 2
    assert message == ChatMessage(role="user", content="hi", additional_kwargs={"k": 1})


def test_a_candidate_is_given_its_own_kind_of_system_role() -> None:
    prompt = [ChatMessage(role="system", content="be brief"), ChatMessage(role="user", content="hi")]
    assert [m.role.value for m in portable(prompt, Reader("c", MessageRole.CHATBOT))] == ["chatbot", "user"]
    assert [m.role.value for m in from_turns(to_turns(prompt), MessageRole.USER)] == ["user", "user"]
