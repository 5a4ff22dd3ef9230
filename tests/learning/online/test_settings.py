"""Settings are checked where they are given."""

from __future__ import annotations

from typing import Any

import pytest

from emafusion.errors import ConfigError
from emafusion.learning.online.settings import Learning


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"exploration": 0.6}, "share of requests"),
        ({"exploration": True}, "share of requests"),
        ({"audit": -0.1}, "share of requests"),
        ({"memory": 0.5}, "must lie in"),
        ({"prior_strength": 0.0}, "number of answers"),
        ({"exploring_usd": float("nan")}, "number of USD"),
        ({"drift": "yes"}, "True or False"),
        ({"seed": -1}, "whole number"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_what_to_give(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Learning(**given)


def test_the_defaults_are_valid() -> None:
    assert Learning().explores
