"""Cascade routing with judges: try, ask, accept or abstain, by exact lookahead.

Direct routing (one candidate, accepted unseen) and the plain cascade are special cases that the lookahead finds when
they are best.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, Evidence, IntArray
from emafusion.estimators.shared_difficulty import sigmoid
from emafusion.judges.panel import Belief, Panel
from emafusion.policies.base import Terms
from emafusion.policies.moves import Abstain, Accept, Ask, Move, Try, ending
from emafusion.policies.planning import DEPTH, STOP, WIDTH, Plan, plan, worth
from emafusion.policies.problem import Problem

__all__ = ["CascadeRouting"]

VALUES = np.geomspace(0.01, 10.0, 16)
"""Where a floor's value is sought, in multiples of :attr:`Terms.value`."""


LEAST_GAIN = 1e-12
"""USD by which a judge must improve what would be done without it."""
SELDOM_SETTLED = 0.05
"""Share of a good answer's value; where a call costs less, hardly any answer is sure enough to do without a plan."""
JUDGED = 3
"""Candidates whose judged answer is considered before anything has run."""


def _answered(problem: Problem, author: IntArray, strengths: Array) -> Problem:
    """The problem of one row as it will be once each ``author`` has answered and its judge has said yes (first half of
    the rows) or no."""
    n, now = 2 * len(author), problem.evidence
    rows, both = np.arange(n), np.concatenate([author, author])

    def repeated(row: NDArray[Any], then: Any = None) -> NDArray[Any]:
        out = np.empty((n, *row.shape[1:]), dtype=row.dtype)
        out[:] = row
        if then is not None:
            out[rows, both] = then
        return out

    return Problem(
        Evidence(
            right=repeated(now.right),
            log_nodes=now.log_nodes,
            ran=repeated(now.ran, True),
            label=repeated(now.label, 0),
            llr=repeated(now.llr, np.concatenate([strengths, -strengths])),
            eps=repeated(now.eps),
            rho=repeated(now.rho),
        ),
        forecast=repeated(problem.forecast),
        cost=repeated(problem.cost),
        open=repeated(problem.open, False),
        usable=repeated(problem.usable, True),
        value=repeated(problem.value),
        silent=None if problem.silent is None else repeated(problem.silent),
    )


