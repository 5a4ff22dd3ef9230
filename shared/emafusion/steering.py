"""`Steered`: what both adapters let a user tell their model while it serves: feedback, and another pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emafusion.config import Price
    from emafusion.fusion import Fusion
    from emafusion.learning.online.preferences import Signal

__all__ = ["Steered"]


class Steered:
    """Mixed into an adapter's model; delegates to its :class:`~emafusion.fusion.Fusion`.

    ``decision_id`` is the ``"id"`` of the decision that every answer carries.
    """

    __slots__ = ()

    @property
    def fusion(self) -> Fusion:
        """The core behind this model: pool, decisions, store, learning, budgets."""
        raise NotImplementedError

    def _pool_changed(self) -> None:
        """Renew what was derived from the pool."""

    def feedback(
        self,
        decision_id: str,
        score: float | None = None,
        *,
        thumbs: bool | None = None,
        truth: str | None = None,
        preferred: str | None = None,
        over: str | None = None,
        key: str | None = None,
    ) -> None:
        """Tell how good an answer was, now or later, from this process or (with a store) another.

        Exactly one of ``score``, ``thumbs``, ``truth`` and ``preferred`` with ``over``. The last word counts.

        Parameters
        ----------
        score
            From 0 (bad) to 1 (good).
        thumbs
            Up or down.
        truth
            The true answer: every candidate's answer is graded by it.
        preferred, over
            Names of two candidates that both answered: the answer of the first was the better one.
        key
            Who or what says it; the same key again, of the same decision, replaces what it said.

        Raises
        ------
        emafusion.errors.ConfigError
            If it makes no sense, the decision is unknown, or a truth cannot be compared with the answers.
        """
        self.fusion.feedback(decision_id, score, thumbs=thumbs, truth=truth, preferred=preferred, over=over, key=key)

    def signal(self, decision_id: str, signal: Signal) -> None:
        """Tell of a reaction that speaks against an answer, without being sure.

        Parameters
        ----------
        signal
            "schema_failure" (what came after could not use it), "retried" or "rephrased" (the user asked again).

        Raises
        ------
        emafusion.errors.ConfigError
            If the decision is unknown.
        """
        self.fusion.signal(decision_id, signal)

    def add_candidate(self, candidate: Any, *, anchors: int = 0) -> None:
        """Choose among one more from the next request on; given as in the list of candidates.

        A router that was fitted without it forecasts it by its price and the kind of question until more is known.

        Parameters
        ----------
        anchors
            Stored questions to put to it at once, so that learning places it: those that tell most, of the newest that
            stood alone and whose answers can be graded. Each is a call that costs; returns when all are answered.

        Raises
        ------
        emafusion.errors.ConfigError, emafusion.errors.PriceError
            If its name is taken, its price is unknown, or there are anchors to ask without a store or learning. What
            goes wrong in asking is a warning.
        """
        self.fusion.place_candidate(self._added(candidate, anchors), anchors, self._ask)

    async def aadd_candidate(self, candidate: Any, *, anchors: int = 0) -> None:
        """:meth:`add_candidate` for asyncio."""
        await self.fusion.aplace_candidate(self._added(candidate, anchors), anchors, self._aask)

    def _added(self, candidate: Any, anchors: int) -> str:
        self.fusion.check_anchors(anchors)
        name = self.fusion.add_candidate(candidate)
        self._pool_changed()
        return name

    def _ask(self, text: str, name: str) -> Any:
        """Have the candidate of that name answer a text."""
        raise NotImplementedError

    async def _aask(self, text: str, name: str) -> Any:
        raise NotImplementedError

    def remove_candidate(self, name: str) -> None:
        """Ask it no more, and forget what was learned of it; requests under way may still end with it.

        Raises
        ------
        emafusion.errors.ConfigError
            If there is none of that name, it is the last, or it is the objective's reference.
        """
        self.fusion.remove_candidate(name)
        self._pool_changed()

    def set_price(self, name: str, price: Price) -> None:
        """Reckon with a new price, in USD per million tokens, from the next request on.

        Raises
        ------
        emafusion.errors.ConfigError
            If there is no candidate of that name.
        """
        self.fusion.set_price(name, price)
        self._pool_changed()
