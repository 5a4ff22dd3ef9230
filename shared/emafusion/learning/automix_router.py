"""From an outcome log to a router that is served by AutoMix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from emafusion.config import Pool, Price
from emafusion.encoders.base import Encoder
from emafusion.estimators.beliefs import Array
from emafusion.estimators.shared_difficulty import logit, sigmoid
from emafusion.learning.automix import fit_automix
from emafusion.learning.automix_walk import Verified
from emafusion.learning.fitting import SILENT, FitReport, fit_table, record, with_evidence
from emafusion.learning.simulation import Recording
from emafusion.learning.table import Answers, LogTable, read_answers, tabulate
from emafusion.learning.verifications import Verifications, read_verifications
from emafusion.log import read_log
from emafusion.policies.automix import Kind
from emafusion.routers.artefact import RoutingModel

__all__ = ["add_automix", "fit_automix_router", "verification_cost", "verification_tokens", "verified_log"]

SAMPLES = 8
"""Verdicts of a verification whose number the log does not tell."""
EXAMPLE_TOKENS = 450
"""Length of the worked examples and our words in a verification's prompt."""
VERDICT_TOKENS = 2


def verified_log(
    recording: Recording,
    verifications: Verifications | None = None,
    estimated_cost: Array | None = None,
) -> tuple[Verified, Literal["verification", "answer"]]:
    """A recording as AutoMix meets it, and what stands for its observations.

    Without any recorded verification an answer's confidence is what the router and the answer's own evidence say of
    it: more than AutoMix has in the paper, and free.

    Parameters
    ----------
    estimated_cost : (n, m), optional
        USD of a verification whose cost the log does not hold; by default nothing.
    """
    score, cost = (np.where(recording.asked, each, np.nan) for each in (recording.score, recording.cost))
    if verifications is None or np.isnan(verifications.share).all():
        confidence = sigmoid(logit(recording.p) + recording.llr)
        free = np.zeros(recording.p.shape)
        return Verified(score, cost, confidence, recording.asked, free, recording.usable), "answer"
    usual = np.zeros(recording.p.shape) if estimated_cost is None else estimated_cost
    paid = np.where(np.isnan(verifications.cost), usual, verifications.cost)
    paid = np.where(verifications.verified, paid, 0.0)
    return Verified(score, cost, verifications.share, verifications.verified, paid, recording.usable), "verification"


def verification_cost(table: LogTable, prices: Mapping[str, Price]) -> Array:
    """(n, m) USD that verifying each answer is expected to cost: every sample reads the whole prompt again."""
    inp, out = (np.array([getattr(prices[n], side) for n in table.candidates]) / 1e6 for side in ("input", "output"))
    read, written = verification_tokens(table.prompt_tokens[:, None], np.nan_to_num(table.out_tok, nan=250.0))
    return np.asarray(read * inp + written * out)


def verification_tokens(prompt: Array | float, answer: Array | float) -> tuple[Array | float, int]:
    """Tokens that a verification reads and writes, from the lengths of the prompt and of the answer."""
    return SAMPLES * (prompt + answer + EXAMPLE_TOKENS), SAMPLES * VERDICT_TOKENS


def add_automix(
    model: RoutingModel,
    table: LogTable,
    answers: Answers,
    vectors: Array,
    verifications: Verifications | None,
    *,
    kind: Kind = "pomdp",
    seed: int = 0,
) -> RoutingModel:
    """The router with AutoMix, on the log that it was itself fitted on just now: it still has held-out forecasts."""
    forecasts = model.forecaster.oof_
    recording = record(model, table, answers, vectors, forecasts)
    recording = with_evidence(recording, model.belief, answers)
    log, observed = verified_log(recording, verifications, verification_cost(table, model.prices))
    return replace(model, automix=fit_automix(table.candidates, log, observed=observed, kind=kind, seed=seed))


def fit_automix_router(
    log: str | Path | Iterable[Mapping[str, Any]],
    *,
    encoder: Encoder | None = None,
    pool: Pool | None = None,
    kind: Kind = "pomdp",
    seed: int = 0,
    progress: Callable[[str, float], None] = SILENT,
) -> tuple[RoutingModel, FitReport]:
    """:func:`emafusion.learning.fitting.fit_router`, with AutoMix as the policy that it is served by."""
    entries = read_log(log)
    names = tuple(n for n in pool.names if any(n in q.outcomes for q in entries)) if pool else None
    table = tabulate(entries, names or None)
    if encoder is None:
        from emafusion.encoders import default_encoder

        encoder = default_encoder()
    answers = read_answers(entries, table, encoder)
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    model, report = fit_table(table, answers, encoder, embeddings=vectors, seed=seed, progress=progress)
    verifications = read_verifications(entries, table.candidates)
    model = add_automix(model, table, answers, vectors, verifications, kind=kind, seed=seed)
    assert model.automix is not None
    return model, replace(report, curve=model.automix.curves[kind])
