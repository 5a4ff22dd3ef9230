"""The examples in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import langchain_emafusion

MODULES = [m.name for m in pkgutil.iter_modules(langchain_emafusion.__path__, "langchain_emafusion.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_exported_names_are_the_public_ones() -> None:
    assert sorted(langchain_emafusion.__all__) == ["ChatEMAFusion", "EMAFusionRouter", "FeedbackCallback", "resolve"]
    assert all(hasattr(langchain_emafusion, name) for name in langchain_emafusion.__all__)
