"""The fitted router as an object and as a file: JSON, versioned, with a checksum and the encoder's identity.

Arrays are base64 of zlib-compressed little-endian bytes. Nothing in the file is executed on loading.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.config import Pool, Price
from emafusion.errors import ArtefactError
from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.confidence import ConfidenceCalibration
from emafusion.estimators.forecaster import Forecaster
from emafusion.estimators.regions import AgreementRegions
from emafusion.estimators.shared_difficulty import SharedDifficulty
from emafusion.policies.automix import AutoMix
from emafusion.policies.trade_off import Curve
from emafusion.taxonomy.suitability import Suitability

__all__ = ["FORMAT_VERSION", "RoutingModel", "load_router", "parse_router", "save_router"]

FORMAT = "emafusion-router"
FORMAT_VERSION = 2


@dataclass(frozen=True)
class RoutingModel:
    """Everything learned from a log.

    Attributes
    ----------
    encoder
        Identity of the encoder that it was fitted with.
    prices
        Prices of the candidates of the log, by name.
    queries
        Labelled queries that it was fitted on.
    automix
        AutoMix, where it was fitted too: the router is then served by it unless another policy is asked for.
    """

    encoder: str
    prices: Mapping[str, Price]
    forecaster: Forecaster
    suitability: Suitability
    regions: AgreementRegions
    belief: BeliefModel
    curve: Curve | None
    queries: int
    seed: int = 0
    automix: AutoMix | None = None

    @property
    def candidates(self) -> tuple[str, ...]:
        """Candidates of the log, in the order of all arrays."""
        return self.belief.candidates

    def with_beliefs(self, belief: BeliefModel, curve: Curve | None) -> RoutingModel:
        return replace(self, belief=belief, curve=curve)

    def columns(self, pool: Pool) -> NDArray[np.int64]:
        """Column of each of the pool's candidates, -1 for one that the log did not know."""
        known = {name: j for j, name in enumerate(self.candidates)}
        return np.array([known.get(name, -1) for name in pool.names], dtype=np.int64)

    def belief_for(self, pool: Pool) -> BeliefModel:
        """The belief model in the pool's order; candidates new to it start from the shipped prior."""
        columns = self.columns(pool)
        if not (columns >= 0).any():
            raise ArtefactError(
                f"the router knows {', '.join(self.candidates)}, and none of the pool's candidates "
                f"({', '.join(pool.names)}): give Candidate(model, name=...) the names of its log, or fit another"
            )
        prior = BeliefModel.prior(pool.names)
        fitted, new = self.belief, columns < 0

        def gathered(mine: NDArray[Any], shipped: NDArray[Any], axis: int = 0) -> NDArray[Any]:
            out = np.take(mine, np.maximum(columns, 0), axis=axis)
            mask = new.reshape([-1 if a == axis else 1 for a in range(out.ndim)])
            return np.where(mask, shipped, out)

        difficulty = SharedDifficulty(nodes=fitted.difficulty.nodes, loading=fitted.difficulty.loading)
        difficulty.weights_ = gathered(fitted.difficulty.weights_, prior.difficulty.weights_)
        calibration = ConfidenceCalibration(l2=fitted.calibration.l2)
        calibration.slopes_ = fitted.calibration.slopes_
        mean = fitted.calibration.intercepts_.mean(1, keepdims=True) * np.ones((1, len(pool)))
        calibration.intercepts_ = gathered(fitted.calibration.intercepts_, mean, axis=1)
        return BeliefModel(pool.names, difficulty, calibration, fitted.evidence, fitted=True, judges=fitted.judges)


