"""A LlamaIndex query engine whose LLM is EMAFusion: one line changes, the engine does not.

    python examples/llamaindex_query_engine.py          # two OpenAI models, OPENAI_API_KEY from the environment
    OPENAI_BASE_URL=http://localhost:11434/v1 EMAFUSION_CHEAP=qwen3:1.7b EMAFUSION_DEAR=qwen3:8b python examples/...

Needs `pip install emafusion[llamaindex] llama-index-llms-openai-like`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.llms.openai_like import OpenAILike

import emafusion
from emafusion import Candidate, Objective, Price
from emafusion.encoders import default_encoder
from llamaindex_emafusion import EMAFusion

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
        additional_kwargs={"stream_options": {"include_usage": True}},  # so that streams report what they cost
    )


class ShippedEncoder(BaseEmbedding):
    """The encoder that comes with EMAFusion, as an embedding: retrieval with no download and no key."""

    def _get_text_embedding(self, text: str) -> list[float]:
        vector: list[float] = default_encoder().encode([text])[0].tolist()
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def main() -> None:
    Settings.embed_model = ShippedEncoder()
    Settings.node_parser = TokenTextSplitter(chunk_size=256, chunk_overlap=32)

    # Before: Settings.llm = model(DEAR)
    Settings.llm = llm = EMAFusion(
        candidates=[
            Candidate(model(CHEAP), price=Price(input=0.15, output=0.6)),
            Candidate(model(DEAR), price=Price(input=2.5, output=10.0)),
        ],
        objective=Objective(quality_floor=0.97),
    )

    package = Path(emafusion.__file__).parent
    names = ("errors.py", "config.py", "asked.py", "types.py")
    documents = [Document(text=(package / n).read_text("utf-8"), metadata={"file": n}) for n in names]
    index = VectorStoreIndex.from_documents(documents)

    question = "Which error is raised when every candidate failed, and where are the single errors kept?"
    print(llm.explain(question), end="\n\n")

    answer = index.as_query_engine(similarity_top_k=4).query(question)
    print(answer, end="\n\n")

    streamed: Any = index.as_query_engine(response_mode="tree_summarize", streaming=True).query("What is an Objective?")
    for token in streamed.response_gen:
        print(token, end="", flush=True)

    decision = llm.last_decision
    assert decision is not None
    print(f"\n\nanswered by {decision.answered_by} for {decision.cost_usd:.6f} USD; {decision.reason}")
    llm.feedback(decision.id, 1.0)  # say how good it was, and the next choice is better


if __name__ == "__main__":
    main()
