"""A server on 127.0.0.1 that speaks the OpenAI wire and answers from a recording, so that real clients can be shown.

A prompt that was not recorded is a 404 with a clear message, unless there is an upstream server to ask: then it is
asked, for real, and the answer passes through. Everything served is noted with what it cost and how long it took.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any

from emafusion.config import Price
from emafusion.log import LoggedQuery, Outcome
from emafusion.types import Usage

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["Playback", "ServedCall"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServedCall:
    """One answered request: which model, USD, seconds (as recorded, or as measured upstream)."""

    model: str
    cost_usd: float
    seconds: float


class Playback:
    """The server, as a context manager.

    Parameters
    ----------
    recorded
        Prompt -> entry with the candidates' outcomes.
    upstream
        Client of a live server for what is not recorded.
    prices
        For answers from upstream.
    """

    def __init__(
        self, recorded: dict[str, LoggedQuery], upstream: OpenAI | None = None, prices: dict[str, Price] | None = None
    ) -> None:
        self.recorded, self.upstream, self.prices = recorded, upstream, prices or {}
        self.calls: list[ServedCall] = []
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Playback:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take_calls(self) -> list[ServedCall]:
        """What was served since this was last asked."""
        taken, self.calls = self.calls, []
        return taken

    def complete(self, body: Json) -> tuple[int, Json]:
        """Status and body of the answer to one chat request."""
        model = str(body.get("model", ""))
        entry = self.recorded.get(_prompt(body))
        outcome = entry.outcomes.get(model) if entry else None
        if outcome is not None:
            self.calls.append(ServedCall(model, outcome.cost_usd or 0.0, outcome.latency_s or 0.0))
            return 200, _completion(model, outcome)
        if self.upstream is None:
            shown = _prompt(body)[:80]
            return 404, _error(f"this is a recording: {model!r} was not recorded on the prompt that begins {shown!r}")
        return self._ask(body)

    def _ask(self, body: Json) -> tuple[int, Json]:
        from openai import APIStatusError, OpenAIError

        assert self.upstream is not None
        request = {k: v for k, v in body.items() if k not in ("stream", "stream_options")}
        started = time.perf_counter()
        try:
            answer = self.upstream.chat.completions.create(**request)
        except APIStatusError as error:
            return error.status_code, _error(str(error))
        except OpenAIError as error:
            return 502, _error(f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - started
        usage = Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens) if answer.usage else Usage()
        price = self.prices.get(str(body["model"]))
        self.calls.append(ServedCall(str(body["model"]), price.cost(usage) if price else 0.0, seconds))
        return 200, answer.model_dump(mode="json", exclude_none=True)


def _prompt(body: Json) -> str:
    """The text of a request of one user turn; recordings have no others."""
    turns = [m for m in body.get("messages") or () if isinstance(m, dict)]
    if len(turns) != 1 or turns[0].get("role") != "user":
        return ""
    content = turns[0].get("content") or ""
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)


def _completion(model: str, outcome: Outcome) -> Json:
    message = {"role": "assistant", "content": outcome.response or ""}
    asked, written = outcome.in_tok or 0, outcome.out_tok or 0
    return {
        "id": "chatcmpl-recorded",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": outcome.finish_reason or "stop"}],
        "usage": {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written},
    }


def _error(message: str) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, playback: Playback) -> None:
        self.playback = playback
        super().__init__(("127.0.0.1", 0), _Exchange)


class _Exchange(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.rstrip("/") != "/v1/chat/completions":
            return self._send(404, _error(f"no such path: {self.path}"))
        try:
            body = json.loads(raw)
        except ValueError as error:
            return self._send(400, _error(f"the body is not JSON: {error}"))
        status, answer = self.server.playback.complete(body)
        if status == 200 and body.get("stream"):
            return self._stream(answer)
        return self._send(status, answer)

    def _send(self, status: int, body: Json) -> None:
        self._reply(status, "application/json", json.dumps(body, ensure_ascii=False).encode())

    def _stream(self, completion: Json) -> None:
        """A recording has no pace of its own: the answer comes as one chunk."""
        frame = {k: completion[k] for k in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        choice = completion["choices"][0]
        chunks = [
            frame | {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]},
            frame | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
            frame | {"choices": [], "usage": completion.get("usage")},
        ]
        lines = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
        self._reply(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _reply(self, status: int, kind: str, payload: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)
