"""Failed logins: each makes the next one wait longer, for the account, for the source and for both together.

Kept in memory, bounded: a restart forgets, and several web processes count apart. The hash's own cost bounds the rest.
"""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from core.clock import Clock
from core.errors import Busy

_SIZE = 10_000
_FORGET_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """After `free` failures the wait doubles from one second up to `most_s`."""

    free: int
    most_s: float

    def wait_s(self, failures: int) -> float:
        return 0.0 if failures < self.free else min(2.0 ** min(failures - self.free, 20), self.most_s)


#: A stranger must not be able to keep the owner out, so the account alone waits late and little.
_PAIR = _Limit(free=5, most_s=900.0)
_SOURCE = _Limit(free=20, most_s=900.0)
_ACCOUNT = _Limit(free=50, most_s=30.0)


class Attempts:
    """Counts attempts as failures until they are cleared, so that attempts at the same time count too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: By kind and hash: failures, when the next attempt may be made, when it was the last time.
        self._table: OrderedDict[str, tuple[int, float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def enter(self, account: str, source: str) -> None:
        """Count an attempt, or raise Busy saying how long to wait."""
        now = self._clock.monotonic()
        limits = _keys(account, source)
        with self._lock:
            wait = max(self._table.get(key, (0, 0.0, 0.0))[1] - now for key in limits)
            if wait > 0:
                raise Busy(f"too many failed logins: try again in {_words(wait)}", wait)
            for key, limit in limits.items():
                self._count(key, limit, now)

    def clear(self, account: str, source: str) -> None:
        """Forget this account's failures from this source: it was let in."""
        with self._lock:
            pair, whole, origin = _keys(account, source)
            self._table.pop(pair, None)
            self._table.pop(whole, None)
            # The source keeps its failures with other accounts; only this attempt was none.
            failures, _, last = self._table.get(origin, (0, 0.0, 0.0))
            if failures:
                self._table[origin] = failures - 1, 0.0, last

    def __len__(self) -> int:
        return len(self._table)

    def _count(self, key: str, limit: _Limit, now: float) -> None:
        failures, _, last = self._table.pop(key, (0, 0.0, now))
        failures = 1 if now - last > _FORGET_S else failures + 1
        self._table[key] = failures, now + limit.wait_s(failures), now
        if len(self._table) > _SIZE:
            self._table.popitem(last=False)


def _keys(account: str, source: str) -> dict[str, _Limit]:
    return {
        _key("pair", account, source): _PAIR,
        _key("account", account): _ACCOUNT,
        _key("source", source): _SOURCE,
    }


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _words(seconds: float) -> str:
    whole = int(seconds) + 1
    return f"{whole} seconds" if whole < 120 else f"{whole // 60 + 1} minutes"
