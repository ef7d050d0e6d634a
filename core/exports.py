"""Tables for spreadsheets, in which no cell can start a formula; our own import gives back the exact text.

The rule is ASVS 5.0 V1.2.10: a single quote before text that a spreadsheet could read as a formula. Numbers in
columns that are declared as such stay numbers.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TextIO

from core.errors import InvalidInput
from core.jsontext import dumps, to_rfc3339

#: What starts a formula, and what some spreadsheets cut off before they look.
_STARTS = frozenset("=+-@")
_CUT_OFF = frozenset("\t\r\n\0")
#: Spaces, controls and invisible signs: some readers trim them.
_BLANK = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of an export: the row's member, its heading, and whether its cells are numbers."""

    name: str
    heading: str
    number: bool = False


def is_formula(text: str) -> bool:
    """Tell whether a spreadsheet might read the text as a formula."""
    if text[:1] in _CUT_OFF and text:
        return True
    for char in text:
        if unicodedata.category(char) in _BLANK:
            continue
        # Full-width and other forms of the four signs become them where text is normalised.
        return unicodedata.normalize("NFKC", char)[:1] in _STARTS
    return False


def neutralise(text: str) -> str:
    """Return text that no spreadsheet runs; text that is harmless stays as it is."""
    return f"'{text}" if is_formula(text.lstrip("'")) else text


def restore(text: str) -> str:
    """Return the text that `neutralise` was given."""
    return text[1:] if text.startswith("'") and is_formula(text.lstrip("'")) else text


def write_csv(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], file: TextIO, *, delimiter: str = ","
) -> int:
    """Write rows under their headings, each text in quotes, and return how many; open the file with newline="".

    Raises InvalidInput for text that no file can hold (half surrogate pairs).
    """
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    count = 0
    try:
        writer.writerow([neutralise(column.heading) for column in columns])
        for row in rows:
            writer.writerow([_cell(row.get(column.name), column) for column in columns])
            count += 1
    except UnicodeEncodeError as exc:
        raise InvalidInput(f"rows[{count}]", "holds half of a surrogate pair, which no file can hold") from exc
    return count


def _cell(value: Any, column: Column) -> str:
    text = _text(value)
    # A sender's text in a column of numbers is still text.
    if column.number and _NUMBER.fullmatch(text):
        return text
    return neutralise(text)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return to_rfc3339(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (Mapping, list, tuple)):
        return dumps(value).decode()
    return str(value)
