"""A small POMDP: a hidden state that stays, stages that only go forward, and actions that cost money and may show
something. Solved exactly by value iteration over alpha vectors, or at the beliefs that can be reached.

Every vector keeps quality and cost apart, because the worth of a plan, value * quality - cost, is linear in the value
of a good answer: one table of plans, found at several values, is looked up at any value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Action", "Plans", "Process", "reachable", "solve_at_points", "solve_exactly"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

POINTS = 32
MOST_POINTS = 256


@dataclass(frozen=True)
class Action:
    """What can be done at a stage.

    Attributes
    ----------
    quality, cost : (s,)
        Expected in each state, at once: quality of the answer (0 while the process goes on) and USD.
    likelihood : (z, s), optional
        Probability of each observation in each state; columns sum to one. None: nothing is seen.
    then : int, optional
        The stage that follows, later than this one; None ends the process.
    """

    quality: Array
    cost: Array
    likelihood: Array | None = None
    then: int | None = None

    def __post_init__(self) -> None:
        if self.likelihood is not None:
            if self.then is None:
                raise ValueError("an action that ends the process shows nothing: give `then` too, or no likelihood")
            if np.abs(self.likelihood.sum(0) - 1.0).max() > 1e-6 or (self.likelihood < 0.0).any():
                raise ValueError("the likelihood of the observations must sum to one in every state")

    def branches(self) -> Array:
        """(z, s) likelihoods; one sure observation where nothing is seen."""
        return np.ones((1, len(self.quality))) if self.likelihood is None else self.likelihood


@dataclass(frozen=True)
class Process:
    """The actions of each stage; the process begins at stage 0.

    Raises
    ------
    ValueError
        If a stage has no action, or an action leads backwards.
    """

    stages: tuple[tuple[Action, ...], ...]

    def __post_init__(self) -> None:
        for number, actions in enumerate(self.stages):
            if not actions:
                raise ValueError(f"stage {number} has no action")
            if any(a.then is not None and not number < a.then < len(self.stages) for a in actions):
                raise ValueError(f"an action of stage {number} must lead to a later stage, below {len(self.stages)}")

    @property
    def states(self) -> int:
        return len(self.stages[0][0].quality)


@dataclass(frozen=True)
class Plans:
    """The solution: for each stage, plans as (action to begin with, expected quality and USD in each state).

    Attributes
    ----------
    action : for each stage an int (k,)
    quality, cost : for each stage a (k, s)
    """

    action: tuple[IntArray, ...]
    quality: tuple[Array, ...]
    cost: tuple[Array, ...]

    def choose(self, stage: int, beliefs: Array, value: Array | float) -> tuple[IntArray, Array]:
        """Best first action (n,) and its worth in USD (n,) at beliefs (n, s), for the value of a good answer."""
        worth = np.asarray(value).reshape(-1, 1) * (beliefs @ self.quality[stage].T) - beliefs @ self.cost[stage].T
        best = worth.argmax(1)
        return self.action[stage][best], worth[np.arange(len(best)), best]

    def joined(self, other: Plans) -> Plans:
        """The plans of both, each once."""
        return Plans(
            tuple(np.concatenate(pair) for pair in zip(self.action, other.action)),
            tuple(np.vstack(pair) for pair in zip(self.quality, other.quality)),
            tuple(np.vstack(pair) for pair in zip(self.cost, other.cost)),
        ).distinct()

    def distinct(self) -> Plans:
        """Each plan once."""
        kept = [
            np.unique(np.round(np.column_stack([a, q, c]), 12), axis=0, return_index=True)[1]
            for a, q, c in zip(self.action, self.quality, self.cost)
        ]
        return Plans(
            tuple(a[k] for a, k in zip(self.action, kept)),
            tuple(q[k] for q, k in zip(self.quality, kept)),
            tuple(c[k] for c, k in zip(self.cost, kept)),
        )

    def to_config(self) -> dict[str, Any]:
        return {
            "action": [a.tolist() for a in self.action],
            "quality": [np.round(q, 9).tolist() for q in self.quality],
            "cost": [c.tolist() for c in self.cost],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Plans:
        return cls(
            tuple(np.array(a, dtype=np.int64) for a in config["action"]),
            tuple(np.array(q, dtype=np.float64) for q in config["quality"]),
            tuple(np.array(c, dtype=np.float64) for c in config["cost"]),
        )


_Set = tuple[Array, Array]
"""Quality and cost of k plans, each (k, s)."""


def solve_exactly(process: Process, value: float, *, tolerance: float = 1e-9) -> Plans:
    """Value iteration over alpha vectors: the best plan at every belief, for one value of a good answer.

    Incremental pruning (Cassandra, Littman and Zhang, UAI 1997) with a linear programme for each vector. Exponential
    at worst, so for few states and stages. Needs scipy.

    Parameters
    ----------
    tolerance
        A plan that is better than the others by no more than this anywhere, in good answers, is dropped.
    """
    solved: dict[int, _Set] = {}
    chosen: dict[int, IntArray] = {}
    for stage in reversed(range(len(process.stages))):
        sets, numbers = [], []
        for number, action in enumerate(process.stages[stage]):
            plans = _begun_with(action, solved, value, tolerance)
            sets.append(plans)
            numbers.append(np.full(len(plans[0]), number))
        quality, cost = np.vstack([q for q, _ in sets]), np.vstack([c for _, c in sets])
        kept = _useful(quality - cost / value, tolerance)
        solved[stage] = quality[kept], cost[kept]
        chosen[stage] = np.concatenate(numbers)[kept]
    stages = range(len(process.stages))
    return Plans(
        tuple(chosen[i] for i in stages), tuple(solved[i][0] for i in stages), tuple(solved[i][1] for i in stages)
    )


def _begun_with(action: Action, solved: Mapping[int, _Set], value: float, tolerance: float) -> _Set:
    """All useful plans that begin with an action."""
    quality, cost = action.quality[None], action.cost[None]
    if action.then is None:
        return quality, cost
    later_quality, later_cost = solved[action.then]
    for likelihood in action.branches():
        q = (quality[:, None] + later_quality * likelihood).reshape(-1, quality.shape[1])
        c = (cost[:, None] + later_cost * likelihood).reshape(-1, quality.shape[1])
        kept = _useful(q - c / value, tolerance)
        quality, cost = q[kept], c[kept]
    return quality, cost


def _useful(vectors: Array, tolerance: float) -> IntArray:
    """Vectors that are best at some belief, by more than the tolerance (Lark's algorithm)."""
    todo = _undominated(vectors)
    kept: list[int] = []
    while todo:
        belief = _witness(vectors[todo[0]], vectors[kept], tolerance)
        if belief is None:
            todo.pop(0)
            continue
        best = max(todo, key=lambda i: float(vectors[i] @ belief))
        kept.append(best)
        todo.remove(best)
    return np.array(kept, dtype=np.int64)


def _undominated(vectors: Array) -> list[int]:
    """Vectors that no other one equals or exceeds in every state; of equal ones the first."""
    kept: list[int] = []
    for i in np.argsort(-vectors.sum(1), kind="stable"):
        if not any((vectors[k] >= vectors[i] - 1e-15).all() for k in kept):
            kept.append(int(i))
    return kept


def _witness(vector: Array, others: Array, tolerance: float) -> Array | None:
    """A belief at which a vector beats the others by more than the tolerance; None where there is none."""
    s = len(vector)
    if not len(others):
        return np.full(s, 1.0 / s)
    from scipy.optimize import linprog

    # Maximise the margin d over beliefs b, with b . (vector - other) >= d for every other.
    found = linprog(
        np.append(np.zeros(s), -1.0),
        A_ub=np.column_stack([others - vector, np.ones(len(others))]),
        b_ub=np.zeros(len(others)),
        A_eq=np.append(np.ones(s), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, 1.0)] * s + [(None, None)],
        method="highs",
    )
    return np.asarray(found.x[:s]) if found.success and -found.fun > tolerance else None


