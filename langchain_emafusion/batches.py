"""``batch(..., budget=USD)``: each input goes to the candidate it is assigned, all of them under one budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, get_executor_for_config
from langchain_core.runnables.utils import gather_with_concurrency

from emafusion.budgets.batch import Batch
from emafusion.errors import ConfigError

if TYPE_CHECKING:
    from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = ["abatch", "batch"]


def batch(
    llm: ChatEMAFusion,
    inputs: Sequence[LanguageModelInput],
    config: RunnableConfig | list[RunnableConfig] | None,
    usd: float,
    *,
    return_exceptions: bool,
    **kwargs: Any,
) -> list[Any]:
    configs = get_config_list(config, len(inputs))
    going = _batch(llm, inputs, configs, usd, kwargs)

    def answer(one: tuple[int, str | None]) -> AIMessage | Exception:
        i, assigned = one

        def ask(name: str) -> AIMessage:
            return llm.invoke(inputs[i], configs[i], model=name, within=going.allowance, **kwargs)

        try:
            return going.answer(i, assigned, ask)
        except Exception as error:
            if return_exceptions:
                return error
            raise

    outputs: dict[int, Any] = {}
    with get_executor_for_config(configs[0] if configs else None) as executor:
        for round_ in going:
            outputs |= zip((i for i, _ in round_), executor.map(answer, round_))
    return [outputs[i] for i in range(len(inputs))]


async def abatch(
    llm: ChatEMAFusion,
    inputs: Sequence[LanguageModelInput],
    config: RunnableConfig | list[RunnableConfig] | None,
    usd: float,
    *,
    return_exceptions: bool,
    **kwargs: Any,
) -> list[Any]:
    configs = get_config_list(config, len(inputs))
    going = _batch(llm, inputs, configs, usd, kwargs)

    async def answer(i: int, assigned: str | None) -> AIMessage | Exception:
        async def ask(name: str) -> AIMessage:
            return await llm.ainvoke(inputs[i], configs[i], model=name, within=going.allowance, **kwargs)

        try:
            return await going.aanswer(i, assigned, ask)
        except Exception as error:
            if return_exceptions:
                return error
            raise

    outputs: dict[int, Any] = {}
    limit = configs[0].get("max_concurrency") if configs else None
    for round_ in going:
        done = await gather_with_concurrency(limit, *(answer(*one) for one in round_))
        outputs |= zip((i for i, _ in round_), done)
    return [outputs[i] for i in range(len(inputs))]


def _batch(
    llm: ChatEMAFusion,
    inputs: Sequence[LanguageModelInput],
    configs: Sequence[RunnableConfig],
    usd: float,
    kwargs: dict[str, Any],
) -> Batch:
    if "model" in kwargs:
        raise ConfigError("batch: give a budget, which assigns the candidates, or model=..., not both")
    queries = [llm.request(given, config, **kwargs).query() for given, config in zip(inputs, configs)]
    return llm.fusion.batch(queries, usd)
