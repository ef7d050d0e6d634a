"""Values as conditions read them: numbers and sums, moments, text; what cannot be read so is None."""

from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo


def read_number(value: Any) -> Decimal | int | None:
    """Return an exact number, or None for what is not one. Yes/no is no number; text counts when it is plain."""
    kind = type(value)
    if kind is int:
        return value
    if kind is Decimal:
        return value if value.is_finite() else None
    if kind is float:
        exact = Decimal(repr(value))
        return exact if exact.is_finite() else None
    if kind is str and len(value) <= 40 and value.isascii():
        try:
            exact = Decimal(value)
        except InvalidOperation:
            return None
        return exact if exact.is_finite() else None
    if isinstance(value, Mapping) and not isinstance(value.get("amount"), Mapping):
        return read_number(value.get("amount"))
    return None


def read_sum(value: Any, currency: str | None) -> Decimal | int | None:
    """Return the value's number, or None when a sum in another currency would be compared."""
    if currency is not None and currency_of(value) != currency:
        return None
    return read_number(value)


def currency_of(value: Any) -> Any:
    """Return the currency of a sum, None for a bare number."""
    return value.get("currency") if isinstance(value, Mapping) else None


def read_moment(value: Any, zone: ZoneInfo) -> datetime | None:
    """Return an aware moment; a date alone is its midnight in the shop's zone.

    The calendar's first and last year are no moments: they stand for "none" elsewhere, and no zone can show them whole.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, date) or not MINYEAR < value.year < MAXYEAR:
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=zone)
    return datetime.combine(value, time.min, zone)


def zone_of(data: Mapping[str, Any]) -> ZoneInfo:
    """Return the shop's zone that the engine put into the picture."""
    return data["now"].tzinfo


def as_text(value: Any) -> str:
    """Return a value as text; a whole number beyond any real one has none (writing it out takes too long)."""
    return "" if type(value) is int and value.bit_length() > 4096 else str(value)