class CascadeRouting:
    """The default policy.

    Parameters
    ----------
    panel
        Whose judges may be asked.
    width, depth
        Of the lookahead, see :func:`emafusion.policies.planning.plan`.
    abstain_below
        Confidence under which the final answer is marked as not to be trusted; 0 never abstains.
    """

    def __init__(self, panel: Panel, *, width: int = WIDTH, depth: int = DEPTH, abstain_below: float = 0.0) -> None:
        self.panel, self.width, self.depth, self.abstain_below = panel, width, depth, abstain_below

    def next_move(self, belief: Belief, terms: Terms) -> Move:
        if terms.floor is not None:
            terms = self._for_floor(belief, terms)
        problem = self.problem(belief, terms)
        settled = self._settled(belief, problem)
        if settled is not None:
            return self._accept(belief, belief.confidences(), settled)
        solved = plan(problem, belief.model.calibration, width=self.width, depth=self.depth)
        belief.confidence_ = solved.confidence[0]
        action, best = int(solved.action[0]), int(solved.answer[0])
        if best >= 0:
            ask = self._worthwhile_judge(belief, terms, problem, solved, best)
            if ask is not None:
                return ask
        elif self.panel.judges and not belief.ran.any():
            judged = self._judged_draft(belief, terms, problem, solved)
            if judged is not None:
                return judged
        commit = bool(solved.commit[0])
        if action == STOP and best < 0:
            action = self._least_loss(problem, solved)
            commit = self._is_last(problem, action)
        if action != STOP:
            return self._try(belief, solved, action, commit)
        return self._accept(belief, solved.confidence[0], best)

    def _settled(self, belief: Belief, problem: Problem) -> int | None:
        """The answer that is accepted whatever a plan would say: certainty itself is not worth the next call's cost."""
        value, usable, open_ = float(problem.value[0]), problem.usable[0], problem.open[0]
        cheapest = float(problem.cost[0][open_].min()) if open_.any() else np.inf
        if not usable.any() or cheapest < SELDOM_SETTLED * value:
            return None
        confidence = belief.confidences()
        best = int(np.where(usable, confidence, -1.0).argmax())
        room = value * (1.0 - float(confidence[best]))
        if cheapest < room or any(cost < room for _, _, cost in self.panel.available(belief, belief.names[best])):
            return None
        return best

    def _for_floor(self, belief: Belief, terms: Terms) -> Terms:
        """The least value of a good answer at which the plan for this query is expected to keep the floor.

        Worth as a function of value is the convex conjugate of the cost-quality frontier, so its slope is the expected
        quality (envelope theorem). Found once a request, before anything ran, and kept.
        """
        if belief.value is None:
            values = terms.value * VALUES
            llr = np.zeros((len(values), len(belief.names)))
            problem = replace(self.problem(belief, terms, llr), value=values)
            found = worth(problem, belief.model.calibration, width=self.width, depth=self.depth)
            quality = np.append(np.diff(found) / np.diff(values), 1.0)
            wanted = (terms.floor or 0.0) * float(
                belief.confidences()[belief.index(terms.reference or belief.names[0])]
            )
            belief.value = float(values[int((quality >= wanted).argmax())])
        return replace(terms, value=belief.value, floor=None)

    def problem(self, belief: Belief, terms: Terms, llr: Array | None = None) -> Problem:
        """The belief as a planning problem of one row, or of as many as ``llr`` has."""
        evidence = belief.evidence()
        n = 1 if llr is None else len(llr)
        if llr is not None:
            evidence = replace(evidence.take(np.zeros(n, dtype=np.int64)), llr=llr)
        open_ = terms.admits(belief)
        # When every answer so far is unusable the best of them still beats none at all once nothing is left to try.
        usable = belief.usable if belief.usable.any() or open_.any() else belief.ran

        def rows(row: NDArray[Any]) -> NDArray[Any]:
            return row[None] if n == 1 else np.repeat(row[None], n, 0)

        return Problem(
            evidence=evidence,
            forecast=rows(belief.p),
            cost=rows(belief.cost),
            open=rows(open_),
            usable=rows(usable),
            value=np.full(n, terms.value),
            silent=np.full(n, True) if belief.unseen.any() else None,
        )

    def _worthwhile_judge(self, belief: Belief, terms: Terms, problem: Problem, solved: Plan, best: int) -> Ask | None:
        """The judge with the highest expected gain over what would be done without it, if any gains."""
        author = belief.names[best]
        found: tuple[float, Ask] | None = None
        p = float(solved.confidence[0, best])
        for judge, _, cost in self.panel.available(belief, author):
            # The first could not make an answer more than good.
            if terms.value - cost - solved.worth[0] <= LEAST_GAIN or cost > terms.allowance:
                continue
            strength = self.panel.strength(belief, judge, author)
            llr = np.repeat(problem.evidence.llr, 2, 0)
            llr[0, best] += strength
            llr[1, best] -= strength
            after = self.problem(belief, terms, llr)
            yes, no = worth(after, belief.model.calibration, width=self.width, depth=self.depth).tolist()
            hit = float(sigmoid(np.array(strength)))
            p_yes = p * hit + (1 - p) * (1 - hit)
            gain = p_yes * yes + (1 - p_yes) * no - cost - solved.worth[0]
            if gain > LEAST_GAIN and (found is None or gain > found[0]):
                reason = f"a verdict of judge {judge!r} is worth {gain:.2g} USD more than it costs"
                found = float(gain), Ask((judge,), author, reason)
        return found[1] if found else None

    def _judged_draft(self, belief: Belief, terms: Terms, problem: Problem, solved: Plan) -> Try | None:
        """The candidate worth trying because a judge will look at its answer, if that beats the plan without judges.

        The lattice knows candidates alone, so a draft and its verdict are foreseen here, one step deep.
        """
        open_, value, least = problem.open[0], float(problem.value[0]), float(solved.worth[0]) + LEAST_GAIN
        utility = np.where(open_, value * solved.confidence[0] - problem.cost[0], -np.inf)
        firsts = [j for j in np.argsort(-utility)[:JUDGED].tolist() if open_[j]]
        options = [
            (j, judge, cost)
            for j in firsts
            # However sure the judge will be, an answer is worth no more than a good one.
            if value - float(problem.cost[0, j]) > least
            for judge, _, cost in self.panel.available(belief, belief.names[j])
            if value - float(problem.cost[0, j]) - cost > least and cost <= terms.allowance
        ]
        if not options:
            return None
        strengths = np.array([self.panel.strength(belief, judge, belief.names[j]) for j, judge, _ in options])
        author = np.array([j for j, _, _ in options])
        judged = worth(_answered(problem, author, strengths), belief.model.calibration, width=self.width, depth=1)
        yes, no = judged[: len(options)], judged[len(options) :]
        p, hit = solved.confidence[0, author], sigmoid(strengths)
        p_yes = p * hit + (1 - p) * (1 - hit)
        spent = problem.cost[0, author] + np.array([cost for _, _, cost in options])
        total = p_yes * yes + (1 - p_yes) * no - spent
        best = int(total.argmax())
        if total[best] <= least:
            return None
        j, judge, _ = options[best]
        reason = (
            f"{belief.names[j]} is right with probability {p[best]:.2f}, and judge {judge!r} is to look at its answer"
        )
        return Try((belief.names[j],), reason=reason)

    @staticmethod
    def _least_loss(problem: Problem, solved: Plan) -> int:
        """Something must answer, though nothing is worth its cost: the candidate that loses the least."""
        utility = problem.value[0] * solved.confidence[0] - problem.cost[0]
        return int(np.where(problem.open[0], utility, -np.inf).argmax())

    @staticmethod
    def _is_last(problem: Problem, action: int) -> bool:
        """Whether a usable answer of ``action`` ends the request: another costs more than a good answer is worth."""
        others = problem.open[0].copy()
        others[action] = False
        return bool((problem.cost[0][others] >= problem.value[0]).all())

    def _try(self, belief: Belief, solved: Plan, action: int, commit: bool) -> Try:
        name = belief.names[action]
        expected = float(solved.confidence[0, action])
        if not belief.ran.any():
            reason = f"{name} is expected to be right with probability {expected:.2f} at {belief.cost[action]:.2g} USD"
            if commit:
                reason += "; nothing it could answer would make a second call worthwhile"
        else:
            best = int(solved.answer[0])
            have = f"{belief.names[best]} at {solved.confidence[0, best]:.2f}" if best >= 0 else "nothing usable"
            reason = f"the best so far is {have}; {name} is worth its {belief.cost[action]:.2g} USD"
        others = tuple(n for n, also in zip(belief.names, solved.together[0]) if also and n != name)
        if others:
            reason += f"; {' and '.join(others)} would be asked next whatever it answers, so at the same time"
        return Try((name, *others), commit=commit and not others, reason=reason)

    def _accept(self, belief: Belief, confidences: Array, best: int) -> Accept | Abstain:
        name = belief.names[best]
        confidence = float(confidences[best])
        label = belief.label[best]
        peers = [
            n
            for i, n in enumerate(belief.names)
            if i != best and label >= 0 and belief.label[i] == label and belief.ran[i]
        ]
        reason = f"{name} is right with probability {confidence:.2f}"
        if peers:
            reason += f", {' and '.join(peers)} agree{'s' if len(peers) == 1 else ''}"
        reason += "; no further call is worth its cost"
        return ending(name, reason, confidence, self.abstain_below)
