"""A few statements that every writer of the shop needs, the same on both databases."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Insert, Select, Table, Update, bindparam, false, func, select
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import Overtaken
from core.text import fold

_CHUNK = 1_000

_HALVES = re.compile("[\ud800-\udfff]")

Row = dict[str, Any]


def is_storable(value: Any) -> bool:
    """Say whether both databases could hold the value: text without NUL and without half surrogate pairs."""
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return True
    return "\0" not in value and not _HALVES.search(value)


def chunks(values: Iterable[Any], size: int = _CHUNK) -> Iterator[list[Any]]:
    """Yield distinct values in lists that fit into one statement; texts that nothing stored can equal are left out."""
    distinct = [value for value in dict.fromkeys(values) if is_storable(value)]
    for start in range(0, len(distinct), size):
        yield distinct[start : start + size]


def rows_in(conn: Connection, column: Column[Any], values: Iterable[Any], *, lock: bool = False) -> list[Row]:
    """Return the table's rows whose column is one of the values; `lock` holds them until the commit."""
    found: list[Row] = []
    for part in chunks(values):
        found += map(dict, conn.execute(_select_in(column, lock), {"values": part}).mappings())
    return found


@cache
def _select_in(column: Column[Any], lock: bool) -> Select[Any]:
    """Build the statement once: building costs more than running it."""
    chosen = column.in_(bindparam("values", expanding=True))
    wanted = select(column.table).where(chosen).order_by(*column.table.primary_key)
    return wanted.with_for_update() if lock else wanted


def row_of(conn: Connection, column: Column[Any], value: Any, *, lock: bool = False) -> Row | None:
    """Return the first such row, or None."""
    found = rows_in(conn, column, [value], lock=lock)
    return found[0] if found else None


def insert_missing(conn: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert the rows that break no unique constraint; return how many that were."""
    if not rows:
        return 0
    insert = _insert_missing(table, conn.dialect.name)
    # psycopg forgets an INSERT's count when its cursor closes, unless asked to keep it.
    keep = {"preserve_rowcount": True}
    return conn.execute(insert, rows if len(rows) > 1 else rows[0], execution_options=keep).rowcount


@cache
def _insert_missing(table: Table, dialect: str) -> Insert:
    return (sqlite if dialect == "sqlite" else postgresql).insert(table).on_conflict_do_nothing()


def insert_all(conn: Connection, table: Table, rows: Sequence[Row], what: str) -> None:
    """Insert rows that were looked for and not found; raise Overtaken when another process was faster."""
    if insert_missing(conn, table, rows) < len(rows):
        raise Overtaken(f"another process stored the same {what} at this moment; try again")


def update_by_id(conn: Connection, table: Table, rows: Sequence[Row], columns: Iterable[str]) -> None:
    """Write these columns of the rows."""
    if not rows:
        return
    names = tuple(columns)
    statement = _update_by_id(table, names)
    values = [{"_id": row["id"]} | {f"_{name}_": row[name] for name in names} for row in rows]
    conn.execute(statement, values if len(values) > 1 else values[0])


@cache
def _update_by_id(table: Table, names: tuple[str, ...]) -> Update:
    statement = table.update().where(table.c.id == bindparam("_id"))
    return statement.values({name: bindparam(f"_{name}_") for name in names})


def equals(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Return the test that a column has the value, which for what cannot be stored is never."""
    return column == value if is_storable(value) else false()


def matches(table: Table, chosen: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Return the tests that the named columns have these values; None stands for any."""
    return [equals(table.c[name], value) for name, value in chosen.items() if value is not None]


def contains_text(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Return the test that a column holds the text as it is, whatever signs of LIKE it has."""
    return column.contains(text, autoescape=True) if is_storable(text) else false()


def contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Return the test that a folded search column holds the text, whatever signs of LIKE it has."""
    return contains_text(column, fold(text)) if is_storable(text) else false()


def next_number(conn: Connection, counters: Table, name: str) -> int:
    """Count one up and return the number; two writers never get the same."""
    insert = (sqlite if conn.dialect.name == "sqlite" else postgresql).insert(counters)
    statement = insert.values(name=name, value=1).on_conflict_do_update(
        index_elements=["name"], set_={"value": func.coalesce(counters.c.value, 0) + 1}
    )
    return conn.execute(statement.returning(counters.c.value)).scalar_one()
