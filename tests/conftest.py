"""What all tests share: a loopback server. The network is blocked by the options in pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import LoopbackServer


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    """A server of its own for each test; models are declared with ``loopback.add(...)``, others repeat their prompt."""
    with LoopbackServer() as server:
        yield server