def save_router(model: RoutingModel, path: str | Path) -> None:
    """Write ``model``; the file appears whole or not at all."""
    config, arrays = model.forecaster.to_arrays()
    regions_config, regions = model.regions.to_arrays()
    payload = {
        "encoder": model.encoder,
        "candidates": list(model.candidates),
        "prices": {n: {"input": p.input, "output": p.output, "source": p.source} for n, p in model.prices.items()},
        "queries": model.queries,
        "seed": model.seed,
        "forecaster": {"config": config, "arrays": _packed(arrays)},
        "suitability": _packed_tree(model.suitability.to_arrays()),
        "regions": {"config": regions_config, "arrays": _packed(regions)},
        "belief": model.belief.to_config(),
        "curve": model.curve.to_config() if model.curve else None,
    }
    if model.automix is not None:
        payload["automix"] = model.automix.to_config()
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), default=_plain)
    whole = {"format": FORMAT, "version": FORMAT_VERSION, "checksum": _checksum(text), "payload": json.loads(text)}
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(whole, separators=(",", ":")), encoding="utf-8")
    partial.replace(path)


def load_router(path: str | Path) -> RoutingModel:
    """Read a router.

    Raises
    ------
    ArtefactError
        If the file is missing, is no router, is of another version, or has been changed.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_router(content, path)


def parse_router(content: bytes, name: str | Path) -> RoutingModel:
    """A router from the bytes of its file; ``name`` says in errors where they came from.

    Raises
    ------
    ArtefactError
        If they are no router, of another version, or have been changed.
    """
    try:
        whole = json.loads(content)
    except ValueError as error:
        raise ArtefactError(
            f"{name}: is not JSON ({error}): fit it again with `emafusion fit LOG -o {name}`"
        ) from error
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise ArtefactError(
            f"{name}: is not a router saved by EMAFusion: fit one with `emafusion fit LOG -o router.json`"
        )
    if whole.get("version") != FORMAT_VERSION:
        raise ArtefactError(
            f"{name}: has format version {whole.get('version')!r}, this is version {FORMAT_VERSION}: fit it again"
        )
    payload: dict[str, Any] = whole.get("payload") or {}
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    if _checksum(text) != whole.get("checksum"):
        raise ArtefactError(f"{name}: its checksum does not match: it was changed or damaged; fit it again")
    try:
        return _rebuilt(payload)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"{name}: its content is incomplete ({type(error).__name__}: {error}); fit it again"
        ) from error


def _rebuilt(payload: dict[str, Any]) -> RoutingModel:
    return RoutingModel(
        encoder=payload["encoder"],
        prices={n: Price(p["input"], p["output"], source=p["source"]) for n, p in payload["prices"].items()},
        forecaster=Forecaster.from_arrays(payload["forecaster"]["config"], _unpacked(payload["forecaster"]["arrays"])),
        suitability=Suitability.from_arrays(_unpacked_tree(payload["suitability"])),
        regions=AgreementRegions.from_arrays(payload["regions"]["config"], _unpacked(payload["regions"]["arrays"])),
        belief=BeliefModel.from_config(payload["belief"]),
        curve=Curve.from_config(payload["curve"]) if payload["curve"] else None,
        queries=payload["queries"],
        seed=payload["seed"],
        automix=AutoMix.from_config(payload["automix"]) if payload.get("automix") else None,
    )


def _checksum(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _packed(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return {name: _pack(array) for name, array in arrays.items()}


def _unpacked(arrays: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {name: _unpack(array) for name, array in arrays.items()}


def _pack(array: NDArray[Any]) -> dict[str, Any]:
    little = np.ascontiguousarray(array)
    little = little.astype(little.dtype.newbyteorder("<"), copy=False)
    if little.dtype.kind not in "fiub":
        raise TypeError(f"cannot save an array of {array.dtype}")
    packed = base64.b64encode(zlib.compress(little.tobytes(), 6)).decode()
    return {"dtype": little.dtype.str, "shape": list(array.shape), "zlib": packed}


def _unpack(packed: Mapping[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(packed["dtype"])
    if dtype.kind not in "fiub":
        raise TypeError(f"an array of {dtype} does not belong in a router")
    raw = zlib.decompress(base64.b64decode(packed["zlib"]))
    return np.asarray(np.frombuffer(raw, dtype=dtype).reshape(packed["shape"]).copy())


def _packed_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _pack(v) if isinstance(v, np.ndarray) else v for k, v in tree.items()}


def _unpacked_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _unpack(v) if isinstance(v, dict) and "zlib" in v else v for k, v in tree.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot save {type(value).__name__}")
