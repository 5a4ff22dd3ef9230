"""What a tracer shows, and what handlers, tags, metadata and names do."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from emafusion.errors import AllCandidatesFailed
from emafusion.policies.moves import Move, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import DEAR_TEXT, candidate
from tests.langchain.paths import ASK, CASCADE, DIRECT, JUDGED, paths
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer


class Recorder(BaseTracer):
    """Keeps root runs, as LangSmith would be sent them."""

    run_inline = True

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)


def shape(run: Run) -> Any:
    """Names and kinds, as nested tuples."""
    return (run.run_type, run.name, sorted(shape(child) for child in run.child_runs))


STORY: dict[str, Any] = {
    "direct": [("llm", "answer: dear", [])],
    "cascade": [("llm", "answer: dear", []), ("llm", "draft: cheap", []), ("llm", "judge: llm", [])],
    "judged": [
        ("llm", "draft: cheap", []),
        ("llm", "draft: dear", []),
        ("llm", "judge: llm", []),
        ("llm", "judge: llm", []),
    ],
}
told = pytest.mark.parametrize(
    ("moves", "story"),
    [(DIRECT, STORY["direct"]), (CASCADE, STORY["cascade"]), (JUDGED, STORY["judged"])],
    ids=list(STORY),
)


@told
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_request_is_one_chain_run_with_a_model_run_for_each_call(
    llm: ChatEMAFusion, moves: tuple[Move, ...], story: Any, way: str
) -> None:
    scripted(llm, *moves)
    recorder = Recorder()
    config: Any = {"callbacks": [recorder]}
    if way == "invoke":
        llm.invoke(ASK, config)
    elif way == "ainvoke":
        await llm.ainvoke(ASK, config)
    elif way == "stream":
        list(llm.stream(ASK, config))
    else:
        _ = [c async for c in llm.astream(ASK, config)]
    (root,) = recorder.roots
    assert shape(root) == ("chain", "ChatEMAFusion", story)
    assert root.error is None
    assert root.outputs is not None
    assert root.outputs["output"].response_metadata["emafusion"]["answered_by"] == "dear"


def test_hidden_runs_carry_the_tag_that_langgraph_leaves_out(llm: ChatEMAFusion) -> None:
    recorder = Recorder()
    scripted(llm, *CASCADE).invoke(ASK, {"callbacks": [recorder], "tags": ["mine"]})
    tags = {run.name: set(run.tags or ()) for run in recorder.roots[0].child_runs}
    assert tags == {
        "draft: cheap": {"mine", "nostream", "emafusion:draft"},
        "judge: llm": {"mine", "nostream", "emafusion:judge"},
        "answer: dear": {"mine", "emafusion:answer"},
    }


def test_a_failed_call_is_a_failed_run_below_a_good_one(server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", error_status=500))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], max_retries=0)
    recorder = Recorder()
    scripted(llm, Try(("cheap",), commit=True)).invoke(ASK, {"callbacks": [recorder]})
    (root,) = recorder.roots
    assert root.error is None
    assert [(r.name, r.error is None) for r in root.child_runs] == [("answer: cheap", False), ("answer: dear", True)]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_total_failure_closes_the_run_with_the_error(server: LoopbackServer, way: str) -> None:
    for name in ("cheap", "dear"):
        server.add(LoopbackModel(name, error_status=500))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])
    recorder = Recorder()
    config: Any = {"callbacks": [recorder]}
    with pytest.raises(AllCandidatesFailed):  # noqa: PT012
        if way == "invoke":
            llm.invoke(ASK, config)
        elif way == "ainvoke":
            await llm.ainvoke(ASK, config)
        elif way == "stream":
            list(llm.stream(ASK, config))
        else:
            _ = [c async for c in llm.astream(ASK, config)]
    assert "AllCandidatesFailed" in (recorder.roots[0].error or "")


class Starts(BaseCallbackHandler):
    """Counts model runs and remembers what they were told."""

    run_inline = True

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.texts: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.seen.append(kwargs)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.texts.append(response.generations[0][0].text)


@paths
def test_constructor_callbacks_tags_and_metadata_reach_the_answers_run(
    server: LoopbackServer, moves: tuple[Move, ...]
) -> None:
    heard = Starts()
    llm = ChatEMAFusion(
        [candidate(server, "cheap"), candidate(server, "dear")],
        callbacks=[heard],
        tags=["constructed"],
        metadata={"team": "blue"},
    )
    scripted(llm, *moves).invoke(ASK)
    assert heard.texts == [DEAR_TEXT]
    (start,) = heard.seen
    assert "constructed" in start["tags"]
    assert start["metadata"]["team"] == "blue"
    assert start["metadata"]["ls_model_name"] == "dear"


@paths
def test_a_handler_given_twice_hears_once(server: LoopbackServer, moves: tuple[Move, ...]) -> None:
    heard = Starts()
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], callbacks=[heard])
    scripted(llm, *moves).invoke(ASK, {"callbacks": [heard]})
    assert heard.texts == [DEAR_TEXT]


@paths
def test_the_callers_run_name_run_id_and_metadata_are_used(llm: ChatEMAFusion, moves: tuple[Move, ...]) -> None:
    recorder, heard, run_id = Recorder(), Starts(), uuid.uuid4()
    config: Any = {
        "callbacks": [recorder, heard],
        "run_name": "final answer",
        "run_id": run_id,
        "metadata": {"user": "ann"},
    }
    scripted(llm, *moves).invoke(ASK, config)
    (root,) = recorder.roots
    assert (root.id, root.name) == (run_id, "final answer")
    assert all(r.metadata["user"] == "ann" for r in [root, *root.child_runs])
    assert [s["name"] for s in heard.seen] == ["final answer"]


@paths
def test_runs_of_a_chain_nest_under_it(llm: ChatEMAFusion, moves: tuple[Move, ...]) -> None:
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    recorder = Recorder()
    chain = ChatPromptTemplate.from_template("{q}") | scripted(llm, *moves) | StrOutputParser()
    assert chain.invoke({"q": ASK}, {"callbacks": [recorder]}) == DEAR_TEXT
    (root,) = recorder.roots
    assert [r.name for r in root.child_runs] == ["ChatPromptTemplate", "ChatEMAFusion", "StrOutputParser"]
