"""Read what the outside world wants stored: each value is taken unchanged, normalised by a rule, or refused by path."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import phonenumbers

from core.errors import InvalidInput
from core.jsontext import check_plain
from core.money import Money
from core.shop.rows import is_storable

#: Longest texts that are kept: names and codes, and bodies of notes and messages.
SHORT, LONG = 1_000, 100_000

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*", re.ASCII)
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,255}")
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(3000, 1, 1, tzinfo=UTC)
_MOST = 10**15

Reader = Callable[[Any, str], Any]


def read_object(value: Any, known: Iterable[str], path: str) -> Mapping[str, Any]:
    """Return the mapping; raise InvalidInput for another type and for members that nobody would read."""
    if not isinstance(value, Mapping):
        raise InvalidInput(path, "must be an object")
    for name in value:
        if name not in known:
            where = name if isinstance(name, str) and name.isascii() and name.isidentifier() else "member"
            raise InvalidInput(join(path, where), f"is not known here; known are {', '.join(sorted(known))}")
    return value


def read_list(value: Any, path: str, *, most: int = 10_000) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(path, "must be a list")
    if len(value) > most:
        raise InvalidInput(path, f"has {len(value)} entries; at most {most} are taken")
    return list(value)


def join(path: str, name: str) -> str:
    """Return the dotted path of a member."""
    return f"{path}.{name}" if path else name


def read_text(value: Any, path: str, *, limit: int = SHORT) -> str:
    """Return text unchanged; refuse what a database cannot keep (NUL, half surrogate pairs) and what is too long."""
    if not isinstance(value, str):
        raise InvalidInput(path, "must be text")
    if len(value) > limit:
        raise InvalidInput(path, f"has {len(value)} characters; at most {limit} are kept")
    if "\0" in value:
        raise InvalidInput(path, "holds the character NUL, which databases cannot keep; remove it")
    if not is_storable(value):
        raise InvalidInput(path, "holds half of a surrogate pair, which is not text; send whole characters")
    return value


def read_code(value: Any, path: str) -> str:
    """Return text that names something: an id, a SKU, a tag. Whole numbers are taken as text; empty is refused."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    text = read_text(value, path, limit=300)
    if not text or text.isspace():
        raise InvalidInput(path, "must not be empty")
    return text


def read_body(value: Any, path: str) -> str:
    return read_text(value, path, limit=LONG)


def read_title(value: Any, path: str) -> str:
    """Return text that people must be able to see: not empty."""
    text = read_text(value, path)
    if not text or text.isspace():
        raise InvalidInput(path, "must not be empty")
    return text


