"""What a user configures: prices, candidates, the pool, the objective. Checked at construction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from emafusion.errors import ConfigError, NoCandidateFits, ObjectiveError, PriceError
from emafusion.types import Query, Usage

__all__ = ["Candidate", "Objective", "Pool", "Price"]


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a model in USD per 1,000,000 tokens.

    Raises
    ------
    PriceError
        If a price is negative or not a finite number.

    Examples
    --------
    >>> Price(input=0.15, output=0.6).cost(Usage(input_tokens=1000, output_tokens=500))
    0.00045
    """

    input: float
    output: float
    cached_input: float | None = None
    source: str = "given"

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input"):
            value = getattr(self, name)
            if value is None and name == "cached_input":
                continue
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise PriceError(f"Price({name}={value!r}): a price is USD per million tokens, a number >= 0")

    def cost(self, usage: Usage) -> float:
        """USD for ``usage``; cached tokens at their own price where one is known."""
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        fresh = usage.input_tokens - cached
        cached_price = self.input if self.cached_input is None else self.cached_input
        return (fresh * self.input + cached * cached_price + usage.output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer, with what the core must know of it.

    Parameters
    ----------
    model
        A framework's chat model or LLM, an OpenAI-wire client, or a string ``"provider:model"``.
    name
        Unique in the pool; taken from the model where not given.
    price
        USD per million tokens; looked up by the model's name where not given.
    context_window, max_output_tokens
        In tokens; None means unknown, and unknown never excludes.
    abilities
        Of "tools", "schema", "image", "audio", "video", "document"; None means unknown: tools and schema are assumed,
        other media are taken from what the framework knows of the model, else refused only when another candidate says
        that it can.
    ability
        Rough strength in [0, 1] where you know it, used while there are no outcomes; by default from the rating, and
        where there is none from the price.
    rating
        Points on the scale of a public leaderboard (:mod:`emafusion.ratings`), by which candidates are compared while
        there are no outcomes; looked up by the model's name where not given.
    """

    model: Any
    name: str | None = None
    price: Price | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    abilities: frozenset[str] | None = None
    ability: float | None = None
    rating: float | None = None

    def __post_init__(self) -> None:
        if self.price is not None and not isinstance(self.price, Price):
            raise PriceError(f"candidate {self.name or self.model!r}: price must be a Price, got {self.price!r}")
        if self.abilities is not None:
            object.__setattr__(self, "abilities", frozenset(self.abilities))
        if self.ability is not None and not 0.0 <= self.ability <= 1.0:
            raise ConfigError(f"candidate {self.name or self.model!r}: ability must be in [0, 1], got {self.ability!r}")
        if self.rating is not None and not math.isfinite(self.rating):
            raise ConfigError(f"candidate {self.name or self.model!r}: rating must be finite, got {self.rating!r}")

    def named(self, **changes: Any) -> Candidate:
        """A copy with some fields changed."""
        return replace(self, **changes)


class Objective(BaseModel):
    """What the user wants, in terms that users know: exactly one of four.

    Parameters
    ----------
    usd_per_query
        Average budget: spend at most this many USD a query on average, on the best quality that it buys.
    usd_value
        What a good answer is worth in USD: maximise ``usd_value * quality - cost``.
    quality_floor
        Share of the reference candidate's quality to keep (0.99 keeps 99 %) at the least cost. The default, at 0.99.

    Raises
    ------
    ObjectiveError
        If more than one is given, or one is out of range.

    Examples
    --------
    >>> Objective(usd_per_query=0.002).kind
    'usd_per_query'
    >>> Objective().quality_floor
    0.99
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd_per_query: float | None = None
    usd_value: float | None = None
    quality_floor: float | None = None
    reference: str | None = None
    """Name of the reference candidate for ``quality_floor`` and for savings; by default the dearest."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValueError as error:
            raise ObjectiveError(
                f"Objective({', '.join(f'{k}={v!r}' for k, v in given.items())}): {_why(error)}"
            ) from None

    @model_validator(mode="after")
    def _exactly_one(self) -> Objective:
        given = {k: v for k in ("usd_per_query", "usd_value", "quality_floor") if (v := getattr(self, k)) is not None}
        if len(given) > 1:
            raise ValueError(f"give one objective, not {len(given)} ({', '.join(given)})")
        if not given:
            object.__setattr__(self, "quality_floor", 0.99)
        for name in ("usd_per_query", "usd_value"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a number of USD above 0, got {value!r}")
        if self.quality_floor is not None and not 0 < self.quality_floor <= 1:
            raise ValueError(f"quality_floor must be in (0, 1], got {self.quality_floor!r}")
        return self

    @property
    def kind(self) -> Literal["usd_per_query", "usd_value", "quality_floor"]:
        if self.usd_per_query is not None:
            return "usd_per_query"
        return "usd_value" if self.usd_value is not None else "quality_floor"

    @property
    def value(self) -> float:
        """The one number that was given."""
        return float(getattr(self, self.kind))

    def as_dict(self) -> dict[str, float]:
        return {self.kind: self.value}


def _why(error: ValueError) -> str:
    """Pydantic's complaint in one line, without its frame."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        (f"{'.'.join(map(str, e['loc']))}: " if e["loc"] else "") + e["msg"].removeprefix("Value error, ")
        for e in error.errors()
    )


