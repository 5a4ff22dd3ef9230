"""Two applications as people have them, a LangChain chain and a LlamaIndex query engine: with one model, then with
EMAFusion in its place. Each is built by one function that takes the model and nothing else of ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emafusion.config import Candidate, Objective
from emafusion.demo.letters import TEMPLATE, Letter, letters
from emafusion.demo.playback import Playback
from emafusion.demo.workload import Workload
from emafusion.routers.artefact import RoutingModel
from emafusion.types import Decision

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.llms import LLM

__all__ = ["ChainRun", "langchain_missing", "llamaindex_missing", "run_langchain", "run_llamaindex"]

SHOWN_FLOOR = 0.9
"""Share of the reference's quality that the applications keep: on so few prompts no higher one can be certified."""

Advance = Callable[[], None]


@dataclass(frozen=True)
class ChainRun:
    """What an application did with n prompts, by the account of the server that answered it."""

    model: str
    n: int
    quality: float
    usd_per_1000: float
    seconds: float
    calls: float
    decisions: tuple[Decision, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {k: getattr(self, k) for k in ("model", "n", "quality", "usd_per_1000", "seconds", "calls")}


# -- LangChain ---------------------------------------------------------------------------------------------------


def langchain_missing() -> str | None:
    """What to install for the LangChain part, or None."""
    return _missing(
        {"langchain_core": "langchain-core", "langchain": "langchain", "langchain_openai": "langchain-openai"}
    )


def build_chain(llm: BaseChatModel) -> Runnable[Any, str]:
    """The user's chain: it does not know what answers it."""
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    prompt = ChatPromptTemplate.from_messages([("human", "{request}")])
    return prompt | llm | StrOutputParser()


def run_langchain(
    workload: Workload,
    prompts: Sequence[str],
    playback: Playback,
    router: RoutingModel | None,
    reference: str,
    judges: Sequence[Any] | None,
    advance: Advance,
) -> tuple[ChainRun, ChainRun]:
    """The chain over ``prompts`` with the reference model, then with ``ChatEMAFusion`` in its place."""
    from langchain_openai import ChatOpenAI
    from langsmith import tracing_context
    from pydantic import SecretStr

    from langchain_emafusion import ChatEMAFusion

    def one(name: str) -> ChatOpenAI:
        return ChatOpenAI(
            model=name, base_url=playback.base_url, api_key=SecretStr("unused"), temperature=0, max_retries=0
        )

    fused = ChatEMAFusion(
        [Candidate(one(n), name=n, price=workload.prices[n]) for n in workload.names],
        objective=Objective(quality_floor=SHOWN_FLOOR, reference=reference),
        router=router,
        judges=judges,
    )

    def over(llm: BaseChatModel, name: str) -> ChainRun:
        chain = build_chain(llm)
        decisions: list[Decision] = []

        def answer(prompt: str) -> str:
            text = chain.invoke({"request": prompt})
            if llm is fused and fused.fusion.last is not None:
                decisions.append(fused.fusion.last)
            advance()
            return text

        return _account(name, prompts, answer, workload, playback, decisions)

    with tracing_context(enabled=False):  # nothing of a demo is sent anywhere
        return over(one(reference), reference), over(fused, "ChatEMAFusion")


# -- LlamaIndex --------------------------------------------------------------------------------------------------


def llamaindex_missing() -> str | None:
    """What to install for the LlamaIndex part, or None."""
    return _missing(
        {"llama_index.core": "llama-index-core", "llama_index.llms.openai_like": "llama-index-llms-openai-like"}
    )


def build_engine(llm: LLM) -> BaseQueryEngine:
    """The user's query engine over a few letters: it does not know what answers it."""
    from llama_index.core import PromptTemplate, VectorStoreIndex
    from llama_index.core.schema import TextNode

    from emafusion.demo.embedding import shipped_embedding

    nodes = [TextNode(id_=x.id, text=x.text) for x in letters()]
    index = VectorStoreIndex(nodes, embed_model=shipped_embedding())
    return index.as_query_engine(llm=llm, similarity_top_k=1, text_qa_template=PromptTemplate(TEMPLATE))


def run_llamaindex(
    workload: Workload,
    asked: Sequence[Letter],
    playback: Playback,
    router: RoutingModel | None,
    reference: str,
    judges: Sequence[Any] | None,
    advance: Advance,
) -> tuple[ChainRun, ChainRun]:
    """The query engine over the letters' questions with the reference model, then with ``EMAFusion`` in its place."""
    from llama_index.core import QueryBundle
    from llama_index.llms.openai_like import OpenAILike

    from llamaindex_emafusion import EMAFusion

    def one(name: str) -> OpenAILike:
        return OpenAILike(
            model=name,
            api_base=playback.base_url,
            api_key="unused",
            is_chat_model=True,
            temperature=0,
            max_retries=0,
            context_window=2048,
        )

    fused = EMAFusion(
        candidates=[Candidate(one(n), name=n, price=workload.prices[n]) for n in workload.names],
        objective=Objective(quality_floor=SHOWN_FLOOR, reference=reference),
        router=router,
        judges=judges,
    )
    by_prompt = {x.prompt.prompt: x for x in asked}

    def over(llm: LLM, name: str) -> ChainRun:
        engine = build_engine(llm)
        decisions: list[Decision] = []

        def answer(prompt: str) -> str:
            letter = by_prompt[prompt]
            assert letter.question is not None
            response = str(engine.query(QueryBundle(letter.question, custom_embedding_strs=[letter.opening])))
            if llm is fused and fused.last_decision is not None:
                decisions.append(fused.last_decision)
            advance()
            return response

        return _account(name, list(by_prompt), answer, workload, playback, decisions)

    return over(one(reference), reference), over(fused, "EMAFusion")


# -- both --------------------------------------------------------------------------------------------------------


def _account(
    name: str,
    prompts: Sequence[str],
    answer: Callable[[str], str],
    workload: Workload,
    playback: Playback,
    decisions: list[Decision],
) -> ChainRun:
    """Ask each prompt, grade each answer, and read the bill off the server."""
    playback.take_calls()
    score = sum(workload.graders[prompt](answer(prompt)) for prompt in prompts)
    calls = playback.take_calls()
    n = len(prompts)
    return ChainRun(
        name,
        n,
        score / n,
        1000 * sum(c.cost_usd for c in calls) / n,
        sum(c.seconds for c in calls) / n,
        len(calls) / n,
        tuple(decisions),
    )


def _missing(needed: dict[str, str]) -> str | None:
    absent = [package for module, package in needed.items() if not _installed(module)]
    return f"pip install {' '.join(absent)}" if absent else None


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is absent
        return False
