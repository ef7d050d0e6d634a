"""Looks: how one event is looked up under one operand; the quick ones find what the plain one finds."""

from collections.abc import Callable, Sequence
from typing import Any

from rules.matching.asking import Slots
from rules.matching.operands import Data, Read
from rules.matching.shelves import Bucket, Entry

#: Adds what it finds to the hits, each entry once for each place that it stands under.
Look = Callable[[Data, Slots, list[Entry]], None]
Find = Callable[[Any], Bucket | None]
Collect = Callable[[Any, list[Entry]], None]


def make_look(slot: int, read: Read, find: Find | None, collectors: Sequence[Collect]) -> Look:
    """Return the look for an operand whose values are on a shelf (`find`), on others (`collectors`), or on both."""
    if find is not None and not collectors:
        return _look_up(slot, read, find)
    if find is None and len(collectors) == 1:
        return _collect(slot, read, collectors[0])
    return _look(slot, read, find or _find_nothing, collectors)


def _find_nothing(value: Any) -> None:
    return None


def _look_up(slot: int, read: Read, find: Find) -> Look:
    def look(data: Data, slots: Slots, hits: list[Entry]) -> None:
        value = slots[slot] = read(data)
        if type(value) is not tuple:
            if (bucket := find(value)) is not None:
                hits += bucket
            return
        seen = []
        for item in value:
            if (bucket := find(item)) is not None and item not in seen:
                seen.append(item)
                hits += bucket

    return look


def _collect(slot: int, read: Read, collect: Collect) -> Look:
    def look(data: Data, slots: Slots, hits: list[Entry]) -> None:
        value = slots[slot] = read(data)
        collect(value, hits)

    return look


def _look(slot: int, read: Read, find: Find, collectors: Sequence[Collect]) -> Look:
    found = _look_up(slot, read, find)

    def look(data: Data, slots: Slots, hits: list[Entry]) -> None:
        found(data, slots, hits)
        for collect in collectors:
            collect(slots[slot], hits)

    return look
