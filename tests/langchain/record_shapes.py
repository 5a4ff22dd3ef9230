"""Record how the client classes of four APIs hand over an assistant's turns, for the matrix of ``test_portable``.

    python -m tests.langchain.record_shapes

Needs langchain-openai, langchain-anthropic and langchain-google-genai; no network and no keys: the real classes read
the answers in ``provider_payloads`` from a server on 127.0.0.1. Writes ``shapes/<author>.json``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    message_chunk_to_message,
    message_to_dict,
)

from tests.langchain.provider_payloads import CITIES, STREAMS, WHOLES, Json

__all__ = ["AUTHORS", "PACKAGES", "SHAPES", "model_of", "provider_server"]

SHAPES = Path(__file__).parent / "shapes"
PACKAGES = {
    "openai": "langchain-openai",
    "openai responses": "langchain-openai",
    "anthropic": "langchain-anthropic",
    "google": "langchain-google-genai",
}
AUTHORS = tuple(PACKAGES)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How the weather is in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
WEATHER_TOLD = ("sunny", "rainy")


class _Providers(BaseHTTPRequestHandler):
    """All four APIs, told apart by path; keeps the bodies that it was sent in ``server.bodies``."""

    server: Any
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.server.bodies.append(body)
        path = urlsplit(self.path).path
        end = path.rsplit(":", 1)[-1]
        if body.get("stream") or end.startswith("stream"):
            self._send("text/event-stream", "".join(map(_event, STREAMS[end](body))))
        else:
            self._send("application/json", json.dumps(WHOLES[end](body)))

    def _send(self, kind: str, text: str) -> None:
        payload = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def _event(told: Json) -> str:
    named = f"event: {told['type']}\n" if "type" in told else ""
    return f"{named}data: {json.dumps(told)}\n\n"


@contextmanager
def provider_server() -> Iterator[tuple[str, list[Json]]]:
    """Address of a server that speaks as all four, and the bodies that it has been sent."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Providers)
    server.bodies = []
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def model_of(author: str, address: str, **fields: Any) -> BaseChatModel:
    """The author's real client class, pointed at ``address``.

    Raises
    ------
    ImportError
        If its package is not installed.
    """
    module = import_module(PACKAGES[author].replace("-", "_"))
    fields = {"api_key": "none", "max_retries": 0, **fields}
    if author == "openai":
        model = module.ChatOpenAI(base_url=f"{address}/v1", model="gpt-5-mini", stream_usage=True, **fields)
    elif author == "openai responses":
        model = module.ChatOpenAI(
            base_url=f"{address}/v1",
            model="gpt-5-mini",
            use_responses_api=True,
            store=False,
            include=["reasoning.encrypted_content"],
            reasoning={"effort": "low", "summary": "auto"},
            **fields,
        )
    elif author == "anthropic":
        thinking = {"type": "enabled", "budget_tokens": 1024}
        model = module.ChatAnthropic(
            base_url=address, model="claude-sonnet-4-5", max_tokens=2048, thinking=thinking, **fields
        )
    else:
        model = module.ChatGoogleGenerativeAI(
            base_url=address, model="gemini-2.5-flash", include_thoughts=True, **fields
        )
    assert isinstance(model, BaseChatModel)
    return model


WAYS = {
    "invoke": (False, {}),
    "stream": (True, {}),
    "invoke v1": (False, {"output_version": "v1"}),
    "stream v1": (True, {"output_version": "v1"}),
}
MORE_WAYS = {"openai responses": {"invoke v0": (False, {"output_version": "v0"})}}


def recorded(author: str, address: str) -> Json:
    """The author's two turns, calls and answer, in every way of calling it."""
    ways: Json = {}
    for way, (streamed, fields) in {**WAYS, **MORE_WAYS.get(author, {})}.items():
        model = model_of(author, address, **fields).bind_tools([WEATHER])
        history: list[BaseMessage] = [HumanMessage(f"How is the weather in {' and in '.join(CITIES)}?")]
        calling = _said(model, history, streamed)
        told = zip(calling.tool_calls, WEATHER_TOLD)
        history += [calling, *(ToolMessage(t, tool_call_id=c["id"] or "", name=c["name"]) for c, t in told)]
        ways[way] = [message_to_dict(calling), message_to_dict(_said(model, history, streamed))]
    client = {name: version(name) for name in ("langchain-core", PACKAGES[author])}
    return {"recorded_with": client, "turns": ways}


def _said(model: Any, history: list[BaseMessage], streamed: bool) -> AIMessage:
    if not streamed:
        message = model.invoke(history)
    else:
        chunks: list[AIMessageChunk] = list(model.stream(history))
        message = message_chunk_to_message(chunks[0] + chunks[1:])
    assert isinstance(message, AIMessage)
    return message


def main() -> None:
    SHAPES.mkdir(exist_ok=True)
    with provider_server() as (address, _):
        for author in AUTHORS:
            path = SHAPES / f"{author.replace(' ', '_')}.json"
            path.write_text(json.dumps(recorded(author, address), indent=1, ensure_ascii=False, sort_keys=True) + "\n")
            print(path)


if __name__ == "__main__":
    main()
