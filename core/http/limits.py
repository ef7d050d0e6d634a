"""Keep to what the other side bears: requests at once per host, requests per period per account."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from core.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A token bucket: `requests` in each `per` in the long run, up to `burst` of them (default: all) at once."""

    requests: int
    per: timedelta
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.requests < 1 or self.per <= timedelta(0) or (self.burst is not None and self.burst < 1):
            raise InvalidInput("limits", "a rate needs at least one request and a period above zero")

    @property
    def interval_s(self) -> float:
        return self.per.total_seconds() / self.requests


class Gate(Protocol):
    """Keeps rates: in this process (`RateGate`), or over all that share a database (`core.shared_rates`)."""

    def reserve(self, account: object, rates: Sequence[Rate], now: float, most_s: float) -> float:
        """Take a place and return the seconds to wait for it; a wait above `most_s` takes nothing."""
        ...


class RateGate:
    """Token buckets by account: the same limit holds for every session of one account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: For each account and rate: the moment at which its bucket is (or will be) full again.
        self._full_at: dict[tuple[object, Rate], float] = {}

    def reserve(self, account: object, rates: Sequence[Rate], now: float, most_s: float) -> float:
        """Take a place and return the seconds to wait for it; a wait above `most_s` takes nothing."""
        with self._lock:
            waits = [self._wait(account, rate, now) for rate in rates]
            wait = max(waits, default=0.0)
            if wait <= most_s:
                for rate in rates:
                    full_at = max(self._full_at.get((account, rate), now), now)
                    self._full_at[account, rate] = full_at + rate.interval_s
            return wait

    def _wait(self, account: object, rate: Rate, now: float) -> float:
        empty_for = max(self._full_at.get((account, rate), now), now) - now
        # A token is there as soon as the bucket lacks fewer than all of them.
        wait = empty_for - rate.interval_s * ((rate.burst or rate.requests) - 1)
        return wait if wait > 1e-9 else 0.0


class HostSlots:
    """At most `limit` requests at once to one host; the longest waiting is woken first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._hosts: dict[str, _Slots] = {}

    @contextmanager
    def slot(self, host: str, wait_s: float) -> Iterator[bool]:
        """Hold a slot while the block runs; yields False where none came free in time."""
        with self._lock:
            slots = self._hosts.setdefault(host, _Slots(threading.Condition(self._lock)))
            slots.interested += 1
            got = slots.free.wait_for(lambda: slots.busy < self.limit, max(wait_s, 0.0))
            slots.busy += got
        try:
            yield got
        finally:
            with self._lock:
                slots.busy -= got
                slots.interested -= 1
                slots.free.notify()
                # A price watcher meets thousands of hosts: forget those that nobody uses.
                if not slots.interested:
                    del self._hosts[host]


@dataclass
class _Slots:
    free: threading.Condition
    busy: int = 0
    interested: int = 0
