"""The panel: reads answers, keeps the belief of one request up to date, and words the judges' calls.

Rules and agreement cost nothing and always sit on it; other judges are asked when the policy finds them worth it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
from emafusion.judges.base import AUTHOR, Case, Judge
from emafusion.judges.hearing import Hearing
from emafusion.judges.rules import rule_verdicts
from emafusion.tokens import count_tokens
from emafusion.types import Forecast, Query, Reply, Usage, Verdict

__all__ = ["Belief", "Panel"]

SIMILARITY = 0.85
"""Least cosine of two free texts that say the same."""


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
            ran=self.ran[None],
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


class Panel:
    """Judges of one pool.

    Parameters
    ----------
    pool
        Candidates; judges may be drawn from them.
    judges
        Judges beside rules and agreement, which are always there.
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
        self.weights = {name: float(judge.weight) for name, judge in self.judges.items()}
        self.families = {name: self._family(judge) for name, judge in self.judges.items()}
        self.reads_logprobs = any(getattr(judge, "reads_logprobs", False) for judge in judges)

    # -- free evidence -----------------------------------------------------------------------------------------

    def begin(self, query: Query, forecast: Forecast, allowed: Collection[str], model: BeliefModel) -> Belief:
        return Belief(query, forecast, allowed, model, self.weights, self.families)

    def observe(self, belief: Belief, name: str, reply: Reply) -> list[Verdict]:
        """Take an answer in: rules, its final answer, whom it agrees with. Returns the rules' verdicts."""
        query, j = belief.query, belief.index(name)
        belief.confidence_ = None
        belief.ran[j], belief.open[j] = True, False
        belief.replies[name] = reply
        if reply.unseen:
            belief.usable[j] = True
            return []
        findings = rule_verdicts(
            query.text, reply.text, reply.finish_reason, query.schema, query.tools, reply.tool_calls
        )
        final = extract_answer(reply.text, query.text, reply.tool_calls, query.tools)
        belief.final[name] = final
        belief.usable[j] = not any(f.fatal for f in findings)
        names = frozenset(f.name for f in findings)
        rules = belief.model.evidence.rule_features(names, final.kind, final.wellformed)
        tokens = float(reply.usage.output_tokens) if reply.usage else np.nan
        features = belief.model.evidence.features(
            rules[None], np.array([tokens]), np.array([belief.forecast.output_tokens[j]]), np.array([j])
        )
        belief.answer_llr[j] = float(belief.model.evidence.llr(features)[0])
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

    # -- judges ------------------------------------------------------------------------------------------------

    def free(self, belief: Belief, author: str) -> list[str]:
        """Judges that cost nothing and have not looked at ``author``'s answer yet."""
        if author not in belief.replies:
            return []
        return [n for n, j in self.judges.items() if getattr(j, "free", False) and (n, author) not in belief.asked]

    def available(self, belief: Belief, author: str) -> list[tuple[str, str, float]]:
        """Judges that may still look at ``author``'s answer: (judge, model, expected USD)."""
        out = []
        for name, judge in self.judges.items():
            if (name, author) in belief.asked or (getattr(judge, "rival", False) and not self._rivals(belief, author)):
                continue
            model = self._model_for(belief, judge, author)
            if model is not None:
                out.append((name, model, self._expected_cost(belief, judge, author, model)))
        return out

    def hearing(self, belief: Belief, judge: str, author: str) -> Hearing:
        """Have ``judge`` look at ``author``'s answer.

        Raises
        ------
        ConfigError
            If no model of the pool may judge it.
        """
        model = self._model_for(belief, self.judges[judge], author)
        if model is None:
            raise ConfigError(f"judge {judge!r} has no model but the author {author!r} itself")
        free = getattr(self.judges[judge], "free", False)
        return Hearing(
            self.judges[judge],
            Case(belief.query, author, belief.replies[author], self._rivals(belief, author), belief.task),
            model,
            lambda usage: 0.0 if free else float(self._price(model).cost(usage)),
        )

    def weight(self, judge: str) -> float:
        """Shipped log-likelihood ratio of a sure verdict."""
        return self.weights[judge]

    def strength(self, belief: Belief, judge: str, author: str) -> float:
        """What a sure verdict of ``judge`` would add to what was said of ``author``'s answer already."""
        yes, no = (belief.verdicts_llr(author, {judge: score}) for score in (0.9, 0.1))
        return abs(yes - no) / 2.0

    def _rivals(self, belief: Belief, author: str) -> dict[str, Reply]:
        """Usable answers that say something else, the most probable first."""
        mine = belief.cluster(author)
        others = [
            n
            for n in belief.replies
            if n != author and belief.usable[belief.index(n)] and (mine < 0 or belief.cluster(n) != mine)
        ]
        return {n: belief.replies[n] for n in sorted(others, key=belief.confidence, reverse=True)}

    def _family(self, judge: Judge) -> str:
        """Judges of one kind that ask one model, of their own or any, are one head."""
        if getattr(judge, "free", False):
            return f"its own: {judge.name}"
        asks = self.judge_models.get(judge.name, "the author" if judge.model == AUTHOR else "the pool")
        return f"{type(judge).__name__} by {asks}"

    def _model_for(self, belief: Belief, judge: Judge, author: str) -> str | None:
        if judge.model == AUTHOR or getattr(judge, "free", False):
            return author
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
        if getattr(judge, "free", False):
            return 0.0
        samples = int(getattr(judge, "samples", 1))
        if getattr(judge, "replays", False):
            return samples * float(belief.cost[belief.index(author)])
        reply = belief.replies.get(author)
        answer = count_tokens(reply.text) if reply else belief.forecast.output_tokens[belief.index(author)]
        answers = 2 * answer if getattr(judge, "rival", False) else answer
        read = belief.query.prompt_tokens + answers + 150
        written = getattr(judge, "max_output_tokens", 200) / 2
        return samples * float(self._price(model).cost(Usage(int(read), int(written))))

    def _price(self, model: str) -> Any:
        return self.prices[model] if model in self.prices else self.pool.price(model)
