"""A policy that follows a script, so that a test can force the path: direct, cascade, judged, failing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from emafusion.judges.panel import Belief
from emafusion.policies.base import Terms
from emafusion.policies.moves import Ask, Move, Try
from langchain_emafusion import ChatEMAFusion

__all__ = ["ScriptedPolicy", "scripted"]


def scripted(llm: ChatEMAFusion, *moves: Move) -> ChatEMAFusion:
    """Have ``llm`` make these moves for every request."""
    llm.fusion.engine = replace(llm.fusion.engine, policy=ScriptedPolicy(moves))
    return llm


@dataclass(frozen=True)
class ScriptedPolicy:
    """The first move that has not been made yet; after the last, each candidate that is left."""

    moves: tuple[Move, ...]

    def next_move(self, belief: Belief, terms: Terms) -> Move:
        for move in self.moves:
            if isinstance(move, Try):
                left = tuple(n for n in move.candidates if belief.open[belief.index(n)])
                if left:
                    return replace(move, candidates=left)
            elif isinstance(move, Ask):
                judges = tuple(j for j in move.judges if (j, move.candidate) not in belief.asked)
                if judges and move.candidate in belief.replies:
                    return replace(move, judges=judges)
            elif move.candidate in belief.replies:
                return move
        return Try((next(n for n in belief.names if belief.open[belief.index(n)]),), commit=True)
