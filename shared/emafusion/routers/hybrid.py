"""Routers that read the query: the taxonomy's shipped prior, and the fitted hybrid of taxonomy and learned forecast.

Familiar queries follow what the log shows around them; the less familiar a query, the more its forecast falls back to
the suitability of its category, fitted or shipped (EMAFusion, arXiv 2504.10681: taxonomy router, learned router).
"""

from __future__ import annotations

from statistics import median

import numpy as np
from numpy.typing import NDArray

from emafusion.config import Pool
from emafusion.encoders.base import Encoder
from emafusion.errors import ArtefactError
from emafusion.estimators.beliefs import Array
from emafusion.routers.artefact import RoutingModel
from emafusion.routers.prior import TYPICAL_OUTPUT_TOKENS
from emafusion.routers.shipped import shipped_spread, shipped_suitability
from emafusion.routers.slow import fused_labels
from emafusion.taxonomy.classifier import TaxonomyClassifier
from emafusion.taxonomy.labels import AXES
from emafusion.taxonomy.suitability import Suitability
from emafusion.types import Forecast, Query, Usage

__all__ = ["HybridRouter", "TaxonomyRouter"]


def call_costs(pool: Pool, query: Query, output_tokens: Array) -> tuple[float, ...]:
    """USD expected of one call to each candidate; an output longer than the caller allows is not expected."""
    limit = query.max_output_tokens or np.inf
    return tuple(
        pool.price(c.name or "").cost(
            Usage(query.prompt_tokens, int(min(tokens, limit, c.max_output_tokens or np.inf)))
        )
        for c, tokens in zip(pool, output_tokens)
    )


class TaxonomyRouter:
    """The router before any outcome: what kind of query is this, and how do such models fare with it?

    Parameters
    ----------
    pool
    encoder
        None loads the shipped one on first use.
    suitability
        Phi; by default the shipped prior.
    """

    def __init__(self, pool: Pool, *, encoder: Encoder | None = None, suitability: Suitability | None = None) -> None:
        self.pool, self._encoder = pool, encoder
        self.suitability = suitability or shipped_suitability(pool)
        self._spread = tuple(shipped_spread(pool).tolist())
        self._classifier: TaxonomyClassifier | None = None

    @property
    def classifier(self) -> TaxonomyClassifier:
        """Made on first use: it loads the encoder's table."""
        if self._classifier is None:
            self._classifier = TaxonomyClassifier(encoder=self._encoder)
        return self._classifier

    def forecast(self, query: Query) -> Forecast:
        vectors = self.classifier.encoder.encode([query.text])
        labels = fused_labels(self.classifier.classify([query.text], vectors)[0], query)
        p, _ = self.suitability.predict(labels.categories()[None])
        tokens = np.full(len(self.pool), TYPICAL_OUTPUT_TOKENS)
        return Forecast(
            candidates=self.pool.names,
            p_good=tuple(p[0].tolist()),
            spread=self._spread,
            cost_usd=call_costs(self.pool, query, tokens),
            output_tokens=tuple(tokens.tolist()),
            familiarity=labels.familiarity,
            category=labels.task,
            labels={axis: labels.best(axis) for axis in AXES},
            embedding=vectors[0],
        )


class HybridRouter:
    """The fitted router.

    Parameters
    ----------
    pool
        May hold candidates that the log did not know: they are forecast by their category and price.
    model
    encoder
        Must be the one that ``model`` was fitted with.

    Raises
    ------
    ArtefactError
        If the encoder is another one, or no candidate of the pool is known to the model.
    """

    def __init__(self, pool: Pool, model: RoutingModel, *, encoder: Encoder | None = None) -> None:
        from emafusion.encoders import load_encoder

        if encoder is None:
            encoder = load_encoder(model.encoder)
        if encoder.identity != model.encoder:
            raise ArtefactError(
                f"the router was fitted with encoder {model.encoder!r}, and {encoder.identity!r} was given: "
                "give the same encoder, or fit again"
            )
        self.pool, self.model, self.encoder = pool, model, encoder
        self.columns = model.columns(pool)
        self._known = self.columns >= 0
        self._at = np.maximum(self.columns, 0)
        self._usd_in = np.array([pool.price(n).input for n in pool.names])
        self._usd_out = np.array([pool.price(n).output for n in pool.names])
        self.classifier = TaxonomyClassifier(encoder=encoder)
        self._shipped = None if self._known.all() else (shipped_suitability(pool), shipped_spread(pool))

    def forecast(self, query: Query) -> Forecast:
        vectors = np.asarray(self.encoder.encode([query.text]), dtype=np.float32)
        labels = fused_labels(self.classifier.label(query.text, vectors[0]), query)
        categories = labels.categories()[None]
        known = self.model.forecaster.predict([query.text], vectors, categories)
        p, sd, tokens = (self._gather(a[0]) for a in (known.p, known.sd, known.out_tok))
        if self._shipped is not None:
            suitability, spread = self._shipped
            shipped_p, _ = suitability.predict(categories)
            p = np.where(self._known, p, shipped_p[0])
            sd = np.where(self._known, sd, spread)
        if not np.isfinite(tokens).all():
            tokens = np.where(np.isfinite(tokens), tokens, self._usual(tokens))
        tokens = np.maximum(tokens, 1.0)
        rho, eps = self.model.regions.predict(vectors)
        best = {axis: labels.best(axis) for axis in AXES}
        return Forecast(
            candidates=self.pool.names,
            p_good=tuple(p.clip(0.005, 0.995).tolist()),
            spread=tuple(sd.tolist()),
            cost_usd=self._costs(query, known.in_tok[0], tokens),
            output_tokens=tuple(tokens.tolist()),
            familiarity=float(known.familiarity[0]),
            category=best["task"],
            labels=best,
            right_agree=float(rho[0]),
            wrong_agree=float(eps[0]),
            embedding=vectors[0],
        )

    def _gather(self, fitted: NDArray[np.float64]) -> Array:
        found = fitted[self._at]
        return found if self._shipped is None else np.where(self._known, found, np.nan)

    @staticmethod
    def _usual(tokens: Array) -> float:
        return float(np.nanmedian(tokens)) if np.isfinite(tokens).any() else TYPICAL_OUTPUT_TOKENS

    def _costs(self, query: Query, in_tok: Array, tokens: Array) -> tuple[float, ...]:
        """Input as long as this request, in the candidate's own count where the log showed how it differs."""
        expected = self._gather(in_tok)
        usual = np.where(np.isfinite(expected), expected, query.prompt_tokens)
        # The forecast of input length is made from the text asked; a request may carry more (history, tools).
        lengths = np.maximum(usual, 0.0) if query.prompt_tokens <= 2 * median(usual.tolist()) else query.prompt_tokens
        written = np.minimum(tokens, query.max_output_tokens or np.inf)
        return tuple(((lengths * self._usd_in + written * self._usd_out) / 1e6).tolist())
