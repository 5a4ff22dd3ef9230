"""What all tests of evaluations share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emafusion.evaluation.baselines import mlp


@pytest.fixture(autouse=True, scope="session")
def small_networks_train_briefly() -> Iterator[None]:
    """The logs made up here are small: a network has learnt them long before it has learnt a real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlp, "STEPS", 120)
        yield
