"""What the runner did since its start: sizes of its batches, how late it was, and what each rule cost."""

import threading
from dataclasses import dataclass, field

from core.spread import SECONDS, SIZES, Spread

#: Rules whose cost is remembered; when there are more, the cheapest are forgotten.
_MOST = 10_000


@dataclass(slots=True)
class Cost:
    """The walks of one rule's runs."""

    walks: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Costs:
    """Counted by the thread that walks; read by any."""

    #: Runs in one batch.
    batch: Spread = field(default_factory=lambda: Spread(SIZES))
    #: Seconds between the moment a run was due and its walk.
    lag_s: Spread = field(default_factory=lambda: Spread((*SECONDS, 30.0, 300.0, 3600.0)))
    _rules: dict[str, Cost] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rule: str, seconds: float) -> None:
        with self._lock:
            cost = self._rules.get(rule)
            if cost is None:
                if len(self._rules) >= _MOST:
                    self._rules = dict(self._dearest(_MOST // 2))
                cost = self._rules[rule] = Cost()
            cost.walks += 1
            cost.seconds += seconds

    def dearest(self, count: int) -> list[tuple[str, Cost]]:
        """Return the rules that took most time, the dearest first."""
        with self._lock:
            return [(rule, Cost(cost.walks, cost.seconds)) for rule, cost in self._dearest(count)]

    def _dearest(self, count: int) -> list[tuple[str, Cost]]:
        return sorted(self._rules.items(), key=lambda item: item[1].seconds, reverse=True)[:count]
