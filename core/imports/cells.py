"""Cells as people write them, turned into values: numbers, days, moments, yes and no, lists."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from core.durations import at_local
from core.errors import InvalidInput
from core.exports import restore
from core.text import fold

#: Signs and words that people write beside an amount.
CURRENCIES = {
    word: code
    for code, words in {
        "TRY": "₺ tl try",
        "RUB": "₽ руб р rub",
        "EUR": "€ eur",
        "USD": "$ usd",
        "GBP": "£ gbp",
        "KZT": "₸ kzt",
        "UAH": "₴ uah",
    }.items()
    for word in words.split()
}
#: No number, amount or date that people write is longer.
_LONGEST = 60
_YES = frozenset(map(fold, ("yes", "y", "true", "1", "on", "x", "evet", "e", "var", "aktif", "да", "истина", "+")))
_NO = frozenset(map(fold, ("no", "n", "false", "0", "off", "hayır", "h", "yok", "pasif", "нет", "ложь", "-")))
_SPACES = re.compile(r"[\s\u00a0\u2007\u2009\u202f'’_]")
_NUMBER = re.compile(r"(?P<sign>[-+\u2212]?)(?P<digits>\d[\d.,]*|[.,]\d+)", re.ASCII)
_AROUND = re.compile(r"(?P<before>[^\d.,+\-\u2212]*)(?P<number>[-+\u2212]?[\d.,]+)(?P<after>[^\d]*)")
_DAY = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ ,T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?", re.ASCII)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}.*)?", re.ASCII)
DATE_ORDERS = ("dmy", "mdy")
_MOST = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How the people write who made the file."""

    zone: ZoneInfo
    #: The mark before the decimals: "." or ","; None where both are to be understood as far as that is possible.
    decimal: str | None = None
    date_order: str = "dmy"


Reader = Callable[[Any, Habits], Any]


def is_empty(cell: Any) -> bool:
    return cell is None or cell == ""


def read_text(cell: Any, _habits: Habits) -> Any:
    """Return text as it stands; a quote that our export put before a formula is taken off."""
    if isinstance(cell, str):
        return restore(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 10**15:
        return str(int(cell))
    if isinstance(cell, (datetime, date, time)):
        return cell.isoformat(" ") if isinstance(cell, datetime) else cell.isoformat()
    if isinstance(cell, (int, float)):
        return repr(cell)
    raise InvalidInput("", "must be text, not a list or an object")


def read_number(cell: Any, habits: Habits) -> Decimal:
    """Return a number written with either decimal mark and any separator of thousands."""
    if isinstance(cell, bool):
        raise InvalidInput("", "must be a number")
    if isinstance(cell, (int, float)):
        number = Decimal(repr(cell))
        if not number.is_finite() or abs(number) >= _MOST:
            raise InvalidInput("", "is out of range")
        return number
    text = _SPACES.sub("", _short(cell, habits))
    found = _NUMBER.fullmatch(text)
    if not found:
        raise InvalidInput("", f"{_quoted(cell)} is not a number")
    sign = "-" if found["sign"] in ("-", "\u2212") else ""
    return Decimal(sign + _plain_digits(found["digits"], habits, cell))


def _plain_digits(digits: str, habits: Habits, cell: Any) -> str:
    """Return digits with a decimal point, or none."""
    marks = [mark for mark in digits if mark in ".,"]
    if not marks:
        return digits
    mark = habits.decimal
    if mark is None:
        mark = _decimal_mark(digits, marks, cell)
    other = "," if mark == "." else "."
    head, _, tail = digits.partition(mark)
    groups = head.split(other)
    grouped = all(len(group) == 3 for group in groups[1:]) and len(groups[0]) <= 3
    if mark in tail or other in tail or (len(groups) > 1 and not grouped):
        raise InvalidInput("", f"{_quoted(cell)} is not a number with the decimal mark {mark!r}")
    return "".join(groups or "0") + (f".{tail}" if tail else "")


def _decimal_mark(digits: str, marks: list[str], cell: Any) -> str:
    if len(set(marks)) == 2:
        return marks[-1]
    mark = marks[0]
    if len(marks) > 1:
        return "," if mark == "." else "."
    head, _, tail = digits.partition(mark)
    if len(tail) == 3 and 1 <= len(head) <= 3 and head.strip("0"):
        raise InvalidInput("", f"{_quoted(cell)} may be thousands or decimals: choose the decimal mark of the file")
    return mark


def read_amount(cell: Any, habits: Habits) -> Any:
    """Return an amount, with its currency where the cell names one."""
    if not isinstance(cell, str):
        return str(read_number(cell, habits))
    found = _AROUND.fullmatch(_SPACES.sub("", _short(cell, habits)))
    if not found:
        raise InvalidInput("", f"{_quoted(cell)} is not an amount of money")
    amount = read_number(found["number"], habits)
    named = {fold(part).strip(".") for part in (found["before"], found["after"]) if part.strip(".")}
    if not named:
        return f"{amount:f}"
    known = {CURRENCIES.get(name) for name in named}
    code = known.pop()
    if known or code is None:
        raise InvalidInput("", f"{_quoted(cell)} names a currency that is not known here")
    return {"amount": f"{amount:f}", "currency": code}


def read_currency(cell: Any, habits: Habits) -> str:
    text: str = read_text(cell, habits).strip()
    return CURRENCIES.get(fold(text).strip("."), text)


def read_whole(cell: Any, habits: Habits) -> int:
    number = read_number(cell, habits)
    if number != int(number):
        raise InvalidInput("", f"{_quoted(cell)} is not a whole number")
    return int(number)


def read_flag(cell: Any, habits: Habits) -> bool:
    word = fold(read_text(cell, habits).strip())
    if word in _YES or word in _NO:
        return word in _YES
    raise InvalidInput("", f"{_quoted(cell)} is neither yes nor no")


def read_moment(cell: Any, habits: Habits) -> datetime:
    """Return a moment; one without a zone is meant in the file's zone."""
    local = _local(cell, habits)
    return local if local.tzinfo is not None else at_local(local, habits.zone)


def read_day(cell: Any, habits: Habits) -> str:
    return _local(cell, habits).date().isoformat()


def _local(cell: Any, habits: Habits) -> datetime:
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime.combine(cell, time())
    text = _short(cell, habits).strip()
    try:
        if _ISO.fullmatch(text):
            return datetime.fromisoformat(text)
        if found := _DAY.fullmatch(text):
            first, second, year, hour, minute, second_s = (int(part or 0) for part in found.groups())
            day, month = (first, second) if habits.date_order == "dmy" else (second, first)
            return datetime(year, month, day, hour, minute, second_s)  # noqa: DTZ001 - on the wall; its zone comes after
    except ValueError as exc:
        raise InvalidInput("", f"{_quoted(cell)} is not a date of the calendar") from exc
    raise InvalidInput("", f"{_quoted(cell)} is not a date such as 31.12.2026 or 2026-12-31")


def read_list(cell: Any, habits: Habits) -> list[str]:
    """Return words between commas or semicolons, each once."""
    if isinstance(cell, list):
        return list(dict.fromkeys(read_text(part, habits) for part in cell))
    words = (word.strip() for word in re.split(r"[,;]", read_text(cell, habits)))
    return list(dict.fromkeys(word for word in words if word))


def _short(cell: Any, habits: Habits) -> str:
    text = read_text(cell, habits)
    if len(text) > _LONGEST:
        raise InvalidInput("", f"has {len(text)} characters, too many for a number or a date")
    return text


def _quoted(cell: Any) -> str:
    text = str(cell)
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"
