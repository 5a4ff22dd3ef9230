"""What all tests share: a loopback server and PostgreSQL. The network is blocked by the options in pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import LoopbackServer
from tests.postgres import postgres, postgres_server, postgres_url

__all__ = ["loopback", "postgres", "postgres_server", "postgres_url"]


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    """A server of its own for each test; models are declared with ``loopback.add(...)``, others repeat their prompt."""
    with LoopbackServer() as server:
        yield server
