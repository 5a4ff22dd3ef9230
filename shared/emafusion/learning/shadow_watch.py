"""`ShadowWatch`: whom the policy that waits in shadow would have asked first, found out while the words are there.

A store that keeps no texts cannot be asked later. So what a gate needs is noted with each decision, by the name of the
candidate alone. It is worked out where decisions are written, on the writing thread; a request does nothing for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from emafusion.config import Objective
from emafusion.errors import EMAFusionError
from emafusion.routers.artefact import RoutingModel, parse_router
from emafusion.types import Decision, Query

__all__ = ["FirstOf", "ShadowStore", "ShadowWatch"]

log = logging.getLogger("emafusion")

FirstOf: TypeAlias = Callable[[Query, Objective], str]
"""Whom a router would have asked first."""


class ShadowStore(Protocol):
    """Where policies are kept: :class:`emafusion.store.Store`."""

    def policies(self) -> list[dict[str, Any]]: ...

    def artefact(self, id: str) -> bytes | None: ...


class ShadowWatch:
    """Knows the newest policy in shadow, and asks it.

    Parameters
    ----------
    store
    first_of
        Makes of a router what tells its first moves.
    every_s
        Seconds between looks at the store.
    """

    def __init__(self, store: ShadowStore, first_of: Callable[[RoutingModel], FirstOf], every_s: float = 30.0) -> None:
        self._store, self._first_of, self.every_s = store, first_of, every_s
        self._id: str | None = None
        self._first: FirstOf | None = None
        self._due = 0.0
        self._failed = False

    def later(self, query: Query, decision: Decision) -> Callable[[], Mapping[str, str]]:
        """What :meth:`moves` says, when it is wanted; worked out once, however often."""
        said: list[Mapping[str, str]] = []

        def moves() -> Mapping[str, str]:
            if not said:
                said.append(self.moves(query, decision))
            return said[0]

        return moves

    def moves(self, query: Query, decision: Decision) -> Mapping[str, str]:
        """Id of the policy in shadow -> whom it would have asked first; empty where there is none. Never raises."""
        if not decision.propensities:  # nothing was chosen, so there is nothing to compare with
            return {}
        try:
            self._look_if_due()
            if self._id is None or self._first is None:
                return {}
            return {self._id: self._first(query, Objective(**decision.objective))}
        except EMAFusionError:  # none of its candidates fits the request
            return {}
        except Exception as error:
            self._warn("the policy in shadow could not be asked", error)
            return {}

    def _look_if_due(self) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self.every_s
        try:
            waiting = [row["id"] for row in self._store.policies() if row["status"] == "shadow"]
            newest = waiting[-1] if waiting else None
            if newest != self._id:
                self._id, self._first = newest, None if newest is None else self._loaded(newest)
            self._failed = False
        except Exception as error:  # the database is away, or the artefact cannot be read
            self._warn("policies in shadow cannot be looked up", error)

    def _loaded(self, id: str) -> FirstOf | None:
        content = self._store.artefact(id)
        return None if content is None else self._first_of(parse_router(content, f"policy {id!r}"))

    def _warn(self, what: str, error: Exception) -> None:
        if not self._failed:  # once, not with every decision
            log.warning("emafusion: %s: %s: %s", what, type(error).__name__, str(error).partition("\n")[0])
        self._failed = True
