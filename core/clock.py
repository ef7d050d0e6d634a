"""The one source of time: everything that needs 'now' is handed a clock."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the engine asks of time."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards; for measuring, never for dates."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class VirtualClock:
    """A clock that stands still until it is moved: replay, simulation and tests."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._passed_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._passed_s

    def set(self, moment: datetime) -> None:
        """Jump to `moment`; a jump back is a clock set wrong: no time passes by it."""
        with self._lock:
            self._passed_s += max((moment - self._now).total_seconds(), 0.0)
            self._now = moment.astimezone(UTC)

    def advance(self, by: timedelta | float) -> datetime:
        """Move on by a duration (or seconds) and return the new moment."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        with self._lock:
            self._now += step
            self._passed_s += max(step.total_seconds(), 0.0)
            return self._now
