"""Values as people read them: money, numbers, dates, telephone numbers, links; in the customer's language."""

import math
import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import phonenumbers
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal
from liquid.builtin.expressions.primitive import Blank, Empty, Nil
from liquid.exceptions import FilterArgumentError
from liquid.undefined import is_undefined

from core.errors import InvalidInput
from core.money import currency_digits, read_currency

LANGUAGES = ("en", "tr", "ru")
STYLES = ("short", "medium", "long", "full")
LINK_SCHEMES = ("http", "https", "mailto", "tel")

#: Larger or finer numbers are never a price, a count or a share.
MAX_NUMBER = 10**30
_MAX_DIGITS = 40
_NUMBER = re.compile(r"-?\d{1,31}(\.\d{1,20})?", re.ASCII)
#: Our shops' own signs, which Babel knows at home only and writes as letters abroad.
_SIGNS = {"TRY": "₺", "RUB": "₽"}
_WIDE = Context(prec=80)
_DIRECTIVE = re.compile("%(-?[A-Za-z%])?")
_MAX_FORMAT = 100
_INVISIBLE = re.compile("[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]")
_HOST_STARTS = ("//", "/\\")
_SCHEME = re.compile("([a-z][a-z0-9+.-]*):")

#: strftime's letters that need the customer's language, in Babel's.
_WORDS = {"B": "MMMM", "b": "MMM", "h": "MMM", "A": "EEEE", "a": "EEE", "p": "a"}
_SHORTHANDS = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}


def to_text(run: Any, value: Any) -> str:
    """Return what a value reads like in a message; raise for a group of fields, which reads like nothing."""
    if isinstance(value, str):
        return value
    if value is None or is_undefined(value) or isinstance(value, (Empty, Blank, Nil)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return plain_number(value)
    if isinstance(value, datetime):
        return datetime_(run, value)
    if isinstance(value, date):
        return date_(run, value)
    if is_money(value):
        return money(run, value)
    if isinstance(value, (list, tuple, range)):
        parts: list[str] = []
        size = 0
        for item in run.items(value):
            parts.append(to_text(run, item))
            size += len(parts[-1])
            run.room(size)
        return "".join(parts)
    raise FilterArgumentError("a group of fields cannot be written as text; name one of its fields", token=None)


def is_money(value: object) -> bool:
    """Tell whether a value is an amount with its currency."""
    return isinstance(value, dict) and value.keys() >= {"amount", "currency"}


def plain_number(value: float | Decimal) -> str:
    """Write a number without exponent; raise for what is no finite number of sane size."""
    if isinstance(value, int):
        return str(_sane(value))
    return f"{_sane(Decimal(repr(value)) if isinstance(value, float) else value):f}"


def _sane(value: int | Decimal) -> int | Decimal:
    if not math.isfinite(value) or abs(value) >= MAX_NUMBER:
        raise FilterArgumentError("the number is not finite or too large", token=None)
    if isinstance(value, Decimal) and int(value.as_tuple().exponent) < -_MAX_DIGITS:
        raise FilterArgumentError("the number has too many digits", token=None)
    return value


def number(value: Any) -> int | Decimal:
    """Read a number from a number, from text that is one, or from money; raise for anything else."""
    if is_money(value):
        value = value["amount"]
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip()) if "." in value else int(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise FilterArgumentError("the value is not a number", token=None)
    return _sane(value)


def money(run: Any, value: Any, currency: Any = None, /) -> str:
    """Write an amount with its currency sign; what is no amount is refused, never shown as nought."""
    if _absent(value):
        return ""
    try:
        code = read_currency(value["currency"] if is_money(value) else currency or run.currency)
    except InvalidInput as exc:
        raise FilterArgumentError("money needs a currency of ISO 4217, as in money: 'TRY'", token=None) from exc
    amount = Decimal(number(value)).quantize(Decimal(1).scaleb(-currency_digits(code)), ROUND_HALF_UP, context=_WIDE)
    return format_currency(amount, code, locale=_locale(run)).replace(code, _SIGNS.get(code, code))


def number_(run: Any, value: Any, decimals: Any = None, /) -> str:
    """Write a number as the language groups it; `number: 2` fixes the decimals."""
    if _absent(value):
        return ""
    if decimals is None:
        return format_decimal(number(value), locale=_locale(run))
    places = _places(decimals)
    pattern = "#,##0." + "0" * places if places else "#,##0"
    return format_decimal(number(value), format=pattern, locale=_locale(run))


def date_(run: Any, value: Any, form: Any = "medium", /) -> str:
    """Write a date: short, medium, long, full, or a form such as '%d.%m.%Y' with names in the language."""
    moment = _moment(run, value)
    if moment is None:
        return ""
    if form in STYLES:
        return format_date(moment, form, locale=_locale(run))
    return _strftime(run, moment, form)


def time_(run: Any, value: Any, form: Any = "short", /) -> str:
    """Write the time of day in the shop's zone."""
    moment = _moment(run, value)
    if moment is None:
        return ""
    if form in STYLES:
        return format_time(moment, form, tzinfo=run.zone, locale=_locale(run))
    return _strftime(run, moment, form)


def datetime_(run: Any, value: Any, form: Any = "medium", /) -> str:
    """Write date and time in the shop's zone."""
    moment = _moment(run, value)
    if moment is None:
        return ""
    if form in STYLES:
        return format_datetime(moment, form, tzinfo=run.zone, locale=_locale(run))
    return _strftime(run, moment, form)


def phone(run: Any, value: Any, /) -> str:
    """Write a number in E.164 with its groups; anything else stays as it is."""
    text = run.text(value)
    if not text.startswith("+") or len(text) > _MAX_DIGITS:
        return text
    try:
        found = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return text
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def link(run: Any, value: Any, /) -> str:
    """Return a link; raise where it would not open a page, a mail or a call."""
    text = run.text(value).strip()
    check_link(text)
    return text


def check_link(text: str, *, before: str = "") -> None:
    """Raise unless `text`, standing after the author's `before`, leads to http, https, mailto or tel."""
    whole = _INVISIBLE.sub("", before + text).lower()
    before = _INVISIBLE.sub("", before)
    if len(whole) == len(before):
        return
    if scheme := _SCHEME.match(whole):
        allowed = scheme.group(1) in LINK_SCHEMES
    elif whole[:2] in _HOST_STARTS:
        allowed = before[:2] in _HOST_STARTS
    else:
        allowed = bool(before)
    if allowed:
        return
    raise FilterArgumentError("the link does not start with https, http, mailto or tel", token=None)


def _absent(value: object) -> bool:
    return value is None or value == "" or is_undefined(value)


def _locale(run: Any) -> str:
    language = run.language[:2]
    return language if language in LANGUAGES else "en"


def _places(decimals: Any) -> int:
    places = number(decimals)
    if not isinstance(places, int) or not 0 <= places <= 10:
        raise FilterArgumentError("decimals are a whole number from 0 to 10", token=None)
    return places


def _moment(run: Any, value: Any) -> datetime | None:
    """Read a date or time; one without a zone is the shop's own, a bare number counts seconds from 1970."""
    if value in ("now", "today"):
        value = run.resolve("now", default=None)
        if value is None:
            raise FilterArgumentError("there is no current time here; use a date of the data", token=None)
    if _absent(value):
        return None
    if isinstance(value, str):
        value = _parsed(value)
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 4_102_444_800:
        value = datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return value.astimezone(run.zone) if value.tzinfo else value.replace(tzinfo=run.zone)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=run.zone)
    raise FilterArgumentError("the value is not a date", token=None)


