"""LinUCB on principal components of the embedding (ParetoBandit, arXiv 2604.00136): it learns from what it chose.

A bandit is told the score and the cost of the one candidate that it asked, never those of others. It goes through the
training part in a seeded order, and then through the test part in its order, learning on. Older observations of a
candidate are forgotten by a factor for every query since, so its upper bound rises while it is not asked, to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emafusion.evaluation.baselines.answer_scores import principal_directions
from emafusion.evaluation.baselines.fold import Fold, Part, chosen
from emafusion.evaluation.metrics import area_under_frontier
from emafusion.evaluation.points import Array, IntArray, Points

__all__ = ["linear_bandit"]

DIRECTIONS = 25
FORGETTING = 0.997
STALEST = 20.0
"""Most that forgetting may widen an upper bound's variance."""
SETTINGS = [(exploration, penalty) for exploration in (0.01, 0.05) for penalty in (1.0, 10.0)]
"""Weight of the upper bound's width, and L2 penalty."""


def linear_bandit(fold: Fold) -> Points:
    """One bandit for each value of a good answer: most expected quality, plus its bound, less cost over value.

    How much it explores, and the penalty, are chosen by the area under the frontier over log cost that its choices
    have on the second half of the training part.
    """
    directions = principal_directions(fold.train.vectors, DIRECTIONS)
    middle = fold.train.vectors.mean(0)
    spread = np.maximum(((fold.train.vectors - middle) @ directions).std(0), 1e-9)

    def features(part: Part) -> Array:
        whitened = np.clip((part.vectors - middle) @ directions / spread, -5.0, 5.0)
        return np.column_stack([whitened, np.ones(len(part))])

    train = fold.train.take(np.nonzero(fold.train.available.any(1))[0])
    train = train.take(np.random.default_rng(fold.seed).permutation(len(train)))
    cost = train.means()[1][np.isfinite(train.means()[1])]
    late = np.arange(len(train)) >= len(train) // 2
    best: tuple[float, _Bandit] | None = None
    for exploration, penalty in SETTINGS:
        bandit = _Bandit.start(fold.values, train, exploration, penalty)
        points = chosen(train, bandit.serve(train, features(train)))
        area = area_under_frontier(
            points.cost[:, late].mean(1), points.score[:, late].mean(1), cost.min(), cost.max(), log=True
        )
        if best is None or area > best[0]:
            best = area, bandit
    assert best is not None
    return chosen(fold.test, best[1].serve(fold.test, features(fold.test)))


@dataclass
class _Bandit:
    """k bandits over m candidates in lockstep, one for each value (k,).

    Attributes
    ----------
    inverse : (k, m, d, d)
        Of each candidate's second moments, as of its last observation.
    reward : (k, m, d)
    spent, seen : (k, m)
        Discounted sums of cost and of observations.
    age : (k, m)
        Queries since the last observation.
    """

    values: Array
    exploration: float
    inverse: Array
    reward: Array
    spent: Array
    seen: Array
    age: Array

    @classmethod
    def start(cls, values: Array, train: Part, exploration: float, penalty: float) -> _Bandit:
        k, m, d = len(values), train.score.shape[1], min(DIRECTIONS, train.vectors.shape[1]) + 1
        blank = np.zeros((k, m))
        inverse = np.broadcast_to(np.eye(d) / penalty, (k, m, d, d)).copy()
        return cls(values, exploration, inverse, np.zeros((k, m, d)), blank, blank.copy(), blank.copy())

    def serve(self, part: Part, features: Array) -> IntArray:
        """(k, n) choices over a part, learning from each."""
        score, cost, available = part.score, part.cost, part.available
        out = np.zeros((len(self.values), len(part)), dtype=np.int64)
        for i, x in enumerate(features):
            out[:, i] = self._choice(x, available[i])
            self._learn(x, out[:, i], score[i, out[:, i]], cost[i, out[:, i]])
        return out

    def _choice(self, x: Array, available: NDArray[np.bool_]) -> IntArray:
        toward = self.inverse @ x
        mean = np.einsum("kmd,kmd->km", self.reward, toward)
        variance = (toward @ x) / np.maximum(FORGETTING**self.age, 1.0 / STALEST)
        usual = self.spent / np.maximum(self.seen, 1e-12)
        utility = mean + self.exploration * np.sqrt(np.maximum(variance, 0.0)) - usual / self.values[:, None]
        return np.asarray(np.where(available, utility, -np.inf).argmax(1))

    def _learn(self, x: Array, asked: IntArray, score: Array, cost: Array) -> None:
        at = np.arange(len(asked)), asked
        self.age += 1.0
        kept = FORGETTING ** self.age[at]
        old = self.inverse[at] / kept[:, None, None]
        toward = old @ x
        # Sherman and Morrison: the inverse after one more observation.
        self.inverse[at] = old - toward[:, :, None] * toward[:, None, :] / (1.0 + toward @ x)[:, None, None]
        self.reward[at] = kept[:, None] * self.reward[at] + score[:, None] * x
        self.spent[at] = kept * self.spent[at] + cost
        self.seen[at] = kept * self.seen[at] + 1.0
        self.age[at] = 0.0
