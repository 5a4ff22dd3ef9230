"""``emafusion gate``, ``rollback`` and ``policies`` on a store with real decisions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from emafusion.config import Objective
from emafusion.routers.artefact import load_router
from emafusion.store import Store
from tests.cli.conftest import complaint, run, succeeded
from tests.evaluation.synthetic_log import make_log
from tests.store.traffic import record_traffic

WORTH = Objective(usd_value=0.001)


@pytest.fixture(scope="module")
def poor_traffic(router: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the dearest candidate answered nearly everything."""
    path = tmp_path_factory.mktemp("stores") / "poor.sqlite"
    with Store(path) as store:
        lines = make_log(200, seed=5)
        record_traffic(store, lines, load_router(router), objective=WORTH, serving=lambda _: "huge", policy="huge")
    return path


@pytest.fixture(scope="module")
def good_traffic(router: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the fitted router served."""
    path = tmp_path_factory.mktemp("stores") / "good.sqlite"
    with Store(path) as store:
        store.add_policy("fitted", router.read_bytes(), "")
        store.promote("fitted", {})
        record_traffic(store, make_log(60, seed=6), load_router(router), objective=WORTH, policy="fitted")
    return path


@pytest.fixture
def poor(poor_traffic: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(poor_traffic, tmp_path / "store.sqlite"))


@pytest.fixture
def good(good_traffic: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(good_traffic, tmp_path / "store.sqlite"))


def with_status(store: Path) -> dict[str, str]:
    return {row["id"]: row["status"] for row in succeeded("policies", store)["policies"]}


def test_a_better_router_passes_and_is_promoted(poor: Path, router: Path) -> None:
    found = succeeded("gate", poor, "--router", router, "--promote")
    assert (found["verdict"], found["promoted"], found["forced"]) == ("promote", True, False)
    assert 0 < found["difference"]["lower"] < found["difference"]["value"] < found["difference"]["upper"]
    assert found["decisions"] == found["known"] == 200
    assert found["agreement"] < 0.9
    with Store(poor) as store:
        assert store.incumbent() == found["candidate"]
        assert store.artefact(found["candidate"]) == router.read_bytes()


def test_a_router_that_is_no_better_stays_in_shadow_and_the_exit_code_says_so(good: Path, router: Path) -> None:
    result = run("gate", good, "--router", router, "--promote", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["verdict"], found["promoted"]) == ("shadow", False)
    assert found["agreement"] == 1.0
    assert "asks the same candidate first" in found["reason"]
    assert with_status(good) == {"fitted": "incumbent", found["candidate"]: "shadow"}
    # From now on it is judged on what comes, of which there is nothing yet.
    assert "no decision to compare the policies on" in complaint("gate", good)


def test_force_promotes_and_says_so_loudly_and_one_command_rolls_back(good: Path, router: Path) -> None:
    result = run("gate", good, "--router", router, "--promote", "--force")
    assert result.exit_code == 0
    assert "FORCED: promoted although it did not pass the gate." in result.stdout
    statuses = with_status(good)
    assert sorted(statuses.values()) == ["incumbent", "retired"]
    (promoted,) = (name for name, status in statuses.items() if status == "incumbent")
    assert succeeded("rollback", good) == {"store": str(good), "from": promoted, "to": "fitted"}
    assert with_status(good)["fitted"] == "incumbent"
    assert "no policy to roll back to" in complaint("rollback", good)


def test_the_newest_policy_in_shadow_is_judged_on_what_came_after_it(poor: Path, router: Path) -> None:
    with Store(poor) as store:
        store.add_policy("waiting", router.read_bytes(), "learned last night")
        record_traffic(
            store, make_log(30, seed=8), load_router(router), objective=WORTH, serving=lambda _: "huge", seed=1
        )
    found = succeeded("gate", poor)
    assert (found["candidate"], found["decisions"], found["held_out"]) == ("waiting", 30, True)
    everything = succeeded("gate", poor, "--since", "2020-01-01")
    assert everything["decisions"] == 230


def test_the_tables_say_what_decides(poor: Path, router: Path) -> None:
    said = run("gate", poor, "--router", router).stdout
    for words in ("PASSES:", "difference", "at least", "self-normalised", "give --since"):
        assert words in said
    assert "No policies" in run("policies", poor).stdout  # without --promote nothing changes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--force",), "--force belongs to --promote"),
        (("--limit", "-1"), "--limit must be 0 (all) or more"),
        (("--since", "yesterday"), "--since 'yesterday' is no time"),
        ((), "the store has no policy in shadow: give --router"),
        (("--router", "nowhere.json"), "nowhere.json: cannot be read"),
    ],
)
def test_what_the_user_can_put_right_is_said_in_one_line(poor: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in complaint("gate", poor, *arguments)


def test_an_empty_store_has_nothing_to_compare_on(tmp_path: Path, router: Path) -> None:
    with Store(tmp_path / "empty.sqlite"):
        pass
    assert "no decision to compare the policies on" in complaint("gate", tmp_path / "empty.sqlite", "--router", router)


@pytest.mark.parametrize("command", ["gate", "rollback", "policies", "status"])
def test_a_store_that_does_not_exist_is_not_made(tmp_path: Path, command: str) -> None:
    assert "there is no such store" in complaint(command, tmp_path / "none.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "other.sqlite"
    connection: Any = sqlite3.connect(path)
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert "no store of EMAFusion" in complaint("status", path)
    assert path.read_bytes() == before


def test_a_store_without_texts_judges_a_router_as_one_with_them_does(poor: Path, router: Path, tmp_path: Path) -> None:
    private = tmp_path / "private.sqlite"
    with Store(private, store_text=False) as store:
        said = complaint("gate", private, "--router", router, "--promote")
        assert "waits in shadow now, and is judged on what is decided hereafter" in said
        lines = make_log(200, seed=5)
        record_traffic(store, lines, load_router(router), objective=WORTH, serving=lambda _: "huge", policy="huge")
        assert {d["text"] for d in store.decisions(None)} == {None}
    by_words = succeeded("gate", poor, "--router", router)
    found = succeeded("gate", private, "--promote")
    assert found["decisions"] == by_words["decisions"] == 200
    assert found["agreement"] == by_words["agreement"]
    assert found["difference"] == pytest.approx(by_words["difference"])
    assert (found["verdict"], found["promoted"]) == ("promote", True)


def test_a_router_that_was_not_there_when_decisions_without_texts_were_made_cannot_be_judged_by_them(
    router: Path, tmp_path: Path
) -> None:
    private = tmp_path / "private.sqlite"
    with Store(private, store_text=False) as store:
        record_traffic(store, make_log(10, seed=5), load_router(router), objective=WORTH)
    said = complaint("gate", private, "--router", router)
    assert "10 kept without text, when router-" in said
    assert "neither served nor waited in shadow" in said
    assert succeeded("policies", private)["policies"] == []  # nothing was asked to be promoted
