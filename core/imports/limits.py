"""What one file may bring, and how a row of it looks."""

import re
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidInput

MOST_ROWS = 1_000_000
MOST_COLUMNS = 200
#: Characters in one cell.
MOST_CELL = 100_000
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row below the heading."""

    #: As spreadsheets count: the heading is row 1. In JSON lines, the line.
    number: int
    cells: list[Any]


def check_row(row: Row) -> Row:
    """Return the row; raise InvalidInput where a cell is too long or there are too many."""
    if len(row.cells) > MOST_COLUMNS:
        raise InvalidInput(f"row {row.number}", f"has {len(row.cells)} columns; at most {MOST_COLUMNS} are read")
    for index, cell in enumerate(row.cells):
        if isinstance(cell, str) and len(cell) > MOST_CELL:
            raise InvalidInput(
                f"row {row.number}, column {index + 1}",
                f"has {len(cell):,} characters; at most {MOST_CELL:,} are read (is a quotation mark left open?)",
            )
    return row


def trimmed_header(cells: list[Any]) -> list[str]:
    """Return headings as text, without empty columns at the end; raise InvalidInput where there are none."""
    header = ["" if cell is None else str(cell).strip() for cell in cells]
    while header and not header[-1]:
        header.pop()
    if not header:
        raise InvalidInput("file", "has no headings in its first row")
    if any(_CONTROL.search(name) for name in header):
        raise InvalidInput("file", "is no text: its headings hold control characters; is it a CSV or XLSX file?")
    if len(header) > MOST_COLUMNS:
        raise InvalidInput("file", f"has {len(header)} columns; at most {MOST_COLUMNS} are read")
    return [name[:200] for name in header]
