"""Rows that need a look: what is wrong with them, their cells, and a file of them to be mended and uploaded again."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, time
from math import isfinite
from typing import Any, TextIO

from sqlalchemy import Connection, Row, and_, select

from core.exports import Column, write_csv
from core.imports.fixes import Cells
from core.imports.limits import Row as Line
from core.imports.reading import TableFile
from core.imports.tables import import_rows
from core.imports.work import Fault, faults_of
from core.imports.writing import Done


def find_faults(conn: Connection, row: Row[Any]) -> list[Fault]:
    """Return what is wrong with an import's rows: as the run found it or, before there was one, the dry run."""
    if row.started_at is None:
        return [Fault(**told) for told in (row.checked or {}).get("errors", ())]
    faulty = and_(import_rows.c["import"] == row.id, import_rows.c.error.is_not(None))
    found = conn.execute(select(import_rows).where(faulty).order_by(import_rows.c.row, import_rows.c.noun))
    return [
        Fault(
            row=one.row,
            column=one.column,
            message=one.error,
            refused=one.status == "error",
            first=one.row,
            rows=one.rows,
        )
        for one in found
    ]


def faults_by_row(faults: Iterable[Fault], *, column: str | None = None) -> dict[int, list[Fault]]:
    """Return faults by the row that they are told about, in the order of the file; `column` keeps one heading's."""
    found: dict[int, list[Fault]] = {}
    for fault in sorted(faults, key=lambda fault: fault.row):
        if column is None or fault.column == column:
            found.setdefault(fault.row, []).append(fault)
    return found


def with_cells(
    lines: Iterable[Line], wanted: Mapping[int, Sequence[Fault]], fixed: Cells, *, width: int
) -> list[dict[str, Any]]:
    """Return these rows as pages show them: cells, which of them were put right, and what is wrong."""
    left, shown = set(wanted), []
    for line in lines:
        if line.number in left:
            left.discard(line.number)
            shown.append(
                {
                    "row": line.number,
                    "cells": shown_cells(line, width),
                    "fixed": sorted(fixed.get(line.number, ())),
                    "faults": [shown_fault(fault) for fault in wanted[line.number]],
                }
            )
        if not left:
            break
    return shown


def shown_cells(line: Line, width: int) -> list[Any]:
    """Return a row's cells as plain data, as many as there are headings or more."""
    return [*map(_shown_cell, line.cells), *[None] * (width - len(line.cells))]


def _shown_cell(cell: Any) -> Any:
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    # Workbooks can hold infinity, which JSON cannot.
    return str(cell) if isinstance(cell, float) and not isfinite(cell) else cell


def shown_fault(fault: Fault) -> dict[str, Any]:
    return {"column": fault.column, "message": fault.message, "refused": fault.refused}


def amended(checked: Mapping[str, Any], tried: Sequence[Done]) -> dict[str, Any]:
    """Return what a dry run found, with these pieces of the file as they were found now.

    Its counts are those of the whole file and stand until the next dry run: `stale` says so.
    """
    pieces = [(done.unit.row, done.unit.last) for done in tried]
    found = [Fault(**told) for told in checked["errors"]]
    kept = [fault for fault in found if not any(first <= fault.row <= last for first, last in pieces)]
    new = [fault for done in tried for fault in faults_of(done)]
    by_column = Counter(checked["by_column"])
    by_column.update(fault.column or "" for fault in new)
    by_column.subtract(fault.column or "" for fault in found if fault not in kept)
    errors = sorted([*kept, *new], key=lambda fault: (fault.first, fault.row))
    return {
        **checked,
        "errors": [asdict(fault) for fault in errors],
        "by_column": {name: count for name, count in by_column.items() if count > 0},
        "stale": True,
    }


def write_faults(table: TableFile, faults: Sequence[Fault], file: TextIO) -> int:
    """Write the faulty rows with the reason as CSV that no spreadsheet runs; return how many.

    The file has the columns of the upload, so that it can be mended and uploaded again.
    """
    columns = [Column(name=str(index), heading=heading) for index, heading in enumerate(table.header)]
    columns += [Column(name="row", heading="Row", number=True), Column(name="column", heading="Column")]
    return write_csv(_faulty_lines(table, faults), [*columns, Column(name="error", heading="Error")], file)


def _faulty_lines(table: TableFile, faults: Sequence[Fault]) -> Iterator[dict[str, Any]]:
    """Join faults with the cells of their rows; all rows of an order share its faults."""
    pieces: dict[int, list[Fault]] = {}
    for fault in sorted(faults, key=lambda fault: fault.first):
        pieces.setdefault(fault.first, []).append(fault)
    ahead = iter(pieces.items())
    first, piece = next(ahead, (None, []))
    left = 0
    for line in table.rows():
        if line.number == first:
            left = piece[0].rows
        if not left:
            continue
        reasons = "; ".join(dict.fromkeys(fault.message for fault in piece))
        names = "; ".join(dict.fromkeys(fault.column for fault in piece if fault.column))
        why = {"row": line.number, "column": names, "error": reasons}
        yield {str(index): cell for index, cell in enumerate(line.cells)} | why
        left -= 1
        if not left:
            first, piece = next(ahead, (None, []))
