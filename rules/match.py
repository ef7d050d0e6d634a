"""Which rules an event concerns: an index, so that cost grows with the rules that can match.

Per event type, a rule is filed under its most selective test (`rules/matching`); only rules found there, and those
with nothing to file under, are checked further.
"""

import threading
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

from rules.matching.checks import concerns
from rules.matching.type_index import FEW, TypeIndex
from rules.rule import CALLED, OWN_EVENTS, Rule

#: Events that name the rule that they are for.
_NAMED = frozenset((*OWN_EVENTS.values(), CALLED))


class Matcher:
    """The index over all live rules; one rule comes and goes without touching the others."""

    def __init__(self, *, few: int = FEW) -> None:
        """Up to `few` rules of an event type are asked one after the other."""
        self._few = few
        self._types: dict[str, TypeIndex] = {}
        self._rules: dict[str, Rule] = {}
        self._ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> None:
        """File a rule, in place of an older version of it."""
        with self._lock:
            self._remove(rule.id)
            self._rules[rule.id] = rule
            # Any rule may be called by another one.
            self._ids[rule.name] = rule.id
            for kind in _heard(rule):
                index = self._types.get(kind)
                if index is None:
                    index = self._types[kind] = TypeIndex(self._few)
                index.add(rule)

    def remove(self, rule_id: str) -> None:
        with self._lock:
            self._remove(rule_id)

    def _remove(self, rule_id: str) -> None:
        rule = self._rules.pop(rule_id, None)
        if rule is None:
            return
        if self._ids.get(rule.name) == rule_id:
            del self._ids[rule.name]
        for kind in _heard(rule):
            index = self._types[kind]
            index.remove(rule_id)
            if not len(index):
                del self._types[kind]

    def get(self, rule_id: str) -> Rule | None:
        return self._rules.get(rule_id)

    def __iter__(self) -> Iterator[Rule]:
        with self._lock:
            return iter(list(self._rules.values()))

    def __len__(self) -> int:
        return len(self._rules)

    def listens(self, event_type: str) -> bool:
        """Tell whether any rule may hear events of this type."""
        return event_type in self._types or (event_type in _NAMED and bool(self._rules))

    def match(self, event_type: str, data: Mapping[str, Any]) -> list[Rule]:
        """Return the rules whose condition holds, or may hold once its facts are known; in the order of their names."""
        index = self._types.get(event_type)
        if index is None:
            found = []
        else:
            with self._lock:
                found = index.match(data)
        return found if event_type not in _NAMED else self._with_named(event_type, data, found)

    def _with_named(self, event_type: str, data: Mapping[str, Any], found: list[Rule]) -> list[Rule]:
        """Return what was found, and the rule that the event is for."""
        name = data.get("rule")
        rule = self._rules.get(self._ids.get(name, "")) if isinstance(name, str) else None
        if rule is None or event_type in _heard(rule) or not rule.hears(event_type, data):
            return found
        return sorted([*found, rule], key=attrgetter("name")) if concerns(rule.condition, data) else found


def _heard(rule: Rule) -> tuple[str, ...]:
    """Return the event types that the rule hears whomever they are for."""
    return () if rule.trigger.kind in OWN_EVENTS else tuple(dict.fromkeys(rule.trigger.types))
