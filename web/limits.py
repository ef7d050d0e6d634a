"""Rate limits: how often one token, or one address, may do what; told in RateLimit headers and refused with 429.

Counted in this process, a minute at a time. (The ready-made storage in memory starts a thread for nearly every call to
tidy up; here the end of the minute tidies up by itself.)
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from core.errors import Busy

WINDOW_S = 60
#: Name -> calls in a minute, for one token (`failed` and `hook`: for one address).
LIMITS: Mapping[str, int] = MappingProxyType(
    {
        "read": 6_000,
        "write": 1_200,
        "events": 120_000,
        #: Costly for us, or for somebody else's system.
        "test": 60,
        "hook": 12_000,
        "failed": 60,
    }
)
#: Callers counted apart; in a flood from more addresses the rest share one count.
_MOST_CALLERS = 50_000
_OTHERS = "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How much of a limit is used up."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


class Limits:
    """Counts calls in the memory of this process."""

    def __init__(self, limits: Mapping[str, int] = LIMITS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = {**LIMITS, **limits}
        self._monotonic = monotonic
        self._counts: dict[tuple[str, str], int] = {}
        self._ends = 0.0
        self._lock = threading.Lock()

    def count(self, name: str, who: str) -> Standing:
        """Count one call; raise Busy above the limit."""
        most, now = self._limits[name], self._monotonic()
        with self._lock:
            if now >= self._ends:
                self._counts, self._ends = {}, now + WINDOW_S
            key = (name, who)
            if key not in self._counts and len(self._counts) >= _MOST_CALLERS:
                key = (name, _OTHERS)
            used = self._counts[key] = self._counts.get(key, 0) + 1
            reset_s = max(1, math.ceil(self._ends - now))
        if used > most:
            raise Busy(f"more than {most} of these calls in {WINDOW_S} s; slow down", reset_s)
        return Standing(limit=most, remaining=most - used, reset_s=reset_s)
