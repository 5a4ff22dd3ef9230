"""A database that an older version wrote is brought up to date, with what is in it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, inspect, text

from emafusion.store import Store
from emafusion.store.migrations.versions import VERSION
from emafusion.store.tables import metadata
from tests.store.decisions import answered
from tests.store.workers import run

VERSION_1 = Path(__file__).with_name("version_1.sql")
"""The statements with which version 1 made its tables."""

DECISION = """
INSERT INTO decisions (id, created_at, text, text_hash, prompt_tokens, session, answered_by, confidence, cost_usd,
    draft_cost_usd, judge_cost_usd, reference, saved_usd, objective, category, labels, familiarity, forecast, reason,
    abstained, sticky, warnings)
VALUES (:id, :at, 'What is 6 times 7?', 'a-hash', 12, NULL, 'large', 0.9, 0.001, 0.001, 0.0, 'large', 0.0,
    '{"quality_floor": 0.99}', 'maths', '{}', 0.5, '{}', 'sure enough', :no, :no, '[]')
"""


def write_version_1(engine: Engine) -> None:
    """A database as version 1 left it: three decisions, two of them rated."""
    statements = VERSION_1.read_text(encoding="utf-8")
    if engine.dialect.name == "postgresql":
        statements = statements.replace("DATETIME", "TIMESTAMP")
    with engine.begin() as connection:
        for statement in statements.split(";"):
            if statement.strip():
                connection.execute(text(statement))
        at = datetime(2025, 1, 2, 3, 4, 5, 678901)
        connection.execute(text("INSERT INTO schema_version VALUES (1, :at)"), {"at": at})
        for id in ("d0", "d1", "d2"):
            connection.execute(text(DECISION), {"id": id, "at": at, "no": False})
            attempt = "INSERT INTO attempts (decision_id, position, candidate, response, cost_usd, cluster) "
            connection.execute(text(attempt + "VALUES (:id, 0, 'large', '42', 0.001, 0)"), {"id": id})
        for id, score in (("d0", 1.0), ("d1", 0.25)):
            connection.execute(
                text("INSERT INTO feedback VALUES (:id, :score, :at)"), {"id": id, "score": score, "at": at}
            )


def shape(engine: Engine) -> dict[str, Any]:
    """Tables, columns and indexes as the database itself describes them."""
    found = inspect(engine)
    return {
        name: (
            {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(name)},
            found.get_pk_constraint(name)["constrained_columns"],
            [(k["constrained_columns"], k["referred_table"], k["options"]) for k in found.get_foreign_keys(name)],
            sorted((str(i["name"]), i["column_names"], bool(i["unique"])) for i in found.get_indexes(name)),
        )
        for name in found.get_table_names()
    }


def test_a_database_of_version_1_keeps_its_rows_and_takes_new_ones(url: str) -> None:
    engine = create_engine(url)
    write_version_1(engine)
    with Store(url) as store:
        old = {d["id"]: d for d in store.decisions()}
        assert {id: d["feedback"] for id, d in old.items()} == {"d0": 1.0, "d1": 0.25, "d2": None}
        assert old["d0"]["text"] == "What is 6 times 7?"
        assert old["d0"]["objective"] == {"quality_floor": 0.99}
        assert old["d0"]["created_at"] == datetime(2025, 1, 2, 3, 4, 5, 678901)
        assert [a["response"] for a in old["d0"]["attempts"]] == ["42"]
        assert old["d0"]["first"] is None  # nobody wrote it down
        assert old["d0"]["embedding"] is None
        (given,) = old["d1"]["feedbacks"]
        assert (given["kind"], given["candidate"]) == ("score", None)
        assert store.feedback("d1", 0.75)  # the later word on the same thing
        assert store.feedback("d2", 0.5)
        store.record(*answered("d3"))
        now = {d["id"]: d for d in store.decisions()}
        assert {id: d["feedback"] for id, d in now.items()} == {"d0": 1.0, "d1": 0.75, "d2": 0.5, "d3": None}
        assert len(now["d1"]["feedbacks"]) == 1
    with engine.connect() as connection:
        assert list(connection.execute(text("SELECT version FROM schema_version ORDER BY 1")).scalars()) == [
            *range(1, VERSION + 1)
        ]
    engine.dispose()


def test_all_migrations_together_leave_the_tables_that_queries_are_written_against(url: str) -> None:
    engine = create_engine(url)
    write_version_1(engine)
    Store(url).close()
    migrated = shape(engine)
    with engine.begin() as connection:
        for name in migrated:
            connection.execute(text(f"DROP TABLE {name}" + " CASCADE" * (engine.dialect.name == "postgresql")))
        metadata().create_all(connection)
    assert migrated == shape(engine)
    engine.dispose()


def test_processes_that_open_a_new_database_at_the_same_time_all_can(url: str) -> None:
    run("open", url, 3)
    with Store(url) as store:
        assert {d["id"] for d in store.decisions()} == {"d0", "d1", "d2"}
