"""A query engine that does not pass on what its sources do not say: LlamaIndex's own evaluator judges the drafts.

    python examples/llamaindex_faithful_answers.py      # three OpenAI models, OPENAI_API_KEY from the environment
    OPENAI_BASE_URL=http://localhost:11434/v1 EMAFUSION_CHEAP=... EMAFUSION_DEAR=... EMAFUSION_JUDGE=... python ...

Needs `pip install emafusion[llamaindex] llama-index-llms-openai-like`.
"""

from __future__ import annotations

import os

from llama_index.core import Document, Settings, SummaryIndex
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.llms.openai_like import OpenAILike

from emafusion import Candidate, Objective, Price
from llamaindex_emafusion import EMAFusion, EvaluatorJudge

CHEAP = os.environ.get("EMAFUSION_CHEAP", "gpt-4o-mini")
DEAR = os.environ.get("EMAFUSION_DEAR", "gpt-4o")
JUDGE = os.environ.get("EMAFUSION_JUDGE", "gpt-4.1-mini")

SOURCE = "Verona lies on the Adige. The Adige rises near the Reschen Pass and is 410 km long."


def model(name: str) -> OpenAILike:
    return OpenAILike(
        model=name,
        api_base=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        is_chat_model=True,
        context_window=16_000,
    )


def main() -> None:
    Settings.node_parser = TokenTextSplitter(chunk_size=400, chunk_overlap=40)
    faithful = EvaluatorJudge(
        FaithfulnessEvaluator(llm=model(JUDGE)),
        price=Price(input=0.4, output=1.6),
        weight=3.0,  # what the sources do not say weighs as much as a test that fails
    )
    llm = EMAFusion(
        candidates=[
            Candidate(model(CHEAP), price=Price(input=0.15, output=0.6)),
            Candidate(model(DEAR), price=Price(input=2.5, output=10.0)),
        ],
        objective=Objective(usd_value=0.02),
        judges=[faithful],
    )
    index = SummaryIndex.from_documents([Document(text=SOURCE)])
    print(index.as_query_engine(llm=llm).query("Which river runs through Verona, and where does it rise?"))

    decision = llm.last_decision
    assert decision is not None
    for verdict in decision.verdicts:
        if verdict.judge == faithful.name:
            print(f"{verdict.candidate} was judged {verdict.score} for {verdict.cost_usd:.6f} USD: {verdict.reason}")
    print(f"answered by {decision.answered_by} for {decision.cost_usd:.6f} USD, judges included")


if __name__ == "__main__":
    main()
