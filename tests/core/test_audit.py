"""The audit trail: whole under every way of writing, and telling of every change to it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, update

from core import audit
from core.db import Database, metadata
from core.errors import NotFound
from core.tables import audit as table
from core.writer import Tx, Writer

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def writer(db: Database) -> Iterator[Writer]:
    writer = Writer(db)
    writer.start()
    yield writer
    writer.stop()


def note(tx: Tx, action: str = "rule.published", now: datetime = NOON, **more: Any) -> int:
    return audit.record(tx, audit.Entry(actor="user:1", action=action, object="rule:1", **more), now)


def first_broken(db: Database) -> int | None:
    with db.read() as conn:
        return audit.verify(conn)


def test_rows_form_a_chain(db: Database, writer: Writer) -> None:
    numbers = [
        writer.do(lambda tx, step=step: note(tx, now=NOON + timedelta(microseconds=step), after={"step": step}))
        for step in range(5)
    ]

    assert numbers == [1, 2, 3, 4, 5]
    assert first_broken(db) is None
    with db.read() as conn:
        assert audit.head(conn)[0] == 5
        assert [row.after for row in audit.read(conn, about="rule:1", below=4, limit=2)] == [{"step": 2}, {"step": 1}]


def test_empty_trail_is_whole(db: Database) -> None:
    assert first_broken(db) is None


CHANGES: list[tuple[str, Any, int]] = [
    ("actor", {"actor": "user:2"}, 2),  # somebody else
    ("action", {"action": "rule.deleted"}, 2),  # another act
    ("at", {"at": NOON + timedelta(microseconds=1)}, 2),  # a microsecond later
    ("before", {"before": {"price": "1"}}, 2),  # another past
    ("after", {"after": None}, 2),  # nothing left
    ("number", {"number": 9}, 2),  # moved to the end
    ("hash", {"hash": "0" * 64}, 2),  # the seal itself
]


@pytest.mark.parametrize(("what", "change", "broken"), CHANGES)
def test_changed_row_is_found(db: Database, writer: Writer, what: str, change: dict[str, Any], broken: int) -> None:
    for price in (1, 2, 3):
        writer.do(lambda tx, price=price: note(tx, before={"price": price}, after={"price": price + 1}))
    with db.write() as conn:
        conn.execute(update(table).where(table.c.number == 2).values(change))

    assert first_broken(db) == broken, what


def test_removed_row_is_found(db: Database, writer: Writer) -> None:
    for _ in range(3):
        writer.do(note)
    with db.write() as conn:
        conn.execute(delete(table).where(table.c.number == 2))

    assert first_broken(db) == 2


def test_row_resealed_alone_is_found(db: Database, writer: Writer) -> None:
    for _ in range(3):
        writer.do(note)
    with db.write() as conn:
        row = conn.execute(select(table).where(table.c.number == 2)).one()._asdict()
        row["actor"] = "user:2"
        row["hash"] = audit._hash(row)
        conn.execute(delete(table).where(table.c.number == 2))
        conn.execute(insert(table).values(row))

    assert first_broken(db) == 3


def test_row_sealed_beyond_the_end_is_found(db: Database, writer: Writer) -> None:
    writer.do(note)
    with db.write() as conn:
        row = {**conn.execute(select(table)).one()._asdict(), "number": 3, "previous": audit.head(conn)[1]}
        conn.execute(insert(table).values({**row, "hash": audit._hash(row)}))

    assert first_broken(db) == 2


def test_undone_work_leaves_no_gap(db: Database, writer: Writer) -> None:
    def fail(tx: Tx) -> None:
        note(tx)
        raise NotFound("nothing")

    work = [writer.submit(fail if step % 3 == 0 else note) for step in range(60)]
    outcomes = [future.exception() for future in work]

    assert sum(outcome is None for outcome in outcomes) == 40
    assert first_broken(db) is None
    with db.read() as conn:
        assert audit.head(conn)[0] == 40


def test_many_writers_share_one_chain(db: Database) -> None:
    writers = [Writer(db) for _ in range(4)]
    for writer in writers:
        writer.start()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda step: writers[step % 4].do(note), range(80)))
    for writer in writers:
        writer.stop()

    assert first_broken(db) is None
    with db.read() as conn:
        assert audit.head(conn)[0] == 80


_APPEND = """
import sys
from datetime import UTC, datetime
from core import audit
from core.db import Database
from core.writer import Writer
writer = Writer(Database(sys.argv[1]))
for step in range(25):
    entry = audit.Entry(actor="a", action="b", object="c", after={"step": step})
    writer.do(lambda tx: audit.record(tx, entry, datetime.now(UTC)))
"""


def test_two_processes_share_one_chain(db: Database) -> None:
    url = db.url.render_as_string(hide_password=False)
    both = [subprocess.Popen([sys.executable, "-c", _APPEND, url], env=dict(os.environ)) for _ in range(2)]

    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert first_broken(db) is None
    with db.read() as conn:
        assert conn.scalar(select(func.count()).select_from(table)) == 50


def test_secrets_are_masked(db: Database, writer: Writer) -> None:
    secret = {"api_key": "live_51H8abcDEF", "nested": [{"password": "hunter2!"}], "plain": "kept"}
    writer.do(lambda tx: note(tx, before=secret, after=secret))

    with db.read() as conn:
        text = str(audit.read(conn)[0])
    assert "hunter2" not in text
    assert "live_51" not in text
    assert "kept" in text


ODD: list[Any] = [
    {"text": "NUL \0 and half a pair \ud83d"},  # what PostgreSQL and UTF-8 refuse
    {"number": 2**70, "money": Decimal("1.10"), "float": 0.1, "nan": float("nan")},  # what JSON cannot hold exactly
    {"when": NOON, "set": {1}},  # what JSON does not know
    {1: "a", None: "b"},  # keys that are no texts
    [[["deep"]]] * 3,  # lists in lists
    "just a text",  # no document at all
    0,  # falsy, and not nothing
]


@pytest.mark.parametrize("value", ODD)
def test_odd_values_keep_the_chain(db: Database, writer: Writer, value: Any) -> None:
    writer.do(lambda tx: note(tx, action="odd \0 \ud83d", before=value, after=value))
    writer.do(note)

    assert first_broken(db) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_json)
def test_plain_form_survives_storage(value: Any) -> None:
    plain = audit._plain(value)
    assert orjson.loads(orjson.dumps(plain)) == plain
