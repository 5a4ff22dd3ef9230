"""Usage is the answer's, once, however the model is called; the whole cost is in the decision."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, HumanMessage

from emafusion.config import Price
from emafusion.policies.moves import Move
from emafusion.types import Usage
from langchain_emafusion import ChatEMAFusion
from tests.langchain.paths import ASK, JUDGED, needs_v3, paths
from tests.langchain.scripted import scripted


async def _agenerate(llm: ChatEMAFusion) -> Any:
    return (await llm.agenerate([[HumanMessage(ASK)]])).generations[0][0]


async def _v3(llm: ChatEMAFusion) -> AIMessage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # beta
        stream = llm.stream_events(ASK, version="v3")
        list(stream)
        return stream.output


async def _batch(llm: ChatEMAFusion) -> AIMessage:
    return llm.batch([ASK])[0]


async def _abatch(llm: ChatEMAFusion) -> AIMessage:
    return (await llm.abatch([ASK]))[0]


# The others are in the behaviour suite.
WAYS: dict[str, Callable[[ChatEMAFusion], Awaitable[Any]]] = {
    "batch": _batch,
    "abatch": _abatch,
    "agenerate": _agenerate,
    "v3": _v3,
}


@paths
@pytest.mark.parametrize(
    "call", [pytest.param(way, marks=needs_v3 if name == "v3" else (), id=name) for name, way in WAYS.items()]
)
async def test_usage_is_counted_once_in_every_further_way_of_calling(
    llm: ChatEMAFusion, moves: tuple[Move, ...], call: Callable[[ChatEMAFusion], Awaitable[Any]]
) -> None:
    scripted(llm, *moves)
    with get_usage_metadata_callback() as counted:
        answer = await call(llm)
    message = getattr(answer, "message", answer)
    assert message.usage_metadata is not None
    assert message.usage_metadata["input_tokens"] > 0
    totals = {k: v for k, v in message.usage_metadata.items() if k.endswith("_tokens")}
    assert {m: {k: u[k] for k in totals} for m, u in counted.usage_metadata.items()} == {"dear": totals}  # type: ignore[literal-required]


def test_the_decision_counts_every_draft_and_every_judge(llm: ChatEMAFusion) -> None:
    told = scripted(llm, *JUDGED).invoke(ASK).response_metadata["emafusion"]
    prices = {"cheap": Price(0.1, 0.3), "dear": Price(10.0, 30.0)}
    drafts = sum(prices[a["candidate"]].cost(Usage(a["input_tokens"], a["output_tokens"])) for a in told["attempts"])
    judged = [v for v in told["verdicts"] if v["judge"] == "llm"]
    assert len(judged) == 2
    assert told["draft_cost"] == pytest.approx(drafts)
    assert told["judge_cost"] == pytest.approx(sum(v["cost_usd"] for v in judged))
    assert told["judge_cost"] > 0
    assert told["cost"] == pytest.approx(told["draft_cost"] + told["judge_cost"])
