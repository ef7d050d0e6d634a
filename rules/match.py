"""Which rules an event concerns: an index, so that cost grows with the rules that can match.

Per event type, a rule is filed under its most selective equality or membership test; only rules found there (and
those with nothing to file under) are evaluated.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from core.text import fold
from rules.conditions import Condition, Group, Index, Row
from rules.fields import MISSING, getter
from rules.operators import as_text
from rules.rule import CALLED, OWN_EVENTS, Rule

Filed = dict[tuple[str, ...], dict[str, dict[str, Rule]]]


class _TypeIndex:
    """The rules of one event type."""

    def __init__(self) -> None:
        self.filed: Filed = {}
        self.rest: dict[str, Rule] = {}

    def add(self, rule: Rule, index: Index | None) -> None:
        if index is None:
            self.rest[rule.id] = rule
            return
        by_value = self.filed.setdefault(index.field, defaultdict(dict))
        for value in index.values:
            by_value[fold(value)][rule.id] = rule

    def remove(self, rule: Rule, index: Index | None) -> None:
        if index is None:
            self.rest.pop(rule.id, None)
            return
        by_value = self.filed.get(index.field, {})
        for value in index.values:
            bucket = by_value.get(fold(value), {})
            bucket.pop(rule.id, None)
            if not bucket:
                by_value.pop(fold(value), None)
        if not by_value:
            self.filed.pop(index.field, None)

    def candidates(self, data: Mapping[str, Any]) -> Iterable[Rule]:
        if not self.filed:
            return self.rest.values()
        found = dict(self.rest)
        for field, by_value in self.filed.items():
            for text in _texts(getter(field)(data)):
                bucket = by_value.get(text)
                if bucket:
                    found.update(bucket)
        return found.values()


def _texts(value: Any) -> Iterable[str]:
    """Return the texts that `equal` would compare with; more do no harm, one too few loses a rule."""
    if isinstance(value, str):
        return (fold(value),)
    if isinstance(value, list):
        return {text for item in value if not isinstance(item, list) for text in _texts(item)}
    return () if value is None or value is MISSING or isinstance(value, (bool, Mapping)) else (fold(as_text(value)),)


class Matcher:
    """The index over all live rules; one rule comes and goes without touching the others."""

    def __init__(self) -> None:
        self._types: dict[str, _TypeIndex] = {}
        self._rules: dict[str, tuple[Rule, Index | None]] = {}

    def add(self, rule: Rule) -> None:
        """File a rule, in place of an older version of it."""
        self.remove(rule.id)
        index = find_index(rule)
        self._rules[rule.id] = (rule, index)
        for kind in rule.trigger.types:
            self._types.setdefault(kind, _TypeIndex()).add(rule, index)
        # Any rule may be called by another one.
        self._types.setdefault(CALLED, _TypeIndex()).add(rule, _only(rule))

    def remove(self, rule_id: str) -> None:
        filed = self._rules.pop(rule_id, None)
        if filed is None:
            return
        rule, index = filed
        for kind in rule.trigger.types:
            self._types[kind].remove(rule, index)
        self._types[CALLED].remove(rule, _only(rule))

    def get(self, rule_id: str) -> Rule | None:
        filed = self._rules.get(rule_id)
        return filed[0] if filed else None

    def __iter__(self) -> Iterator[Rule]:
        return iter([rule for rule, _ in self._rules.values()])

    def __len__(self) -> int:
        return len(self._rules)

    def listens(self, event_type: str) -> bool:
        return event_type in self._types

    def match(self, event_type: str, data: Mapping[str, Any]) -> list[Rule]:
        """Return the rules whose condition holds, or may hold once its facts are known; in a stable order."""
        index = self._types.get(event_type)
        if index is None:
            return []
        found = []
        for rule in index.candidates(data):
            verdict = rule.condition.test(data)
            if verdict is True or (verdict is None and rule.condition.facts):
                found.append(rule)
        found.sort(key=lambda rule: rule.name)
        return found


def find_index(rule: Rule) -> Index | None:
    """Return what to file the rule under: the test with the fewest values among those that must hold."""
    if rule.trigger.kind in OWN_EVENTS:
        return _only(rule)
    indexes = [row.index for row in _must_hold(rule.condition) if row.index is not None]
    return min(indexes, key=lambda index: len(index.values), default=None)


def _only(rule: Rule) -> Index:
    return Index(("rule",), frozenset((rule.name,)))


def _must_hold(condition: Condition) -> Iterable[Row]:
    if isinstance(condition, Row):
        yield condition
    elif isinstance(condition, Group) and condition.kind == "all":
        for part in condition.parts:
            yield from _must_hold(part)
