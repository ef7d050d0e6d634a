"""JSON lines: one object a line, each member a column."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from core.imports.limits import MOST_COLUMNS, Row, check_row
from core.jsontext import loads

_MOST_LINE = 1_000_000


class JsonLines:
    """Rows of a JSON lines file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.header = self._find_columns()

    def rows(self) -> Iterator[Row]:
        for number, record in self._records():
            yield check_row(Row(number, [record.get(name) for name in self.header]))

    def _find_columns(self) -> list[str]:
        """Return every member that any line has, in order of appearance."""
        names: dict[str, None] = {}
        for number, record in self._records():
            names |= dict.fromkeys(record)
            if len(names) > MOST_COLUMNS:
                raise InvalidInput(f"row {number}", f"brings more than {MOST_COLUMNS} different members")
        if not names:
            raise InvalidInput("file", "has no objects")
        return list(names)

    def _records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self._path.open("rb") as file:
            number = 0
            while line := file.readline(_MOST_LINE + 1):
                number += 1
                text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
                if not text:
                    continue
                record = loads(text, max_bytes=_MOST_LINE, path=f"row {number}")
                if not isinstance(record, dict):
                    raise InvalidInput(f"row {number}", "is no object in braces")
                yield number, record
