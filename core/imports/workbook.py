"""XLSX workbooks, read as a stream: formulas are taken at their stored value, and nothing in them is run."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from core.errors import InvalidInput
from core.imports.archive import check_markup, open_archive
from core.imports.limits import MOST_COLUMNS, MOST_ROWS, Row, check_row, trimmed_header

#: Whatever a damaged or hostile workbook makes the library raise.
_DAMAGE = (
    *(zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError, TypeError),
    *(IndexError, AttributeError, OverflowError, SyntaxError, EOFError),
)


class Workbook:
    """Rows of one sheet; the first one, unless it is named."""

    def __init__(self, path: Path, *, sheet: str | None = None) -> None:
        self._path = path
        self._sheet = sheet
        with open_archive(path) as archive:
            if "[Content_Types].xml" not in archive.namelist():
                raise InvalidInput("file", "is a zip file and no workbook; upload the workbook itself")
            check_markup(archive)
        with self._opened(MOST_COLUMNS + 1) as records:
            self.header = trimmed_header(next(records, []))

    def rows(self) -> Iterator[Row]:
        # One column more than the headings have, to notice cells outside them.
        with self._opened(len(self.header) + 1) as records:
            next(records, None)
            for number, cells in enumerate(records, start=2):
                if number > MOST_ROWS + 1:
                    raise InvalidInput("file", f"has more than {MOST_ROWS:,} rows; split it")
                if any(cell is not None and cell != "" for cell in cells):
                    yield check_row(Row(number, cells))

    @contextmanager
    def _opened(self, width: int) -> Iterator[Iterator[list[Any]]]:
        book = None
        try:
            # A file and not its path: the library would ask for an ending that generated names have not.
            with self._path.open("rb") as file:
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
                yield self._records(book, width)
        except InvalidInput:
            raise
        except _DAMAGE as exc:
            raise InvalidInput("file", "is a damaged workbook; open it, save it again and upload it anew") from exc
        finally:
            if book is not None:
                book.close()

    def _records(self, book: Any, width: int) -> Iterator[list[Any]]:
        names = [sheet.title for sheet in book.worksheets]
        if self._sheet is not None and self._sheet not in names:
            raise InvalidInput("options.sheet", f"is not in the workbook; it has {', '.join(names)}")
        sheet = book[self._sheet] if self._sheet is not None else book.worksheets[0]
        # What the sheet says of its own size may be anything; rows and columns are bounded here instead.
        sheet.reset_dimensions()
        for cells in sheet.iter_rows(max_row=MOST_ROWS + 2, max_col=width, values_only=True):
            record = [_plain(cell) for cell in cells]
            while record and record[-1] is None:
                record.pop()
            yield record


def _plain(cell: Any) -> Any:
    if isinstance(cell, timedelta):
        return str(cell)
    return cell
