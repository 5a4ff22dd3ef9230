"""`PolicyWatch`: serving follows promotion. Which policy is the incumbent is looked up beside the requests.

A request only asks :meth:`PolicyWatch.poll`, which compares two numbers. When a look is due it is taken on a thread
that ends with it; the request that finds the result takes it over. Whatever fails, the policy that serves goes on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from emafusion.errors import ArtefactError, ConfigError
from emafusion.routers.artefact import RoutingModel, parse_router

__all__ = ["PolicyStore", "PolicyWatch", "Promoted"]

log = logging.getLogger("emafusion")


class PolicyStore(Protocol):
    """Where policies are kept: :class:`emafusion.store.Store`."""

    def incumbent(self) -> str | None: ...

    def artefact(self, id: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Promoted:
    """The policy to serve from now on. ``model`` None: it has no artefact, so what was configured serves."""

    id: str
    model: RoutingModel | None


class PolicyWatch:
    """Tells when another policy has become the incumbent, and hands over its router.

    Parameters
    ----------
    store
    every_s
        Seconds between looks.
    serving
        Id of the policy that serves now; None: none that the store knows.

    Raises
    ------
    ConfigError
        If ``every_s`` is not positive.

    Examples
    --------
    ::

        watch = PolicyWatch(store, every_s=30.0)
        ...  # at each request
        promoted = watch.poll()
        if promoted is not None:
            install(promoted.model)
    """

    def __init__(self, store: PolicyStore, every_s: float = 30.0, *, serving: str | None = None) -> None:
        if not every_s > 0:
            raise ConfigError(f"every_s must be a positive number of seconds, got {every_s!r}")
        self._store, self.every_s = store, every_s
        self.serving = serving
        self._seen = serving  # the incumbent that was looked at last, whether or not it could be read
        self._found: Promoted | None = None
        self._due = 0.0
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._looking = False
        self._away = False

    def poll(self) -> Promoted | None:
        """The policy that was promoted since the last call, if any. Takes microseconds and never raises."""
        if self._found is None and time.monotonic() < self._due:
            return None
        with self._lock:
            if self._process != os.getpid():  # a thread that was looking stayed with the parent
                self._process, self._looking = os.getpid(), False
            if not self._looking and time.monotonic() >= self._due:
                self._looking, self._due = True, time.monotonic() + self.every_s
                threading.Thread(target=self._look, name="emafusion-policy-watch", daemon=True).start()
            return self._take()

    def check(self) -> Promoted | None:
        """As :meth:`poll`, but looks now, on this thread: for start-up, and for tests."""
        with self._lock:
            self._due = time.monotonic() + self.every_s
        self._look()
        with self._lock:
            return self._take()

    def _take(self) -> Promoted | None:
        found, self._found = self._found, None
        if found is not None:
            self.serving = found.id
        return found

    def _look(self) -> None:
        try:
            incumbent = self._store.incumbent()
            if incumbent is not None and incumbent != self._seen:
                found = self._load(incumbent)
                with self._lock:
                    self._seen, self._found = incumbent, found
            self._away = False
        except Exception as error:  # serving must not depend on this
            if not self._away:
                log.warning(
                    "emafusion: which policy is to serve cannot be looked up, the present one goes on: %s: %s",
                    type(error).__name__,
                    str(error).partition("\n")[0],
                )
            self._away = True
        finally:
            self._looking = False

    def _load(self, id: str) -> Promoted | None:
        """The policy, or None (said once) where its artefact cannot be read."""
        content = self._store.artefact(id)
        if content is None:
            return Promoted(id, None)
        try:
            return Promoted(id, parse_router(content, f"policy {id!r}"))
        except ArtefactError as error:
            log.warning("emafusion: the promoted policy cannot be read, the present one goes on: %s", error)
            return None
