"""Intake: events and the runs of all matching rules, in one transaction; the answer leaves after the commit."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from core.clock import Clock
from core.context import Emit
from core.events import Event, find_event, insert_events, text_at
from core.ids import new_id
from core.tables import effects
from core.writer import Tx
from rules.rule import Rule
from rules.run import Run, event_fields, match_text, values_at
from rules.store import Book
from rules.tables import runs, waits

_KEPT = 5_000


class EventCache:
    """The newest events in memory, so that the runner need not read back what intake has just written."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, Event] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, events: Iterable[Event]) -> None:
        with self._lock:
            for event in events:
                self._events[event.id] = event
            while len(self._events) > _KEPT:
                self._events.popitem(last=False)

    def get(self, conn: Connection, event_id: str) -> Event | None:
        return self._events.get(event_id) or find_event(conn, event_id)


@dataclass(slots=True)
class Taken:
    """What became of one event."""

    event: Event
    #: False when this source and id had been taken before.
    new: bool
    #: Names of the rules that started a run.
    rules: list[str] = field(default_factory=list)


class Intake:
    """Stores events, starts the runs they call for, and wakes the runs that wait for them."""

    def __init__(
        self,
        book: Book,
        clock: Clock,
        shop: Mapping[str, str],
        *,
        depth_limit: int = 10,
        hint: Callable[[], None] | None = None,
    ) -> None:
        """`shop` tells zone, currency and language, as rules may read them."""
        self.book = book
        self.shop = dict(shop)
        self.zone = ZoneInfo(shop["zone"])
        self.cache = EventCache()
        self._clock = clock
        self._depth_limit = depth_limit
        #: Told after the commit that runs are ready.
        self._hint = hint or (lambda: None)

    def take(self, tx: Tx, events: Sequence[Event]) -> list[Taken]:
        """Take events in, in this order, inside the caller's transaction."""
        if self.book.refresh(tx.conn):
            # The change may have been made in this very transaction.
            tx.if_undone(self.book.forget)
        fresh = insert_events(tx.conn, events)
        taken = [Taken(event, event.id in fresh) for event in events]
        rows: list[dict[str, Any]] = []
        for item in taken:
            if item.new and item.event.depth <= self._depth_limit:
                self._start(tx.conn, item, rows)
        if rows:
            tx.conn.execute(insert(runs), rows)
        woken = self._wake(tx.conn, [item.event for item in taken if item.new])
        self.cache.put(item.event for item in taken if item.new)
        for item in taken:
            if item.new and item.event.type == "customer.merged":
                _follow_merge(tx.conn, item.event)
        if rows or woken:
            tx.after_commit(self._hint)
        return taken

    def emitter(self, tx: Tx, source: str, *, cause: str | None = None, run: Run | None = None) -> Emit:
        """Return an `emit` into this transaction. With a `cause`, what is tried again is not emitted again."""
        made = 0

        def emit(
            type: str,
            data: dict[str, Any],
            *,
            key: str | None = None,
            customer: str | None = None,
            id: str | None = None,
        ) -> None:
            nonlocal made
            made += 1
            ident, now = new_id(), self._clock.now()
            event = Event(
                id=ident,
                source=source,
                external_id=id or (ident if cause is None else f"{cause}/{made}"),
                type=type,
                time=now,
                received_at=now,
                key=key,
                customer=customer,
                data=data,
                depth=0 if run is None else run.event.depth + 1,
                cause=None if run is None else run.id,
            )
            self.take(tx, [event])

        return emit

    def _start(self, conn: Connection, item: Taken, rows: list[dict[str, Any]]) -> None:
        event = item.event
        if not self.book.matcher.listens(event.type):
            return
        data = event_picture(event, self._clock.now().astimezone(self.zone), self.shop)
        for rule in self.book.match(event.type, data):
            row = new_run(rule, event, watching=rule.id in self.book.watching)
            if rule.mode.run != "parallel":
                self._stand_in_line(conn, rule, row, rows)
            rows.append(row)
            item.rules.append(rule.name)

    def _stand_in_line(self, conn: Connection, rule: Rule, row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Apply the rule's mode: other open runs of the same key decide what becomes of this one."""
        here = [other for other in rows if other["rule"] == rule.id and other["key"] == row["key"]]
        here = [other for other in here if other["status"] != "done"]
        same = and_(runs.c.rule == rule.id, runs.c.key == row["key"], runs.c.finished_at.is_(None))
        stored = list(conn.execute(select(runs.c.id).where(same)).scalars())
        if not here and not stored:
            return
        if rule.mode.run == "single":
            _end(row, "skipped", "another run of this rule is under way for the same key")
        elif rule.mode.run == "restart":
            for other in here:
                _end(other, "cancelled", "a newer event restarted the rule")
            if stored:
                cancel_runs(conn, stored, "a newer event restarted the rule", row["started_at"])
        elif len(here) + len(stored) > rule.mode.most:
            _end(row, "skipped", f"more than {rule.mode.most} runs are queued for the same key")
        else:
            row.update(status="queued", due_at=None)

    def _wake(self, conn: Connection, events: Sequence[Event]) -> int:
        """Mark the waits that these events end, and make their runs ready."""
        wanted: dict[str, Event] = {}
        for event in events:
            fields = self.book.wait_fields.get(event.type, ())
            data = {**event.data, "event": event_fields(event)} if fields else {}
            for path in fields:
                for value in values_at(data, path):
                    wanted.setdefault(match_text(event.type, path, value), event)
        if not wanted:
            return 0
        query = select(waits).where(waits.c.match.in_(bindparam("matches", expanding=True)), waits.c.happened.is_(None))
        keys = list(wanted)
        found = [row for some in _portions(keys) for row in conn.execute(query, {"matches": some})]
        woken = [(row.run, wanted[row.match]) for row in found if wanted[row.match].received_at <= row.until]
        if woken:
            # The runner checks the rest of the wait's conditions; where they fail the run goes back to sleep.
            conn.execute(_MARK_HAPPENED, [{"b_id": run, "b_event": event.id} for run, event in woken])
            conn.execute(_MAKE_READY, [{"b_id": run, "b_at": event.received_at} for run, event in woken])
        return len(woken)


_MARK_HAPPENED = update(waits).where(waits.c.run == bindparam("b_id")).values(happened=bindparam("b_event"))
_MAKE_READY = (
    update(runs)
    .where(runs.c.id == bindparam("b_id"), runs.c.status == "waiting")
    .values(status="ready", due_at=bindparam("b_at"))
)


def _portions(items: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _follow_merge(conn: Connection, event: Event) -> None:
    """Runs of a customer who turned out to be another one go on as that one's."""
    theirs = update(runs).where(runs.c.customer == event.data.get("merged"), runs.c.finished_at.is_(None))
    conn.execute(theirs.values(customer=event.customer))


def event_picture(event: Event, now: datetime, shop: Mapping[str, Any]) -> dict[str, Any]:
    """Return what conditions may read of an event before its run exists."""
    return {**event.data, "event": event_fields(event), "shop": shop, "now": now, "facts": {}, "steps": {}}


def new_run(rule: Rule, event: Event, *, watching: bool) -> dict[str, Any]:
    """Return the row of a run that is ready to go."""
    key = text_at({**event.data, "event": event_fields(event)}, rule.mode.key) if rule.mode.key else event.key
    return {
        "id": new_id(),
        "rule": rule.id,
        "version": rule.version,
        "event": event.id,
        "key": key,
        "customer": event.customer,
        "status": "ready",
        "outcome": None,
        "reason": None,
        "watching": watching,
        "cursor": 0,
        "vars": {} if rule.condition.facts else {"checked": True},
        "at": event.received_at,
        "due_at": event.received_at,
        "attempts": 0,
        "acted": 0,
        "owner": None,
        "fence": 0,
        "started_at": event.received_at,
        "finished_at": None,
    }


def _end(row: dict[str, Any], outcome: str, reason: str) -> None:
    row.update(status="done", outcome=outcome, reason=reason, due_at=None, finished_at=row["started_at"])


def cancel_runs(conn: Connection, ids: Sequence[str], reason: str, now: datetime) -> None:
    """End open runs; one whose outside call is under way cannot commit any more (its fence moves on)."""
    ended = {"status": "done", "outcome": "cancelled", "reason": reason, "due_at": None, "finished_at": now}
    for some in _portions(ids):
        running = select(runs.c.rule, runs.c.key).where(runs.c.id.in_(some), runs.c.status != "queued").distinct()
        left = conn.execute(running).all()
        open_runs = update(runs).where(runs.c.id.in_(some), runs.c.finished_at.is_(None))
        conn.execute(open_runs.values(**ended, fence=runs.c.fence + 1))
        conn.execute(delete(waits).where(waits.c.run.in_(some)))
        held = update(effects).where(effects.c.run.in_(some), effects.c.state == "held")
        conn.execute(held.values(state="skipped", reason=reason))
        for row in left:
            release_queued(conn, row.rule, row.key, now)


def release_queued(conn: Connection, rule_id: str, key: str | None, now: datetime) -> None:
    """Let the oldest run that queues for this key go on, unless another one is under way."""
    same = (runs.c.rule == rule_id, runs.c.key == key, runs.c.finished_at.is_(None))
    open_runs = conn.execute(select(runs.c.id, runs.c.status).where(*same).order_by(runs.c.id)).all()
    if open_runs and all(row.status == "queued" for row in open_runs):
        first = update(runs).where(runs.c.id == open_runs[0].id)
        conn.execute(first.values(status="ready", due_at=now))
