"""Query engines and chat engines over an index of this repository's own files answer through EMAFusion unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex, VectorStoreIndex
from llama_index.core.extractors import KeywordExtractor, QuestionsAnsweredExtractor, SummaryExtractor, TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool
from pydantic import BaseModel

import emafusion.errors
import emafusion.policies.moves
from tests.llamaindex.conftest import LEAKED_MEMORY, Clients
from tests.llamaindex.scripted import Cascade, Direct, ScriptedEMAFusion
from tests.loopback_model import Json, LoopbackModel, last_user_text

pytestmark = [pytest.mark.filterwarnings(LEAKED_MEMORY), pytest.mark.usefixtures("collected")]

QUESTION = "What does the engine do with a policy's moves?"
SOURCES = [Path(str(m.__file__)) for m in (emafusion.errors, emafusion.policies.moves)]

SCRIPTS = {
    "direct": Direct(("cheap", "dear")),
    "cascade": Cascade((("cheap",), ("dear",)), "judge", escalations=1),
}


@pytest.fixture
def documents() -> list[Document]:
    return [Document(text=p.read_text(encoding="utf-8"), metadata={"file": p.name}) for p in SOURCES]


@pytest.fixture(params=SCRIPTS)
def llm(request: pytest.FixtureRequest, clients: Clients, settings: Any) -> ScriptedEMAFusion:
    clients.server.add(LoopbackModel("cheap", "a cheap answer"))
    clients.server.add(LoopbackModel("dear", "a dear answer"))
    clients.server.add(LoopbackModel("judge", "0.9"))
    made = clients.scripted(SCRIPTS[request.param])
    settings.llm = made
    return made


def answer_of(llm: ScriptedEMAFusion) -> str:
    return "a cheap answer" if isinstance(llm.script, Direct) else "a dear answer"


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "simple_summarize", "accumulate"])
def test_a_query_engine_answers(mode: str, llm: ScriptedEMAFusion, documents: list[Document]) -> None:
    engine = VectorStoreIndex.from_documents(documents).as_query_engine(response_mode=mode, similarity_top_k=2)
    assert answer_of(llm) in str(engine.query(QUESTION))
    queries = llm.fusion.queries  # type: ignore[attr-defined]
    assert {q.text for q in queries} == {QUESTION}
    assert all("file: " in q.context and QUESTION not in q.context for q in queries)
    assert all(q.prompt_tokens > 100 for q in queries)  # sized by the whole prompt, not by the question


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
def test_a_query_engine_streams(mode: str, llm: ScriptedEMAFusion, documents: list[Document]) -> None:
    engine = VectorStoreIndex.from_documents(documents).as_query_engine(response_mode=mode, streaming=True)
    streamed: Any = engine.query(QUESTION)
    assert "".join(streamed.response_gen) == answer_of(llm)


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
async def test_a_query_engine_answers_asynchronously(
    mode: str, llm: ScriptedEMAFusion, documents: list[Document]
) -> None:
    index = VectorStoreIndex.from_documents(documents)
    assert str(await index.as_query_engine(response_mode=mode).aquery(QUESTION)) == answer_of(llm)
    streamed = await index.as_query_engine(response_mode=mode, streaming=True).aquery(QUESTION)
    assert "".join([t async for t in streamed.async_response_gen()]) == answer_of(llm)  # type: ignore[union-attr]


def test_a_summary_over_more_than_one_window_is_made_in_steps(clients: Clients, settings: Any) -> None:
    small = [clients.candidate(n, context_window=700, max_tokens=64) for n in ("cheap", "dear")]
    settings.llm = llm = ScriptedEMAFusion(small, script=Direct(("cheap", "dear")))
    clients.server.add(LoopbackModel("cheap", "a part"))
    long = " ".join(f"After {km} km the Adige flows south." for km in range(300))
    index = SummaryIndex.from_documents([Document(text=long)])
    assert str(index.as_query_engine(response_mode="tree_summarize").query(QUESTION)) == "a part"
    assert clients.server.count("cheap") > 2
    assert {q.text for q in llm.fusion.queries} == {QUESTION}  # type: ignore[attr-defined]


class Finding(BaseModel):
    """What was found."""

    claim: str
    line: int


def test_a_query_engine_answers_in_a_class(clients: Clients, settings: Any, documents: list[Document]) -> None:
    settings.llm = clients.scripted(Direct(("cheap",)))
    engine = VectorStoreIndex.from_documents(documents).as_query_engine(output_cls=Finding, response_mode="compact")
    found = engine.query(QUESTION).response  # type: ignore[union-attr]
    assert isinstance(found, Finding)


def _chooses(index: int, then: str) -> Callable[[list[Json], Json], Any]:
    """A model that picks an option when it is asked to pick, by a tool or in text, and answers otherwise."""

    def answer(messages: list[Json], body: Json) -> Any:
        if body.get("tools"):
            return {"tool_calls": [{"name": "SingleSelection", "arguments": {"index": index, "reason": "fits"}}]}
        if "choice that is most relevant" in last_user_text(messages):
            return f'[{{"choice": {index}, "reason": "fits"}}]'
        return then

    return answer


@pytest.mark.parametrize("path", SCRIPTS)
@pytest.mark.parametrize("selector", [LLMSingleSelector, PydanticSingleSelector])
def test_a_router_query_engine_chooses_and_answers(
    selector: Any, path: str, clients: Clients, settings: Any, documents: list[Document]
) -> None:
    clients.server.add(LoopbackModel("cheap", _chooses(2 if path == "direct" else 1, "from the second")))
    clients.server.add(LoopbackModel("dear", _chooses(2, "from the second")))
    clients.server.add(LoopbackModel("judge", "0.9"))
    settings.llm = clients.scripted(SCRIPTS[path])
    index = VectorStoreIndex.from_documents(documents)
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(), name=n, description=f"knows the {n}")
        for n in ("errors", "moves")
    ]
    engine = RouterQueryEngine(selector=selector.from_defaults(), query_engine_tools=tools)
    response = engine.query(QUESTION)
    assert str(response) == "from the second"
    assert (response.metadata or {})["selector_result"].selections[0].index == 1


@pytest.mark.parametrize("path", SCRIPTS)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_question_is_divided_and_its_parts_are_answered(
    asynchronous: bool, path: str, clients: Clients, settings: Any, documents: list[Document]
) -> None:
    def answer(messages: list[Json], body: Json) -> Any:
        if body.get("tools"):
            parts = [{"sub_question": f"What of {n}?", "tool_name": n} for n in ("errors", "moves")]
            return {"tool_calls": [{"name": "SubQuestionList", "arguments": {"items": parts}}]}
        if "sub-questions" in last_user_text(messages):
            return (
                '{"items": [{"sub_question": "What of errors?", "tool_name": "errors"}, '
                '{"sub_question": "What of moves?", "tool_name": "moves"}]}'
            )
        return "a part" if "What of" in last_user_text(messages).split("Query:")[-1] else "the whole"

    clients.server.add(LoopbackModel("cheap", answer if path == "direct" else "no answer"))
    clients.server.add(LoopbackModel("dear", answer))
    clients.server.add(LoopbackModel("judge", "0.9"))
    settings.llm = llm = clients.scripted(SCRIPTS[path])
    index = VectorStoreIndex.from_documents(documents)
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(), name=n, description=f"knows the {n}")
        for n in ("errors", "moves")
    ]
    from llama_index.core.question_gen import LLMQuestionGenerator

    engine = SubQuestionQueryEngine.from_defaults(
        tools, question_gen=LLMQuestionGenerator.from_defaults(), use_async=False, verbose=False
    )
    whole = await engine.aquery(QUESTION) if asynchronous else engine.query(QUESTION)
    assert str(whole) == "the whole"
    asked = [q.text for q in llm.fusion.queries]  # type: ignore[attr-defined]
    assert sorted(asked[1:-1]) == ["What of errors?", "What of moves?"]
    assert asked[-1] == QUESTION


@pytest.mark.parametrize("mode", ["context", "condense_plus_context", "condense_question", "simple"])
def test_a_chat_engine_holds_a_conversation(mode: str, llm: ScriptedEMAFusion, documents: list[Document]) -> None:
    engine = VectorStoreIndex.from_documents(documents).as_chat_engine(chat_mode=mode)  # type: ignore[arg-type]
    assert str(engine.chat("What is a move?")) == answer_of(llm)
    assert str(engine.chat("And an abstention?")) == answer_of(llm)
    assert len(engine.chat_history) == 4
    queries = llm.fusion.queries  # type: ignore[attr-defined]
    if mode == "context":
        assert queries[-1].text == "What is a move?\nAnd an abstention?"  # the follow-up borrows what it follows
    if mode in ("context", "condense_plus_context"):
        assert "file: " in queries[-1].context
        assert "file: " not in queries[-1].text
    assert "".join(engine.stream_chat("And then?").response_gen) == answer_of(llm)


@pytest.mark.parametrize("mode", ["context", "condense_plus_context"])
async def test_a_chat_engine_streams_asynchronously(
    mode: str, llm: ScriptedEMAFusion, documents: list[Document]
) -> None:
    engine = VectorStoreIndex.from_documents(documents).as_chat_engine(chat_mode=mode)  # type: ignore[arg-type]
    assert str(await engine.achat("What is a policy?")) == answer_of(llm)
    response = await engine.astream_chat("What is a move?")
    assert "".join([t async for t in response.async_response_gen()]) == answer_of(llm)


async def test_an_ingestion_pipeline_extracts_with_it(llm: ScriptedEMAFusion, documents: list[Document]) -> None:
    extractors = [TitleExtractor(), SummaryExtractor(), KeywordExtractor(keywords=3), QuestionsAnsweredExtractor()]
    pipeline = IngestionPipeline(transformations=[TokenTextSplitter(chunk_size=512), *extractors])
    nodes = await pipeline.arun(documents=documents[:1], show_progress=False)
    assert nodes[0].metadata["document_title"] == answer_of(llm)
    assert nodes[0].metadata["excerpt_keywords"] == answer_of(llm)
    queries = llm.fusion.queries  # type: ignore[attr-defined]
    assert any("unique keywords" in q.text and "file: " in q.context for q in queries)