def reachable(process: Process, prior: Array, most: int, seed: int = 0) -> tuple[list[Array], bool]:
    """Beliefs (k, s) that each stage may be met with, the likeliest by chance where there are more than ``most``.

    Returns them, and whether they are all.
    """
    met: list[list[Array]] = [[] for _ in process.stages]
    met[0] = [prior[None]]
    out: list[Array] = []
    whole, rng = True, np.random.default_rng(seed)
    for stage, actions in enumerate(process.stages):
        joint = np.vstack(met[stage]) if met[stage] else np.zeros((0, len(prior)))
        joint = joint[joint.sum(1) > 1e-12]
        weight = joint.sum(1)
        beliefs, first = np.unique(np.round(joint / weight[:, None], 10), axis=0, return_index=True)
        weight = weight[first]
        if len(beliefs) > most:
            whole = False
            taken = rng.choice(len(beliefs), most, replace=False, p=weight / weight.sum())
            beliefs, weight = beliefs[taken], weight[taken]
        out.append(beliefs)
        for action in actions:
            if action.then is not None and len(beliefs):
                after = (weight[:, None] * beliefs)[:, None] * action.branches()
                met[action.then].append(after.reshape(-1, len(prior)))
    return out, whole


def solve_at_points(
    process: Process,
    values: Sequence[float],
    prior: Array,
    *,
    tolerance: float = 1e-4,
    points: int = POINTS,
    most: int = MOST_POINTS,
    seed: int = 0,
) -> Plans:
    """Point-based value iteration (Pineau, Gordon and Thrun, IJCAI 2003) over the beliefs that ``prior`` leads to.

    Exact from that prior where all of them are taken. Otherwise their number doubles until the worth at the prior
    grows by no more than ``tolerance`` good answers at any value, or until there are ``most`` a stage. The plans of all
    values come in one table.
    """
    before: Array | None = None
    while True:
        beliefs, whole = reachable(process, prior, points, seed)
        found = [_backed_up(process, beliefs, value) for value in values]
        plans = found[0]
        for other in found[1:]:
            plans = plans.joined(other)
        worth = np.array([float(plans.choose(0, prior[None], value)[1][0]) / value for value in values])
        settled = before is not None and float((worth - before).max()) <= tolerance
        if whole or settled or points >= most:
            return plans
        before, points = worth, min(2 * points, most)


