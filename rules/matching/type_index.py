"""The index of one event type: which of its rules an event may concern, and what is left to check of them."""

from bisect import insort
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from rules.matching.checks import Checks, Step
from rules.matching.keys import Choice, Key, Part, Vocabulary, choose, read_parts
from rules.matching.looks import Find, Look, make_look
from rules.matching.operands import Data, Operand, Read, fold_quickly, is_single
from rules.matching.shelves import Entry, LimitShelf, ValueShelf, WordShelf, take_out
from rules.rule import Rule

#: So many rules are asked one after the other sooner than anything but a single text is looked up.
FEW = 20


_by_name = attrgetter("name")
_name_of = attrgetter("rule.name")


class _Shelves:
    """The shelves of one operand."""

    def __init__(self) -> None:
        self.values = ValueShelf()
        self.limits = LimitShelf()
        self.words = WordShelf()
        #: Rules on each, by kind of shelf.
        self.count = {"value": 0, "limit": 0, "word": 0}

    def put(self, key: Key, entry: Entry) -> None:
        self.count[key.shelf] += 1
        if key.shelf == "value":
            self.values.put(key.values, entry)
        elif key.shelf == "word":
            self.words.put(key.values, entry)
        else:
            test, limit = key.values
            self.limits.put(test, limit, entry)

    def take(self, key: Key, rule: Rule) -> None:
        self.count[key.shelf] -= 1
        if key.shelf == "value":
            self.values.take(key.values, rule)
        elif key.shelf == "word":
            self.words.take(key.values, rule)
        else:
            test, limit = key.values
            self.limits.take(test, limit, rule)

    def look(self, slot: int, read: Read) -> Look:
        """Return how an event is looked up here."""
        collectors = []
        if self.count["limit"]:
            collectors.append(self.limits.collect)
        if self.count["word"]:
            collectors.append(self.words.collect)
        find = self.values.by_value.get if self.count["value"] else None
        return make_look(slot, read, find, collectors)


class TypeIndex:
    """Rules of one event type, each filed under its most selective test; not safe for several threads."""

    def __init__(self, few: int = FEW) -> None:
        self._few = few
        self._are_few = True
        self._rules: dict[str, Rule] = {}
        #: What the filed ones are filed under; None for those that every event is checked against.
        self._filed: dict[str, Choice | None] = {}
        #: Rules that came since the last event: filed together, when the values of all of them are known.
        self._new: dict[str, Rule] = {}
        self._checks = Checks()
        self._vocabulary = Vocabulary()
        self._shelves: dict[Operand, _Shelves] = {}
        #: In the order of their names.
        self._rest: list[Entry] = []
        self._looks: tuple[Look, ...] = ()
        #: Looks for one text: both parts of its path, how to find it, and the look for whatever else stands there.
        self._plain: tuple[tuple[str, str, Find, Look], ...] = ()
        #: Rules that one event may find twice, in a list or by two branches.
        self._doubled = 0

    def __len__(self) -> int:
        return len(self._rules)

    def add(self, rule: Rule) -> None:
        self._rules[rule.id] = self._new[rule.id] = rule
        self._vocabulary.learn(read_parts(rule.condition))

    def remove(self, rule_id: str) -> None:
        rule = self._rules.pop(rule_id)
        self._vocabulary.forget(read_parts(rule.condition))
        if self._new.pop(rule_id, None) is None:
            self._unfile(rule)

    def match(self, data: Data) -> list[Rule]:
        """Return the rules that the event concerns, in the order of their names."""
        if self._new:
            self._file_new()
        slots = self._checks.blank.copy()
        hits = self._rest
        twice = self._doubled > 0
        if self._shelves:
            hits = hits.copy()
            for head, tail, find, look in self._plain:
                # Most looks are such, and a call of `look` would take as long as all of this.
                inner = data.get(head)
                if type(inner) is dict and type(text := inner.get(tail)) is str:
                    if (bucket := find(text.lower() if text.isascii() else fold_quickly(text))) is not None:
                        hits += bucket
                else:
                    look(data, slots, hits)
                    twice = True
            for look in self._looks:
                look(data, slots, hits)
        found = []
        for first, wanted, then, then_wanted, rule in hits:
            if (first is None or first(data, slots, wanted)) and (then is None or then(data, slots, then_wanted)):
                found.append(rule)
        if len(found) > 1:
            if twice and len(set(map(id, found))) < len(found):
                found = list({rule.id: rule for rule in found}.values())
            found.sort(key=_by_name)
        return found

    # Filing

    def _file_new(self) -> None:
        new = self._new
        if self._are_few and len(self._rules) > self._few:
            # From now on every look pays; those that were asked one by one are filed like the others.
            self._are_few = False
            new = {entry.rule.id: entry.rule for entry in self._rest} | new
            self._rest = []
        many = len(new) > FEW
        for rule in new.values():
            self._file(rule, sort_later=many)
        self._new = {}
        if many:
            self._rest.sort(key=_name_of)
        self._look_again()

    def _file(self, rule: Rule, *, sort_later: bool) -> None:
        parts = read_parts(rule.condition)
        choice = choose(parts, self._vocabulary, quick=self._are_few)
        self._filed[rule.id] = choice
        entry = _make_entry(rule, self._checks.of_all(_left(parts, choice)))
        if choice is None:
            if sort_later:
                self._rest.append(entry)
            else:
                insort(self._rest, entry, key=_name_of)
            return
        self._doubled += _is_doubled(choice)
        for key in choice.keys:
            self._shelves_of(key.operand).put(key, entry)

    def _unfile(self, rule: Rule) -> None:
        choice = self._filed.pop(rule.id)
        if choice is None:
            take_out(self._rest, rule)
            return
        self._doubled -= _is_doubled(choice)
        for key in choice.keys:
            shelves = self._shelves[key.operand]
            shelves.take(key, rule)
            if not any(shelves.count.values()):
                del self._shelves[key.operand]
        self._look_again()

    def _shelves_of(self, operand: Operand) -> _Shelves:
        shelves = self._shelves.get(operand)
        if shelves is None:
            shelves = self._shelves[operand] = _Shelves()
        return shelves

    def _look_again(self) -> None:
        """Note which operands an event must be looked up by."""
        plain, others = [], []
        for operand, shelves in self._shelves.items():
            look = shelves.look(*self._checks.place(operand))
            if is_single(operand) and shelves.count["value"] and not shelves.count["word"]:
                head, tail = operand.parts
                plain.append((head, tail, shelves.values.by_value.get, look))
            else:
                others.append(look)
        self._plain, self._looks = tuple(plain), tuple(others)


def _make_entry(rule: Rule, steps: Sequence[Step]) -> Entry:
    first = steps[0] if steps else (None, None)
    then = steps[1] if len(steps) > 1 else (None, None)
    return Entry(*first, *then, rule)


def _left(parts: Iterable[Part], choice: Choice | None) -> list[Any]:
    """Return what is still to be checked of a rule that was found where it is filed."""
    settled = None if choice is None else choice.settled
    return [part.condition for part in parts if part.condition is not settled]


def _is_doubled(choice: Choice) -> bool:
    """Tell whether an event may find the rule in two places: two of its values in a list, or two branches."""
    first, *others = choice.keys
    return bool(others) or (first.shelf != "limit" and not first.is_quick and len(first.values) > 1)
