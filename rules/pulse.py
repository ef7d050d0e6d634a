"""The pulse of each process: how fast it writes, how late its runs are and which rules cost most.

Kept in the database now and then, so that `doctor` and other processes can tell what one that runs is doing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from core.clock import Clock
from core.marks import write_mark
from core.spread import Spread
from core.tables import jobs, marks
from core.writer import Tx, Writer
from rules.runner import Runner

_PREFIX = "pulse:"
#: Seconds between two notes of one process.
EVERY_S = 30.0
_DEAREST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What one process noted of itself, since its start."""

    node: str
    at: datetime
    #: Seconds within which half, and nearly all, of its commits were on disk; pieces of work in one of them.
    commit_s: tuple[float, float]
    group: float
    #: Runs in one batch, and seconds within which half, and nearly all, of them began after they were due.
    batch: float
    lag_s: tuple[float, float]
    #: Outside calls that wait for their turn, by plugin.
    calls: Mapping[str, int]
    #: Rule, its walks, seconds of all of them; the dearest first.
    rules: tuple[tuple[str, int, float], ...]


class Pulse:
    """Notes down how one process is doing."""

    def __init__(self, writer: Writer, runner: Runner, clock: Clock, node: str) -> None:
        self._writer, self._runner, self._clock, self._node = writer, runner, clock, node
        self._noted_s = clock.monotonic()
        self._noted = 0

    def beat(self) -> bool:
        """Note where it is time to, and anything has been done; tell whether it was noted."""
        now_s, done = self._clock.monotonic(), self._runner.costs.batch.count
        if now_s - self._noted_s < EVERY_S or done == self._noted:
            return False
        self._noted_s, self._noted = now_s, done
        self._writer.do(self._note)
        return True

    def _note(self, tx: Tx) -> None:
        written, costs = self._writer.figures, self._runner.costs
        value = {
            "commit_s": _ends(written.commit_s),
            "group": round(written.group.mean, 1),
            "batch": round(costs.batch.mean, 1),
            "lag_s": _ends(costs.lag_s),
            "calls": {plugin: count for plugin, count in self._runner.calls_waiting().items() if count},
            "rules": [(rule, cost.walks, round(cost.seconds, 6)) for rule, cost in costs.dearest(_DEAREST)],
        }
        write_mark(tx.conn, _PREFIX + self._node, value, self._clock.now())


def _ends(spread: Spread) -> tuple[float, float]:
    return spread.percentile(0.5), spread.percentile(0.95)


def read_notes(conn: Connection, since: datetime) -> list[Note]:
    """Return what processes noted of themselves since a moment."""
    noted = select(marks.c.name, marks.c.value, marks.c.at).where(marks.c.name.startswith(_PREFIX), marks.c.at >= since)
    return [_read(row.name, row.value, row.at) for row in conn.execute(noted.order_by(marks.c.name))]


def _read(name: str, value: Mapping[str, Any], at: datetime) -> Note:
    told = {**value, "rules": tuple(tuple(rule) for rule in value["rules"])}
    ends = {name: tuple(value[name]) for name in ("commit_s", "lag_s")}
    return Note(node=name.removeprefix(_PREFIX), at=at, **{**told, **ends})


def forget_notes(tx: Tx, before: datetime) -> int:
    """Delete the notes of processes that are long gone; return how many."""
    return tx.conn.execute(delete(marks).where(marks.c.name.startswith(_PREFIX), marks.c.at < before)).rowcount


def jobs_behind(conn: Connection, now: datetime) -> tuple[int, float]:
    """Return how many jobs are due, and for how many seconds the oldest has been."""
    due = select(func.count(), func.min(jobs.c.due_at)).where(jobs.c.status == "ready", jobs.c.due_at <= now)
    count, oldest = conn.execute(due).one()
    return count, max((now - oldest).total_seconds(), 0.0) if oldest else 0.0
