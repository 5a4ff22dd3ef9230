"""Whichever framework asks, the same workload is decided in the same way."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

import pytest

from emafusion.errors import AllCandidatesFailed
from emafusion.judges.llm import LLMJudge
from langchain_emafusion import ChatEMAFusion
from llamaindex_emafusion import EMAFusion
from tests.parity.models import LangChainModel, LlamaIndexModel, OverLangChain, OverLlamaIndex
from tests.parity.workload import Task, candidates, workload

TASKS = workload()


def over_langchain(**fields: Any) -> OverLangChain:
    pool, judge = candidates(lambda name: LangChainModel(model=name))
    return OverLangChain(ChatEMAFusion(pool, judges=[LLMJudge(judge)], **fields))


def over_llamaindex(**fields: Any) -> OverLlamaIndex:
    pool, judge = candidates(lambda name: LlamaIndexModel(model=name))
    return OverLlamaIndex(EMAFusion(pool, judges=[LLMJudge(judge)], **fields))


async def decisions(over: Any, way: str, tasks: list[Task]) -> list[dict[str, Any]]:
    """What was decided on each task; a failure of all candidates as the names of those that were asked."""
    fusion, told = over.llm.fusion, []
    for task in tasks:
        try:
            going = getattr(over, way)(task)
            if inspect.isawaitable(going):
                await going
        except AllCandidatesFailed as failed:
            told.append({"failed": sorted(failed.errors)})
            continue
        shown = fusion.last.as_dict()
        for private in ("id", "warnings"):
            shown.pop(private)
        for attempt in shown["attempts"]:
            attempt.pop("latency_s")
        told.append(shown)
    return told


@pytest.fixture(scope="module")
async def reference() -> list[dict[str, Any]]:
    return await decisions(over_langchain(), "ask", TASKS)


def assert_same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], tasks: list[Task]) -> None:
    assert len(ours) == len(theirs) == len(tasks)
    for task, one, other in zip(tasks, ours, theirs):
        assert one == other, f"{task.kind}: {task.turns[-1].text}"


async def test_the_workload_takes_every_kind_of_path(reference: list[dict[str, Any]]) -> None:
    """Or agreement would mean little: all candidates answer, requests cascade, are judged, fail over, stay in loops."""
    answered = Counter(d["answered_by"] for d in reference if "answered_by" in d)
    assert set(answered) == {"small", "middle", "large"}
    assert min(answered.values()) >= 10
    assert sum(len(d.get("attempts", ())) > 1 for d in reference) >= 30
    assert sum(any(v["judge"] == "llm" for v in d.get("verdicts", ())) for d in reference) >= 20
    assert sum(any(a["error"] for a in d.get("attempts", ())) for d in reference) >= 5
    assert sum(d.get("sticky", False) for d in reference) >= 10
    assert len({round(d["cost"], 12) for d in reference if "cost" in d}) > 100


async def test_llamaindex_decides_as_langchain_does(reference: list[dict[str, Any]]) -> None:
    assert_same(await decisions(over_llamaindex(), "ask", TASKS), reference, TASKS)


@pytest.mark.parametrize("over", [over_langchain, over_llamaindex])
async def test_asking_asynchronously_changes_no_decision(over: Any, reference: list[dict[str, Any]]) -> None:
    assert_same(await decisions(over(), "aask", TASKS), reference, TASKS)


@pytest.mark.parametrize("mode", ["auto", "live", "buffered"])
async def test_streams_are_decided_alike(mode: str) -> None:
    tasks = TASKS[:20]
    one = await decisions(over_langchain(stream_mode=mode), "stream", tasks)
    for over, way in ((over_langchain, "astream"), (over_llamaindex, "stream"), (over_llamaindex, "astream")):
        assert_same(await decisions(over(stream_mode=mode), way, tasks), one, tasks)
