"""What a clock that was set back leaves behind: work that is ready, but due in what is now the future.

Waits and schedules go by the clock on the wall, and wait for it. What is only there to be done at once does not.
"""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import update

from core.clock import Clock
from core.tables import jobs
from core.writer import Tx, Writer
from rules.tables import runs

log = structlog.get_logger("vitrin.clock")

_JUMP = timedelta(seconds=30)


class ClockJumps:
    """Looks at the wall clock beside the monotonic one, and mends the rows when it went back."""

    def __init__(self, clock: Clock, writer: Writer, lease: timedelta) -> None:
        self._clock, self._writer, self._lease = clock, writer, lease
        self._seen: tuple[datetime, float] | None = None

    def look(self) -> bool:
        """Mend what a jump back since the last look left; tell whether there was one."""
        now, now_s = self._clock.now(), self._clock.monotonic()
        seen, self._seen = self._seen, (now, now_s)
        if seen is None or now - seen[0] - timedelta(seconds=now_s - seen[1]) > -_JUMP:
            return False
        log.warning("the clock was set back: what is ready is due now", now=now.isoformat())
        self._writer.do(lambda tx: _mend(tx, now, now + self._lease))
        return True


def _mend(tx: Tx, now: datetime, until: datetime) -> None:
    ready = update(runs).where(runs.c.status == "ready", runs.c.due_at > now)
    tx.conn.execute(ready.values(due_at=now))
    lease = update(runs).where(runs.c.status == "running", runs.c.due_at > until)
    tx.conn.execute(lease.values(due_at=until))
    fresh = update(jobs).where(jobs.c.status == "ready", jobs.c.due_at > now, jobs.c.due_at <= jobs.c.created_at)
    tx.conn.execute(fresh.values(due_at=now))
    held = update(jobs).where(jobs.c.status == "running", jobs.c.lease_until > until)
    tx.conn.execute(held.values(lease_until=until))
