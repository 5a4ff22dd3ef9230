"""A server on 127.0.0.1 that speaks the OpenAI wire format, so that real clients can be tested with no network.

    with LoopbackServer(LoopbackModel("cheap", "42"), LoopbackModel("dear", {"capital of France": "Paris"})) as server:
        ChatOpenAI(base_url=server.base_url, api_key="none", model="cheap").invoke("...")
        assert server.count("cheap") == 1

A model that was not declared repeats what it is told. Requests that OpenAI would refuse are refused (status 400).
"""

from __future__ import annotations

import json
import re
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.loopback_model import Json, LoopbackModel, text_of

__all__ = ["LoopbackModel", "LoopbackServer", "fault"]


class LoopbackServer:
    """The server, as a context manager; ``base_url`` ends in ``/v1``."""

    def __init__(self, *models: LoopbackModel | str) -> None:
        self.models: dict[str, LoopbackModel] = {}
        for model in models:
            self.add(model)
        self.requests: list[Json] = []
        """Bodies of the chat requests so far, failed ones included."""
        self.aborted = 0
        """Streams whose client went away before the end."""
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = _HTTPServer(self)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def add(self, model: LoopbackModel | str) -> LoopbackModel:
        """Declare a model, or replace the one of that name."""
        model = LoopbackModel(model) if isinstance(model, str) else model
        self.models[model.name] = model
        return model

    def count(self, model: str | None = None) -> int:
        """How many chat requests came for ``model``, or for any."""
        with self._lock:
            return sum(model is None or body.get("model") == model for body in self.requests)

    def clear(self) -> None:
        """Forget the requests and failures so far."""
        with self._lock:
            self.requests.clear()
            self._failures.clear()
            self.aborted = 0

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        self._thread.join()

    # -- called by the request threads -------------------------------------------------------------------------

    def received(self, body: Json) -> tuple[LoopbackModel, bool]:
        """Note a request; returns its model and whether it is to fail."""
        name = body["model"]
        with self._lock:
            self.requests.append(body)
            model = self.models.get(name) or LoopbackModel(name)
            fails = model.error_status is not None and (
                model.fail_times is None or self._failures[name] < model.fail_times
            )
            self._failures[name] += fails
        return model, fails

    def was_aborted(self) -> None:
        with self._lock:
            self.aborted += 1

    def pause(self, seconds: float) -> None:
        if seconds > 0:
            self._closing.wait(seconds)


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = False  # joined on close, so that no socket outlives the test
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, owner: LoopbackServer) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Exchange)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake the threads that wait for a next request on a kept-alive connection."""
        for connection in list(self._open):
            with suppress(OSError):  # closed by its own thread meanwhile
                connection.shutdown(socket.SHUT_RDWR)


class _Exchange(BaseHTTPRequestHandler):
    server: _HTTPServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every small answer waits 40 ms for an acknowledgement

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            listed = [{"id": n, "object": "model", "created": 0, "owned_by": "tests"} for n in self.server.owner.models]
            self._send(200, {"object": "list", "data": listed})
        else:
            self._send(404, _error(f"no such path: {self.path}"))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.rstrip("/") != "/v1/chat/completions":
            return self._send(404, _error(f"no such path: {self.path}"))
        try:
            body = json.loads(raw)
            wrong = fault(body)
        except ValueError as error:
            body, wrong = None, f"the body is not JSON: {error}"
        if wrong is not None:
            return self._send(400, _error(wrong))
        owner = self.server.owner
        model, fails = owner.received(body)
        if refused := sorted(model.refuses & body.keys()):
            return self._send(400, _error(f"unsupported parameter: '{refused[0]}'", param=refused[0]))
        owner.pause(model.latency)
        if fails:
            status = model.error_status or 500
            wait = {"Retry-After": f"{model.retry_after}", "retry-after-ms": f"{model.retry_after * 1000:.0f}"}
            return self._send(status, _error(f"{model.name} fails on purpose", status), wait if status == 429 else {})
        completion = _complete(model, body)
        if not body.get("stream"):
            return self._send(200, completion)
        return self._stream(model, body, completion)

    def _send(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        payload = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, model: LoopbackModel, body: Json, completion: Json) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        try:
            for i, chunk in enumerate(_chunks(completion, include_usage)):
                if model.break_after is not None and i >= model.break_after:
                    self.close_connection = True
                    return
                self._event(json.dumps(chunk, ensure_ascii=False))
                self.server.owner.pause(model.chunk_delay)
            self._event("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
            self.server.owner.was_aborted()

    def _event(self, payload: str) -> None:
        event = f"data: {payload}\n\n".encode()
        self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")


def _error(message: str, status: int = 400, param: str | None = None) -> Json:
    kind = {429: "rate_limit_error", 500: "server_error"}.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": None}}


def fault(body: Any) -> str | None:
    """What OpenAI would refuse in this request, or None."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return "'model' must be a string"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "'messages' must be a list with at least one message"
    open_calls: set[str] = set()
    for i, message in enumerate(messages):
        role = message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            return f"messages[{i}]: no such role: {role!r}"
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return f"messages[{i}]: a tool message must answer a call of the assistant message before it"
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            return f"messages[{i}]: tool calls {sorted(open_calls)} were not answered"
        if role == "assistant":
            for call in message.get("tool_calls") or ():
                if not isinstance(call["function"]["arguments"], str):
                    return f"messages[{i}]: arguments of a tool call must be a string"
                open_calls.add(call["id"])
        if role == "assistant" and not message.get("tool_calls") and message.get("content") is None:
            return f"messages[{i}]: an assistant message needs content or tool calls"
    return f"tool calls {sorted(open_calls)} were not answered" if open_calls else None


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _complete(model: LoopbackModel, body: Json) -> Json:
    """The answer as a whole ``chat.completion``."""
    choices = [_choice(model, body, index) for index in range(body.get("n") or 1)]
    completion: Json = {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model.name,
        "choices": choices,
    }
    if model.reports_usage:
        asked = sum(3 + len(_tokens(text_of(m))) for m in body["messages"])
        asked += len(_tokens(json.dumps(body.get("tools") or "")))
        written = sum(
            len(_tokens(c["message"]["content"] or "")) + 5 * len(c["message"].get("tool_calls", ())) for c in choices
        )
        completion["usage"] = {
            "prompt_tokens": asked,
            "completion_tokens": written,
            "total_tokens": asked + written,
            "prompt_tokens_details": {"cached_tokens": min(model.cached_tokens, asked), "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }
    return completion


def _choice(model: LoopbackModel, body: Json, index: int) -> Json:
    text, calls = model.message(body)
    finish = "tool_calls" if calls else "stop"
    stops = body.get("stop") or ()
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop, 1)[0]
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    tokens = _tokens(text)
    if limit and len(tokens) > limit:
        tokens, finish = tokens[:limit], "length"
        text = "".join(tokens)
    message: Json = {"role": "assistant", "content": None if calls else text, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.get("id") or f"call_{uuid.uuid4().hex[:20]}",
                "type": "function",
                "function": {"name": call["name"], "arguments": _arguments(call.get("arguments", {}))},
            }
            for call in calls
        ]
    logprobs = None
    if body.get("logprobs"):
        given = model.logprob if not isinstance(model.logprob, (int, float)) else [model.logprob]
        logprobs = {
            "content": [
                {
                    "token": t,
                    "logprob": given[min(i, len(given) - 1)],
                    "bytes": list(t.encode()),
                    "top_logprobs": [],
                }
                for i, t in enumerate(tokens)
            ],
            "refusal": None,
        }
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def _arguments(given: Any) -> str:
    """Arguments on the wire; a string passes as it is, so that a model can be made to write broken JSON."""
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _chunks(completion: Json, include_usage: bool) -> Iterator[Json]:
    """``completion`` cut into the chunks of a stream: role, then tokens or arguments, then the end, then usage."""
    frame = {k: completion[k] for k in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    usage: Json = {"usage": None} if include_usage else {}

    def chunk(index: int, delta: Json, finish: str | None = None, logprobs: Json | None = None) -> Json:
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return frame | {"choices": [choice]} | usage

    for choice in completion["choices"]:
        index, message = choice["index"], choice["message"]
        yield chunk(index, {"role": "assistant", "content": None if message["content"] is None else ""})
        entries = (choice["logprobs"] or {}).get("content")
        for i, token in enumerate(_tokens(message["content"] or "")):
            yield chunk(
                index, {"content": token}, None, {"content": [entries[i]], "refusal": None} if entries else None
            )
        for number, call in enumerate(message.get("tool_calls", ())):
            arguments = call["function"]["arguments"]
            begun = call | {"index": number, "function": call["function"] | {"arguments": ""}}
            yield chunk(index, {"tool_calls": [begun]})
            for start in range(0, len(arguments), 7):
                piece = {"index": number, "function": {"arguments": arguments[start : start + 7]}}
                yield chunk(index, {"tool_calls": [piece]})
        yield chunk(index, {}, choice["finish_reason"])
    if include_usage and "usage" in completion:
        yield frame | {"choices": [], "usage": completion["usage"]}
