"""A chain whose cheap model gets worse halfway: what came of its answers is noticed, and the dear one is asked.

    python examples/self_optimising.py [emafusion.sqlite]

No network and no key: both models are played by a few lines of this file. Everything else is what serves in earnest.
"""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate

from emafusion import Candidate, Learning, Objective, Price
from emafusion.cli import app
from emafusion.store import Store
from langchain_emafusion import ChatEMAFusion, FeedbackCallback

TOWNS = {"Verona": "Adige", "Vienna": "Danube", "Paris": "Seine", "Rome": "Tiber", "London": "Thames"}
PROMPT = ChatPromptTemplate.from_template("Which river runs through {town}? Answer as JSON with the key 'river'.")
REQUESTS, BLOCK = 240, 40


class Played(SimpleChatModel):
    """Answers rightly with probability ``skill``; of what it gets wrong, half is not even JSON."""

    skill: float
    chance: Any = None

    @property
    def _llm_type(self) -> str:
        return "played"

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        river = next(river for town, river in TOWNS.items() if town in messages[-1].text)
        if self.chance.random() < self.skill:
            return json.dumps({"river": river})
        return json.dumps({"river": "Styx"}) if self.chance.random() < 0.5 else "It is a river, certainly."


def serve(path: Path) -> list[float]:
    """Ask, tell, and return how often the cheap model answered, block by block."""
    chance = random.Random(7)
    cheap, dear = Played(skill=0.95, chance=chance), Played(skill=0.97, chance=chance)
    with Store(path) as store:
        llm = ChatEMAFusion(
            [
                Candidate(cheap, name="cheap", price=Price(input=0.1, output=0.4)),
                Candidate(dear, name="dear", price=Price(input=5.0, output=15.0)),
            ],
            objective=Objective(usd_value=0.01),  # what a good answer is worth
            judges=[],  # no third model: what is known comes from the chain and from users
            store=store,
            learning=Learning(seed=7),
        )
        told = FeedbackCallback(llm)
        chain = PROMPT | llm | JsonOutputParser()
        shares = []
        for block in range(REQUESTS // BLOCK):
            if block == REQUESTS // BLOCK // 2:
                cheap.skill = 0.2  # a provider changed something
            first = 0
            for _ in range(BLOCK):
                town, run = chance.choice(list(TOWNS)), uuid4()
                try:
                    said = chain.invoke({"town": town}, {"callbacks": [told], "run_id": run})
                except OutputParserException:
                    said = None  # the callback has seen it
                if said is not None and chance.random() < 0.5:  # every other user says what he thinks
                    told.create_feedback(run, "user_score", score=said == {"river": TOWNS[town]})
                assert llm.fusion.last is not None
                first += llm.fusion.last.answered_by == "cheap"
            shares.append(first / BLOCK)
            print(f"requests {block * BLOCK + 1:3} to {(block + 1) * BLOCK:3}: cheap answered {shares[-1]:4.0%}")
        assert llm.fusion.learning is not None
        for alarm in llm.fusion.learning.alarms:
            print("noticed:", alarm)
    return shares


def main(path: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = path or Path(folder) / "emafusion.sqlite"
        shares = serve(path)
        assert min(shares[: len(shares) // 2]) > 0.6
        assert shares[-1] < 0.5
        print(f"\n$ emafusion status {path.name}")
        app(["status", str(path)], standalone_mode=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
