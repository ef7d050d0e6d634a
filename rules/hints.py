"""Hints between processes: what one makes ready, another takes up at once; what no hint reached, the sweep finds.

Which process owns a run is decided in the database alone, by its claim.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import select

from core.clock import Clock
from core.db import Database
from core.queues.port import JOBS, RUNS, Carrier
from rules.runner import Runner
from rules.tables import runs

log = structlog.get_logger("vitrin.hints")

#: Runs are not told apart: each may send, pay and wait in turn.
_CLASS_OF_RUNS = "messages"
#: How long after its moment a run is left to the one who was told of it.
GRACE = timedelta(seconds=2)
#: A run that is still due is told again after so long.
_AGAIN_S = 5.0
_MOST_TOLD = 2_000
#: Longer than this nobody waits: a slow system must not hold up what has nothing to do with it.
_ROOM_S = 0.2


class Hints:
    """Tells what is ready through a carrier, and works on what others told."""

    def __init__(self, carrier: Carrier, db: Database, clock: Clock, runner: Runner) -> None:
        self._carrier, self._db, self._clock, self._runner = carrier, db, clock, runner
        #: What was told to be due, and when (monotonic).
        self._told: dict[str, float] = {}
        #: Overdue work was found that nobody told us: until we are told again, every sweep takes whatever is due.
        self.is_deaf = False

    # Telling

    def tell_runs(self, ids: Sequence[str]) -> None:
        self._carrier.tell(RUNS, _CLASS_OF_RUNS, ids)

    def tell_job(self, klass: str, job_id: str) -> None:
        self._carrier.tell(JOBS, klass, [job_id])

    def tell_due(self) -> int:
        """Tell what is due by now and was not told lately: waits that ended, retries, leases, lost hints."""
        now, now_s = self._clock.now(), self._clock.monotonic()
        self._told = {run: at_s for run, at_s in self._told.items() if now_s - at_s < _AGAIN_S}
        due = select(runs.c.id).where(runs.c.due_at <= now).order_by(runs.c.due_at).limit(_MOST_TOLD)
        with self._db.read() as conn:
            fresh = [run for run in conn.execute(due).scalars() if run not in self._told]
        if fresh:
            self.tell_runs(fresh)
            self._told.update(dict.fromkeys(fresh, now_s))
        return len(fresh)

    # Working

    def take_runs(self, ids: Sequence[str]) -> None:
        """Work on runs that another process says are ready; those that are not, or not any more, are left alone."""
        self.is_deaf = False
        # Whoever has calls enough in hand takes the next hint later: it may go to another worker meanwhile.
        self._runner.wait_for_room(_ROOM_S)
        self._runner.advance(len(ids), only=ids)

    def sweep(self) -> int:
        """Work on what is overdue, because its hint was lost or is late; return how many runs."""
        now = self._clock.now()
        found = self._runner.advance(until=now if self.is_deaf else now - GRACE)
        if found and not self.is_deaf:
            self.is_deaf = True
            log.info("runs were overdue and nobody told of them: all that is due is taken until somebody does")
        return found
