"""Cells that people put right in place: kept beside the upload, which stays as it came, and laid over its rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select

from core.errors import InvalidInput
from core.imports.limits import MOST_CELL, Row
from core.imports.reading import TableFile
from core.imports.tables import import_fixes
from core.writer import Tx

#: Cells that one call may change, and that one import may have changed: beyond that the file itself is mended.
MOST_AT_ONCE = 500
MOST_FIXES = 10_000

#: Row -> place of the column -> what stands there now.
Cells = Mapping[int, Mapping[int, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """What a cell should hold; None empties it."""

    row: int
    #: The place of its column, from 0.
    column: int
    value: str | None


class FixedTable:
    """A table file with some cells put right."""

    def __init__(self, table: TableFile, cells: Cells) -> None:
        self._table, self._cells = table, cells

    @property
    def header(self) -> list[str]:
        return self._table.header

    def rows(self) -> Iterator[Row]:
        for row in self._table.rows():
            fixed = self._cells.get(row.number)
            yield Row(row.number, _laid_over(row.cells, fixed)) if fixed else row


def _laid_over(cells: list[Any], fixed: Mapping[int, str | None]) -> list[Any]:
    whole = [*cells, *[None] * (max(fixed) + 1 - len(cells))]
    return [fixed.get(place, cell) for place, cell in enumerate(whole)]


def read_fixes(header: Sequence[str], given: Sequence[Mapping[str, Any]]) -> list[Fix]:
    """Return fixes from {row, column, value}, where `column` is a heading or a place from 0.

    Raises InvalidInput naming the first that is wrong.
    """
    if not 1 <= len(given) <= MOST_AT_ONCE:
        raise InvalidInput("fixes", f"must be 1 to {MOST_AT_ONCE} cells")
    found: dict[tuple[int, int], Fix] = {}
    for number, one in enumerate(given):
        path = f"fixes[{number}]"
        fix = Fix(
            row=_read_row(one.get("row"), path),
            column=_read_column(header, one.get("column"), path),
            value=_read_value(one.get("value"), path),
        )
        if (fix.row, fix.column) in found:
            raise InvalidInput(path, "names a cell that is named before it")
        found[fix.row, fix.column] = fix
    return list(found.values())


def _read_row(row: Any, path: str) -> int:
    if not isinstance(row, int) or isinstance(row, bool) or not 1 <= row < 2**31:
        raise InvalidInput(f"{path}.row", "must be the number of a row, as the errors tell it")
    return row


def _read_column(header: Sequence[str], column: Any, path: str) -> int:
    path = f"{path}.column"
    if isinstance(column, int) and not isinstance(column, bool):
        if not 0 <= column < len(header):
            raise InvalidInput(path, f"must be from 0 to {len(header) - 1}")
        return column
    places = [place for place, heading in enumerate(header) if heading == column]
    if not places:
        raise InvalidInput(path, f"is no heading of the file; it has {', '.join(header)[:500]}")
    if len(places) > 1:
        raise InvalidInput(path, f"stands above {len(places)} columns; name the place instead, such as {places[0]}")
    return places[0]


def _read_value(value: Any, path: str) -> str | None:
    path = f"{path}.value"
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(path, "must be text as one would write it into the cell, or null to empty it")
    if "\0" in value:
        raise InvalidInput(path, "holds the character NUL, which no cell has")
    if len(value) > MOST_CELL:
        raise InvalidInput(path, f"has {len(value):,} characters; at most {MOST_CELL:,} are read")
    return value


def laid_together(kept: Cells, fixes: Sequence[Fix]) -> dict[int, dict[int, str | None]]:
    """Return the kept cells with new ones laid over them."""
    cells = {row: dict(values) for row, values in kept.items()}
    for fix in fixes:
        cells.setdefault(fix.row, {})[fix.column] = fix.value
    return cells


# What is kept


def load_fixes(conn: Connection, import_id: str) -> dict[int, dict[int, str | None]]:
    """Return all cells of an import that were put right."""
    cells: dict[int, dict[int, str | None]] = {}
    for row in conn.execute(select(import_fixes).where(import_fixes.c["import"] == import_id)):
        cells.setdefault(row.row, {})[row.column] = row.value
    return cells


def save_fixes(tx: Tx, import_id: str, fixes: Sequence[Fix], *, actor: str, now: datetime) -> None:
    """Keep cells that were put right; raise InvalidInput where an import has too many of them."""
    mine = import_fixes.c["import"] == import_id
    for fix in fixes:
        same = and_(mine, import_fixes.c.row == fix.row, import_fixes.c.column == fix.column)
        tx.conn.execute(delete(import_fixes).where(same))
    rows = [
        {"import": import_id, "row": fix.row, "column": fix.column, "value": fix.value, "by": actor, "at": now}
        for fix in fixes
    ]
    tx.conn.execute(insert(import_fixes), rows)
    if tx.conn.execute(select(func.count()).select_from(import_fixes).where(mine)).scalar_one() > MOST_FIXES:
        raise InvalidInput("fixes", f"one import can have {MOST_FIXES:,}; mend the file itself and upload it again")


def forget_fixes(tx: Tx, import_id: str) -> None:
    tx.conn.execute(delete(import_fixes).where(import_fixes.c["import"] == import_id))
