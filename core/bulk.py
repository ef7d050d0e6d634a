"""Statements for many rows: compiled once for each database, then fed with plain values and nothing decided per row.

The same rows through `Connection.execute` take several times longer than the database itself needs for them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Table, Update
from sqlalchemy.dialects import postgresql, sqlite

#: Turns a value into what the driver takes; None where the driver takes it as it is.
Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    #: Name in the row, its place's name in the text, and its conversion.
    values: tuple[tuple[str, str, Convert], ...]
    positional: bool

    def bind(self, row: Mapping[str, Any]) -> Any:
        if self.positional:
            return tuple([row[name] if to is None else to(row[name]) for name, _, to in self.values])
        return {place: row[name] if to is None else to(row[name]) for name, place, to in self.values}


class Bulk:
    """One insert or update over rows that all name the same columns."""

    def __init__(self, make: Callable[[Dialect], Insert | Update], names: Sequence[str]) -> None:
        """`make` returns the statement for a database; `names` are the columns and parameters that a row gives."""
        self._make = make
        self._names = tuple(names)
        self._compiled: dict[str, _Compiled] = {}

    def run(self, conn: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write the rows, each of which has all names; return how many were written."""
        if not rows:
            return 0
        dialect = conn.dialect
        compiled = self._compiled.get(dialect.name) or self._compile(dialect)
        bound = [compiled.bind(row) for row in rows]
        # psycopg forgets the count when its cursor closes, unless asked to keep it.
        return conn.exec_driver_sql(compiled.text, bound, execution_options={"preserve_rowcount": True}).rowcount

    def _compile(self, dialect: Dialect) -> _Compiled:
        made = self._make(dialect).compile(dialect=dialect, column_keys=list(self._names))
        order = made.positiontup if made.positional else list(made.binds)
        values = tuple((name, name, _converter(made.binds[name].type, dialect)) for name in order or ())
        compiled = self._compiled[dialect.name] = _Compiled(str(made), values, bool(made.positional))
        return compiled


def inserts(table: Table, *, ignore: bool = False) -> Bulk:
    """Return the insert of whole rows; with `ignore` rows that are there already are left as they are."""

    def make(dialect: Dialect) -> Insert:
        insert = (sqlite if dialect.name == "sqlite" else postgresql).insert(table)
        return insert.on_conflict_do_nothing() if ignore else insert

    return Bulk(make, [column.name for column in table.columns])


def _converter(type_: Any, dialect: Dialect) -> Convert:
    return type_.dialect_impl(dialect).bind_processor(dialect)