@dataclass(frozen=True)
class Pool:
    """The candidates of one router, resolved: each has a unique name and a price.

    Raises
    ------
    ConfigError
        If there are none, or two share a name.
    PriceError
        If a candidate has no price.
    """

    candidates: tuple[Candidate, ...]
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        object.__setattr__(self, "candidates", tuple(candidates))
        if not self.candidates:
            raise ConfigError("candidates is empty: give at least one model to choose from")
        index: dict[str, int] = {}
        for i, c in enumerate(self.candidates):
            if not c.name:
                raise ConfigError(f"candidate {i} ({c.model!r}) has no name: give Candidate(..., name='...')")
            if c.name in index:
                raise ConfigError(
                    f"two candidates are named {c.name!r} (positions {index[c.name]} and {i}): "
                    "wrap one in Candidate(model, name='...')"
                )
            if c.price is None:
                raise PriceError(
                    f"candidate {c.name!r} has no known price: give "
                    f"Candidate(model, name={c.name!r}, price=Price(input=USD_PER_MTOK, output=USD_PER_MTOK)); "
                    "a model that you host has a price too (an hour's cost over the tokens it makes in it)"
                )
            index[c.name] = i
        object.__setattr__(self, "_index", index)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self._index)

    def __len__(self) -> int:
        return len(self.candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __getitem__(self, name: str) -> Candidate:
        return self.candidates[self._index[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def index(self, name: str) -> int:
        return self._index[name]

    def price(self, name: str) -> Price:
        price = self[name].price
        assert price is not None  # checked at construction
        return price

    @cached_property
    def dearest(self) -> str:
        """Name of the candidate with the highest price for a typical call (3 parts input, 1 part output)."""
        return max(self.names, key=lambda n: 3 * self.price(n).input + self.price(n).output)

    def cheapest(self) -> str:
        return min(self.names, key=lambda n: 3 * self.price(n).input + self.price(n).output)

    def fitting(self, query: Query) -> tuple[str, ...]:
        """Names of the candidates that can take ``query``.

        Raises
        ------
        NoCandidateFits
            If none can; says for each why.
        """
        reasons: dict[str, str] = {}
        fit: list[str] = []
        for name in self.names:
            why = self._misfit(self[name], query)
            if why is None:
                fit.append(name)
            else:
                reasons[name] = why
        if not fit:
            raise NoCandidateFits(reasons)
        return tuple(fit)

    @staticmethod
    def _misfit(candidate: Candidate, query: Query) -> str | None:
        window = candidate.context_window
        if window is not None and query.prompt_tokens >= window:
            return f"the request of about {query.prompt_tokens} tokens exceeds its context window of {window}"
        if candidate.abilities is not None:
            missing = sorted(query.needs - candidate.abilities)
            if missing:
                return f"it does not take {', '.join(missing)}"
        return None
