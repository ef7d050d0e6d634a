"""The tick: find schedules that are due, and run each planned moment once, whatever clocks and nodes do.

Due work lives in our tables; APScheduler only wakes us. One node leads, but "once" does not hang on it: a schedule
moves on by compare-and-swap, and its tick (primary key: schedule and planned moment) is written in the transaction
that does the work. Ticks are remembered, so a clock that was set back finds what has run already.
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

import orjson
import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Row, delete, or_, select, update

from core.clock import Clock
from core.crash import crash_point
from core.db import Database
from core.errors import InvalidInput, StorageError, VitrinError
from core.lead import Lead, insert_new
from core.plans import Schedule
from core.tables import schedules, ticks
from core.timetable import Missed, find_last, missed_ticks, parse_schedule
from core.writer import Tx, Writer

log = structlog.get_logger("vitrin.schedule")

#: Called inside the transaction that records the tick: (transaction, schedule id, planned moment).
Handler = Callable[[Tx, str, datetime], None]

TICK_S = 0.5
#: A moment this late still counts as on time where missed ones are dropped: a new leader needs up to 15 s.
ON_TIME = timedelta(minutes=1)
#: How long what has run is remembered: longer than any clock error worth surviving.
REMEMBERED = timedelta(days=62)
#: A schedule that dealt with a moment further ahead than this saw a clock that has been set back since.
_SET_BACK = timedelta(minutes=10)
_JUMP_S = 60.0
_REPLAN_S = 60.0
_MOST_AT_ONCE = 200
_MOST_DUE = 500
_LONGEST_PAUSE_S = 300.0
#: Stored schedules were checked when they were put; reading them again must not refuse what was allowed then.
_ANY_INTERVAL = timedelta(milliseconds=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A schedule as its owner hands it over; `owner` says whose handler is called."""

    id: str
    owner: str
    name: str
    spec: str | Mapping[str, Any]
    zone: str
    missed: Missed = Missed.LAST
    #: The shortest interval allowed.
    least: timedelta = timedelta(minutes=1)


