"""Whose turn it is when more is due than can be done at once: by class first, then rule by rule.

Payments and stock go before messages, messages before the rest; but every class gets its share, and within a class
one rule with a hundred thousand runs gets no more than another with one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from core.capabilities import Action
from core.jobs import CLASSES
from rules.rule import Rule
from rules.steps import Do

#: Shares of a batch; what a class does not need goes to the others.
WEIGHTS: Mapping[str, int] = MappingProxyType({"payments": 16, "stock": 8, "messages": 4, "browser": 2, "bulk": 1})
#: Kind of effect -> class; what is not here is bulk.
_OF_EFFECT: Mapping[str, str] = MappingProxyType(
    {
        "money": "payments",
        "points": "payments",
        "stock": "stock",
        "price": "stock",
        "status": "stock",
        "label": "stock",
        "message": "messages",
        "task": "messages",
        "browser": "browser",
    }
)
_RANKS = {klass: rank for rank, klass in enumerate(CLASSES)}
#: Rules that are asked for in one batch; the others come next.
_MOST_RULES = 64


def class_of(rule: Rule, find_action: Callable[[str], Action | None]) -> str:
    """Return the class of a rule's runs: that of the most urgent thing they do."""
    actions = (find_action(step.action) for step in rule.program if isinstance(step, Do))
    classes = [_OF_EFFECT.get(action.effect, "bulk") for action in actions if action is not None]
    return min(classes, key=rank_of, default="bulk")


def rank_of(klass: str) -> int:
    """Return the place of a class in the order in which a batch is done."""
    return _RANKS[klass]


class Turns:
    """Remembers who had a turn, so that everybody gets one."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._round = 0

    def share(self, due: Iterable[str], classes: Mapping[str, str], room: int) -> dict[str, int]:
        """Return how many runs of which rule may be taken; `classes` tells each rule's class."""
        waiting: dict[str, list[str]] = defaultdict(list)
        for rule_id in sorted(due, key=lambda rule_id: self._served.get(rule_id, 0)):
            waiting[classes[rule_id]].append(rule_id)
        self._round += 1
        shares: dict[str, int] = {}
        for klass, quota in _quotas(waiting, room).items():
            turn = waiting[klass][: min(quota, _MOST_RULES)]
            for place, rule_id in enumerate(turn):
                shares[rule_id] = quota // len(turn) + (place < quota % len(turn))
                self._served[rule_id] = self._round
        self._served = {rule_id: served for rule_id, served in self._served.items() if served > self._round - 10_000}
        return shares


def _quotas(waiting: Mapping[str, Sequence[str]], room: int) -> dict[str, int]:
    """Share the room among the classes that want some, at least one place each."""
    total = sum(WEIGHTS[klass] for klass in waiting)
    return {klass: max(1, room * WEIGHTS[klass] // total) for klass in sorted(waiting, key=rank_of)}
