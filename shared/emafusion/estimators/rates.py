"""How often answers fall together, by kind, while no outcomes say it: shipped priors, judgements not measurements.

``rho`` is the chance that two right answers are recognised as the same, taken per answer; ``eps`` the chance that two
wrong ones coincide. A fitted router replaces both by what its log shows around the query.
"""

from __future__ import annotations

__all__ = ["PRIOR_EPS", "PRIOR_RHO", "prior_rates"]

PRIOR_RHO = 0.85
PRIOR_EPS = 0.30

_BY_KIND = {
    "boolean": (0.99, 0.95),
    "choice": (0.99, 0.45),
    "number": (0.97, 0.20),
    "date": (0.95, 0.25),
    "expression": (0.90, 0.15),
    "literal": (0.92, 0.20),
    "json": (0.85, 0.25),
    "call": (0.85, 0.30),
    "code": (0.40, 0.05),
    "short": (0.80, 0.25),
    "text": (0.60, 0.45),
}


def prior_rates(kind: str | None) -> tuple[float, float]:
    """``(rho, eps)`` for answers of a kind (see :class:`emafusion.answers.FinalAnswer`); None before any answer."""
    return _BY_KIND.get(kind or "", (PRIOR_RHO, PRIOR_EPS))
