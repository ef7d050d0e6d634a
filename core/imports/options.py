"""How a file is to be read and written: checked once, with the shop's own habits where nothing is said."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from core.durations import find_zone
from core.errors import InvalidInput
from core.imports.cells import DATE_ORDERS, Habits
from core.imports.csv_file import DELIMITERS, ENCODINGS
from core.imports.reading import FORMATS
from core.money import read_currency
from core.shop.wanted import read_code

#: The options that change what a reading of the file shows.
READING = ("encoding", "delimiter", "sheet", "format")
KNOWN = (*READING, "decimal", "date_order", "zone", "currency", "source", "emit")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "format": FORMATS,
    "encoding": ENCODINGS,
    "delimiter": tuple(DELIMITERS),
    "decimal": (".", ","),
    "date_order": DATE_ORDERS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopHabits:
    """What holds where a file says nothing else."""

    zone: ZoneInfo
    currency: str


def check_options(given: Any) -> dict[str, Any]:
    """Return the options; raise InvalidInput for one that is not known or has no such value."""
    if not isinstance(given, Mapping):
        raise InvalidInput("options", "must be an object")
    options: dict[str, Any] = {}
    for name, value in given.items():
        path = f"options.{name}"
        if name not in KNOWN:
            raise InvalidInput("options", f"has no member {str(name)[:40]!r}; known are {', '.join(KNOWN)}")
        if value is None:
            continue
        if name in CHOICES and value not in CHOICES[name]:
            raise InvalidInput(path, f"must be one of {', '.join(map(repr, CHOICES[name]))}")
        if name == "emit" and not isinstance(value, bool):
            raise InvalidInput(path, "must be true or false")
        options[name] = _read(name, value, path)
    return options


def _read(name: str, value: Any, path: str) -> Any:
    if name == "currency":
        return read_currency(value, path)
    if name == "zone":
        return str(find_zone(value, path))
    return read_code(value, path) if name in ("source", "sheet") else value


def habits_of(options: Mapping[str, Any], shop: ShopHabits) -> Habits:
    zone = find_zone(options["zone"]) if "zone" in options else shop.zone
    return Habits(zone=zone, decimal=options.get("decimal"), date_order=options.get("date_order", "dmy"))
