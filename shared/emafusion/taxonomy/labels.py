"""The nouns here are the `Taxonomy` (axes, labels, seeds, prior; JSON that users may extend) and a query's `Labels`.

EMAFusion (arXiv 2504.10681) labels a query by task type, domain, reasoning complexity and input/output format. A
category, the unit for which suitability is kept, is a task type at a complexity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.errors import ConfigError

__all__ = ["AXES", "Labels", "Prior", "Seed", "Taxonomy"]

AXES = ("task", "domain", "complexity", "format")
_DEFAULT_FILE = Path(__file__).with_name("default.json")


@dataclass(frozen=True)
class Seed:
    """An example utterance. An axis that its author left open is None, and does not teach that axis."""

    text: str
    task: str | None = None
    domain: str | None = None
    complexity: str | None = None
    format: str | None = None
    language: str = "und"

    def label(self, axis: str) -> str | None:
        """The label on one axis."""
        label: str | None = getattr(self, axis)
        return label


@dataclass(frozen=True)
class Prior:
    """Suitability before any outcome: sigmoid(ability - difficulty[task] - difficulty[complexity]); a judgement.

    Ability goes linearly from `ability_cheapest` to `ability_dearest` with the rank of a candidate's price in its pool.
    """

    ability_cheapest: float = 0.6
    ability_dearest: float = 2.4
    task_difficulty: Mapping[str, float] = field(default_factory=dict)
    complexity_difficulty: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Taxonomy:
    """Four axes of labels with definitions, seed utterances, and the suitability prior.

    Examples
    --------
    >>> taxonomy = Taxonomy.default()
    >>> taxonomy.labels("complexity")
    ('direct', 'few_step', 'multi_step', 'expert')
    >>> poetry = taxonomy.extend({"axes": {"task": {"haiku": "A poem of seventeen syllables."}},
    ...                           "seeds": [{"text": "a haiku on rain, please", "task": "haiku"}]})
    >>> "haiku" in poetry.labels("task")
    True
    """

    name: str
    axes: Mapping[str, Mapping[str, str]]
    seeds: tuple[Seed, ...]
    prior: Prior

    @classmethod
    def default(cls) -> Taxonomy:
        """The shipped taxonomy."""
        return _default()

    @classmethod
    def load(cls, path: str | Path) -> Taxonomy:
        """Read a taxonomy from JSON; `ConfigError` names file and field."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"taxonomy {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"taxonomy {path} is not JSON: {error}") from error
        return cls.from_mapping(content, source=str(path))

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], *, source: str = "taxonomy") -> Taxonomy:
        """Validate a mapping with the keys ``name``, ``axes``, ``seeds`` and, optionally, ``prior``."""
        from emafusion.taxonomy.reading import read_taxonomy

        return read_taxonomy(content, source)

    def extend(self, addition: Mapping[str, Any], *, source: str = "extension") -> Taxonomy:
        """Return a taxonomy with labels, definitions, difficulties and seeds added (or definitions replaced)."""
        from emafusion.taxonomy.reading import merged

        return Taxonomy.from_mapping(merged(self.to_mapping(), addition, source), source=source)

    def to_mapping(self) -> dict[str, Any]:
        """The JSON form, readable by `from_mapping`."""
        return {
            "name": self.name,
            "axes": {axis: dict(labels) for axis, labels in self.axes.items()},
            "prior": {
                "ability_cheapest": self.prior.ability_cheapest,
                "ability_dearest": self.prior.ability_dearest,
                "difficulty": {
                    "task": dict(self.prior.task_difficulty),
                    "complexity": dict(self.prior.complexity_difficulty),
                },
            },
            "seeds": [
                {
                    key: value
                    for key, value in vars(seed).items()
                    if value is not None and key in Seed.__dataclass_fields__
                }
                for seed in self.seeds
            ],
        }

    def labels(self, axis: str) -> tuple[str, ...]:
        """The labels of an axis, in file order."""
        return tuple(self.axes[axis])

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Every ``"task/complexity"``; complexity varies fastest."""
        return tuple(f"{task}/{level}" for task in self.axes["task"] for level in self.axes["complexity"])

    @cached_property
    def difficulty(self) -> NDArray[np.float64]:
        """Prior difficulty of each category, in logits, shape (number of categories,)."""
        task = [self.prior.task_difficulty.get(label, 0.0) for label in self.axes["task"]]
        level = [self.prior.complexity_difficulty.get(label, 0.0) for label in self.axes["complexity"]]
        return np.array([hard + level_hard for hard in task for level_hard in level], dtype=np.float64)

    @cached_property
    def identity(self) -> str:
        """Name and content hash; artefacts record it."""
        canonical = json.dumps(self.to_mapping(), sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return f"{self.name}@{hashlib.sha256(canonical).hexdigest()[:12]}"


@dataclass(frozen=True)
class Labels:
    """What the taxonomy says about one query: a probability vector per axis, and how near the query is to known ones.

    Parameters
    ----------
    names : mapping of axis -> labels
    probabilities : mapping of axis -> array of shape (number of labels,), each summing to 1
    familiarity : float in [0, 1]
    """

    names: Mapping[str, Sequence[str]]
    probabilities: Mapping[str, NDArray[np.float64]]
    familiarity: float = 0.0

    def best(self, axis: str) -> str:
        """The likeliest label of an axis."""
        return self.names[axis][int(np.argmax(self.probabilities[axis]))]

    @property
    def task(self) -> str:
        return self.best("task")

    @property
    def domain(self) -> str:
        return self.best("domain")

    @property
    def complexity(self) -> str:
        return self.best("complexity")

    @property
    def format(self) -> str:
        return self.best("format")

    def categories(self) -> NDArray[np.float64]:
        """Probability of each ``task/complexity`` category, the product of the two axes, ordered as in the taxonomy."""
        return np.outer(self.probabilities["task"], self.probabilities["complexity"]).ravel()


@lru_cache(maxsize=1)
def _default() -> Taxonomy:
    return Taxonomy.load(_DEFAULT_FILE)
