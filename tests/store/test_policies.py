"""Policies in the store: at most one serves, and the way back is open."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from emafusion.errors import ConfigError
from emafusion.store import Store
from emafusion.store.tables import table


def statuses(store: Store) -> dict[str, str]:
    return {p["id"]: p["status"] for p in store.policies()}


def test_a_policy_waits_in_the_shadow_until_it_is_promoted(url: str) -> None:
    with Store(url) as store:
        assert store.incumbent() is None
        store.add_policy("a", b"\x00router\xff", "fitted on Monday")
        store.add_policy("b", None)
        assert statuses(store) == {"a": "shadow", "b": "shadow"}
        assert store.incumbent() is None
        store.promote("a", {"value": 0.8, "interval": [0.7, 0.9]})
        assert store.incumbent() == "a"
        assert store.artefact("a") == b"\x00router\xff"
        assert store.artefact("b") is None
        (a, _) = store.policies()
        assert (a["note"], a["estimate"]) == ("fitted on Monday", {"value": 0.8, "interval": [0.7, 0.9]})


def test_the_incumbent_retires_when_another_is_promoted(url: str) -> None:
    with Store(url) as store:
        for id in "abc":
            store.add_policy(id, id.encode())
            store.promote(id)
        assert statuses(store) == {"a": "retired", "b": "retired", "c": "incumbent"}
        store.promote("c", {"value": 1.0})  # it serves already: only the estimate is news
        assert statuses(store) == {"a": "retired", "b": "retired", "c": "incumbent"}
        assert store.policies()[2]["estimate"] == {"value": 1.0}


def test_rolling_back_twice_goes_back_by_two(url: str) -> None:
    with Store(url) as store:
        for id in "abc":
            store.add_policy(id, id.encode())
            store.promote(id)
        store.add_policy("never served", None)
        assert store.roll_back() == "b"
        assert statuses(store) == {"a": "retired", "b": "incumbent", "c": "retired", "never served": "shadow"}
        assert store.roll_back() == "a"
        with pytest.raises(ConfigError, match="none served before"):
            store.roll_back()
        assert store.incumbent() == "a"
        store.promote("c")
        assert store.roll_back() == "a"


def test_without_an_incumbent_there_is_nothing_to_roll_back_from(tmp_path: Path) -> None:
    with Store(tmp_path / "x.sqlite") as store, pytest.raises(ConfigError, match="none has been promoted"):
        store.roll_back()


def test_a_policy_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with Store(tmp_path / "x.sqlite") as store:
        for attempt in (store.promote, store.artefact):
            with pytest.raises(ConfigError, match="no policy 'a'"):
                attempt("a")


def test_the_same_policy_may_be_added_by_every_worker_but_no_other_under_its_name(tmp_path: Path) -> None:
    with Store(tmp_path / "x.sqlite") as store:
        store.add_policy("a", b"1")
        store.promote("a")
        store.add_policy("a", b"1")
        assert store.incumbent() == "a"
        with pytest.raises(ConfigError, match="another artefact"):
            store.add_policy("a", b"2")
        with pytest.raises(ConfigError, match="1 to 128 characters"):
            store.add_policy("", b"2")


def test_promotions_at_the_same_time_leave_one_incumbent(url: str) -> None:
    ids = [f"p{i}" for i in range(6)]
    with Store(url) as store:
        for id in ids:
            store.add_policy(id, None)
        threads = [threading.Thread(target=store.promote, args=(id,)) for id in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses(store).values()) == ["incumbent"] + ["retired"] * 5
        assert sorted(p["promotion"] for p in store.policies()) == [1, 2, 3, 4, 5, 6]


def test_the_database_itself_refuses_a_second_incumbent(url: str) -> None:
    with Store(url) as store:
        store.add_policy("a", None)
        store.promote("a")
        row = {k: v for k, v in store.policies()[0].items() if k != "estimate"} | {"id": "b"}
        with pytest.raises(IntegrityError), store._engine.begin() as connection:
            connection.execute(insert(table("policies")).values(row))
