"""The panel: reads answers, keeps the belief of one request up to date, and words the judges' calls.

Rules and agreement cost nothing and always sit on it; other judges are asked when the policy finds them worth it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from emafusion.answers import cluster_answers, extract_answer
from emafusion.config import Pool
from emafusion.encoders.base import Encoder
from emafusion.errors import ConfigError
from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.judge_stack import JudgeStack
from emafusion.judges.base import AUTHOR, Case, Judge
from emafusion.judges.belief import Belief
from emafusion.judges.hearing import Hearing
from emafusion.judges.rules import rule_verdicts
from emafusion.tokens import count_tokens
from emafusion.types import Forecast, Query, Reply, Usage, Verdict

__all__ = ["Belief", "Panel"]

SIMILARITY = 0.85
"""Least cosine of two free texts that say the same."""


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
        self._first_words: WeakKeyDictionary[JudgeStack, dict[tuple[str, str], float]] = WeakKeyDictionary()
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

    # -- judges ------------------------------------------------------------------------------------------------

    def free(self, belief: Belief, author: str) -> list[str]:
        """Judges that cost nothing and have not looked at ``author``'s answer yet."""
        if author not in belief.replies or belief.unseen[belief.index(author)]:
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
        key = judge, belief.task
        if author in belief.verdicts:
            return self._strength(belief, judge, author)
        known = self._first_words.setdefault(belief.model.judges, {})
        if key not in known:  # a first verdict adds as much to any answer
            known[key] = self._strength(belief, judge, author)
        return known[key]

    @staticmethod
    def _strength(belief: Belief, judge: str, author: str) -> float:
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
        p, cost = (dict(zip(belief.names, x.tolist())) for x in (belief.p, belief.cost))
        least = p[author] - 0.02
        return min([n for n in others if p[n] >= least] or others, key=cost.__getitem__)

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
