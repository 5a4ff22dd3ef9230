"""What the caller asked of the router in one call, and the core's view of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from emafusion.asked import build_query
from emafusion.config import Objective
from emafusion.errors import ObjectiveError
from emafusion.types import Query
from langchain_emafusion.messages import core_messages

__all__ = ["Request"]

TRACING_KEYS = ("ls_structured_output_format", "structured_output_format")
OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True)
class Request:
    """Messages and arguments of one call, to be replayed on whichever candidates are asked."""

    messages: Sequence[BaseMessage]
    stop: list[str] | None = None
    only: tuple[str, ...] | None = None
    """Names of the candidates among which the choice is, where the caller confines it."""
    wanted: Any = None
    """The objective given with this call."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    config: RunnableConfig = field(default_factory=lambda: RunnableConfig())
    schema: Mapping[str, Any] | None = None
    """JSON schema of the answer, where structured output is asked for."""
    tracing: Mapping[str, Any] = field(default_factory=dict)
    """What a tracer is told besides, under ``options``."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The router's own temperature and output limit, for candidates that know them."""
    budget_key: str | None = None
    """Whose request it is, where the call says so."""
    within: Any = None
    """The budget of the batch that it belongs to."""

    def __post_init__(self) -> None:
        # Meant for tracers; a provider's client would refuse them.
        told = [v for k, v in self.arguments.items() if k in TRACING_KEYS]
        if told:
            object.__setattr__(self, "tracing", {**self.tracing, TRACING_KEYS[0]: told[0]})
            kept = {k: v for k, v in self.arguments.items() if k not in TRACING_KEYS}
            object.__setattr__(self, "arguments", kept)

    @property
    def run_name(self) -> str | None:
        return self.config.get("run_name")

    def query(self) -> Query:
        configurable = self.config.get("configurable") or {}
        thread = configurable.get("thread_id")
        return build_query(
            core_messages(self.messages),
            tools=[t for t in self.arguments.get("tools") or () if isinstance(t, Mapping)],
            schema=self.schema if self.schema is not None else _schema_of(self.arguments.get("response_format")),
            thread=None if thread is None else str(thread),
            max_output_tokens=self.limit,
        )

    @property
    def limit(self) -> int | None:
        """The most tokens that the caller lets an answer have."""
        limits = ({**self.defaults, **self.arguments}.get(k) for k in OUTPUT_LIMITS)
        return next((n for n in limits if isinstance(n, int)), None)

    @property
    def key(self) -> str | None:
        """Whose request it is, for budgets per key: ``budget_key=...``, or configurable ``emafusion_key``."""
        given = self.budget_key
        if given is None:
            given = (self.config.get("configurable") or {}).get("emafusion_key")
        return None if given is None else str(given)

    @property
    def purse(self) -> dict[str, Any]:
        """What pays for it, as the core is told."""
        return {"key": self.key, "within": self.within}

    def objective(self) -> Objective | None:
        """An objective for this call alone: ``objective=...``, or configurable ``emafusion_objective``."""
        given = self.wanted or (self.config.get("configurable") or {}).get("emafusion_objective")
        if given is None or isinstance(given, Objective):
            return given
        if isinstance(given, Mapping):
            return Objective(**given)
        raise ObjectiveError(
            f"the objective of this call is {given!r}: give an Objective, or a mapping such as "
            '{"usd_per_query": 0.002}'
        )


def _schema_of(response_format: Any) -> Mapping[str, Any] | None:
    """The schema in OpenAI's ``response_format``, as agents bind it."""
    if not isinstance(response_format, Mapping):
        return None
    if response_format.get("type") == "json_object":
        return {"type": "object"}
    schema = (response_format.get("json_schema") or {}).get("schema")
    return schema if isinstance(schema, Mapping) else None
