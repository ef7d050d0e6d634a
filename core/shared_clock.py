"""The time that all machines on one database go by: the database server's.

Leases, due times and schedules compare moments that different machines wrote. A machine whose own clock is wrong, or
jumps, would take runs away from living workers; so its clock is not asked. Between two looks at the server the
monotonic clock carries on, which no jump reaches.
"""

import threading
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select

from core.clock import Clock, SystemClock
from core.db import Database, to_micros
from core.ids import take_time_from

log = structlog.get_logger("vitrin.clock")

#: Seconds between two looks at the server.
FOLLOW_S = 5.0
#: An answer that took longer says too little about now.
_SLOWEST_S = 1.0
_JUMP = timedelta(seconds=5)


class SharedClock:
    """Tell the database server's time (PostgreSQL); this machine's own until the server was asked."""

    def __init__(self, db: Database, own: Clock | None = None) -> None:
        self._db = db
        self._own = own or SystemClock()
        #: A moment of the server's, and this machine's monotonic seconds at it.
        self._known: tuple[datetime, float] | None = None
        self._looked_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        if self._known is None:
            return self._own.now()
        at, at_s = self._known
        return at + timedelta(seconds=self._own.monotonic() - at_s)

    def monotonic(self) -> float:
        return self._own.monotonic()

    def _now_ns(self) -> int:
        return to_micros(self.now()) * 1_000

    def follow(self) -> None:
        """Ask the server what time it is, where the last answer is some seconds old."""
        with self._lock:
            before_s = self._own.monotonic()
            if self._known is not None and before_s - self._looked_s < FOLLOW_S:
                return
            with self._db.read() as conn:
                # The first question may have to connect.
                conn.execute(select(func.clock_timestamp()))
                before_s = self._own.monotonic()
                at: datetime = conn.execute(select(func.clock_timestamp())).scalar_one()
                after_s = self._own.monotonic()
            if self._known is not None and after_s - before_s > _SLOWEST_S:
                return
            is_first = self._known is None
            told, self._known = self.now(), (at, (before_s + after_s) / 2)
            self._looked_s = after_s
            if is_first:
                take_time_from(self._now_ns)
            if abs(self.now() - told) >= _JUMP:
                log.warning("the time of this process was set by the database server's", by=str(self.now() - told))
