"""The taxonomy: what kind of query is this, and which candidates suit that kind? (EMAFusion, arXiv 2504.10681.)

texts -> `TaxonomyClassifier` -> label probabilities -> `Suitability` -> P(good answer) per candidate
"""

from __future__ import annotations

from emafusion.taxonomy.classifier import TaxonomyClassifier, category_probabilities, fuse
from emafusion.taxonomy.labels import AXES, Labels, Prior, Seed, Taxonomy
from emafusion.taxonomy.slow import parse_slow, slow_prompt
from emafusion.taxonomy.suitability import Suitability

__all__ = [
    "AXES",
    "Labels",
    "Prior",
    "Seed",
    "Suitability",
    "Taxonomy",
    "TaxonomyClassifier",
    "category_probabilities",
    "fuse",
    "parse_slow",
    "slow_prompt",
]
