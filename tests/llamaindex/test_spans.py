"""Spans nest: every real call, judges' too, stands inside the caller's request, in the framework's own spans and in
OpenTelemetry's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage

from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Cascade, Direct
from tests.loopback_model import LoopbackModel

CASCADE = Cascade((("cheap",), ("dear",)), "judge", escalations=1)
AT_ONCE = Cascade((("cheap", "dear"),), "judge")
TURN = [ChatMessage(role="user", content="Say violet")]
CALLS = {"cascade": (CASCADE, 4), "at once": (AT_ONCE, 3), "direct": (Direct(("cheap",)), 1)}


@pytest.fixture(autouse=True)
def _judge(clients: Clients) -> None:
    clients.server.add(LoopbackModel("judge", "0.9"))


@pytest.fixture
def spans() -> Iterator[SimpleSpanHandler]:
    handler, root = SimpleSpanHandler(), get_dispatcher()
    before = list(root.span_handlers)
    root.add_span_handler(handler)
    yield handler
    root.span_handlers = before


async def ask(llm: Any, way: str) -> None:
    if way == "chat":
        llm.chat(TURN)
    elif way == "achat":
        await llm.achat(TURN)
    elif way == "stream_chat":
        list(llm.stream_chat(TURN))
    else:
        async for _ in await llm.astream_chat(TURN):
            pass


@pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])
@pytest.mark.parametrize("path", CALLS)
async def test_every_real_call_is_a_span_inside_the_request(
    path: str, way: str, clients: Clients, spans: SimpleSpanHandler
) -> None:
    script, calls = CALLS[path]
    await ask(clients.scripted(script), way)
    assert not spans.open_spans
    assert not spans.dropped_spans
    outer = [s for s in spans.completed_spans if s.id_.startswith(f"ScriptedEMAFusion.{way}-")]
    assert len(outer) == 1
    assert outer[0].parent_id is None
    inner = [s for s in spans.completed_spans if s.id_.startswith("OpenAILike.") and s.parent_id == outer[0].id_]
    assert len(inner) == calls == clients.server.count()


async def test_spans_reach_opentelemetry_nested(clients: Clients) -> None:
    """With LlamaIndex's own bridge, where it is installed."""
    bridge = pytest.importorskip("llama_index.observability.otel")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter, root = memory.InMemorySpanExporter(), get_dispatcher()
    before = (list(root.span_handlers), list(root.event_handlers))
    try:
        bridge.LlamaIndexOpenTelemetry(span_exporter=exporter, span_processor="simple").start_registering()
        llm = clients.scripted(CASCADE)
        llm.chat(TURN)
        await llm.achat(TURN)
    finally:
        root.span_handlers, root.event_handlers = before
    finished = exporter.get_finished_spans()
    outer = [s for s in finished if s.name.startswith("ScriptedEMAFusion.")]
    assert [s.name.split("-")[0] for s in outer] == ["ScriptedEMAFusion.chat", "ScriptedEMAFusion.achat"]
    for span in outer:
        inside = [s for s in finished if s.parent is not None and s.parent.span_id == span.context.span_id]
        assert sum(s.name.startswith("OpenAILike.") for s in inside) == 4
        assert len({s.context.trace_id for s in inside} | {span.context.trace_id}) == 1
        assert any(e.name == "EMAFusionDecisionEvent" for e in span.events)
