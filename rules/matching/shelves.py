"""Shelves: where candidates stand, each under the test that must hold for it."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ahocorasick_rs import AhoCorasick

from rules.matching.asking import Check
from rules.rule import Rule


class Entry(NamedTuple):
    """A candidate: what is left to check, the cheaper step first, None for nothing."""

    first: Check | None
    wanted: Any
    then: Check | None
    then_wanted: Any
    rule: Rule


#: Entries that stand together; a tuple as long as they are few, which takes one step less to reach.
Bucket = tuple[Entry, ...] | list[Entry]
_FEW = 8


def take_out(bucket: list[Entry], rule: Rule) -> None:
    """Take a rule's entry out of a list that holds it."""
    for place, entry in enumerate(bucket):
        if entry.rule is rule:
            del bucket[place]
            return


class ValueShelf:
    """Rules by a value that the operand must have."""

    def __init__(self) -> None:
        self.by_value: dict[Any, Bucket] = {}

    def put(self, values: Iterable[Any], entry: Entry) -> None:
        for value in values:
            bucket = self.by_value.get(value, ())
            if isinstance(bucket, list):
                bucket.append(entry)
            else:
                self.by_value[value] = (*bucket, entry) if len(bucket) < _FEW else [*bucket, entry]

    def take(self, values: Iterable[Any], rule: Rule) -> None:
        for value in values:
            bucket = self.by_value[value]
            if isinstance(bucket, list):
                take_out(bucket, rule)
            else:
                bucket = self.by_value[value] = tuple(entry for entry in bucket if entry.rule is not rule)
            if not bucket:
                del self.by_value[value]


class LimitShelf:
    """Rules by a limit that the operand must reach, or stay under: those that hold stand side by side."""

    def __init__(self) -> None:
        #: test -> limits in order, and the entries in the order of their limits
        self._sides: dict[str, tuple[list[Any], list[Entry]]] = {}
        self._new: list[tuple[str, Any, Entry]] = []

    def put(self, test: str, limit: Any, entry: Entry) -> None:
        self._new.append((test, limit, entry))

    def take(self, test: str, limit: Any, rule: Rule) -> None:
        self._put_new()
        limits, entries = self._sides[test]
        for place in range(bisect_left(limits, limit), bisect_right(limits, limit)):
            if entries[place].rule is rule:
                del limits[place], entries[place]
                break

    def collect(self, value: Any, hits: list[Entry]) -> None:
        """Add the entries whose limit this value (or one of these) keeps."""
        if self._new:
            self._put_new()
        least, most = value, value
        if type(value) is tuple:
            if not value:
                return
            least, most = min(value), max(value)
        for test, (limits, entries) in self._sides.items():
            cut, upward = _CUTS[test]
            hits += entries[: cut(limits, most)] if upward else entries[cut(limits, least) :]

    def _put_new(self) -> None:
        """Put the new entries among the others, one by one or by sorting anew, whichever is less work."""
        new, self._new = self._new, []
        for test, limit, entry in new:
            limits, entries = self._sides.setdefault(test, ([], []))
            place = len(limits) if len(new) > _FEW else bisect_right(limits, limit)
            limits.insert(place, limit)
            entries.insert(place, entry)
        if len(new) > _FEW:
            for test, (limits, entries) in self._sides.items():
                order = sorted(range(len(limits)), key=limits.__getitem__)
                self._sides[test] = [limits[place] for place in order], [entries[place] for place in order]


#: test -> where the limits that hold end (upward), or begin
_CUTS: dict[str, tuple[Callable[[Sequence[Any], Any], int], bool]] = {
    "at_least": (bisect_right, True),
    "above": (bisect_left, True),
    "at_most": (bisect_left, False),
    "below": (bisect_right, False),
}


#: So many words are looked for sooner one by one.
_FEW_WORDS = 6


class _Tier(NamedTuple):
    """Words that are looked for together: in Rust, at a cost that does not grow with their number."""

    #: find(text, overlapping) -> (number of the word, start, end) of each place
    find: Callable[[str, bool], list[tuple[int, int, int]]]
    words: list[str]
    #: The entries of each word, by its number.
    buckets: list[list[Entry]]


class WordShelf:
    """Rules by a word that the operand must contain.

    An automaton cannot be changed, so new words get one of their own; it is joined with the one before it as soon as
    it is a sixteenth of that, so that a change costs little and there are few of them.
    """

    _PART = 16

    def __init__(self) -> None:
        self._by_word: dict[str, list[Entry]] = {}
        self._new: list[str] = []
        self._tiers: list[_Tier] = []
        #: Words that no rule asks for any more; an estimate from above.
        self._dead = 0

    def put(self, words: Iterable[str], entry: Entry) -> None:
        for word in words:
            bucket = self._by_word.get(word)
            if bucket is None:
                self._by_word[word] = [entry]
                self._new.append(word)
            else:
                bucket.append(entry)

    def take(self, words: Iterable[str], rule: Rule) -> None:
        for word in words:
            # The empty list stays until its automaton is made anew.
            take_out(self._by_word[word], rule)
            self._dead += not self._by_word[word]
        if self._dead * 2 > len(self._by_word):
            self._by_word = {word: bucket for word, bucket in self._by_word.items() if bucket}
            self._new, self._tiers, self._dead = list(self._by_word), [], 0

    def collect(self, value: Any, hits: list[Entry]) -> None:
        """Add the entries whose word is in this text (or one of these)."""
        if self._new:
            self._grow()
        if type(value) is tuple:
            for bucket in {id(bucket): bucket for text in value for bucket in self._find(text)}.values():
                hits += bucket
            return
        for find, words, buckets in self._tiers:
            if len(words) <= _FEW_WORDS:
                for word, bucket in zip(words, buckets, strict=True):
                    if word in value:
                        hits += bucket
            elif matches := find(value, True):
                # A word may stand in a text more than once.
                for number in {match[0] for match in matches}:
                    hits += buckets[number]

    def _find(self, text: str) -> Iterator[list[Entry]]:
        for find, _, buckets in self._tiers:
            for number, _, _ in find(text, True):
                yield buckets[number]

    def _grow(self) -> None:
        words = self._new
        while self._tiers and len(self._tiers[-1].words) <= self._PART * len(words):
            words = self._living(self._tiers.pop().words) + words
        self._new = []
        if words := self._living(words):
            find = AhoCorasick(words).find_matches_as_indexes
            self._tiers.append(_Tier(find, words, [self._by_word[word] for word in words]))

    def _living(self, words: list[str]) -> list[str]:
        dead = [word for word in words if not self._by_word[word]]
        for word in dead:
            del self._by_word[word]
        return [word for word in words if word in self._by_word] if dead else words
