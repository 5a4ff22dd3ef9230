"""Answers as four APIs put them on the wire, whole and as a stream: reasoning, a sentence, two parallel tool calls.

The forms are those of the providers' API references. Reasoning reads ``THOUGHT``; signatures are in :data:`SIGNATURES`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["SIGNATURES", "STREAMS", "WHOLES", "Json"]

Json: TypeAlias = dict[str, Any]

THOUGHT = "THOUGHT: two cities, two calls."
TEXT = "Let me look at both."
ANSWER = "Sunny in Rome, rainy in Oslo."
CITIES = ("Rome", "Oslo")
SIGNATURES: Mapping[str, str] = {
    "openai": "gAAAAABencryptedReasoningOfOpenAI",
    "anthropic": "ErUBsignatureOfAnthropicZ8x",
    "redacted": "EmwKredactedByAnthropicQ3s",
    "google": base64.b64encode(b"thought signature of google").decode(),
}
ARGUMENTS = tuple({"city": city} for city in CITIES)


def _calling(messages: Any) -> bool:
    """Whether the tools have yet to be called."""
    return "sunny" not in json.dumps(messages)


# -- OpenAI, Chat Completions ------------------------------------------------------------------------------------

CHAT_IDS = ("call_9pw4x8S0bQm7LrZ2tEaYkWcV", "call_Kk2nq1YfGh3Jt6Rm8Xv5Bd0P")
CHAT_USAGE = {
    "prompt_tokens": 60,
    "completion_tokens": 40,
    "total_tokens": 100,
    "prompt_tokens_details": {"cached_tokens": 32, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0},
}


def chat(body: Json) -> Json:
    calls = [
        {"id": id, "type": "function", "function": {"name": "weather", "arguments": json.dumps(arguments)}}
        for id, arguments in zip(CHAT_IDS, ARGUMENTS)
    ]
    calling = _calling(body["messages"])
    message: Json = {"role": "assistant", "content": TEXT if calling else ANSWER, "refusal": None, "annotations": []}
    if calling:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calling else "stop"}
    frame = {"id": "chatcmpl-Bx1", "object": "chat.completion", "created": 1_760_000_000, "model": "gpt-5-mini"}
    return {**frame, "choices": [choice], "usage": CHAT_USAGE, "system_fingerprint": "fp_1"}


def chat_stream(body: Json) -> Iterator[Json]:
    whole = chat(body)
    message, finish = whole["choices"][0]["message"], whole["choices"][0]["finish_reason"]
    frame = {k: whole[k] for k in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def chunk(delta: Json, finish: str | None = None) -> Json:
        return {**frame, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for word in message["content"].split(" "):
        yield chunk({"content": f"{word} "})
    for i, call in enumerate(message.get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        yield chunk({"tool_calls": [{**call, "index": i, "function": {**call["function"], "arguments": ""}}]})
        for piece in (arguments[:5], arguments[5:]):
            yield chunk({"tool_calls": [{"index": i, "function": {"arguments": piece}}]})
    yield chunk({}, finish)
    yield {**frame, "choices": [], "usage": CHAT_USAGE}


# -- OpenAI, Responses -------------------------------------------------------------------------------------------

RESPONSE_IDS = ("call_q7Wb2Zt9" + "x" * 40, "call_V4fLs8Ke" + "y" * 40)


def _items(calling: bool) -> list[Json]:
    summary = [{"type": "summary_text", "text": THOUGHT}]
    part = {"type": "output_text", "text": TEXT if calling else ANSWER, "annotations": [], "logprobs": []}
    said = {"type": "message", "id": "msg_0a1", "role": "assistant", "status": "completed", "content": [part]}
    reasoning = {
        "type": "reasoning",
        "id": "rs_0a1",
        "summary": summary,
        "encrypted_content": SIGNATURES["openai"],
    }
    calls = [
        {
            "type": "function_call",
            "id": f"fc_0a{i}",
            "call_id": call_id,
            "name": "weather",
            "arguments": json.dumps(arguments),
            "status": "completed",
        }
        for i, (call_id, arguments) in enumerate(zip(RESPONSE_IDS, ARGUMENTS))
    ]
    return [reasoning, said, *(calls if calling else ())]


def responses(body: Json) -> Json:
    return {
        "id": "resp_0a1",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "gpt-5-mini",
        "output": _items(_calling(body["input"])),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": {
            "input_tokens": 60,
            "input_tokens_details": {"cached_tokens": 32},
            "output_tokens": 40,
            "output_tokens_details": {"reasoning_tokens": 20},
            "total_tokens": 100,
        },
    }


def responses_stream(body: Json) -> Iterator[Json]:
    whole = responses(body)
    number = iter(range(1000))

    def event(kind: str, **told: Any) -> Json:
        return {"type": f"response.{kind}", "sequence_number": next(number), **told}

    yield event("created", response={**whole, "status": "in_progress", "output": [], "usage": None})
    for i, item in enumerate(whole["output"]):
        at = {"item_id": item["id"], "output_index": i}
        if item["type"] == "reasoning":
            yield event("output_item.added", output_index=i, item={**item, "summary": [], "encrypted_content": None})
            at |= {"summary_index": 0}
            yield event("reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""})
            yield event("reasoning_summary_text.delta", **at, delta=THOUGHT)
            yield event("reasoning_summary_text.done", **at, text=THOUGHT)
            yield event("reasoning_summary_part.done", **at, part=item["summary"][0])
        elif item["type"] == "message":
            yield event("output_item.added", output_index=i, item={**item, "content": [], "status": "in_progress"})
            part = item["content"][0]
            at |= {"content_index": 0}
            yield event("content_part.added", **at, part={**part, "text": ""})
            for word in part["text"].split(" "):
                yield event("output_text.delta", **at, delta=f"{word} ", logprobs=[])
            yield event("output_text.done", **at, text=part["text"], logprobs=[])
            yield event("content_part.done", **at, part=part)
        else:
            yield event("output_item.added", output_index=i, item={**item, "arguments": "", "status": "in_progress"})
            for piece in (item["arguments"][:5], item["arguments"][5:]):
                yield event("function_call_arguments.delta", **at, delta=piece)
            yield event("function_call_arguments.done", **at, arguments=item["arguments"], name=item["name"])
        yield event("output_item.done", output_index=i, item=item)
    yield event("completed", response=whole)


# -- Anthropic, Messages -----------------------------------------------------------------------------------------

ANTHROPIC_IDS = ("toolu_01A09q90qw90lq917835lq9", "toolu_01T1x1fJ34qAmk2tNTrN7Up6")
ANTHROPIC_USAGE = {
    "input_tokens": 28,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 32,
    "output_tokens": 40,
}


def messages(body: Json) -> Json:
    calling = _calling(body["messages"])
    content: list[Json] = [
        {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURES["anthropic"]},
        {"type": "redacted_thinking", "data": SIGNATURES["redacted"]},
        {"type": "text", "text": TEXT if calling else ANSWER},
    ]
    if calling:
        content += [
            {"type": "tool_use", "id": id, "name": "weather", "input": arguments}
            for id, arguments in zip(ANTHROPIC_IDS, ARGUMENTS)
        ]
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": content,
        "stop_reason": "tool_use" if calling else "end_turn",
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
    }


def messages_stream(body: Json) -> Iterator[Json]:
    whole = messages(body)
    opened = {**whole, "content": [], "stop_reason": None, "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}}
    yield {"type": "message_start", "message": opened}
    for i, block in enumerate(whole["content"]):
        kind = block["type"]
        empty: Json = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}
        yield {"type": "content_block_start", "index": i, "content_block": {**block, **empty.get(kind, {})}}
        for delta in _anthropic_deltas(block):
            yield {"type": "content_block_delta", "index": i, "delta": delta}
        yield {"type": "content_block_stop", "index": i}
    told = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": told, "usage": {"output_tokens": 40}}
    yield {"type": "message_stop"}


def _anthropic_deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "text":
        for word in block["text"].split(" "):
            yield {"type": "text_delta", "text": f"{word} "}
    elif block["type"] == "tool_use":
        written = json.dumps(block["input"])
        for piece in (written[:5], written[5:]):
            yield {"type": "input_json_delta", "partial_json": piece}


# -- Google, generateContent -------------------------------------------------------------------------------------


def generate_content(body: Json) -> Json:
    calling = _calling(body["contents"])
    parts: list[Json] = [{"text": THOUGHT, "thought": True}]
    if calling:
        parts.append({"text": TEXT})
        parts += [{"functionCall": {"name": "weather", "args": arguments}} for arguments in ARGUMENTS]
        parts[2]["thoughtSignature"] = SIGNATURES["google"]  # of parallel calls, the first carries it
    else:
        parts.append({"text": ANSWER, "thoughtSignature": SIGNATURES["google"]})
    return _google(parts, "STOP")


def _google(parts: list[Json], finish: str | None) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": 60,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 20,
            "cachedContentTokenCount": 32,
            "totalTokenCount": 100,
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "mAitaLmkHPPlz7IPvtfUqQ4",
    }


def generate_content_stream(body: Json) -> Iterator[Json]:
    parts = generate_content(body)["candidates"][0]["content"]["parts"]
    for i, part in enumerate(parts):
        yield _google([part], "STOP" if i == len(parts) - 1 else None)


WHOLES: Mapping[str, Callable[[Json], Json]] = {
    "/v1/chat/completions": chat,
    "/v1/responses": responses,
    "/v1/messages": messages,
    "generateContent": generate_content,
}
STREAMS: Mapping[str, Callable[[Json], Iterator[Json]]] = {
    "/v1/chat/completions": chat_stream,
    "/v1/responses": responses_stream,
    "/v1/messages": messages_stream,
    "streamGenerateContent": generate_content_stream,
}
"""By the end of the path; Google's names its method there, the others say ``stream`` in the body."""
