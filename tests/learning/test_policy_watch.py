"""Serving follows promotion, beside the requests."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from emafusion.errors import ConfigError
from emafusion.learning.fitting import fit_router
from emafusion.learning.policy_watch import PolicyWatch, Promoted
from emafusion.routers.artefact import save_router
from emafusion.store import Store
from tests.learning.synthetic import arithmetic_log


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    model, _ = fit_router(arithmetic_log(50))
    path = tmp_path_factory.mktemp("router") / "router.json"
    save_router(model, path)
    return path.read_bytes()


def awaited(watch: PolicyWatch) -> Promoted:
    """What polling comes to, as requests would poll."""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        promoted = watch.poll()
        if promoted is not None:
            return promoted
        time.sleep(0.01)
    raise AssertionError("nothing was handed over")


def test_a_promotion_is_handed_over_once_with_its_router(tmp_path: Path, artefact: bytes) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.add_policy("one", artefact, "")
        watch = PolicyWatch(store, every_s=0.02)
        assert watch.check() is None
        store.promote("one", {})
        promoted = awaited(watch)
        assert promoted.id == watch.serving == "one"
        assert promoted.model is not None
        assert set(promoted.model.candidates) == {"small", "mid", "big"}
        assert watch.check() is None


def test_it_follows_a_rollback_too(tmp_path: Path, artefact: bytes) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        watch = PolicyWatch(store)
        for name, content in (("start", None), ("better", artefact)):
            store.add_policy(name, content, "")
            store.promote(name, {})
            promoted = watch.check()
            assert promoted is not None
            assert (promoted.id, promoted.model is None) == (name, content is None)
        store.roll_back()
        assert watch.check() == Promoted("start", None)


def test_a_damaged_artefact_leaves_the_present_policy_and_says_so_once(
    tmp_path: Path, artefact: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    whole = json.loads(artefact)
    whole["payload"]["queries"] += 1
    with Store(tmp_path / "store.sqlite") as store, caplog.at_level(logging.WARNING, "emafusion"):
        store.add_policy("damaged", json.dumps(whole).encode(), "")
        store.add_policy("whole", artefact, "")
        store.promote("damaged", {})
        watch = PolicyWatch(store, serving="old")
        assert [watch.check(), watch.check()] == [None, None]
        assert watch.serving == "old"
        assert [r.message for r in caplog.records if "checksum does not match" in r.message] == [caplog.messages[0]]
        store.promote("whole", {})
        promoted = watch.check()
        assert promoted is not None
        assert promoted.id == "whole"


class Outage:
    """A store whose database is away until it is set right."""

    def __init__(self) -> None:
        self.there = False

    def incumbent(self) -> str | None:
        if not self.there:
            raise OSError("the database is away")
        return "back"

    def artefact(self, id: str) -> bytes | None:
        return None


def test_an_outage_is_said_once_and_ends_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    store = Outage()
    watch = PolicyWatch(store)
    with caplog.at_level(logging.WARNING, "emafusion"):
        assert [watch.check(), watch.check()] == [None, None]
    assert len(caplog.messages) == 1
    assert "the database is away" in caplog.messages[0]
    store.there = True
    assert watch.check() == Promoted("back", None)


def test_a_request_never_waits_for_a_look() -> None:
    class Slow(Outage):
        def incumbent(self) -> str | None:
            time.sleep(0.3)
            return "slow"

    watch = PolicyWatch(Slow(), every_s=60.0)
    start = time.perf_counter()
    polled = [watch.poll() for _ in range(100)]
    assert time.perf_counter() - start < 0.2
    assert polled == [None] * 100
    assert awaited(watch) == Promoted("slow", None)


def test_the_pace_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="every_s must be a positive number"):
        PolicyWatch(Outage(), every_s=0.0)
