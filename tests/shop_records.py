"""A real shop database for tests: writes through the real writer, and keeps what was told to the automations."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, event, func, select

import core.shop.tables
import core.tables
from core.db import Database, metadata
from core.jsontext import check_plain
from core.schemas import compile_schema
from core.shop import Shop
from core.writer import Tx, Writer
from plugins.shop.events import EVENTS

T = TypeVar("T")

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
CHECKERS = {kind["name"]: compile_schema(kind["schema"]) for kind in EVENTS}
TABLES = [table for table in metadata.sorted_tables if table in vars(core.shop.tables).values()]


@dataclass(slots=True, kw_only=True)
class Told:
    """One event that a writer told."""

    type: str
    data: dict[str, Any]
    key: str | None
    customer: str | None


@dataclass(slots=True, kw_only=True)
class Records:
    """The shop under test."""

    db: Database
    writer: Writer
    now: datetime = NOON
    told: list[Told] = field(default_factory=list)

    def emit(self, kind: str, data: dict[str, Any], /, *, key: str | None, customer: str | None) -> None:
        """Keep an event, once it proved to be plain data that fits its type."""
        check_plain(data)
        CHECKERS[kind].check(data, path=kind)
        self.told.append(Told(type=kind, data=data, key=key, customer=customer))

    def do(self, write: Callable[[Shop], T], *, source: str = "site", quiet: bool = False, **options: Any) -> T:
        """Run writers in one transaction and return what they answered."""
        emit = None if quiet else self.emit

        def work(tx: Tx) -> T:
            return write(Shop(tx, emit, self.now, source, **options))

        return self.writer.do(work)

    def tells(self) -> list[str]:
        """Return the types told since the last call."""
        types = [event.type for event in self.told]
        self.told.clear()
        return types

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def read(self, ask: Callable[[Connection], T]) -> T:
        with self.db.read() as conn:
            return ask(conn)

    def clear(self) -> None:
        """Empty the shop, which is quicker than another database."""
        with self.db.write() as conn:
            for table in reversed(TABLES):
                conn.execute(table.delete())
        self.told.clear()
        self.now = NOON

    def count(self, table: Any) -> int:
        return self.read(lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one())

    def picture(self) -> dict[str, Any]:
        """Return every row of every table: what two databases must have in common to be equal."""
        with self.db.read() as conn:
            return {table.name: sorted(map(repr, conn.execute(select(table)))) for table in TABLES}

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collect the statements that are sent meanwhile."""
        sent: list[str] = []

        def keep(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            sent.append(statement)

        event.listen(self.db.engine, "before_cursor_execute", keep)
        try:
            yield sent
        finally:
            event.remove(self.db.engine, "before_cursor_execute", keep)


@contextmanager
def open_records(url: str) -> Iterator[Records]:
    """Make the tables of an empty database and hand out the shop over it."""
    db = Database(url, synchronous="off")
    with db.engine.begin() as conn:
        metadata.create_all(conn)
    try:
        yield Records(db=db, writer=Writer(db))
    finally:
        db.close()
