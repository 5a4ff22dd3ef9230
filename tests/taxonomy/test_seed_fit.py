"""The fit that is shipped is the one that the seeds give, and is used for no other taxonomy or encoder."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest

from emafusion.encoders import HashingEncoder, default_encoder
from emafusion.taxonomy import AXES, Taxonomy, build_seed_fit
from emafusion.taxonomy.seed_fit import SHIPPED, SeedFit, seed_fit

TEXTS = [
    "How many eggs are left if 3 of 12 break?",
    "",
    "Übersetze: Guten Morgen",
    "def f(x):\n    return x[0] == '`'\nWhat does f('a') return?",
    "word " * 5000,
]


def shipped_identity() -> str:
    return f"{Taxonomy.default().identity}|{default_encoder().identity}"


@pytest.fixture(scope="module")
def shipped() -> SeedFit:
    found = SeedFit.load(SHIPPED, shipped_identity())
    assert found is not None, "seeds or encoder have changed: run python -m emafusion.taxonomy.build_seed_fit"
    return found


@pytest.fixture(scope="module")
def fresh() -> SeedFit:
    return SeedFit.fit(Taxonomy.default(), default_encoder())


def test_the_shipped_fit_is_what_the_seeds_give(shipped: SeedFit, fresh: SeedFit) -> None:
    for axis in AXES:
        np.testing.assert_allclose(shipped.models[axis].weights, fresh.models[axis].weights, rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(shipped.models[axis].bias, fresh.models[axis].bias, atol=1e-6)
        assert shipped.models[axis].sharpness == fresh.models[axis].sharpness
        assert shipped.models[axis].accuracy == fresh.models[axis].accuracy
    assert shipped.familiarity.slope == pytest.approx(fresh.familiarity.slope, rel=1e-3)
    assert shipped.familiarity.offset == pytest.approx(fresh.familiarity.offset, rel=1e-3)


def test_the_shipped_fit_labels_as_a_fresh_one(shipped: SeedFit, fresh: SeedFit) -> None:
    vectors = default_encoder().encode(TEXTS)
    left, right = shipped.probabilities(TEXTS, vectors), fresh.probabilities(TEXTS, vectors)
    for axis in AXES:
        np.testing.assert_allclose(left[axis], right[axis], atol=1e-4)
    np.testing.assert_allclose(shipped.familiarity.score(vectors), fresh.familiarity.score(vectors), atol=1e-4)


def test_one_text_is_labelled_as_in_a_batch(shipped: SeedFit) -> None:
    vectors = default_encoder().encode(TEXTS)
    batch = shipped.probabilities(TEXTS, vectors)
    for i, text in enumerate(TEXTS):
        alone = shipped.probabilities([text], vectors[i : i + 1])
        for axis in AXES:
            np.testing.assert_allclose(alone[axis][0], batch[axis][i], atol=1e-9)


def test_another_taxonomy_or_encoder_is_fitted_anew(shipped: SeedFit) -> None:
    assert SeedFit.load(SHIPPED, shipped_identity() + "x") is None
    assert SeedFit.load(SHIPPED.with_name("absent.npz"), shipped_identity()) is None
    extended = Taxonomy.default().extend({"seeds": [{"text": "Name a colour.", "task": "creative_writing"}]})
    assert SeedFit.load(SHIPPED, f"{extended.identity}|{default_encoder().identity}") is None
    words = HashingEncoder(64)
    fit = seed_fit(Taxonomy.default(), words)
    assert fit.probabilities(["hello"], words.encode(["hello"]))["task"].shape == (
        1,
        len(Taxonomy.default().labels("task")),
    )
    vectors = default_encoder().encode(["Name a colour."])
    assert not np.allclose(
        seed_fit(extended, default_encoder()).probabilities(["Name a colour."], vectors)["task"],
        shipped.probabilities(["Name a colour."], vectors)["task"],
    )


def test_what_is_built_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str], shipped: SeedFit) -> None:
    built = tmp_path / "fit.npz"
    build_seed_fit.main(["-o", str(built)])
    assert "left-out seeds right" in capsys.readouterr().out
    read = SeedFit.load(built, shipped_identity())
    assert read is not None
    vectors = default_encoder().encode(TEXTS)
    np.testing.assert_allclose(
        read.probabilities(TEXTS, vectors)["task"], shipped.probabilities(TEXTS, vectors)["task"], atol=1e-4
    )


def test_the_first_request_of_a_process_fits_nothing() -> None:
    program = (
        "from emafusion.taxonomy import TaxonomyClassifier, seed_fit\n"
        "def refuse(*_): raise AssertionError('fitted')\n"
        "seed_fit.SeedFit.fit = refuse\n"
        "print(TaxonomyClassifier().classify(['Write a poem.'])[0].task)"
    )
    done = run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "creative_writing", done.stderr
