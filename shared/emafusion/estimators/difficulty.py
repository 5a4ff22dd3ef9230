"""Leading factors of the score matrix as ridge and neighbours forecast them: how hard a query is, and for whom.

The training rows get cross-fitted values, so a learner that is given them cannot mistake memory for foresight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.neighbours import PLAIN, Neighbours
from emafusion.estimators.views import Floats, Views

if TYPE_CHECKING:
    from typing_extensions import Self

FACTORS: Final = 4
REFERENCES: Final = 2_000


class Difficulty:
    """The first few principal components of completed scores, forecast twice: by ridge and by neighbours.

    Parameters
    ----------
    factors : int
        Number of components; the first is difficulty, the next tell kinds of difficulty apart.
    strength : float
        Strength of the regularisation.
    """

    def __init__(self, *, factors: int = FACTORS, strength: float = 1000.0) -> None:
        self.factors = factors
        self.strength = strength

    def fit_transform(
        self, views: Views, targets: NDArray[Any], completed: NDArray[Any], inner: NDArray[np.int64]
    ) -> Floats:
        """Fit on scores (n, m) and return cross-fitted factors (n, 2 q) of the same rows, by the ``inner`` folds."""
        self.mean_ = completed.mean(axis=0)
        wanted = completed - self.mean_
        vectors = np.linalg.eigh(wanted.T @ wanted)[1][:, ::-1][:, : self.factors]
        self.vectors_ = vectors * np.sign(vectors.sum(axis=0) + 1e-12)
        if len(np.unique(inner)) < 2:
            inner = np.arange(len(completed)) % 5
        near = np.tile(self.mean_, (len(completed), 1))
        for k in np.unique(inner):
            train, held = np.flatnonzero(inner != k), np.flatnonzero(inner == k)
            if not len(train):
                continue
            member = Neighbours(references=REFERENCES).fit(views.take(train), targets[train], completed[train])
            near[held] = member.predict_many(views.take(held), (PLAIN,))[0][0]
        regressed = self._fit_ridge(views, (wanted @ self.vectors_).astype(np.float32), inner)
        return self._join(regressed, near)

    def _join(self, regressed: Floats, near: NDArray[Any]) -> Floats:
        return np.hstack([regressed, ((near - self.mean_) @ self.vectors_).astype(np.float32)])

    def _fit_ridge(self, views: Views, factors: Floats, inner: NDArray[np.int64]) -> Floats:
        self.center_ = views.design.mean(axis=0)
        matrix = views.design - self.center_
        gram, moments = matrix.T @ matrix, matrix.T @ factors
        self.weights_ = self._solve(gram, moments)
        fitted = np.zeros_like(factors)
        for k in np.unique(inner):
            held = matrix[inner == k]
            weights = self._solve(gram - held.T @ held, moments - held.T @ factors[inner == k])
            fitted[inner == k] = held @ weights
        return fitted

    def _solve(self, gram: Floats, moments: Floats) -> Floats:
        ridge = gram.astype(np.float64)
        ridge[np.diag_indices_from(ridge)] += self.strength
        return np.asarray(np.linalg.solve(ridge, moments.astype(np.float64)), dtype=np.float32)

    def transform(self, views: Views) -> Floats:
        """Forecast the factors (n, 2 q) of other rows; needs ``views.near``."""
        if views.near is None:
            raise ValueError("the neighbours' forecast is missing: give views.near before asking for difficulty")
        return self._join((views.design - self.center_) @ self.weights_, views.near)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return named arrays."""
        return {"center": self.center_, "weights": self.weights_, "mean": self.mean_, "vectors": self.vectors_}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        difficulty = cls()
        difficulty.center_, difficulty.weights_ = arrays["center"], arrays["weights"]
        difficulty.mean_, difficulty.vectors_ = arrays["mean"], arrays["vectors"]
        return difficulty
