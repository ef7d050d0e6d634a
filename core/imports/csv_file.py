"""CSV as people send it: encoding and separator are found out, unless they are given."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from core.errors import InvalidInput
from core.imports.limits import Row, check_row, trimmed_header

ENCODINGS = ("utf-8", "utf-16", "cp1251", "cp1254", "cp1252")
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SAMPLE = 262_144
_SAMPLE_ROWS = 30
_CHUNK = 1_048_576


class CsvFile:
    """Rows of a CSV file."""

    def __init__(self, path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> None:
        if encoding is not None and encoding not in ENCODINGS:
            raise InvalidInput("options.encoding", f"must be one of {', '.join(ENCODINGS)}")
        if delimiter is not None and delimiter not in DELIMITERS:
            raise InvalidInput("options.delimiter", f"must be {', '.join(DELIMITERS.values())}")
        self._path = path
        self.encoding = encoding or _encoding_of(path)
        self.delimiter = delimiter or self._sniff()
        self.header = trimmed_header(next(self._records(), []))

    def rows(self) -> Iterator[Row]:
        records = self._records()
        next(records, None)
        width = len(self.header)
        for number, record in enumerate(records, start=2):
            if not any(record):
                continue
            while len(record) > width and not record[-1]:
                record.pop()
            yield check_row(Row(number, record))

    def _records(self) -> Iterator[list[str]]:
        number = 0
        try:
            with self._path.open(encoding=_codec(self.encoding), newline="") as file:
                for record in csv.reader(file, delimiter=self.delimiter):
                    number += 1
                    yield record
        except UnicodeError as exc:
            raise InvalidInput(
                f"row {number + 1}", f"is not {self.encoding} text; say which encoding the file has"
            ) from exc
        except csv.Error as exc:
            raise InvalidInput(
                f"row {number + 1}", f"cannot be read as CSV ({exc}); is a quotation mark left open?"
            ) from exc

    def _sniff(self) -> str:
        """Return the separator that cuts the first rows most evenly into the most columns."""
        with self._path.open(encoding=_codec(self.encoding), newline="", errors="replace") as file:
            sample = file.read(_SAMPLE)
        return max(DELIMITERS, key=lambda mark: _evenness(sample, mark))


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    widths: list[int] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if record:
                widths.append(len(record))
            if len(widths) >= _SAMPLE_ROWS:
                break
    except csv.Error:
        return 0.0, 0
    if not widths or widths[0] == 1:
        return 0.0, 0
    usual, count = Counter(widths).most_common(1)[0]
    return (count / len(widths) if usual > 1 else 0.0), usual


def _codec(encoding: str) -> str:
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _encoding_of(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    guess = find_encoding(head, whole=False)
    if guess != "utf-8":
        return guess
    # The first letter outside ASCII may come late.
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return find_encoding(chunk, whole=True)
    return "utf-8"


def find_encoding(raw: bytes, *, whole: bool) -> str:
    """Guess the encoding: a byte order mark, then UTF-8 if it fits, then Cyrillic or Turkish by its letters."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(raw, final=whole)
    except UnicodeDecodeError:
        return _one_byte(raw)
    return "utf-8"


def _one_byte(raw: bytes) -> str:
    """Tell Russian, whose letters all lie above ASCII, from Turkish, where single ones do."""
    high = [byte >= 0xC0 or byte in (0xA8, 0xB8) for byte in raw]
    letters = sum(high)
    pairs = sum(1 for first, second in pairwise(high) if first and second)
    return "cp1251" if letters and pairs / letters > 0.5 else "cp1254"
