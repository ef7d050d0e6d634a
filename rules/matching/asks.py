"""Asks: condition rows in a form that can be filed, shared and asked quickly; other rows have none."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import NoneType
from typing import Any, NamedTuple

from core.text import fold
from rules.conditions import Row, is_fixed
from rules.matching.operands import Operand
from rules.operators import OPERATORS
from rules.values import currency_of, read_number


class Ask(NamedTuple):
    """What a row asks of its operand; equal asks of two rules are one."""

    operand: Operand
    #: in, not_in (a frozenset); at_least, above, at_most, below (a number); between (two);
    #: contains, starts_with, ends_with (texts).
    test: str
    wanted: Any


def find_ask(row: Row) -> Ask | None:
    """Return what the row asks, where its verdict is True exactly when the ask holds; None for other rows."""
    operator = row.operator
    make = _ASKS.get(operator.name)
    if make is None or OPERATORS.get(operator.name) is not operator:
        return None
    if row.fact is not None or row.also is not None or row.if_unknown or row.foreign or not is_fixed(row.wanted):
        return None
    reach = ("list" if operator.whole else "item") if row.over is None else _REACH.get((row.over, operator.whole))
    if reach is None:
        return None
    ask = make(_split(row.subject), reach, row.wanted)
    # A currency is text; whatever else a document holds there is compared plainly.
    return ask if ask is not None and isinstance(ask.operand.currency, (str, NoneType)) else None


#: (over, whole) -> reach; every_item, no_item and counts are asked plainly.
_REACH = {("any_item", False): "any"}
_Parts = tuple[str, ...]
_Make = Callable[[_Parts, str, Any], Ask | None]


@lru_cache(maxsize=4096)
def _split(path: str) -> _Parts:
    return tuple(path.split("."))


def _among(test: str) -> _Make:
    def make(parts: _Parts, reach: str, wanted: Any) -> Ask | None:
        values = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        if all(isinstance(value, str) for value in values):
            return Ask(Operand(parts, "text", reach), test, frozenset(map(fold, values)))
        if any(isinstance(value, (bool, str)) for value in values):
            return None
        numbers = frozenset(map(read_number, values))
        currency = currency_of(values[0])
        if None in numbers or any(currency_of(value) != currency for value in values):
            return None
        return Ask(Operand(parts, "number", reach, currency), test, numbers)

    return make


def _limit(test: str) -> _Make:
    def make(parts: _Parts, reach: str, wanted: Any) -> Ask:
        return Ask(Operand(parts, "number", reach, currency_of(wanted)), test, read_number(wanted))

    return make


def _between(parts: _Parts, reach: str, wanted: Any) -> Ask:
    low, high = wanted
    return Ask(Operand(parts, "number", reach, currency_of(low)), "between", (read_number(low), read_number(high)))


def _words(test: str) -> _Make:
    def make(parts: _Parts, reach: str, wanted: Any) -> Ask | None:
        words = tuple(sorted({fold(word) for word in ([wanted] if isinstance(wanted, str) else wanted)}))
        # A word of nothing but marks may fold to nothing, which every text contains.
        return Ask(Operand(parts, "words", reach), test, words) if all(words) else None

    return make


_ASKS: Mapping[str, _Make] = {
    "equal": _among("in"),
    "any_of": _among("in"),
    "include_any": _among("in"),
    "not_equal": _among("not_in"),
    "none_of": _among("not_in"),
    "at_least": _limit("at_least"),
    "above": _limit("above"),
    "at_most": _limit("at_most"),
    "below": _limit("below"),
    "between": _between,
    "contains": _words("contains"),
    "starts_with": _words("starts_with"),
    "ends_with": _words("ends_with"),
}
