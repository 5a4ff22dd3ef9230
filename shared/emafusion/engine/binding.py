"""What keeps a tool loop with its candidate, and what is known when the next step asks whether it should be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from emafusion.config import Pool
from emafusion.policies.staying import Outlook
from emafusion.types import Forecast, Query, Reply, Usage

__all__ = ["Binding"]

NOTHING = Outlook({}, {})


@dataclass(frozen=True, slots=True)
class Binding:
    """The candidate of one session's tool loop.

    Attributes
    ----------
    forecast
        Of the turn's question, which stays the same throughout the loop; None where nothing is known but the name.
    chosen
        The outlook when the candidate was chosen.
    chance
        Probability that the candidate does the next step well, as its steps so far leave it.
    value
        USD that this is worth.
    seen_tokens
        Length of what the candidate has read and written: what its provider may have cached.
    cached_share
        How much of that the provider did have cached when it was last told; 1 until it is.
    """

    candidate: str
    forecast: Forecast | None = None
    chosen: Outlook = NOTHING
    chance: float = 0.0
    value: float = 0.0
    seen_tokens: int = 0
    cached_share: float = 1.0

    @classmethod
    def new(
        cls,
        candidate: str,
        forecast: Forecast,
        chances: Mapping[str, float],
        value: float,
        query: Query,
        reply: Reply,
        pool: Pool,
        *,
        well: bool,
    ) -> Binding:
        """A candidate that has just answered, with the chances that all have then; ``well`` as for :meth:`after`."""
        costs, chance = _costs(query, forecast, pool), chances[candidate]
        if not well:  # it was chosen for better
            chances = {**chances, candidate: max(chance, forecast.of(candidate)["p_good"])}
        bare = replace(forecast, embedding=None)  # sessions are kept by the thousand
        return cls(candidate, bare, Outlook(chances, costs), chance, value, _length(query, reply))

    def next_forecast(self, query: Query, pool: Pool) -> Forecast | None:
        """The forecast with what the next step costs; None where it does not cover the pool, which may have changed."""
        if self.forecast is None or self.forecast.candidates != pool.names:
            return None
        seen = int(self.cached_share * min(self.seen_tokens, query.prompt_tokens))
        costs = _costs(query, self.forecast, pool, {self.candidate: seen})
        return replace(self.forecast, cost_usd=tuple(costs.values()))

    def outlook(self, forecast: Forecast) -> Outlook:
        """On the next step, by :meth:`next_forecast`."""
        return Outlook(
            {**self.chosen.chances, self.candidate: self.chance}, dict(zip(forecast.candidates, forecast.cost_usd))
        )

    def after(self, query: Query, reply: Reply, confidence: float, *, well: bool) -> Binding:
        """The binding once the candidate has done one step more.

        Parameters
        ----------
        confidence
            Probability that the step is good, by itself.
        well
            Whether it speaks for the candidate (valid calls, an answer that fits its schema) or against it.
        """
        share, usage = self.cached_share, reply.usage
        if usage is not None and not usage.estimated and usage.input_tokens and self.seen_tokens:
            # As shares of the request, for the provider's count of tokens is not ours.
            cached = usage.cached_input_tokens / usage.input_tokens
            share = min(1.0, cached * query.prompt_tokens / self.seen_tokens)
        chance = max(self.chance, confidence) if well else min(self.chance, confidence)
        return replace(self, chance=chance, seen_tokens=_length(query, reply), cached_share=share)


def _length(query: Query, reply: Reply) -> int:
    return query.prompt_tokens + (reply.usage.output_tokens if reply.usage else 0)


def _costs(query: Query, forecast: Forecast, pool: Pool, seen: Mapping[str, int] | None = None) -> dict[str, float]:
    """USD of one call of each candidate; what it has ``seen`` (tokens) at its price for cached input."""
    return {
        name: pool.price(name).cost(Usage(query.prompt_tokens, int(written), (seen or {}).get(name, 0)))
        for name, written in zip(forecast.candidates, forecast.output_tokens)
    }
