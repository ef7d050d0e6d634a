"""Bulk statements write what the toolkit would write, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from core.bulk import Bulk, inserts
from core.db import Database, metadata
from core.tables import events

NOW = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    db = Database(database_url, synchronous="off")
    metadata.create_all(db.engine)
    yield db
    db.close()


def row(number: int, **more: Any) -> dict[str, Any]:
    told = {"id": f"e-{number}", "source": "test", "external_id": str(number), "type": "a.b", "time": NOW}
    data = {"a": [1, None, "ü", {"deep": True}]}
    rest = {"received_at": NOW, "key": None, "customer": "c", "depth": 0, "cause": None, "data": data}
    return {**told, **rest, **more}


def stored(db: Database) -> list[dict[str, Any]]:
    with db.read() as conn:
        return [dict(found._mapping) for found in conn.execute(select(events).order_by(events.c.id))]


def test_rows_are_read_back_as_they_were(db: Database) -> None:
    rows = [row(1), row(2, key="k%s", data={"%": "%(x)s ?"})]
    with db.write() as conn:
        assert inserts(events).run(conn, rows) == 2
    assert stored(db) == rows


def test_same_rows_as_the_toolkit_writes(db: Database) -> None:
    with db.write() as conn:
        conn.execute(insert(events), [row(1)])
        inserts(events).run(conn, [row(2)])
        raw = conn.exec_driver_sql("SELECT time, received_at, data FROM events ORDER BY id").all()
    assert raw[0] == raw[1]


def test_nothing_is_asked_for_no_rows(db: Database) -> None:
    with db.write() as conn:
        assert inserts(events).run(conn, []) == 0


def test_rows_that_are_there_are_left(db: Database) -> None:
    with db.write() as conn:
        inserts(events).run(conn, [row(1)])
        assert inserts(events, ignore=True).run(conn, [row(1, id="other"), row(2)]) == 1
    assert [found["id"] for found in stored(db)] == ["e-1", "e-2"]


def test_refusal_comes_as_the_toolkits_error(db: Database) -> None:
    with pytest.raises(IntegrityError), db.engine.begin() as conn:
        inserts(events).run(conn, [row(1), row(1)])
    assert stored(db) == []


def test_update_reaches_the_rows_it_names(db: Database) -> None:
    renamed = Bulk(
        lambda _dialect: update(events).where(events.c.id == bindparam("b_id")), ("b_id", "key", "received_at")
    )
    later = NOW.replace(hour=10)
    with db.write() as conn:
        inserts(events).run(conn, [row(1), row(2)])
        assert renamed.run(conn, [{"b_id": "e-2", "key": "k", "received_at": later}]) == 1
    assert [(found["key"], found["received_at"]) for found in stored(db)] == [(None, NOW), ("k", later)]