def _parsed(text: str) -> datetime | date:
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError as exc:
        raise FilterArgumentError("the text is not a date in ISO form, such as 2026-05-31T14:00Z", token=None) from exc


def _strftime(run: Any, moment: datetime, form: Any) -> str:
    if not isinstance(form, str) or len(form) > _MAX_FORMAT or "%" not in form:
        raise FilterArgumentError(f"a date's form is one of {', '.join(STYLES)} or like '%d.%m.%Y'", token=None)
    for letter, long_form in _SHORTHANDS.items():
        form = form.replace(f"%{letter}", long_form)
    return _DIRECTIVE.sub(lambda found: _directive(run, moment, found.group(1)), form)


def _directive(run: Any, moment: datetime, letter: str | None) -> str:
    """Write one %-letter; the C library is not asked, for it takes widths of any size."""
    if letter in _WORDS:
        return format_datetime(moment, _WORDS[letter], tzinfo=run.zone, locale=_locale(run))
    numbers = {
        "d": (moment.day, 2), "m": (moment.month, 2), "y": (moment.year % 100, 2), "Y": (moment.year, 4),
        "H": (moment.hour, 2), "I": (moment.hour % 12 or 12, 2), "M": (moment.minute, 2), "S": (moment.second, 2),
        "j": (moment.timetuple().tm_yday, 3), "e": (moment.day, 1), "s": (int(moment.timestamp()), 1),
        "u": (moment.isoweekday(), 1), "V": (moment.isocalendar().week, 2),
    }  # fmt: skip
    if letter and letter.lstrip("-") in numbers:
        value, width = numbers[letter.lstrip("-")]
        return str(value) if letter.startswith("-") else f"{value:0{width}d}"
    if letter == "%":
        return "%"
    if letter in ("z", "Z"):
        return moment.strftime(f"%{letter}")
    raise FilterArgumentError(f"%{letter or ''} is no part of a date's form", token=None)
