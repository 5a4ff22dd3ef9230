"""Tools: as a caller offers them to whichever candidate will answer, and as an answer calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool

from llamaindex_emafusion.messages import STAMP, parsed_arguments

if TYPE_CHECKING:
    from emafusion.fusion import Fusion

__all__ = ["ToolOffer", "selections"]


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """The tools of a request, as the caller offered them; each candidate's own client spells them out."""

    tools: Sequence[BaseTool]
    allow_parallel_tool_calls: bool = False
    tool_required: bool = False
    choice: dict[str, Any] = field(default_factory=dict)
    """``tool_choice`` where it says more than that some tool must be called."""

    @classmethod
    def of(cls, tools: Sequence[BaseTool], parallel: bool, required: bool, choice: Any) -> ToolOffer:
        if choice in ("required", "any"):  # providers spell it differently, but all read tool_required
            return cls(tools, parallel, True)
        return cls(tools, parallel, required, {} if choice is None else {"tool_choice": choice})

    def specs(self) -> tuple[dict[str, Any], ...]:
        """In OpenAI's form, for the core."""
        return tuple(t.metadata.to_openai_tool(skip_length_check=True) for t in self.tools)

    def as_arguments(self) -> dict[str, Any]:
        """For a candidate's ``*chat_with_tools``."""
        return {
            "tools": list(self.tools),
            "allow_parallel_tool_calls": self.allow_parallel_tool_calls,
            "tool_required": self.tool_required,
            **self.choice,
        }


def selections(
    response: ChatResponse, fusion: Fusion, *, error_on_no_tool_call: bool, **kwargs: Any
) -> list[ToolSelection]:
    """Tool calls of an answer, as the candidate that wrote it reads them; else as its blocks show them."""
    stamp = response.additional_kwargs.get(STAMP)
    name = stamp.get("answered_by") if isinstance(stamp, Mapping) else None
    if name is not None and name in fusion.pool:
        model = fusion.model(name).model
        if isinstance(model, FunctionCallingLLM):
            return model.get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kwargs)
    blocks: list[Any] = [b for b in response.message.blocks if b.block_type == "tool_call"]
    if not blocks and error_on_no_tool_call:
        raise ValueError("Expected at least one tool call, but got 0 tool calls.")
    return [
        ToolSelection(
            tool_id=b.tool_call_id or "", tool_name=b.tool_name, tool_kwargs=parsed_arguments(b.tool_kwargs) or {}
        )
        for b in blocks
    ]
