"""Names of models find the rating of the model that they mean, and of no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion import Candidate, Price, ratings
from emafusion.errors import ConfigError
from emafusion.ratings import abilities, known_rating

TABLE = json.loads(Path(ratings.__file__).with_name("ratings.json").read_text(encoding="utf-8"))["ratings"]


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("us.anthropic.claude-3-5-sonnet-20240620-v1:0", "claude-3-5-sonnet-20240620"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet-20240620"),
        ("Claude-3.5-Haiku-latest", "claude-3-5-haiku-20241022"),
        ("amazon.nova-micro-v1:0", "amazon-nova-micro-v1.0"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
        ("llama3.1:8b", "llama-3.1-8b-instruct"),
        ("gemini-3-flash-preview", "gemini-3-flash"),
        ("gpt-5-mini", "gpt-5-mini-high"),
    ],
)
def test_a_model_is_known_however_its_provider_spells_it(spelled: str, meant: str) -> None:
    assert known_rating(spelled) == TABLE[meant]


@pytest.mark.parametrize(
    "spelled",
    [
        "newcomer", "small", "", "chat", "gpt", "claude-latest",
        "phi-4-mini",  # phi-4 is there
        "gpt-4o-audio-mini",
        "qwen2.5:1.5b",
        "ft:gpt-4o-mini-2024-07-18:acme::abc",
        "deepseek-v9.1",
    ],
)  # fmt: skip
def test_what_is_not_on_the_leaderboard_has_no_rating_and_not_that_of_a_relative(spelled: str) -> None:
    assert known_rating(spelled) is None


def test_a_name_without_a_version_stands_for_all_of_them() -> None:
    assert known_rating("gemini-1.5-pro") == (TABLE["gemini-1.5-pro-001"] + TABLE["gemini-1.5-pro-002"]) / 2
    assert known_rating("gemini-1.5-pro-002") == TABLE["gemini-1.5-pro-002"]


def test_every_model_of_the_table_finds_its_own_rating() -> None:
    assert all(800 < rating < 1700 for rating in TABLE.values())
    assert {name: known_rating(name) for name in TABLE} == TABLE


@given(st.dictionaries(st.text(max_size=4), st.none() | st.floats(800, 1700), max_size=6), st.floats(0, 4))
def test_the_best_rated_is_the_strongest_and_the_others_follow_in_order(
    rated: dict[str, float | None], strongest: float
) -> None:
    found = abilities(rated, strongest)
    known = {name: rating for name, rating in rated.items() if rating is not None}
    assert found.keys() == known.keys()
    assert max(found.values(), default=strongest) == pytest.approx(strongest)
    assert sorted(known, key=lambda n: known[n]) == sorted(known, key=lambda n: (found[n], known[n]))


def test_a_rating_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"candidate 'a': rating must be finite, got nan"):
        Candidate(None, name="a", price=Price(1, 1), rating=float("nan"))
