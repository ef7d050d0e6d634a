"""What this process has in hand: runs whose outside calls wait or are under way, leased for as long as it renews them.

A process that stood still may wake up after its leases have run out: it must not begin a call that another has made.
"""

from collections.abc import Iterator
from datetime import timedelta

import structlog
from sqlalchemy import bindparam, select, update

from core.clock import Clock
from core.db import Moment
from core.writer import Tx, Writer
from rules.tables import runs

log = structlog.get_logger("vitrin.runner")

LEASE = timedelta(seconds=90)


class Leases:
    """Runs in hand, each with its fencing number and when (monotonic) it was surely ours; used by any thread."""

    def __init__(self, clock: Clock, length: timedelta = LEASE) -> None:
        self.length = length
        self._clock = clock
        self._held: dict[str, tuple[int, float]] = {}

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def take(self, run_id: str, fence: int, since_s: float) -> None:
        """Remember a run that was leased at this moment or later."""
        self._held[run_id] = fence, since_s

    def drop(self, run_id: str) -> None:
        self._held.pop(run_id, None)

    def renew(self, writer: Writer) -> None:
        """Prolong what is still ours; call it well within the length of a lease."""
        held = dict(self._held)
        if not held:
            return
        now_s, until = self._clock.monotonic(), self._clock.now() + self.length

        def prolong(tx: Tx) -> set[str]:
            rows = [{"b_id": run, "b_fence": fence, "b_until": until} for run, (fence, _) in held.items()]
            tx.conn.execute(_PROLONG, rows)
            stored = tx.conn.execute(_FENCES, {"ids": list(held)})
            return {row.id for row in stored if row.fence == held[row.id][0]}

        ours = writer.do(prolong)
        for run, (fence, _) in held.items():
            # Never again fresh where another has it; gone already where its call has ended meanwhile.
            if self._held.get(run, (0, 0.0))[0] == fence:
                self._held[run] = fence, now_s if run in ours else float("-inf")

    def is_fresh(self, run_id: str) -> bool:
        """Tell whether a run is surely ours for long enough to begin its call."""
        now_s = self._clock.monotonic()
        _, since_s = self._held.get(run_id, (0, now_s))
        # Well before the end: the call itself takes time, too.
        if now_s - since_s <= self.length.total_seconds() * 2 / 3:
            return True
        log.warning("a call was not made: its lease is too old", run=run_id)
        return False


_PROLONG = (
    update(runs)
    .where(runs.c.id == bindparam("b_id"), runs.c.fence == bindparam("b_fence"), runs.c.status == "running")
    .values(due_at=bindparam("b_until", type_=Moment))
)
_FENCES = select(runs.c.id, runs.c.fence).where(
    runs.c.id.in_(bindparam("ids", expanding=True)), runs.c.status == "running"
)
