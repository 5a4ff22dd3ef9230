"""What EMAFusion is compared with. Each is a function of a :class:`Fold`: it learns from the training part alone.

Where a method has a setting, it is chosen on the training part for the value of a good answer that each operating
point stands for; no test score chooses anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from emafusion.evaluation.baselines.automix import automix, automix_threshold
from emafusion.evaluation.baselines.bandit import linear_bandit
from emafusion.evaluation.baselines.cascade_only import cascade_only
from emafusion.evaluation.baselines.chance import random_choice
from emafusion.evaluation.baselines.clusters import k_means_table
from emafusion.evaluation.baselines.factorisation import matrix_factorisation
from emafusion.evaluation.baselines.fold import Baseline, Fold, Part
from emafusion.evaluation.baselines.learned_only import learned_only
from emafusion.evaluation.baselines.mlp import multilayer_perceptron
from emafusion.evaluation.baselines.neighbours import k_nearest
from emafusion.evaluation.baselines.oracle import oracle
from emafusion.evaluation.baselines.pairwise import pairwise_cascade
from emafusion.evaluation.baselines.single import best_single, cheapest, dearest, zero_router
from emafusion.evaluation.baselines.taxonomy_only import taxonomy_only
from emafusion.evaluation.baselines.threshold_cascade import threshold_cascade

__all__ = [
    "BASELINES",
    "Baseline",
    "Fold",
    "Part",
    "automix",
    "automix_threshold",
    "best_single",
    "cascade_only",
    "cheapest",
    "dearest",
    "k_means_table",
    "k_nearest",
    "learned_only",
    "linear_bandit",
    "matrix_factorisation",
    "multilayer_perceptron",
    "oracle",
    "pairwise_cascade",
    "random_choice",
    "taxonomy_only",
    "threshold_cascade",
    "zero_router",
]

BASELINES: Mapping[str, Baseline] = {
    "best single": best_single,
    "cheapest": cheapest,
    "dearest": dearest,
    "random": random_choice,
    "zero-router hull": zero_router,
    "k-nearest neighbours": k_nearest,
    "k-means table": k_means_table,
    "multilayer perceptron": multilayer_perceptron,
    "matrix factorisation": matrix_factorisation,
    "linear bandit": linear_bandit,
    "pairwise cascades": pairwise_cascade,
    "threshold cascades": threshold_cascade,
    "AutoMix threshold": automix_threshold,
    "AutoMix": automix,
    "taxonomy only": taxonomy_only,
    "learned only": learned_only,
    "cascade only": cascade_only,
    "oracle": oracle,
}
"""In the order in which reports list them."""