def read_flag(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(path, "must be true or false")
    return value


def read_phone(value: Any, path: str, *, region: str) -> str:
    """Return the number in E.164; numbers without a country code are read as the region's."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else read_text(value, path, limit=100)
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as exc:
        raise InvalidInput(path, "is not a phone number; write it with its country code, such as +90...") from exc
    # "Possible" and not "valid": number plans grow faster than the library's tables.
    if not phonenumbers.is_possible_number(number):
        raise InvalidInput(path, f"has too few or too many digits for a phone number of {region} or its country code")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def read_email(value: Any, path: str) -> str:
    """Return the address in lower case, which is how one person's address is compared."""
    text = read_text(value, path, limit=320).strip().lower()
    if not _EMAIL.fullmatch(text):
        raise InvalidInput(path, "is not an e-mail address")
    return text


def read_language(value: Any, path: str) -> str:
    text = read_text(value, path, limit=35)
    if not _LANGUAGE.fullmatch(text):
        raise InvalidInput(path, "is not a language code, such as en, tr or ru")
    return text


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def read_zone(value: Any, path: str) -> str:
    text = read_text(value, path, limit=64)
    if text not in _zones():
        raise InvalidInput(path, "is not a time zone of the IANA list, such as Europe/Istanbul")
    return text


def read_day(value: Any, path: str) -> str:
    """Return a calendar day as YYYY-MM-DD."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    text = read_text(value, path, limit=10)
    try:
        day = date.fromisoformat(text)
    except ValueError as exc:
        raise InvalidInput(path, "is not a day written YYYY-MM-DD") from exc
    return day.isoformat()


def read_moment(value: Any, path: str) -> datetime:
    """Return an aware UTC moment between 1900 and 3000, from a datetime or ISO 8601 text with a zone."""
    if not isinstance(value, datetime):
        text = read_text(value, path, limit=64)
        try:
            value = datetime.fromisoformat(text)
        except ValueError as exc:
            raise InvalidInput(path, "is not a moment written as 2026-05-31T12:00:00+03:00") from exc
    if value.tzinfo is None:
        raise InvalidInput(path, "needs a time zone, such as +03:00 or Z")
    if not _EARLIEST < value < _LATEST:
        raise InvalidInput(path, "must lie between the years 1900 and 3000")
    return value.astimezone(UTC)


def read_fields(value: Any, path: str) -> dict[str, Any]:
    """Return custom fields: plain JSON under names that are text."""
    if not isinstance(value, Mapping):
        raise InvalidInput(path, "must be an object")
    fields = {read_code(name, path): _check_texts(item, join(path, str(name))) for name, item in value.items()}
    check_plain(fields, path=path, max_depth=8)
    return fields


def _check_texts(value: Any, path: str, depth: int = 0) -> Any:
    if depth > 8:
        raise InvalidInput(path, "is nested deeper than 8 levels; send flatter data")
    if isinstance(value, str):
        return read_text(value, path, limit=LONG)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {read_text(name, path): _check_texts(item, path, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_check_texts(item, path, depth + 1) for item in value]
    return value


def read_tags(value: Any, path: str) -> list[str]:
    """Return the tags once each, in order."""
    entries = enumerate(read_list(value, path, most=500))
    return sorted({read_code(tag, f"{path}[{index}]") for index, tag in entries})


def read_choice(choices: Iterable[str]) -> Reader:
    """Return a reader that takes one of these words."""
    known = tuple(choices)

    def read(value: Any, path: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise InvalidInput(path, f"must be one of {', '.join(known)}")
        return value

    return read


def read_count(value: Any, path: str, *, most: int = 10**9) -> int:
    """Return a whole number from zero up."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InvalidInput(path, f"must be a whole number between 0 and {most}")
    return value


def read_quantity(value: Any, path: str, *, negative: bool = False) -> int:
    """Return thousandths: pieces, kilograms and metres with up to three decimals."""
    if isinstance(value, float) and value == value and abs(value) < _MOST:
        value = repr(value)  # the shortest text that reads back: 0.3 means three tenths
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d{1,15}(\.\d{1,12})?", value.strip(), re.ASCII):
            raise InvalidInput(path, "must be a plain decimal number")
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise InvalidInput(path, "must be a number")
    if (isinstance(value, Decimal) and not value.is_finite()) or abs(value) >= _MOST:
        raise InvalidInput(path, "is out of range")
    thousandths = value * 1000
    if thousandths != int(thousandths):
        raise InvalidInput(path, "has more than three decimals")
    if thousandths < 0 and not negative:
        raise InvalidInput(path, "must not be below zero")
    return int(thousandths)


def show_quantity(thousandths: int) -> int | float:
    """Return the stored quantity as people write it."""
    whole, rest = divmod(thousandths, 1000)
    return thousandths / 1000 if rest else whole


def read_money(value: Any, currency: str | None, path: str) -> Money:
    """Return rounded money, not below zero; in a document of one currency no other is taken."""
    money = Money.of(value, currency, path=path).rounded()
    if currency is not None and money.currency != currency:
        raise InvalidInput(path, f"is in {money.currency}, but the rest is in {currency}")
    if money.amount < 0:
        raise InvalidInput(path, "must not be below zero")
    return money


def optional(reader: Reader) -> Reader:
    """Return a reader that also takes null, which clears the field."""

    def read(value: Any, path: str) -> Any:
        return None if value is None else reader(value, path)

    return read


def read_all(wanted: Mapping[str, Any], readers: Mapping[str, Reader], path: str) -> dict[str, Any]:
    """Return what is wanted of the fields that the table names; fields not given are left out."""
    return {name: reader(wanted[name], join(path, name)) for name, reader in readers.items() if name in wanted}
