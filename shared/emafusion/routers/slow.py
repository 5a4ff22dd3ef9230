"""The slow classifier of the taxonomy: a model is asked for the labels, and its word is fused with the fast one's.

p = lambda * p_slow + (1 - lambda) * p_fast (EMAFusion, arXiv 2504.10681, section on the taxonomy). It costs a call a
request, so it is there only when asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from emafusion.config import Price
from emafusion.taxonomy.classifier import fuse
from emafusion.taxonomy.labels import AXES, Labels, Taxonomy
from emafusion.taxonomy.slow import parse_slow, slow_prompt
from emafusion.tokens import count_tokens
from emafusion.types import Call, Failure, Message, Query, Reply, Usage, Verdict

__all__ = ["SlowClassifier", "fused_labels"]


@dataclass(frozen=True, slots=True)
class SlowClassifier:
    """Asks ``model`` to label what is asked.

    Parameters
    ----------
    model
        Name of the candidate or of the model that labels.
    price
        Of that model.
    taxonomy
    weight
        lambda: how much its word counts against the fast classifier's, in [0, 1].
    """

    model: str
    price: Price
    taxonomy: Taxonomy
    weight: float = 0.5

    def call(self, query: Query) -> Call:
        system, user = slow_prompt(self.taxonomy, query.text)
        prompt = (Message("system", system), Message("user", user))
        return Call("classify", self.model, prompt=prompt, temperature=0.0, max_output_tokens=300)

    def read(self, query: Query, outcome: Reply | Failure) -> tuple[Query, Verdict]:
        """The query with the labels, or as it was; and what the labelling cost, as a verdict on nobody."""
        if isinstance(outcome, Failure):
            return query, Verdict("slow classifier", "", None, f"failed: {outcome.error}")
        written = sum(count_tokens(m.text) for m in self.call(query).prompt or ())
        usage = outcome.usage or Usage(written, count_tokens(outcome.text), estimated=True)
        cost = outcome.cost_usd if outcome.cost_usd is not None else self.price.cost(usage)
        labels = parse_slow(outcome.text, self.taxonomy)
        if labels is None:
            return query, Verdict("slow classifier", "", None, "no labels in its reply", cost, outcome.latency_s)
        found = {axis: {"p": vector, "weight": self.weight} for axis, vector in labels.items()}
        best = ", ".join(self.taxonomy.labels(axis)[int(vector.argmax())] for axis, vector in labels.items())
        return replace(query, slow_labels=found), Verdict("slow classifier", "", None, best, cost, outcome.latency_s)


def fused_labels(fast: Labels, query: Query) -> Labels:
    """The fast classifier's labels, fused with the slow one's where the query carries them."""
    if query.slow_labels is None:
        return fast
    fused = {}
    for axis in AXES:
        slow = query.slow_labels.get(axis)
        mine = fast.probabilities[axis]
        fused[axis] = mine if slow is None else fuse(slow["p"], mine, slow["weight"])
    return replace(fast, probabilities=fused)
