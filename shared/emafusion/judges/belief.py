"""The belief of one request: all answers and verdicts so far, and the confidence that comes of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from emafusion.answers import FinalAnswer
from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.beliefs import Array, Evidence, infer
from emafusion.estimators.confidence import calibrated
from emafusion.estimators.rates import prior_rates
from emafusion.types import Forecast, Query, Reply, Verdict

__all__ = ["Belief"]


class Belief:
    """All that is known of one request, as arrays over the pool; the policy reads it, the panel writes it."""

    def __init__(
        self,
        query: Query,
        forecast: Forecast,
        allowed: Collection[str],
        model: BeliefModel,
        weights: Mapping[str, float] | None = None,
        families: Mapping[str, str] | None = None,
    ) -> None:
        m = len(model.candidates)
        self.weights, self.families = dict(weights or {}), dict(families or {})
        """Of the panel's judges: shipped weight, and what kind of judge asks which model."""
        self.task = str(forecast.labels.get("task", ""))
        self.query, self.forecast, self.model = query, forecast, model
        self.names = model.candidates
        self._index = {name: j for j, name in enumerate(self.names)}
        self.p = np.array(forecast.p_good, dtype=np.float64)
        self.cost = np.array(forecast.cost_usd, dtype=np.float64)
        self.open = np.array([n in allowed for n in self.names])
        self.ran = np.zeros(m, dtype=bool)
        self.usable = np.zeros(m, dtype=bool)
        self.unseen = np.zeros(m, dtype=bool)
        """Gave an answer that nobody may look at: it can be accepted, and says nothing."""
        self.label = np.full(m, -1, dtype=np.int64)
        self.answer_llr = np.zeros(m)
        self.final: dict[str, FinalAnswer] = {}
        self.replies: dict[str, Reply] = {}
        self.verdicts: dict[str, list[tuple[Verdict, float]]] = {}
        self.asked: set[tuple[str, str]] = set()
        self.right = model.difficulty.right(self.p[None])
        self.log_nodes = np.log(model.difficulty.grid()[1])
        self.confidence_: Array | None = None
        self.value: float | None = None
        """What a good answer is worth here, once a policy has settled it."""

    def index(self, name: str) -> int:
        return self._index[name]

    def rates(self) -> tuple[float, float]:
        """``(rho, eps)``: as forecast where fitted, else by the kind of the answers so far."""
        if self.forecast.right_agree is not None and self.forecast.wrong_agree is not None:
            return self.forecast.right_agree, self.forecast.wrong_agree
        kinds = [a.kind for a in self.final.values() if a.kind != "none"]
        return prior_rates(kinds[0] if kinds else None)

    def llr(self) -> Array:
        """Log-likelihood ratio of each answer's evidence, verdicts included."""
        out: Array = self.answer_llr.copy()
        for name in self.verdicts:
            out[self.index(name)] += self.verdicts_llr(name)
        return out

    def verdicts_llr(self, name: str, further: Mapping[str, float] | None = None) -> float:
        """What judges say of one answer, with ``further`` scores by judge as if they had been given."""
        given = self.verdicts.get(name, [])
        scores = {v.judge: v.score for v, _ in given} | dict(further or {})
        weights = {v.judge: weight for v, weight in given}
        weights |= {judge: self.weights.get(judge, 1.0) for judge in further or {}}
        return self.model.judges.llr(scores, weights, self.families, self.task)

    def evidence(self) -> Evidence:
        rho, eps = self.rates()
        return Evidence(
            right=self.right,
            log_nodes=self.log_nodes,
            ran=(self.ran & ~self.unseen)[None],
            label=self.label[None],
            llr=self.llr()[None],
            eps=np.array([eps]),
            rho=np.array([rho]),
        )

    def drop(self, name: str) -> None:
        """The candidate failed: it says nothing and is not tried again."""
        self.open[self.index(name)] = False

    def add(self, verdict: Verdict, weight: float) -> None:
        self.asked.add((verdict.judge, verdict.candidate))
        self.verdicts.setdefault(verdict.candidate, []).append((verdict, weight))
        self.confidence_ = None

    def confidences(self) -> Array:
        """Calibrated probability of a good answer for every candidate, (m,)."""
        if self.confidence_ is None:
            evidence = self.evidence()
            self.confidence_ = calibrated(evidence, infer(evidence), self.p[None], self.model.calibration)[0]
        return self.confidence_

    def confidence(self, name: str) -> float:
        return float(self.confidences()[self.index(name)])

    def cluster(self, name: str) -> int:
        return int(self.label[self.index(name)])

    def answer(self, name: str) -> str:
        final = self.final.get(name)
        return "" if final is None or final.kind in ("text", "none", "code") else final.raw[:200]
