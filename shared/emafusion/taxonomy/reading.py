"""Reads and merges taxonomy files. Every error names the file, the field and what would be right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from emafusion.errors import ConfigError
from emafusion.taxonomy.labels import AXES, Prior, Seed, Taxonomy

__all__ = ["merged", "read_taxonomy"]

_KEYS = {"name", "version", "axes", "prior", "seeds"}
_VERSION = 1


def read_taxonomy(content: Any, source: str) -> Taxonomy:
    """Validate `content` into a `Taxonomy`."""
    top = _mapping(content, source)
    unknown = sorted(set(top) - _KEYS)
    if unknown:
        raise ConfigError(f"{source}: unknown field {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    if top.get("version", _VERSION) != _VERSION:
        raise ConfigError(f"{source}: version is {top['version']!r}, this release reads {_VERSION}")
    axes = _axes(top.get("axes"), f"{source}: axes")
    raw_seeds = top.get("seeds")
    if not isinstance(raw_seeds, list) or not raw_seeds:
        raise ConfigError(f"{source}: seeds must be a list of at least one {{text, task, ...}}")
    seeds = tuple(_seed(raw, f"{source}: seeds[{position}]", axes) for position, raw in enumerate(raw_seeds))
    for axis, labels in axes.items():
        bare = sorted(set(labels) - {seed.label(axis) for seed in seeds})
        if bare:
            raise ConfigError(
                f"{source}: seeds: label {bare[0]!r} of axis {axis} has no seed; add a few utterances for it"
            )
    name = _text(top.get("name", "custom"), f"{source}: name")
    return Taxonomy(name=name, axes=axes, seeds=seeds, prior=_prior(top.get("prior", {}), f"{source}: prior", axes))


def merged(base: dict[str, Any], addition: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return `base` with the labels, difficulties and seeds of `addition` put on top."""
    extra = _mapping(addition, source)
    axes = {axis: dict(labels) for axis, labels in base["axes"].items()}
    for axis, labels in _mapping(extra.get("axes", {}), f"{source}: axes").items():
        axes.setdefault(axis, {}).update(_mapping(labels, f"{source}: axes.{axis}"))
    prior = dict(base["prior"])
    extra_prior = _mapping(extra.get("prior", {}), f"{source}: prior")
    prior.update({key: value for key, value in extra_prior.items() if key != "difficulty"})
    prior["difficulty"] = {axis: dict(values) for axis, values in prior["difficulty"].items()}
    for axis, values in _mapping(extra_prior.get("difficulty", {}), f"{source}: prior.difficulty").items():
        where = f"{source}: prior.difficulty.{axis}"
        prior["difficulty"].setdefault(axis, {}).update(_mapping(values, where))
    seeds = extra.get("seeds", [])
    if not isinstance(seeds, list):
        raise ConfigError(f"{source}: seeds must be a list, got {type(seeds).__name__}")
    rest = {key: value for key, value in extra.items() if key not in {"axes", "prior", "seeds"}}
    # The addition's seeds come first, so that an error's position is the position in the addition.
    return {**base, **rest, "axes": axes, "prior": prior, "seeds": [*seeds, *base["seeds"]]}


def _axes(raw: Any, where: str) -> dict[str, dict[str, str]]:
    given = _mapping(raw, where)
    if set(given) != set(AXES):
        raise ConfigError(f"{where} must be exactly {', '.join(AXES)}; got {', '.join(map(repr, given)) or 'none'}")
    axes: dict[str, dict[str, str]] = {}
    for axis in AXES:
        labels = _mapping(given[axis], f"{where}.{axis}")
        if len(labels) < 2:
            raise ConfigError(f"{where}.{axis} needs at least two labels with a definition each")
        for label, definition in labels.items():
            if not label or "/" in label or label != label.strip():
                raise ConfigError(f"{where}.{axis}: {label!r} is not a label; use a non-empty name without '/'")
            _text(definition, f"{where}.{axis}.{label}")
        axes[axis] = dict(labels)
    return axes


def _seed(raw: Any, where: str, axes: Mapping[str, Mapping[str, str]]) -> Seed:
    given = _mapping(raw, where)
    unknown = sorted(set(given) - set(Seed.__dataclass_fields__))
    if unknown:
        raise ConfigError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(Seed.__dataclass_fields__)}")
    _text(given.get("text"), f"{where}.text")
    _text(given.get("language", "und"), f"{where}.language")
    labels = {axis: given.get(axis) for axis in AXES}
    for axis, label in labels.items():
        if label is not None and label not in axes[axis]:
            raise ConfigError(f"{where}.{axis}: {label!r} is not a label; known are {', '.join(axes[axis])}")
    if not any(labels.values()):
        raise ConfigError(f"{where} has no label; give at least one of {', '.join(AXES)}")
    return Seed(**given)


def _prior(raw: Any, where: str, axes: Mapping[str, Mapping[str, str]]) -> Prior:
    given = _mapping(raw, where)
    allowed = {"note", "ability_cheapest", "ability_dearest", "difficulty"}
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise ConfigError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(sorted(allowed))}")
    difficulty = _mapping(given.get("difficulty", {}), f"{where}.difficulty")
    levels: dict[str, dict[str, float]] = {"task": {}, "complexity": {}}
    for axis, values in difficulty.items():
        if axis not in levels:
            raise ConfigError(f"{where}.difficulty: {axis!r} carries no difficulty; use task or complexity")
        for label, value in _mapping(values, f"{where}.difficulty.{axis}").items():
            if label not in axes[axis]:
                raise ConfigError(f"{where}.difficulty.{axis}: {label!r} is not a label of that axis")
            levels[axis][label] = _number(value, f"{where}.difficulty.{axis}.{label}")
    low = _number(given.get("ability_cheapest", Prior.ability_cheapest), f"{where}.ability_cheapest")
    high = _number(given.get("ability_dearest", Prior.ability_dearest), f"{where}.ability_dearest")
    return Prior(low, high, levels["task"], levels["complexity"])


def _mapping(raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
        raise ConfigError(f"{where} must be an object with text keys, got {type(raw).__name__}")
    return raw


def _text(raw: Any, where: str) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ConfigError(f"{where} must be a non-empty text, got {raw!r}")
    return raw


def _number(raw: Any, where: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        raise ConfigError(f"{where} must be a finite number (logits), got {raw!r}")
    return float(raw)
