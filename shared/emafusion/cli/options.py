"""Options that several commands share: the objective and the encoder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from emafusion.config import Objective
from emafusion.errors import ConfigError

if TYPE_CHECKING:
    from emafusion.assembly import PolicyName
    from emafusion.encoders import Encoder
    from emafusion.routers.artefact import RoutingModel

__all__ = [
    "PolicyOption",
    "QualityFloor",
    "UsdPerQuery",
    "UsdValue",
    "check_policy",
    "encoder_beside",
    "encoder_of",
    "objective_of",
    "open_encoder",
]

UsdPerQuery = Annotated[
    float | None, typer.Option("--usd-per-query", metavar="USD", help="Objective: average budget of a query.")
]
UsdValue = Annotated[
    float | None, typer.Option("--usd-value", metavar="USD", help="Objective: what a good answer is worth.")
]
QualityFloor = Annotated[
    float | None,
    typer.Option(
        "--quality-floor", metavar="SHARE", help="Objective: share of the reference's quality to keep [0.99]."
    ),
]


PolicyOption = Annotated[
    str,
    typer.Option("--policy", help="cascade, automix (its POMDP), automix-threshold; auto: as the router was fitted."),
]
POLICIES = ("auto", "cascade", "automix", "automix-threshold")


def check_policy(policy: str, known: Sequence[str] = POLICIES) -> PolicyName:
    """The policy that ``--policy`` names.

    Raises
    ------
    ConfigError
        If it is none of those that the command knows.
    """
    if policy not in known:
        raise ConfigError(f"--policy {policy!r} is not known: give {', '.join(known[:-1])} or {known[-1]}")
    return cast("PolicyName", policy)


def objective_of(usd_per_query: float | None, usd_value: float | None, quality_floor: float | None) -> Objective:
    """The objective that the options give; the default one if they give none."""
    given = {"usd_per_query": usd_per_query, "usd_value": usd_value, "quality_floor": quality_floor}
    return Objective(**{name: value for name, value in given.items() if value is not None})


def encoder_beside(router: Path) -> Path:
    """Where the encoder of a router is kept that was fitted together with it."""
    return router.with_name(router.name + ".encoder.npz")


def open_encoder(choice: str, texts: Sequence[str], seed: int) -> Encoder:
    """The encoder that ``--encoder`` names.

    ``default``, ``hashing`` or ``hashing-DIM``, ``tfidf`` (fitted on ``texts``), or the path of a saved one.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    from emafusion.encoders import HashingEncoder, StaticEncoder, TfidfLsaEncoder, default_encoder

    if choice == "default":
        return default_encoder()
    if choice == "tfidf":
        return TfidfLsaEncoder.fit(texts, seed=seed)
    kind, _, width = choice.partition("-")
    if kind == "hashing" and (not width or (width.isdigit() and int(width) > 0)):
        return HashingEncoder(int(width)) if width else HashingEncoder()
    if os.path.sep in choice or Path(choice).is_file():
        return TfidfLsaEncoder.load(choice) if choice.endswith(".encoder.npz") else StaticEncoder(choice)
    raise ConfigError(
        f"--encoder {choice!r} is not known: give default, hashing, hashing-512 (any width), tfidf, or a table's path"
    )


def encoder_of(model: RoutingModel, router: Path) -> Encoder | None:
    """The encoder to serve a saved router with; None leaves it to the router."""
    from emafusion.encoders import TfidfLsaEncoder
    from emafusion.errors import ArtefactError

    if not model.encoder.startswith("tfidf"):
        return None
    beside = encoder_beside(router)
    if not beside.is_file():
        raise ArtefactError(
            f"{router}: was fitted with encoder {model.encoder!r}, whose file {beside.name} must lie beside it"
        )
    return TfidfLsaEncoder.load(beside)