class Scheduler:
    """Keeps schedules and calls their owners, on one of the nodes that share the database."""

    def __init__(self, db: Database, writer: Writer, clock: Clock, node_id: str) -> None:
        self._db, self._writer, self._clock = db, writer, clock
        self._lead = Lead(db, writer, clock, name="schedule", node_id=node_id)
        self._handlers: dict[str, Handler] = {}
        self._waker: _Waker | None = None
        self._leads = False
        self._seen: tuple[datetime, float] | None = None
        self._replanned_s = 0.0
        #: Schedules whose handler raised: how often in a row, and when (monotonic) they are tried again.
        self._failing: dict[str, tuple[int, float]] = {}

    def on(self, owner: str, handler: Handler) -> None:
        """Name the handler of all schedules of one owner; those of others are left alone."""
        self._handlers[owner] = handler

    @property
    def failing(self) -> dict[str, int]:
        """How often in a row each failing schedule has failed; for health pages."""
        return {name: times for name, (times, _) in self._failing.items()}

    @property
    def leads(self) -> bool:
        """Whether this node led at its last sweep."""
        return self._leads

    def put(self, tx: Tx, entry: Entry) -> datetime | None:
        """Add or change a schedule and return its next moment; an unchanged one keeps what it still has to catch up."""
        plan = parse_schedule(entry.spec, entry.zone, least=entry.least)
        given = {"owner": entry.owner, "spec": entry.spec, "zone": entry.zone, "missed": str(entry.missed)}
        row = tx.conn.execute(select(schedules).where(schedules.c.id == entry.id)).one_or_none()
        if row is not None and all(getattr(row, key) == value for key, value in given.items()):
            tx.conn.execute(update(schedules).where(schedules.c.id == entry.id).values(name=entry.name))
            return row.next_at
        next_at = plan.next_after(self._clock.now())
        values = {**given, "name": entry.name, "next_at": next_at}
        if not insert_new(tx.conn, schedules, id=entry.id, enabled=True, **values):
            tx.conn.execute(update(schedules).where(schedules.c.id == entry.id).values(values))
        return next_at

    def wake(self, tx: Tx, schedule_id: str, at: datetime, *, owner: str, name: str) -> None:
        """Call the owner once, at this moment and at none planned before; a past one is due now.

        What plans its own next moment (the earliest of many rows) is woken, where a schedule would have a rhythm.
        """
        at = self._untold(tx, schedule_id, at.astimezone(UTC))
        given = {"owner": owner, "name": name, "spec": {"at": at.isoformat()}, "zone": "UTC", "next_at": at}
        values = {**given, "missed": str(Missed.LAST)}
        if not insert_new(tx.conn, schedules, id=schedule_id, enabled=True, **values):
            tx.conn.execute(update(schedules).where(schedules.c.id == schedule_id).values(values))

    def _untold(self, tx: Tx, schedule_id: str, at: datetime) -> datetime:
        """Return the moment, or the first after it that has not run yet: a moment runs once."""
        later = select(ticks.c.planned_at).where(ticks.c.schedule_id == schedule_id, ticks.c.planned_at >= at)
        for told in tx.conn.execute(later.order_by(ticks.c.planned_at)).scalars():
            if told > at:
                break
            at += _INSTANT
        return at

    def switch(self, tx: Tx, schedule_id: str, *, on: bool) -> None:
        """Stop or resume a schedule; what was planned while it was off is not caught up."""
        row = tx.conn.execute(select(schedules).where(schedules.c.id == schedule_id)).one_or_none()
        if row is None or row.enabled == on:
            return
        next_at = _plan(row).next_after(self._clock.now()) if on else None
        tx.conn.execute(update(schedules).where(schedules.c.id == schedule_id).values(enabled=on, next_at=next_at))

    def remove(self, tx: Tx, schedule_id: str) -> None:
        """Forget a schedule; its ticks of the last day are kept, in case it comes back while the clock is wrong."""
        tx.conn.execute(delete(schedules).where(schedules.c.id == schedule_id))
        _forget(tx, schedule_id, self._clock.now() - timedelta(days=1))

    def start(self) -> None:
        """Sweep twice a second on a thread of its own."""
        # A sweep longer than the tick is no news: the next one is merged into it.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._waker = _Waker(self._tick)
        self._waker.start()

    def stop(self) -> None:
        """Finish the sweep under way and hand the lead over."""
        if self._waker is None:
            return
        self._waker.shutdown(wait=True)
        self._waker = None
        self._leads = False
        try:
            self._lead.release()
        except VitrinError as exc:
            log.warning("the lead was not handed over; the next node waits for the lease to end", error=exc.message)

    def sweep(self, now: datetime) -> int:
        """Run what is due, if this node leads; return how many planned moments ran."""
        now = now.astimezone(UTC)
        jumped_back = self._watch_clock(now)
        led, self._leads = self._leads, self._lead.hold()
        if not self._leads:
            return 0
        if jumped_back or not led or self._clock.monotonic() - self._replanned_s >= _REPLAN_S:
            self._replan(now)
        running = {name: self._writer.submit(partial(self._run, schedule_id=name, now=now)) for name in self._due(now)}
        return sum(self._count(name, future) for name, future in running.items())

    def _tick(self) -> None:
        try:
            self.sweep(self._clock.now())
        except VitrinError as exc:
            # What is due stays due: the next tick tries again.
            log.error("schedules could not be looked at", error=exc.message)

    def _watch_clock(self, now: datetime) -> bool:
        """Tell whether the wall clock went back since the last sweep; warn of any jump."""
        now_s = self._clock.monotonic()
        seen, self._seen = self._seen, (now, now_s)
        if seen is None:
            return False
        jumped_s = (now - seen[0]).total_seconds() - (now_s - seen[1])
        if abs(jumped_s) >= _JUMP_S:
            log.warning("the clock jumped", by_s=round(jumped_s), now=now.isoformat())
        return jumped_s <= -_JUMP_S

    def _replan(self, now: datetime) -> None:
        """Bring back what was moved on by a clock that ran ahead; its ticks keep it from running twice."""
        self._replanned_s = self._clock.monotonic()
        ahead = or_(schedules.c.last_at > now + _SET_BACK, schedules.c.last_at.is_(None))
        waiting = or_(schedules.c.next_at > now, schedules.c.next_at.is_(None))
        with self._db.read() as conn:
            rows = conn.execute(select(schedules).where(schedules.c.enabled, ahead, waiting)).all()
        for row in rows:
            try:
                next_at = _plan(row).next_after(now)
            except InvalidInput as exc:
                log.error("a stored schedule cannot be read", schedule=row.id, error=exc.message)
                continue
            if next_at and (row.next_at is None or next_at < row.next_at):
                self._writer.do(partial(_move, row=row, next_at=next_at, last_at=None))

    def _due(self, now: datetime) -> list[str]:
        now_s = self._clock.monotonic()
        paused = {name for name, (_, until_s) in self._failing.items() if now_s < until_s}
        due = (
            select(schedules.c.id)
            .where(schedules.c.enabled, schedules.c.next_at <= now, schedules.c.owner.in_(list(self._handlers)))
            .order_by(schedules.c.next_at, schedules.c.id)
            .limit(_MOST_DUE + len(paused))
        )
        with self._db.read() as conn:
            return [name for name in conn.execute(due).scalars() if name not in paused]

    def _run(self, tx: Tx, *, schedule_id: str, now: datetime) -> int:
        """Move one schedule on and do what it planned, in one transaction; return how many moments ran."""
        # A node that finds the row in another's hands leaves it there (PostgreSQL; SQLite has one writer).
        due = (
            select(schedules)
            .where(schedules.c.id == schedule_id, schedules.c.enabled, schedules.c.next_at <= now)
            .with_for_update(skip_locked=True)
        )
        row = tx.conn.execute(due).one_or_none()
        if row is None:
            return 0
        plan = _plan(row)
        planned, last = _choose(plan, row, now)
        if not _move(tx, row=row, next_at=plan.next_after(last or now), last_at=last or row.last_at):
            return 0
        crash_point("schedule.moved")
        ran = 0
        for at in planned:
            if insert_new(tx.conn, ticks, schedule_id=schedule_id, planned_at=at, fired_at=now):
                self._handlers[row.owner](tx, schedule_id, at)
                ran += 1
        _forget(tx, schedule_id, now - REMEMBERED)
        return ran

    def _count(self, schedule_id: str, running: Future[int]) -> int:
        error = running.exception()
        if error is None:
            self._failing.pop(schedule_id, None)
            return running.result()
        if isinstance(error, StorageError):
            # Not the schedule's fault, and no reason to wait once the database is back.
            log.error("a schedule waits for the database", schedule=schedule_id, error=error.message)
            return 0
        times = self._failing.get(schedule_id, (0, 0.0))[0] + 1
        pause_s = min(2.0**times, _LONGEST_PAUSE_S)
        self._failing[schedule_id] = (times, self._clock.monotonic() + pause_s)
        log.error("a schedule failed and stays due", schedule=schedule_id, again_in_s=pause_s, exc_info=error)
        return 0


