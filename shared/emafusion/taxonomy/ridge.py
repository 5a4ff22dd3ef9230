"""The noun here is `RidgeSoftmax`: one-against-rest ridge with exact leave-one-out, read as probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RidgeSoftmax", "ridge_inverses"]

_Floats = NDArray[np.float64]
_PENALTIES = (0.5, 1.0, 2.0)
_TEMPERATURES = np.geomspace(1.0, 32.0, 21)
_INTERCEPT = 1.0  # A constant in the kernel: a feature that is always 1, penalised like the others.


def ridge_inverses(features: NDArray[np.float32]) -> dict[float, _Floats]:
    """Return (K + penalty I)^-1 for each penalty tried; the axes of a taxonomy share them."""
    gram = (features @ features.T).astype(np.float64) + _INTERCEPT
    return {penalty: np.linalg.inv(gram + penalty * np.eye(len(gram))) for penalty in _PENALTIES}


@dataclass(frozen=True)
class RidgeSoftmax:
    """Ridge regression on label indicators; P(label) = softmax(sharpness * (features @ weights + bias)).

    Solved in the dual, for there are fewer seeds than features. With a = (K + penalty I)^-1 Y, the score of a left-out
    seed is y_i - a_i / (K + penalty I)^-1_ii, exactly. Penalty: the best leave-one-out accuracy. Sharpness: the best
    leave-one-out likelihood, so that probabilities are calibrated to unseen texts.

    Attributes
    ----------
    weights : array of shape (f, labels)
        Rounded to half precision, as they are shipped.
    bias : array of shape (labels,)
    sharpness : float
    accuracy : float
        Share of seeds labelled rightly when left out.
    """

    weights: NDArray[np.float16]
    bias: _Floats
    sharpness: float
    accuracy: float

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], inverses: dict[float, _Floats], targets: NDArray[np.intp], labels: int
    ) -> RidgeSoftmax:
        """Fit on seeds.

        Parameters
        ----------
        features : array of shape (n, f)
        inverses : mapping of penalty -> array of shape (n, n)
            From `ridge_inverses(features)`.
        targets : int array of shape (n,)
        labels : int
            Number of labels, also of those that `targets` lacks.
        """
        rows = np.arange(len(targets))
        wanted = np.eye(labels)[targets]
        accuracy = -1.0
        for inverse in inverses.values():
            dual = inverse @ wanted
            left_out = wanted - dual / np.diag(inverse)[:, None]
            found = float((left_out.argmax(axis=1) == targets).mean())
            if found > accuracy:
                accuracy, scores, best = found, left_out, dual
        likelihoods = [np.log(_softmax(s * scores)[rows, targets]).sum() for s in _TEMPERATURES]
        return cls(
            weights=(features.T @ best.astype(np.float32)).astype(np.float16),
            bias=_INTERCEPT * best.sum(axis=0),
            sharpness=float(_TEMPERATURES[int(np.argmax(likelihoods))]),
            accuracy=accuracy,
        )


def _softmax(logits: _Floats) -> _Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: _Floats = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
