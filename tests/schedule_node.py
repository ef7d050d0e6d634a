"""One node of ours for the schedule's tests: its faulty clock, its writer, and a record of what it ran."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, MetaData, Table, Text, insert, select

from core.db import Database, metadata
from core.schedule import Entry, Scheduler
from core.tables import locks, schedules, ticks
from core.timetable import Missed
from core.writer import Tx, Writer

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
#: Where the work of a tick shows: no unique key, so that doing it twice would show too.
RUNS = Table("test_runs", MetaData(), Column("schedule_id", Text), Column("planned_at", Text), Column("node", Text))


class FaultyClock:
    """A wall clock that can jump beside a monotonic one that cannot."""

    def __init__(self, wall: datetime = NOON, *, up_s: float = 5000.0) -> None:
        self._wall, self._up_s = wall, up_s

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self._up_s

    def run(self, seconds: float) -> None:
        self._wall += timedelta(seconds=seconds)
        self._up_s += seconds

    def jump(self, seconds: float) -> None:
        self._wall += timedelta(seconds=seconds)

    def stop(self, seconds: float) -> None:
        """Let wall time pass while the process does not live: it starts with another monotonic clock."""
        self._wall += timedelta(seconds=seconds)
        self._up_s = 3.0


class Node:
    """One process of ours: a scheduler with its clock, writing what it runs into `test_runs`."""

    def __init__(self, db: Database, clock: FaultyClock, name: str = "one") -> None:
        self.db, self.clock, self.name = db, clock, name
        self.writer = Writer(db)
        self.scheduler = Scheduler(db, self.writer, clock, name)
        self.scheduler.on("rule", self.record)

    def record(self, tx: Tx, schedule_id: str, planned_at: datetime) -> None:
        row = {"schedule_id": schedule_id, "planned_at": planned_at.isoformat(), "node": self.name}
        tx.conn.execute(insert(RUNS).values(row))

    def put(self, name: str, spec: Any, *, missed: Missed = Missed.LAST, zone: str = "UTC") -> datetime | None:
        entry = Entry(id=name, owner="rule", name=name, spec=spec, zone=zone, missed=missed)
        return self.writer.do(lambda tx: self.scheduler.put(tx, entry))

    def sweep(self) -> int:
        return self.scheduler.sweep(self.clock.now())

    def run(self, seconds: float, *, step: float = 5.0) -> int:
        """Live for so long, sweeping at every step."""
        ran = 0
        for _ in range(int(seconds / step)):
            self.clock.run(step)
            ran += self.sweep()
        return ran


def open_database(url: str) -> Database:
    """Return a database with the tables a schedule needs, and the record of what ran."""
    database = Database(url, synchronous="off")
    metadata.create_all(database.engine, tables=[schedules, ticks, locks])
    RUNS.create(database.engine)
    return database


def forget_all(db: Database) -> None:
    with db.write() as conn:
        for table in (RUNS, ticks, schedules, locks):
            conn.execute(table.delete())


def runs(db: Database, name: str) -> list[datetime]:
    with db.read() as conn:
        found = conn.execute(select(RUNS.c.planned_at).where(RUNS.c.schedule_id == name)).scalars()
        return sorted(datetime.fromisoformat(text) for text in found)


def next_at(db: Database, name: str) -> datetime | None:
    with db.read() as conn:
        return conn.execute(select(schedules.c.next_at).where(schedules.c.id == name)).scalar_one()


def assert_none_twice(db: Database) -> None:
    with db.read() as conn:
        found = Counter((row.schedule_id, row.planned_at) for row in conn.execute(select(RUNS)))
    assert [run for run, times in found.items() if times > 1] == []


def together(nodes: list[Node], seconds: float, *, step: float = 1.0) -> None:
    for _ in range(int(seconds / step)):
        for node in nodes:
            node.run(step, step=step)