def _backed_up(process: Process, beliefs: Sequence[Array], value: float) -> Plans:
    """One plan for each belief point of each stage, from the last stage to the first."""
    stages = len(process.stages)
    action, quality, cost = (
        [np.zeros(0)] * stages,
        [np.zeros((0, process.states))] * stages,
        [np.zeros((0, process.states))] * stages,
    )
    for stage in reversed(range(stages)):
        # A stage that cannot be reached keeps a plan, for whoever gets there with another prior.
        at = beliefs[stage] if len(beliefs[stage]) else np.full((1, process.states), 1.0 / process.states)
        begun = list(_best_begun(process, stage, at, quality, cost, value))
        worth = np.stack([((q - c / value) * at).sum(1) for q, c in begun])
        best = worth.argmax(0)
        rows = np.arange(len(at))
        action[stage] = best
        quality[stage] = np.stack([q for q, _ in begun])[best, rows]
        cost[stage] = np.stack([c for _, c in begun])[best, rows]
    return Plans(tuple(a.astype(np.int64) for a in action), tuple(quality), tuple(cost)).distinct()


def _best_begun(
    process: Process, stage: int, at: Array, quality: Sequence[Array], cost: Sequence[Array], value: float
) -> Iterator[_Set]:
    """For each action the best plan (k, s) that begins with it, at each of k beliefs."""
    for action in process.stages[stage]:
        shape = at.shape
        if action.then is None:
            yield np.broadcast_to(action.quality, shape), np.broadcast_to(action.cost, shape)
            continue
        q, c = quality[action.then], cost[action.then]
        branches = action.branches()
        # (k, z, plans): worth of going on with each plan, once each observation is made.
        pick = np.einsum("ks,zs,ps->kzp", at, branches, q - c / value, optimize=True).argmax(2)
        yield (
            action.quality + (branches * q[pick]).sum(1),
            action.cost + (branches * c[pick]).sum(1),
        )
