"""Policies: those that wait in the shadow, the one that serves, and those that served before.

At most one is the incumbent; the database itself sees to that with a unique index.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from emafusion.errors import ConfigError
from emafusion.store import registry
from emafusion.store.database import Database

__all__ = ["Policies"]


class Policies(Database):
    """The store's policies."""

    def add_policy(self, id: str, artefact: bytes | None, note: str = "") -> None:
        """Add a policy, the bytes of its ``router.json``, in the shadow; the same one again changes nothing.

        Raises
        ------
        ConfigError
            If the id is taken by another artefact.
        """
        if not 0 < len(id) <= 128:
            raise ConfigError(f"a policy's id must have 1 to 128 characters, got {id!r}")
        self._change(partial(registry.add, id=id, content=artefact, note=note))

    def policies(self) -> list[dict[str, Any]]:
        """All policies, oldest first, without their artefacts.

        Each has ``id``, ``created_at``, ``note``, ``status`` ("shadow", "incumbent" or "retired"), ``promotion`` (a
        number that grows with each; None: never promoted, or rolled back) and ``estimate``.
        """
        return self._look(registry.listed)

    def incumbent(self) -> str | None:
        """Id of the policy that serves; None: none was promoted. Cheap: one small query."""
        return self._look(registry.incumbent)

    def artefact(self, id: str) -> bytes | None:
        """The bytes of a policy's ``router.json``; None where it was added without.

        Raises
        ------
        ConfigError
            If there is no such policy.
        """
        return self._look(partial(registry.artefact, id=id))

    def promote(self, id: str, estimate: Mapping[str, Any] | None = None) -> None:
        """Let a policy serve, on the strength of an estimate; the incumbent retires in the same transaction.

        Raises
        ------
        ConfigError
            If there is no such policy.
        """
        self._change(partial(registry.promote, id=id, estimate=estimate))

    def roll_back(self) -> str:
        """Retire the incumbent and let the policy serve that served before it; returns its id. Twice goes back by two.

        Raises
        ------
        ConfigError
            If none served before.
        """
        return self._change(registry.roll_back)
