"""The panel: reads answers, keeps the belief of one request up to date, and words the judges' calls.

Rules and agreement cost nothing and always sit on it; other judges are asked when the policy finds them worth it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from emafusion.answers import FinalAnswer, cluster_answers, extract_answer
from emafusion.config import Pool
from emafusion.encoders.base import Encoder
from emafusion.errors import ConfigError
from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.beliefs import Array, Evidence, infer
from emafusion.estimators.confidence import calibrated
from emafusion.estimators.rates import prior_rates
from emafusion.estimators.shared_difficulty import logit
from emafusion.judges.base import Judge
from emafusion.judges.rules import rule_verdicts
from emafusion.tokens import count_tokens
from emafusion.types import Call, Forecast, Query, Reply, Usage, Verdict

__all__ = ["Belief", "Panel"]

SIMILARITY = 0.85
"""Least cosine of two free texts that say the same."""


class Belief:
    """All that is known of one request, as arrays over the pool; the policy reads it, the panel writes it."""

    def __init__(self, query: Query, forecast: Forecast, allowed: Collection[str], model: BeliefModel) -> None:
        m = len(model.candidates)
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
        for name, given in self.verdicts.items():
            out[self.index(name)] += pooled_llr(given)
        return out

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


def pooled_llr(given: Sequence[tuple[Verdict, float]]) -> float:
    """Verdicts on one answer, tempered: judges are correlated, so k of them count as the square root of k."""
    each = [
        weight * float(logit(np.array(v.score), 0.02)) / float(logit(np.array(0.9)))
        for v, weight in given
        if v.score is not None
    ]
    return sum(each) / len(each) ** 0.5 if each else 0.0


class Panel:
    """Judges of one pool.

    Parameters
    ----------
    pool
        Candidates; judges may be drawn from them.
    judges
        Judges that cost a call. Rules and agreement are always there.
    judge_models
        Name and candidate of judges' own models, by judge.
    encoder
        Compares free texts by meaning; None compares their words.
    """

    def __init__(
        self,
        pool: Pool,
        judges: Sequence[Judge] = (),
        judge_models: Mapping[str, str] | None = None,
        prices: Mapping[str, Any] | None = None,
        encoder: Encoder | None = None,
        similarity: float = SIMILARITY,
    ) -> None:
        names = [j.name for j in judges]
        if len(set(names)) < len(names):
            raise ConfigError(f"judges need different names, got {names}: give LLMJudge(..., name='...')")
        self.pool, self.encoder, self.similarity = pool, encoder, similarity
        self.judges = {j.name: j for j in judges}
        self.judge_models = dict(judge_models or {})
        self.prices = dict(prices or {})

    # -- free evidence -----------------------------------------------------------------------------------------

    def begin(self, query: Query, forecast: Forecast, allowed: Collection[str], model: BeliefModel) -> Belief:
        return Belief(query, forecast, allowed, model)

    def observe(self, belief: Belief, name: str, reply: Reply) -> list[Verdict]:
        """Take an answer in: rules, its final answer, whom it agrees with. Returns the rules' verdicts."""
        query, j = belief.query, belief.index(name)
        belief.confidence_ = None
        belief.ran[j], belief.open[j] = True, False
        belief.replies[name] = reply
        if reply.unseen:
            belief.usable[j] = belief.unseen[j] = True
            return []
        findings = rule_verdicts(
            query.text, reply.text, reply.finish_reason, query.schema, query.tools, reply.tool_calls
        )
        final = extract_answer(reply.text, query.text, reply.tool_calls, query.tools)
        belief.final[name] = final
        belief.usable[j] = not any(f.fatal for f in findings)
        names = frozenset(f.name for f in findings)
        features = belief.model.evidence.features(names, final.kind, final.wellformed)
        belief.answer_llr[j] = float(belief.model.evidence.llr(features[None])[0])
        self._group(belief)
        return [
            Verdict("rules", name, 0.9 if f.positive else 0.02 if f.fatal else 0.2, f"{f.name}: {f.reason}")
            for f in findings
        ]

    def _group(self, belief: Belief) -> None:
        order = list(belief.final)
        answers = [belief.final[n] for n in order]
        vectors = None
        if self.encoder is not None and sum(a.kind == "text" for a in answers) > 1:
            vectors = self.encoder.encode([belief.replies[n].text for n in order])
        for n, label in zip(order, cluster_answers(answers, vectors, self.similarity)):
            belief.label[belief.index(n)] = label

    # -- judges that cost a call -------------------------------------------------------------------------------

    def available(self, belief: Belief, author: str) -> list[tuple[str, str, float]]:
        """Judges that may still look at ``author``'s answer: (judge, model, expected USD)."""
        out = []
        for name, judge in self.judges.items():
            model = self._model_for(belief, judge, author)
            if (name, author) in belief.asked or model is None:
                continue
            out.append((name, model, self._expected_cost(belief, judge, author, model)))
        return out

    def _model_for(self, belief: Belief, judge: Judge, author: str) -> str | None:
        if judge.name in self.judge_models:
            own = self.judge_models[judge.name]
            return own if own != author or len(self.pool) == 1 else None
        others = [n for n in self.pool.names if n != author]
        if not others:
            return author
        p, cost = belief.p.tolist(), belief.cost.tolist()
        least = p[belief.index(author)] - 0.02
        strong = [n for n in others if p[belief.index(n)] >= least]
        return min(strong or others, key=lambda n: cost[belief.index(n)])

    def _expected_cost(self, belief: Belief, judge: Judge, author: str, model: str) -> float:
        reply = belief.replies.get(author)
        answer = count_tokens(reply.text) if reply else belief.forecast.output_tokens[belief.index(author)]
        read = belief.query.prompt_tokens + answer + 150
        written = getattr(judge, "max_output_tokens", 200) / 2
        return float(self._price(model).cost(Usage(int(read), int(written))))

    def _price(self, model: str) -> Any:
        return self.prices[model] if model in self.prices else self.pool.price(model)

    def call(self, belief: Belief, judge: str, author: str) -> Call:
        model = self._model_for(belief, self.judges[judge], author)
        assert model is not None
        return self.judges[judge].call(belief.query, belief.replies[author], author, model)

    def read(self, judge: str, author: str, call: Call, reply: Reply) -> Verdict:
        if reply.cost_usd is not None:
            cost = reply.cost_usd
        else:
            assert reply.usage is not None
            cost = float(self._price(call.candidate).cost(reply.usage))
        verdict = self.judges[judge].read(reply, author, cost)
        return replace(verdict, latency_s=reply.latency_s)

    def weight(self, judge: str) -> float:
        return self.judges[judge].weight
