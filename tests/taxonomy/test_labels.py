"""The taxonomy file: complete, valid, extensible; errors say where."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emafusion.errors import ConfigError
from emafusion.taxonomy import AXES, Taxonomy


def small() -> dict[str, Any]:
    return {
        "name": "small",
        "axes": {
            "task": {"sum": "Add numbers.", "chat": "Talk."},
            "domain": {"maths": "Numbers.", "life": "The rest."},
            "complexity": {"easy": "One step.", "hard": "Many steps."},
            "format": {"number": "A number.", "text": "Words."},
        },
        "prior": {"difficulty": {"task": {"sum": 0.5}, "complexity": {"hard": 1.0}}},
        "seeds": [
            {"text": "1 + 1?", "task": "sum", "domain": "maths", "complexity": "easy", "format": "number"},
            {"text": "hello", "task": "chat", "domain": "life", "complexity": "hard", "format": "text"},
        ],
    }


def test_the_shipped_taxonomy_has_many_seeds_for_every_label() -> None:
    taxonomy = Taxonomy.default()
    least = {"task": 25, "domain": 12, "complexity": 12, "format": 12}
    for axis in AXES:
        counts = Counter(seed.label(axis) for seed in taxonomy.seeds)
        assert min(counts[label] for label in taxonomy.labels(axis)) >= least[axis]
    assert 12 <= len(taxonomy.labels("task")) <= 16


def test_every_shipped_task_type_is_seeded_in_four_languages_or_more() -> None:
    taxonomy = Taxonomy.default()
    for task in taxonomy.labels("task"):
        assert len({seed.language for seed in taxonomy.seeds if seed.task == task}) >= 4, task


def test_no_shipped_seed_is_said_twice_and_all_have_all_labels() -> None:
    seeds = Taxonomy.default().seeds
    assert len({seed.text for seed in seeds}) == len(seeds)
    assert all(seed.label(axis) for seed in seeds for axis in AXES)


def test_the_shipped_prior_gives_every_label_a_difficulty() -> None:
    taxonomy = Taxonomy.default()
    assert set(taxonomy.prior.task_difficulty) == set(taxonomy.labels("task"))
    levels = [taxonomy.prior.complexity_difficulty[level] for level in taxonomy.labels("complexity")]
    assert levels == sorted(levels)


def test_a_taxonomy_survives_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "taxonomy.json"
    path.write_text(json.dumps(Taxonomy.default().to_mapping()), encoding="utf-8")
    assert Taxonomy.load(path).identity == Taxonomy.default().identity


def test_categories_pair_task_and_complexity() -> None:
    taxonomy = Taxonomy.from_mapping(small())
    assert taxonomy.categories == ("sum/easy", "sum/hard", "chat/easy", "chat/hard")
    assert taxonomy.difficulty.tolist() == [0.5, 1.5, 0.0, 1.0]


def test_extending_adds_labels_seeds_and_difficulty_and_changes_the_identity() -> None:
    base = Taxonomy.from_mapping(small())
    addition = {
        "axes": {"task": {"haiku": "A very short poem."}},
        "prior": {"difficulty": {"task": {"haiku": -1.0}}},
        "seeds": [{"text": "a haiku on rain", "task": "haiku"}],
    }
    extended = base.extend(addition)
    assert extended.labels("task") == ("sum", "chat", "haiku")
    assert extended.difficulty[-2:].tolist() == [-1.0, 0.0]
    assert len(extended.seeds) == len(base.seeds) + 1
    assert extended.identity != base.identity
    assert base.labels("task") == ("sum", "chat")


def wrong(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content = small()
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("axes"), r"mine: axes"),
        (lambda c: c["axes"].pop("domain"), r"mine: axes must be exactly"),
        (lambda c: c["axes"].update(task={"sum": "Add."}), r"mine: axes\.task needs at least two"),
        (lambda c: c["axes"]["task"].update(sum=""), r"mine: axes\.task\.sum must be a non-empty text"),
        (lambda c: c["axes"]["task"].update({"a/b": "x"}), r"mine: axes\.task: 'a/b'"),
        (lambda c: c["axes"]["task"].update(poem="Verse."), r"label 'poem' of axis task has no seed"),
        (
            lambda c: c["seeds"][1].update(task="poem"),
            r"mine: seeds\[1\]\.task: 'poem' is not a label; known are sum, chat",
        ),
        (lambda c: c["seeds"][0].update(text=" "), r"mine: seeds\[0\]\.text"),
        (lambda c: c["seeds"][0].update(lang="en"), r"mine: seeds\[0\]: unknown field 'lang'"),
        (lambda c: c["seeds"].append({"text": "x"}), r"mine: seeds\[2\] has no label"),
        (lambda c: c.update(seeds=[]), r"mine: seeds must be a list of at least one"),
        (lambda c: c.update(sedes=[]), r"mine: unknown field 'sedes'"),
        (lambda c: c.update(version=9), r"mine: version is 9"),
        (lambda c: c["prior"].update(ability_dearest="high"), r"mine: prior\.ability_dearest must be a finite number"),
        (lambda c: c["prior"]["difficulty"]["task"].update(poem=1), r"prior\.difficulty\.task: 'poem'"),
        (lambda c: c["prior"]["difficulty"].update(domain={}), r"'domain' carries no difficulty"),
    ],
)
def test_an_error_names_file_and_field(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Taxonomy.from_mapping(wrong(change), source="mine")


def test_a_file_that_is_not_there_or_not_json_is_named(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.json"
    rubbish.write_text("{", encoding="utf-8")
    for path in (rubbish, tmp_path / "missing.json"):
        with pytest.raises(ConfigError, match=path.name):
            Taxonomy.load(path)


def test_an_error_in_an_extension_names_the_extension() -> None:
    with pytest.raises(ConfigError, match=r"extension: seeds\[0\]\.task"):
        Taxonomy.from_mapping(small()).extend({"seeds": [{"text": "x", "task": "unheard"}]})
