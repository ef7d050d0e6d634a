"""One CSV file of a recording: found by its noun, read row by row, every cell checked as it is taken."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

from core.errors import InvalidInput

# The published data set calls its files olist_orders_dataset.csv; samples of it mostly say orders.csv.
_NAMES = ("{}", "olist_{}", "{}_dataset", "olist_{}_dataset")
_ENDINGS = (".csv", ".csv.gz")
# Tools that know missing values write whole numbers as 225.0.
_WHOLE = re.compile(r"([0-9]{1,15})(?:\.0+)?")
_AMOUNT = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,2})0*)?")
_LOCAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}")
_SHOWN = 60


def find_table(folder: Path, noun: str, advice: str = "") -> Path:
    """Return the one file of `folder` that holds these rows, whatever spelling of its name is used."""
    if not folder.is_dir():
        raise InvalidInput(str(folder), "is not a folder; give the folder that holds the recording's CSV files")
    names = [name.replace("{}", noun) + ending for name in _NAMES for ending in _ENDINGS]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise InvalidInput(f"{folder.name}/{noun}.csv", f"no such file; expected one of {', '.join(names)}{advice}")
    if len(found) > 1:
        raise InvalidInput(
            f"{folder.name}/{noun}.csv",
            f"several files claim these rows ({', '.join(path.name for path in found)}); keep one of them",
        )
    return found[0]


class RecordedTable:
    """The named columns of one file, in any order in the file; other columns are passed over."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns

    def rows(self) -> Iterator["Row"]:
        """Yield the rows under the header; raise InvalidInput where the file cannot be read as a table."""
        try:
            with self._open() as file:
                yield from self._rows_of(csv.reader(file, strict=True))
        except UnicodeDecodeError as exc:
            raise InvalidInput(self.path.name, f"is not UTF-8 text (byte {exc.start} of a block); save it so") from exc
        except csv.Error as exc:
            raise InvalidInput(self.path.name, f"is not well-formed CSV ({exc}); quote and export it again") from exc
        except (OSError, EOFError, zlib.error) as exc:
            raise InvalidInput(self.path.name, f"cannot be read ({exc}); check the file and its rights") from exc

    def _open(self) -> TextIO:
        # utf-8-sig drops a byte order mark, which would otherwise become part of the first column's name.
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8-sig", newline="")
        return self.path.open(encoding="utf-8-sig", newline="")

    def _rows_of(self, lines: Iterator[list[str]]) -> Iterator["Row"]:
        header = [name.strip() for name in next(lines, [])]
        places = self._places(header)
        for number, cells in enumerate(lines, start=2):
            if not cells:
                continue
            if len(cells) != len(header):
                raise InvalidInput(
                    f"{self.path.name} row {number}", f"has {len(cells)} cells; expected {len(header)} as in the header"
                )
            yield Row(self.path.name, number, places, cells)

    def _places(self, header: list[str]) -> dict[str, int]:
        for column in self.columns:
            if header.count(column) != 1:
                raise InvalidInput(
                    f"{self.path.name} row 1, column {column}",
                    f"expected this column once in the header, found it {header.count(column)} times",
                )
        return {column: header.index(column) for column in self.columns}


class Row:
    """One row; its readers raise InvalidInput with file, row, column and what was expected."""

    __slots__ = ("_cells", "_file", "_number", "_places")

    def __init__(self, file: str, number: int, places: dict[str, int], cells: list[str]) -> None:
        self._file = file
        self._number = number
        self._places = places
        self._cells = cells

    def wrong(self, column: str, expected: str) -> InvalidInput:
        """Return the error for this cell, ready to raise."""
        cell = self._cells[self._places[column]]
        found = repr(cell[:_SHOWN]) if cell else "nothing"
        more = " and more" if len(cell) > _SHOWN else ""
        return InvalidInput(
            f"{self._file} row {self._number}, column {column}", f"expected {expected}, found {found}{more}"
        )

    def find_text(self, column: str) -> str | None:
        """Return the cell as written, None where it is blank."""
        cell = self._cells[self._places[column]]
        return cell if cell.strip() else None

    def get_text(self, column: str) -> str:
        """Return the cell without surrounding blanks; it may not be empty."""
        cell = self._cells[self._places[column]].strip()
        if not cell:
            raise self.wrong(column, "a value")
        return cell

    def get_id(self, column: str) -> str:
        """Return a value that event ids may be joined from with slashes."""
        cell = self.get_text(column)
        if "/" in cell:
            raise self.wrong(column, "an id without a slash")
        return cell

    def find_whole(self, column: str) -> int | None:
        """Return a whole number of at least 0, None where the cell is blank."""
        return None if self.find_text(column) is None else self.get_whole(column)

    def get_whole(self, column: str) -> int:
        """Return a whole number of at least 0."""
        match = _WHOLE.fullmatch(self._cells[self._places[column]].strip())
        if match is None:
            raise self.wrong(column, "a whole number")
        return int(match[1])

    def get_cents(self, column: str) -> int:
        """Return an amount of money as a whole number of hundredths, exactly."""
        match = _AMOUNT.fullmatch(self._cells[self._places[column]].strip())
        if match is None:
            raise self.wrong(column, "an amount such as 99.90")
        return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))

    def find_local_time(self, column: str) -> datetime | None:
        """Return a local time without zone, None where the cell is blank."""
        return None if self.find_text(column) is None else self.get_local_time(column)

    def get_local_time(self, column: str) -> datetime:
        """Return a local time without zone."""
        cell = self._cells[self._places[column]].strip()
        if not _LOCAL_TIME.fullmatch(cell):
            raise self.wrong(column, "a local time such as 2018-05-16 20:57:03")
        try:
            return datetime.fromisoformat(cell)
        except ValueError as exc:
            raise self.wrong(column, "a date and time that exist in the calendar") from exc

    def find_moment(self, column: str, zone: ZoneInfo) -> int | None:
        """Return the second (Unix time) of a local time in `zone`, None where the cell is blank."""
        return None if self.find_text(column) is None else self.get_moment(column, zone)

    def get_moment(self, column: str, zone: ZoneInfo) -> int:
        """Return the second (Unix time) of a local time in `zone`."""
        local = self.get_local_time(column)
        try:
            return to_second(local, zone)
        except OverflowError as exc:
            raise self.wrong(column, "a time that the calendar of UTC can hold") from exc


def to_second(local: datetime, zone: ZoneInfo) -> int:
    """Return the Unix time of a local time; a skipped one has the offset before the gap, a doubled one is the first."""
    # fold=0 means exactly this in both cases (PEP 495).
    return int(local.replace(tzinfo=zone, fold=0).astimezone(UTC).timestamp())