def _choose(plan: Schedule, row: Row[Any], now: datetime) -> tuple[list[datetime], datetime | None]:
    """Return what is to run now, and the last planned moment that is thereby dealt with."""
    before = row.next_at - _INSTANT
    missed = Missed(row.missed)
    if missed is Missed.ALL:
        planned = missed_ticks(plan, before, now, missed, most=_MOST_AT_ONCE)
        return planned, planned[-1] if planned else None
    last = find_last(plan, before, now)
    if last is None or (missed is Missed.NONE and now - last > ON_TIME):
        return [], last
    return [last], last


def _move(tx: Tx, *, row: Row[Any], next_at: datetime | None, last_at: datetime | None) -> bool:
    """Set the next moment, if nobody else has meanwhile."""
    unmoved = schedules.c.next_at.is_(None) if row.next_at is None else schedules.c.next_at == row.next_at
    values = {"next_at": next_at, "last_at": last_at}
    return tx.conn.execute(update(schedules).where(schedules.c.id == row.id, unmoved).values(values)).rowcount == 1


def _plan(row: Row[Any]) -> Schedule:
    return _parse(orjson.dumps(row.spec), row.zone)


@lru_cache(maxsize=4096)
def _parse(spec: bytes, zone: str) -> Schedule:
    return parse_schedule(orjson.loads(spec), zone, least=_ANY_INTERVAL)


def _forget(tx: Tx, schedule_id: str, before: datetime) -> None:
    tx.conn.execute(delete(ticks).where(ticks.c.schedule_id == schedule_id, ticks.c.planned_at < before))


class _Waker(BackgroundScheduler):
    """APScheduler with one job, made safe from the wall clock it lives by.

    Stock, a clock set back two hours means no tick for two hours; one set forward 14 years means a list of
    900 million missed ticks in memory.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        super().__init__(timezone=UTC, daemon=True)
        self.add_job(
            tick, "interval", seconds=TICK_S, id="tick", max_instances=1, coalesce=True, misfire_grace_time=None
        )

    def _process_jobs(self) -> float:
        now = datetime.now(UTC)
        job = self.get_job("tick")
        if job and abs((job.next_run_time - now).total_seconds()) > 2 * TICK_S:
            self.modify_job("tick", next_run_time=now)
        return min(super()._process_jobs() or TICK_S, TICK_S)
