"""A multilayer perceptron from the query's embedding to all candidates' scores (RouterBench, arXiv 2403.12031)."""

from __future__ import annotations

import warnings

import numpy as np

from emafusion.evaluation.baselines.fold import Fold, Part, direct
from emafusion.evaluation.baselines.neighbours import training_area
from emafusion.evaluation.baselines.ridge import expected_costs, ridge
from emafusion.evaluation.points import Array, Points

__all__ = ["multilayer_perceptron"]

SETTINGS = [((128,), 3.0), ((128,), 10.0), ((128, 64), 3.0)]
"""Hidden layers, and L2 penalty."""
HELD_OUT = 0.2
BATCH = 128
STEPS = 600
"""Batches that a network is trained on: small logs are gone through more often."""


def multilayer_perceptron(fold: Fold) -> Points:
    """Direct routing on the scores that one network expects of all candidates, and ridge costs.

    Layers and penalty are chosen on a fifth of the training part that the networks did not see, by the area under the
    frontier over log cost; the chosen network is then trained on all of it. A score that is missing is filled in by
    ridge regression on the same embedding, for the network learns all candidates at once.
    """
    train, test = fold.train, fold.test
    order = np.random.default_rng(fold.seed).permutation(len(train))
    held_out, seen = np.split(order, [max(1, int(HELD_OUT * len(train)))])
    inner, judged = train.take(np.sort(seen)), train.take(np.sort(held_out))
    cost = expected_costs(inner, judged.vectors)
    areas = []
    for layers, penalty in SETTINGS:
        quality = _trained(inner, judged.vectors, layers, penalty, fold.seed)
        areas.append(training_area(judged, fold.values, quality, cost))
    layers, penalty = SETTINGS[int(np.argmax(areas))]
    quality = _trained(train, test.vectors, layers, penalty, fold.seed)
    return direct(test, fold.values, quality, expected_costs(train, test.vectors))


def _trained(train: Part, queried: Array, layers: tuple[int, ...], penalty: float, seed: int) -> Array:
    """(q, m) scores that a network trained on this part expects."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    target = np.where(train.available, train.score, ridge(train, train.score, train.vectors))
    centre, spread = train.vectors.mean(0), max(float(train.vectors.std()), 1e-9)
    batch = min(BATCH, len(train))
    epochs = -(-STEPS // -(-len(train) // batch))
    network = MLPRegressor(
        hidden_layer_sizes=layers, alpha=penalty, max_iter=epochs, batch_size=batch, random_state=seed
    )
    # Single precision halves the time, and no setting is worth more digits.
    seen, asked = (((vectors - centre) / spread).astype(np.float32) for vectors in (train.vectors, queried))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs, and no more
        network.fit(seen, target.astype(np.float32))
    return np.asarray(network.predict(asked), dtype=np.float64).reshape(len(queried), -1)
