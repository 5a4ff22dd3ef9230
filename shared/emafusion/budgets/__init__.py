"""Hard budgets: what a call may cost is reserved before it is made, and settled after."""

from __future__ import annotations

from emafusion.budgets.budget import Budget, Budgets

__all__ = ["Budget", "Budgets"]
