"""Plain data: the only thing that templates and conditions ever get to see."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any

from core.errors import RuleError

MAX_DEPTH = 64
MAX_VALUES = 500_000

#: Exact types: a subclass may bring behaviour of its own (text that escapes itself, an enum, a row).
SCALARS = frozenset({str, int, float, bool, NoneType, Decimal, datetime, date})
_GROUPS = frozenset({dict, list, tuple})


class PlainData:
    """Data that passed the check once; renders take it without walking it again. Do not change it afterwards."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields


def plain(data: "Mapping[str, Any] | PlainData", *, path: str = "") -> PlainData:
    """Check that `data` is plain all the way down; raise RuleError naming the first place that is not."""
    if isinstance(data, PlainData):
        return data
    fields = data if type(data) is dict else dict(data)
    _walk(fields, path)
    return PlainData(fields)


def _walk(fields: dict[str, Any], path: str) -> None:
    waiting: list[tuple[str, Any, int]] = [("", fields, 0)]
    seen = 0
    while waiting:
        where, group, depth = waiting.pop()
        seen += len(group)
        if depth > MAX_DEPTH or seen > MAX_VALUES:
            raise RuleError(path, f"the data is too deep or too large at {where or 'its root'}")
        if type(group) is dict:
            _check_names(group, where, path)
        for key, value in group.items() if type(group) is dict else enumerate(group):
            kind = type(value)
            if kind in SCALARS:
                continue
            place = f"{where}.{key}" if where else str(key)
            if kind not in _GROUPS:
                raise RuleError(path, f"{place} is {kind.__name__}, which is no plain data (text, number, list, date)")
            waiting.append((place, value, depth + 1))


def _check_names(group: dict[Any, Any], where: str, path: str) -> None:
    for key in group:
        if type(key) is not str:
            raise RuleError(path, f"{where or 'the data'} has a name that is {type(key).__name__}; names are text")
