"""Whether a tool loop should leave its candidate: what another would be worth, and the prompt cache that is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emafusion.policies.base import Terms

__all__ = ["Outlook", "better_than_staying"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the next step of a loop is expected to bring.

    Attributes
    ----------
    chances
        Candidate -> probability that it does the step well.
    costs
        Candidate -> USD that it costs then.
    """

    chances: Mapping[str, float]
    costs: Mapping[str, float]

    def lead(self, name: str, bound: str, value: float) -> float:
        """USD by which ``name`` is the better choice than ``bound``, where a step done well is worth ``value``."""
        return value * (self.chances[name] - self.chances[bound]) - (self.costs[name] - self.costs[bound])


def better_than_staying(bound: str, chosen: Outlook, now: Outlook, terms: Terms, value: float) -> str | None:
    """The candidate that should do the next step in the place of ``bound``, or None to stay.

    One that leads now and did not when ``bound`` was chosen: the history has become long, or ``bound`` has done badly.
    Where it led then, the policy knew better than this reckoning, and only evidence against ``bound`` counts.
    Looks one step ahead: how many are to come is not known, and a cache that is lost once is built up again.

    Parameters
    ----------
    chosen, now
        The outlook when ``bound`` was chosen, and for the next step. There, the cost of ``bound`` counts what its
        provider has cached at the cached price, those of others the whole history at full price.
    terms
        Of the objective. Under a floor only those are eligible that keep it, or do no worse than ``bound``; and only
        those to which the choice is confined.
    value
        USD that a step done well is worth.

    Examples
    --------
    >>> chances, terms = {"small": 0.8, "big": 0.9}, Terms(value=0.5)
    >>> chosen = Outlook(chances, {"small": 0.001, "big": 0.02})
    >>> better_than_staying("big", chosen, Outlook(chances, {"small": 0.002, "big": 0.03}), terms, 0.5) is None
    True
    >>> better_than_staying("big", chosen, Outlook(chances, {"small": 0.01, "big": 0.20}), terms, 0.5)
    'small'
    """
    least = 0.0 if terms.floor is None else terms.floor * now.chances.get(terms.reference or "", 0.0)
    least = min(least, now.chances[bound])
    worse = now.chances[bound] < chosen.chances[bound]
    leads = {
        name: now.lead(name, bound, value)
        for name, chance in now.chances.items()
        if name != bound
        and chance >= least
        and (not terms.only or name in terms.only)
        and (worse or chosen.lead(name, bound, value) <= 0.0)
    }
    best = max(leads, key=leads.__getitem__, default=bound)
    return best if best != bound and leads[best] > 0.0 else None
