"""Answers that LangChain's cache remembers: a hit calls no model, and its decision says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from langchain_emafusion.request import Request

if TYPE_CHECKING:
    from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = ["AnswerCache"]


class AnswerCache:
    """Where one request's answer is kept; keyed by the messages, the arguments and all of the routing configuration."""

    def __init__(self, llm: ChatEMAFusion, request: Request, cache: BaseCache) -> None:
        self._llm = llm
        self._cache = cache
        self._prompt = dumps([m.model_copy(update={"id": None}) for m in request.messages])
        choice = (request.only, request.objective(), sorted(request.defaults.items()))
        self._key = f"{llm._get_llm_string(stop=request.stop, **request.arguments)}{choice!r}"

    @classmethod
    def of(cls, llm: ChatEMAFusion, request: Request) -> AnswerCache | None:
        """The cache that LangChain's rules name for ``llm``: its own, else the global one, else none.

        Raises
        ------
        ValueError
            If ``cache=True`` and no global cache is set.
        """
        if llm.cache is False:
            return None
        cache = llm.cache if isinstance(llm.cache, BaseCache) else get_llm_cache()
        if cache is None:
            if llm.cache is True:
                raise ValueError("cache=True, but no global cache is set: call langchain_core.globals.set_llm_cache")
            return None
        return cls(llm, request, cache)

    def lookup(self) -> AIMessage | None:
        return self._revived(self._cache.lookup(self._prompt, self._key))

    async def alookup(self) -> AIMessage | None:
        return self._revived(await self._cache.alookup(self._prompt, self._key))

    def update(self, message: AIMessage) -> None:
        self._cache.update(self._prompt, self._key, [ChatGeneration(message=message)])

    async def aupdate(self, message: AIMessage) -> None:
        await self._cache.aupdate(self._prompt, self._key, [ChatGeneration(message=message)])

    def _revived(self, found: Any) -> AIMessage | None:
        if not found:
            return None
        message = self._llm._convert_cached_generations(list(found))[0].message
        if not isinstance(message, AIMessage):
            return None
        decision = {**message.response_metadata.get("emafusion", {}), "cached": True, "cost": 0.0}
        return message.model_copy(update={"response_metadata": {**message.response_metadata, "emafusion": decision}})
