"""A LlamaIndex agent whose LLM is EMAFusion: tool loops stay with one candidate, and every step says what it cost.

    python examples/llamaindex_agent.py                 # two OpenAI models, OPENAI_API_KEY from the environment
    OPENAI_BASE_URL=http://localhost:11434/v1 EMAFUSION_CHEAP=qwen3:1.7b EMAFUSION_DEAR=qwen3:8b python examples/...

Needs `pip install emafusion[llamaindex] llama-index-llms-openai-like`.
"""

from __future__ import annotations

import asyncio
import os

from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.base import BaseEvent
from llama_index.llms.openai_like import OpenAILike

from emafusion import Candidate, Objective, Price
from llamaindex_emafusion import EMAFusion, EMAFusionDecisionEvent

CHEAP = os.environ.get("EMAFUSION_CHEAP", "gpt-4o-mini")
DEAR = os.environ.get("EMAFUSION_DEAR", "gpt-4o")


def model(name: str) -> OpenAILike:
    return OpenAILike(
        model=name,
        api_base=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=16_000,
        additional_kwargs={"stream_options": {"include_usage": True}},
    )


class DecisionPrinter(BaseEventHandler):
    """Prints every decision as it is made; any observability tool sees the same events."""

    @classmethod
    def class_name(cls) -> str:
        return "DecisionPrinter"

    def handle(self, event: BaseEvent, **kwargs: object) -> None:
        if isinstance(event, EMAFusionDecisionEvent):
            print(f"\n[{event.answered_by}, {event.cost_usd:.6f} USD: {event.reason}]")


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two integers."""
    return a * b


async def main() -> None:
    llm = EMAFusion(
        candidates=[
            Candidate(model(CHEAP), price=Price(input=0.15, output=0.6)),
            Candidate(model(DEAR), price=Price(input=2.5, output=10.0)),
        ],
        objective=Objective(usd_per_query=0.001),
    )
    printer = DecisionPrinter()
    get_dispatcher().add_event_handler(printer)
    agent = FunctionAgent(tools=[add, multiply], llm=llm, system_prompt="Use the tools; never reckon yourself.")
    running = agent.run("Use add and multiply on 12 and 13, and tell me both results.")
    async for event in running.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"{event.tool_name}({event.tool_kwargs}) = {event.tool_output}")
        elif isinstance(event, AgentStream):
            print(event.delta, end="", flush=True)
    print(f"\nanswer: {await running}")
    get_dispatcher().event_handlers.remove(printer)


if __name__ == "__main__":
    asyncio.run(main())
