"""Operands: what condition rows read of an event, in the form they compare with; read once an event for all rules."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from core.text import fold
from rules.fields import MISSING, Values, getter
from rules.values import as_text, read_number, read_sum

Data = Mapping[str, Any]
#: One text or number, or a tuple of those that the operand found; empty where nothing can be compared.
Found = Any
Read = Callable[[Data], Found]
_Leaf = Callable[[Any], Found]

UNKNOWN: tuple[Any, ...] = ()
#: Longer texts are read once and never again.
_SHORT = 64


class Operand(NamedTuple):
    """A field, and how it is read."""

    parts: tuple[str, ...]
    #: text: as equality reads it; words: text only; number: exact, of `currency` where one is named.
    kind: str
    #: What a list stands for. item: nothing, unless the path crossed it; any: its items; list: its items, and what is
    #: no list stands for nothing.
    reach: str = "item"
    currency: str | None = None


def is_single(operand: Operand) -> bool:
    """Tell whether there is nearly always one text, at a place such as order.status."""
    return operand.kind == "text" and operand.reach != "list" and len(operand.parts) == 2


def reader(operand: Operand) -> Read:
    """Return the function that reads the operand; the quick ways answer as the plain one does."""
    settle = _settle(operand.reach, _leaf(operand))
    plain = getter(operand.parts)

    def slowly(data: Data) -> Found:
        return settle(plain(data))

    quick = _QUICK.get((len(operand.parts), operand.kind == "number"))
    if quick is None or any(part.isdigit() for part in operand.parts):
        return slowly
    return quick(operand, settle, slowly)


def fold_quickly(text: str) -> str:
    """Fold as `core.text.fold` does; the values of choices come again and again."""
    if text.isascii():
        return text.lower()
    return _remembered(text) if len(text) <= _SHORT else fold(text)


_remembered = lru_cache(maxsize=16_384)(fold)


def _leaf(operand: Operand) -> _Leaf:
    if operand.kind == "number":
        return _number_leaf(operand.currency)
    return _text_leaf if operand.kind == "text" else _words_leaf


def _text_leaf(value: Any) -> Found:
    if type(value) is str:
        return value.lower() if value.isascii() else fold_quickly(value)
    if isinstance(value, str):
        return fold_quickly(value)
    if value is None or value is MISSING or isinstance(value, (bool, Mapping, list)):
        return UNKNOWN
    return fold(as_text(value))


def _words_leaf(value: Any) -> Found:
    return fold_quickly(value) if isinstance(value, str) else UNKNOWN


def _number_leaf(currency: str | None) -> _Leaf:
    def leaf(value: Any) -> Found:
        if type(value) is dict and value.get("currency") == currency and type(amount := value.get("amount")) is str:
            number = read_number(amount)
        else:
            number = read_sum(value, currency)
        return UNKNOWN if number is None else number

    return leaf


def _settle(reach: str, leaf: _Leaf) -> _Leaf:
    """Return how the value at the end of the path is read: one value, or the items of a list."""

    def items(value: Any) -> Found:
        return tuple([one for item in value if (one := leaf(item)) is not UNKNOWN])

    def item(value: Any) -> Found:
        return items(value) if isinstance(value, Values) else leaf(value)

    def any_item(value: Any) -> Found:
        return items(value) if isinstance(value, (list, tuple)) else leaf(value)

    def whole(value: Any) -> Found:
        return items(value) if isinstance(value, (list, tuple)) else UNKNOWN

    return {"item": item, "any": any_item, "list": whole}[reach]


# Quick ways for fields of the usual depth: order.status, order.total, order.items.product.sku.


def _read_second_text(operand: Operand, settle: _Leaf, slowly: Read) -> Read:
    first, second = operand.parts
    one, many = operand.reach != "list", operand.reach != "item"

    def read(data: Data) -> Found:
        inner = data.get(first)
        if type(inner) is not dict:
            return slowly(data)
        value = inner.get(second)
        if one and type(value) is str:
            return value.lower() if value.isascii() else fold_quickly(value)
        if not many or type(value) is not list:
            return settle(value)
        found = []
        for item in value:
            if type(item) is not str:
                return settle(value)
            found.append(item.lower() if item.isascii() else fold_quickly(item))
        return tuple(found)

    return read


def _read_second_sum(operand: Operand, settle: _Leaf, slowly: Read) -> Read:
    first, second = operand.parts
    currency = operand.currency

    def read(data: Data) -> Found:
        inner = data.get(first)
        if type(inner) is not dict:
            return slowly(data)
        value = inner.get(second)
        if type(value) is dict and value.get("currency") == currency and type(amount := value.get("amount")) is str:
            number = read_number(amount)
            return UNKNOWN if number is None else number
        return settle(value)

    return slowly if operand.reach == "list" else read


def _read_text_on_items(operand: Operand, settle: _Leaf, slowly: Read) -> Read:
    first, second, third, fourth = operand.parts

    def read(data: Data) -> Found:
        inner = data.get(first)
        items = inner.get(second) if type(inner) is dict else None
        if type(items) is not list:
            return slowly(data)
        found = []
        for item in items:
            if type(item) is not dict or type(inner := item.get(third)) is not dict:
                return slowly(data)
            value = inner.get(fourth)
            if type(value) is not str:
                return slowly(data)
            found.append(value.lower() if value.isascii() else fold_quickly(value))
        return tuple(found)

    return read


#: (parts of the path, is it a number) -> quick way
_QUICK: Mapping[tuple[int, bool], Callable[[Operand, _Leaf, Read], Read]] = {
    (2, False): _read_second_text,
    (2, True): _read_second_sum,
    (4, False): _read_text_on_items,
}
