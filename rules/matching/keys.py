"""Keys: what a rule may be filed under, and how many events each would let through."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rules.conditions import Condition, Group, Row
from rules.matching.asks import Ask, find_ask
from rules.matching.checks import conjuncts
from rules.matching.operands import Operand, is_single

#: Part of the events that a limit lets through, as far as anybody can tell.
_LIMIT = 0.5
_BETWEEN = 0.3
_LIMITS = ("at_least", "above", "at_most", "below")


class Key(NamedTuple):
    """One place to file under: the operand must be one of the values, keep a limit, or contain one of the words."""

    #: value, limit or word
    shelf: str
    operand: Operand
    #: Values or words; for a limit the test and the number.
    values: tuple[Any, ...]

    @property
    def is_quick(self) -> bool:
        """Tell whether this is looked up sooner than a single rule is asked."""
        return self.shelf == "value" and is_single(self.operand)


class Part(NamedTuple):
    """One of the things that must hold, and the places that it may be filed under: all of those of one choice."""

    condition: Condition
    ask: Ask | None
    #: The parts of each branch, one of which must hold.
    branches: tuple[tuple["Part", ...], ...]


class Choice(NamedTuple):
    """What a rule is filed under."""

    keys: tuple[Key, ...]
    #: The condition that holds wherever the keys do, and need not be checked again.
    settled: Condition | None


class Vocabulary:
    """The values that rules tell apart, by operand: an ask for one among many lets few events through."""

    def __init__(self) -> None:
        self._values: dict[Operand, Counter[Any]] = {}

    def learn(self, parts: Sequence[Part]) -> None:
        for ask in _asks(parts):
            self._values.setdefault(ask.operand, Counter()).update(ask.wanted)

    def forget(self, parts: Sequence[Part]) -> None:
        for ask in _asks(parts):
            counter = self._values[ask.operand]
            for value in ask.wanted:
                counter[value] -= 1
                if not counter[value]:
                    del counter[value]

    def share(self, key: Key) -> float:
        """Estimate which part of the events comes through."""
        if key.shelf == "limit":
            return _LIMIT
        # Events bring values that no rule has named, too.
        return len(key.values) / (len(self._values.get(key.operand, ())) + 2)


def read_parts(condition: Condition) -> tuple[Part, ...]:
    """Return what must hold; what needs the runner cannot be told yet and is filed under nothing."""
    return tuple(_read_part(part) for part in conjuncts(condition))


def _read_part(condition: Condition) -> Part:
    if condition.needs_runner:
        return Part(condition, None, ())
    if isinstance(condition, Row):
        return Part(condition, find_ask(condition), ())
    if isinstance(condition, Group) and condition.kind == "any":
        return Part(condition, None, tuple(read_parts(branch) for branch in condition.parts))
    return Part(condition, None, ())


def choose(parts: Iterable[Part], vocabulary: Vocabulary, *, quick: bool = False) -> Choice | None:
    """Return the keys that let the fewest events through; None where there is nothing to file under.

    With `quick` only keys count that are looked up sooner than a single rule is asked.
    """
    best: tuple[float, Choice] | None = None
    for part in parts:
        found = _keys_of(part, vocabulary)
        if found is None or (best is not None and best[0] <= found[0]):
            continue
        if not quick or all(key.is_quick for key in found[1].keys):
            best = found
    return None if best is None else best[1]


def _keys_of(part: Part, vocabulary: Vocabulary) -> tuple[float, Choice] | None:
    """Return the keys that a part may be filed under, and the share of the events that they let through."""
    if part.ask is not None:
        key = _key(part.ask)
        if key is None:
            return None
        whole = part.ask.test != "between"
        share = vocabulary.share(key) if whole else _BETWEEN
        return share, Choice((key,), part.condition if whole else None)
    if not part.branches:
        return None
    keys: list[Key] = []
    total, whole = 0.0, True
    for branch in part.branches:
        found = [each for inner in branch if (each := _keys_of(inner, vocabulary)) is not None]
        if not found:
            return None
        share, choice = min(found, key=lambda pair: pair[0])
        keys += choice.keys
        total += share
        whole = whole and len(branch) == 1 and choice.settled is not None
    return total, Choice(tuple(keys), part.condition if whole else None)


def _key(ask: Ask) -> Key | None:
    if ask.test == "in":
        return Key("value", ask.operand, tuple(ask.wanted))
    if ask.test == "contains":
        return Key("word", ask.operand, ask.wanted)
    if ask.test in _LIMITS:
        return Key("limit", ask.operand, (ask.test, ask.wanted))
    if ask.test == "between":
        return Key("limit", ask.operand, ("at_least", ask.wanted[0]))
    return None


def _asks(parts: Iterable[Part]) -> Iterator[Ask]:
    for part in parts:
        if part.ask is not None and part.ask.test in ("in", "contains"):
            yield part.ask
        for branch in part.branches:
            yield from _asks(branch)
