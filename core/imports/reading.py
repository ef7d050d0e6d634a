"""Open an uploaded file as a table, whatever its format: headings, then numbered rows of cells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import InvalidInput
from core.imports.csv_file import CsvFile, find_encoding
from core.imports.json_lines import JsonLines
from core.imports.limits import MOST_ROWS, Row
from core.imports.workbook import Workbook

FORMATS = ("csv", "xlsx", "jsonl")
_SAMPLE = 262_144


class TableFile(Protocol):
    """A file that can be read again and again, from its first row."""

    @property
    def header(self) -> list[str]: ...

    def rows(self) -> Iterator[Row]:
        """Yield the rows below the heading; raise InvalidInput naming the row that cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a first reading of the whole file shows."""

    format: str
    header: list[str]
    samples: list[Row]
    total: int


def find_format(path: Path) -> str:
    """Tell the format from the content: names lie."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    if head.startswith((b"\xd0\xcf\x11\xe0", b"%PDF", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"Rar!")):
        raise InvalidInput("file", "is no CSV, XLSX or JSON lines file; old XLS files can be saved as XLSX")
    text = head.decode(find_encoding(head, whole=False), errors="replace").lstrip("\ufeff \r\n\t")
    return "jsonl" if text.startswith("{") else "csv"


def open_table(path: Path, file_format: str, options: Mapping[str, Any]) -> TableFile:
    """Open the file; `options` may name encoding, delimiter and sheet."""
    if file_format == "xlsx":
        return Workbook(path, sheet=options.get("sheet"))
    if file_format == "jsonl":
        return JsonLines(path)
    if file_format != "csv":
        raise InvalidInput("format", f"must be one of {', '.join(FORMATS)}")
    return CsvFile(path, encoding=options.get("encoding"), delimiter=options.get("delimiter"))


def look_through(path: Path, options: Mapping[str, Any], *, samples: int = 5) -> Look:
    """Read the file once from end to end: whatever cannot be read is said now, and not in the middle of a run."""
    file_format = options.get("format") or find_format(path)
    table = open_table(path, file_format, options)
    first: list[Row] = []
    total = 0
    for row in table.rows():
        total += 1
        if len(first) < samples:
            first.append(row)
        if total > MOST_ROWS:
            raise InvalidInput("file", f"has more than {MOST_ROWS:,} rows; split it")
    return Look(format=file_format, header=table.header, samples=first, total=total)
