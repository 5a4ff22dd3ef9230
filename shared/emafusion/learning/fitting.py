"""Fitting a router from an outcome log: forecast, agreement, difficulty, evidence, calibration, curve.

Everything downstream of the forecast is fitted on out-of-fold forecasts, so it meets at fit time the quality of
forecast that it will meet when serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emafusion.config import Pool
from emafusion.encoders.base import Encoder
from emafusion.errors import LogError
from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.beliefs import Array, IntArray
from emafusion.estimators.confidence import ConfidenceCalibration
from emafusion.estimators.evidence import AnswerEvidence
from emafusion.estimators.forecaster import Forecaster
from emafusion.estimators.forecasts import Forecasts
from emafusion.estimators.regions import AgreementRegions
from emafusion.estimators.shared_difficulty import SharedDifficulty
from emafusion.learning.calibrating import calibrate, value_range
from emafusion.learning.curves import curve_of
from emafusion.learning.judging import fit_judges
from emafusion.learning.simulation import Recording, simulate
from emafusion.learning.table import Answers, LogTable, infer_price, read_answers, rows_to_read, tabulate
from emafusion.log import read_log
from emafusion.policies.trade_off import Curve
from emafusion.routers.artefact import RoutingModel
from emafusion.taxonomy.classifier import TaxonomyClassifier
from emafusion.taxonomy.suitability import Suitability

__all__ = [
    "FitReport",
    "expected_cost",
    "fit_beliefs",
    "fit_router",
    "fit_table",
    "measure_curve",
    "record",
    "with_evidence",
]

GRID = 13
"""Values of a good answer at which the curve is measured."""
CURVE_ROWS = 2500
SILENT: Callable[[str, float], None] = lambda stage, done: None  # noqa: E731


@dataclass(frozen=True)
class FitReport:
    """What fitting found, for people.

    Attributes
    ----------
    queries, labelled
        Lines in the log, and those with at least one score.
    curve
        Average cost and quality over the range of objectives, out of fold.
    forecast
        The forecaster's own report.
    """

    queries: int
    labelled: int
    candidates: tuple[str, ...]
    curve: Curve
    forecast: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "queries": self.queries,
            "labelled": self.labelled,
            "candidates": list(self.candidates),
            "curve": self.curve.to_config(),
            "forecast": dict(self.forecast),
        }


def fit_router(
    log: str | Path | Iterable[Mapping[str, Any]],
    *,
    encoder: Encoder | None = None,
    pool: Pool | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] = SILENT,
) -> tuple[RoutingModel, FitReport]:
    """Fit on a log.

    Parameters
    ----------
    pool
        Candidates to fit for; by default those of the log, with prices inferred from its costs.
    progress
        Called with the stage's name and the share done.

    Raises
    ------
    LogError
        If the log cannot be read, or fewer than 50 of its queries have scores.
    """
    entries = read_log(log)
    names = tuple(n for n in pool.names if any(n in q.outcomes for q in entries)) if pool else None
    if names is not None and not names:
        raise LogError(
            f"the log has outcomes of {', '.join(sorted({c for q in entries for c in q.outcomes}))}, "
            f"and none of the pool's candidates ({', '.join(pool.names if pool else ())})"
        )
    table = tabulate(entries, names)
    if encoder is None:
        from emafusion.encoders import default_encoder

        encoder = default_encoder()
    progress("reading answers", 0.0)
    rows = rows_to_read(table, seed)
    entries = [entries[i] for i in rows]
    answers = read_answers(entries, table.take(rows), encoder)
    del entries
    return fit_table(table, answers, encoder, rows=rows, seed=seed, progress=progress)


def fit_table(
    table: LogTable,
    answers: Answers,
    encoder: Encoder,
    *,
    embeddings: Array | None = None,
    rows: IntArray | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] = SILENT,
) -> tuple[RoutingModel, FitReport]:
    """:func:`fit_router` on arrays; ``answers`` are those of ``rows`` of the table, by default of all.

    The forecast is learned from the whole table, what comes after it from as many rows as :func:`rows_to_read` takes.
    """
    labelled = int((~np.isnan(table.score)).any(1).sum())
    if labelled < 50:
        raise LogError(
            f"the log has scores for {labelled} queries: fitting needs at least 50; until then serve unfitted"
        )
    progress("encoding", 0.05)
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64) if embeddings is None else embeddings
    classifier = TaxonomyClassifier(encoder=encoder)
    labels = classifier.categories(table.texts, vectors)
    progress("forecast", 0.1)
    forecaster = Forecaster(seed=seed).fit(table.texts, vectors, table.score, table.in_tok, table.out_tok, labels)
    prices = {name: infer_price(table, name) for name in table.candidates}
    typical = np.array([prices[n].input * 750 + prices[n].output * 250 for n in table.candidates])
    suitability = Suitability().fit(
        labels, table.score, candidates=table.candidates, log_prices=np.log(np.maximum(typical, 1e-9))
    )
    queries = len(table)
    if rows is None:
        rows = rows_to_read(table, seed)
        answers = answers.take(rows)
    table, vectors, expected = table.take(rows), vectors[rows], forecaster.oof_.take(rows)
    progress("agreement", 0.6)
    regions = AgreementRegions(seed=seed).fit(vectors, answers.label, table.score, answers.known)
    model = RoutingModel(
        encoder=encoder.identity,
        prices=prices,
        forecaster=forecaster,
        suitability=suitability,
        regions=regions,
        belief=BeliefModel.prior(table.candidates),
        curve=None,
        queries=labelled,
        seed=seed,
    )
    recording = record(model, table, answers, vectors, expected)
    progress("difficulty", 0.65)
    belief = fit_beliefs(recording, table, answers, seed=seed)
    recording = with_evidence(recording, belief, answers)
    belief = calibrate(recording, belief, seed=seed, progress=lambda done: progress("calibration", 0.68 + 0.17 * done))
    belief = fit_judges(recording, belief, table, labels[rows], seed=seed)
    progress("curve", 0.85)
    curve = measure_curve(recording, belief, seed=seed)
    model = model.with_beliefs(belief, curve)
    progress("done", 1.0)
    return model, FitReport(queries, labelled, table.candidates, curve, forecaster.report_)


def expected_cost(
    prices: Mapping[str, Any], candidates: tuple[str, ...], forecasts: Forecasts, table: LogTable
) -> Array:
    """USD expected of each call: forecast output, and input as forecast or as long as the prompt."""
    inp = np.array([prices[n].input for n in candidates]) / 1e6
    out = np.array([prices[n].output for n in candidates]) / 1e6
    tokens_in = np.where(np.isfinite(forecasts.in_tok), forecasts.in_tok, table.prompt_tokens[:, None])
    tokens_out = np.where(np.isfinite(forecasts.out_tok), forecasts.out_tok, 250.0)
    return np.asarray(tokens_in * inp + np.maximum(tokens_out, 1.0) * out)


def record(model: RoutingModel, table: LogTable, answers: Answers, vectors: Array, forecasts: Forecasts) -> Recording:
    """A log as the policy meets it, with these forecasts; without evidence of single answers."""
    rho, eps = model.regions.predict(vectors)
    # A candidate that was asked but whose cost was not noted is taken at its expected cost.
    expected = expected_cost(model.prices, table.candidates, forecasts, table)
    return Recording(
        p=np.clip(forecasts.p, 0.005, 0.995),
        expected_cost=expected,
        rho=rho,
        eps=eps,
        label=answers.label,
        usable=answers.usable,
        llr=np.zeros_like(forecasts.p),
        asked=table.asked,
        seen=answers.known,
        cost=np.where(np.isnan(table.cost), expected, table.cost),
        score=table.score,
    )


def with_evidence(recording: Recording, belief: BeliefModel, answers: Answers) -> Recording:
    """Add what each answer shows by itself."""
    llr = np.zeros_like(recording.p)
    llr[answers.known] = belief.evidence.llr(answers.rules[answers.known])
    return replace(recording, llr=llr)


def fit_beliefs(recording: Recording, table: LogTable, answers: Answers, *, seed: int = 0) -> BeliefModel:
    """How candidates succeed together and what an answer shows by itself; the confidence is not calibrated yet."""
    m = len(table.candidates)
    difficulty = SharedDifficulty().fit(recording.p, table.score, seed=seed)
    graded = answers.known & ~np.isnan(table.score)
    evidence = AnswerEvidence().fit(answers.rules[graded], recording.p[graded], table.score[graded])
    return BeliefModel(table.candidates, difficulty, ConfidenceCalibration().start(m), evidence, fitted=True)


def measure_curve(recording: Recording, belief: BeliefModel, *, seed: int = 0, grid: int = GRID) -> Curve:
    """Simulate the policy over a grid of values on a sample of the rows with scores."""
    rng = np.random.default_rng(seed + 1)
    rows = np.nonzero((~np.isnan(recording.score)).any(1))[0]
    rows = np.sort(rng.permutation(rows)[:CURVE_ROWS])
    part = recording.take(rows)
    values = np.geomspace(*value_range(part), grid)
    runs = [simulate(part, belief, float(value)) for value in values]
    cost = np.where(part.asked, part.cost, np.nan)
    return curve_of(belief.candidates, values, runs, part.score, cost, seed=seed)
