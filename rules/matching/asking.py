"""What asks come to: functions of an operand's value and what is wanted of it.

The branches for several values come last: most fields hold one.
"""

import operator as op
from collections.abc import Callable, Mapping
from typing import Any

from rules.matching.operands import Data, Read

#: The operands of one event, each at its place; None where nobody has read it yet.
Slots = list[Any]
#: check(data, slots, wanted): rules that want different values of one operand share the function, not the value.
Check = Callable[[Data, Slots, Any], bool]


def _is_in(slot: int, read: Read) -> Check:
    def check(data: Data, slots: Slots, wanted: frozenset[Any]) -> bool:
        value = slots[slot]
        if value is None:
            value = slots[slot] = read(data)
        return value in wanted or (type(value) is tuple and not wanted.isdisjoint(value))

    return check


def _is_not_in(slot: int, read: Read) -> Check:
    def check(data: Data, slots: Slots, wanted: frozenset[Any]) -> bool:
        value = slots[slot]
        if value is None:
            value = slots[slot] = read(data)
        return any(item not in wanted for item in value) if type(value) is tuple else value not in wanted

    return check


def _compares(sign: Callable[[Any, Any], bool]) -> Callable[[int, Read], Check]:
    def make(slot: int, read: Read) -> Check:
        def check(data: Data, slots: Slots, limit: Any) -> bool:
            value = slots[slot]
            if value is None:
                value = slots[slot] = read(data)
            return any(sign(item, limit) for item in value) if type(value) is tuple else sign(value, limit)

        return check

    return make


def _is_between(slot: int, read: Read) -> Check:
    def check(data: Data, slots: Slots, limits: tuple[Any, Any]) -> bool:
        value = slots[slot]
        if value is None:
            value = slots[slot] = read(data)
        low, high = limits
        return any(low <= item <= high for item in value) if type(value) is tuple else low <= value <= high

    return check


def _has_words(holds: Callable[[str, str], bool]) -> Callable[[int, Read], Check]:
    def make(slot: int, read: Read) -> Check:
        def check(data: Data, slots: Slots, words: tuple[str, ...]) -> bool:
            value = slots[slot]
            if value is None:
                value = slots[slot] = read(data)
            if type(value) is str and len(words) == 1:
                return holds(value, words[0])
            texts = value if type(value) is tuple else (value,)
            return any(holds(text, word) for text in texts for word in words)

        return check

    return make


#: test of an ask -> the check of an operand that stands in a slot and is read so
ASKING: Mapping[str, Callable[[int, Read], Check]] = {
    "in": _is_in,
    "not_in": _is_not_in,
    "at_least": _compares(op.ge),
    "above": _compares(op.gt),
    "at_most": _compares(op.le),
    "below": _compares(op.lt),
    "between": _is_between,
    "contains": _has_words(op.contains),
    "starts_with": _has_words(str.startswith),
    "ends_with": _has_words(str.endswith),
}
