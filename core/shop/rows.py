"""A few statements that every writer of the shop needs, the same on both databases."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import Conflict
from core.text import fold

_CHUNK = 1_000

Row = dict[str, Any]


def chunks(values: Iterable[Any], size: int = _CHUNK) -> Iterator[list[Any]]:
    """Yield distinct values in lists that fit into one statement."""
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), size):
        yield distinct[start : start + size]


def rows_in(conn: Connection, column: Column[Any], values: Iterable[Any], *, lock: bool = False) -> list[Row]:
    """Return the table's rows whose column is one of the values; `lock` holds them until the commit."""
    found: list[Row] = []
    for part in chunks(values):
        wanted = select(column.table).where(column.in_(part)).order_by(*column.table.primary_key)
        found += map(dict, conn.execute(wanted.with_for_update() if lock else wanted).mappings())
    return found


def row_of(conn: Connection, column: Column[Any], value: Any, *, lock: bool = False) -> Row | None:
    """Return the first such row, or None."""
    found = rows_in(conn, column, [value], lock=lock)
    return found[0] if found else None


def insert_missing(conn: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert the rows that break no unique constraint; return how many that were."""
    if not rows:
        return 0
    insert = (sqlite if conn.dialect.name == "sqlite" else postgresql).insert(table).on_conflict_do_nothing()
    # psycopg forgets an INSERT's count when its cursor closes, unless asked to keep it.
    keep = {"preserve_rowcount": True}
    return conn.execute(insert, rows if len(rows) > 1 else rows[0], execution_options=keep).rowcount


def insert_all(conn: Connection, table: Table, rows: Sequence[Row], what: str) -> None:
    """Insert rows that were looked for and not found; raise Conflict when another process was faster."""
    if insert_missing(conn, table, rows) < len(rows):
        raise Conflict(f"another process stored the same {what} at this moment; try again")


def update_by_id(conn: Connection, table: Table, rows: Sequence[Row], columns: Iterable[str]) -> None:
    """Write these columns of the rows."""
    if not rows:
        return
    names = list(columns)
    statement = table.update().where(table.c.id == bindparam("_id"))
    statement = statement.values({name: bindparam(f"_{name}_") for name in names})
    values = [{"_id": row["id"]} | {f"_{name}_": row[name] for name in names} for row in rows]
    conn.execute(statement, values if len(values) > 1 else values[0])


def contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Return the test that a folded search column holds the text, whatever signs of LIKE it has."""
    return column.contains(fold(text), autoescape=True)


def next_number(conn: Connection, counters: Table, name: str) -> int:
    """Count one up and return the number; two writers never get the same."""
    insert = (sqlite if conn.dialect.name == "sqlite" else postgresql).insert(counters)
    statement = insert.values(name=name, value=1).on_conflict_do_update(
        index_elements=["name"], set_={"value": func.coalesce(counters.c.value, 0) + 1}
    )
    return conn.execute(statement.returning(counters.c.value)).scalar_one()
