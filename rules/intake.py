"""Intake: events and the runs of all matching rules, in one transaction; the answer leaves after the commit."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, bindparam, delete, select, update

from core.bulk import inserts
from core.clock import Clock
from core.context import Emit
from core.events import Event, find_event, insert_events, read_event, text_at
from core.ids import id_after, new_id
from core.tables import effects, events
from core.writer import Tx
from rules.lines import Line, lock_lines, open_runs, portions, release_queued
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

    def get_many(self, conn: Connection, ids: Iterable[str]) -> dict[str, Event]:
        """Return these events by id, reading those that are not at hand in one go; what is not stored is left out."""
        wanted = {event_id: self._events.get(event_id) for event_id in ids}
        found = {event_id: event for event_id, event in wanted.items() if event is not None}
        for some in portions([event_id for event_id, event in wanted.items() if event is None]):
            found |= {row.id: read_event(row) for row in conn.execute(_THESE, {"ids": some})}
        return found


@dataclass(slots=True)
class Taken:
    """What became of one event."""

    event: Event
    #: False when this source and id had been taken before.
    new: bool
    #: Names of the rules that started a run.
    rules: list[str] = field(default_factory=list)
    #: Ids of those runs.
    runs: list[str] = field(default_factory=list)


class Intake:
    """Stores events, starts the runs they call for, and wakes the runs that wait for them."""

    def __init__(
        self,
        book: Book,
        clock: Clock,
        shop: Mapping[str, str],
        *,
        depth_limit: int = 10,
        hint: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """`shop` tells zone, currency and language, as rules may read them."""
        self.book = book
        self.shop = dict(shop)
        self.zone = ZoneInfo(shop["zone"])
        self.cache = EventCache()
        self._clock = clock
        self._depth_limit = depth_limit
        #: Told after the commit which runs are ready.
        self._hint = hint or (lambda _runs: None)

    def look(self, tx: Tx) -> None:
        """Take in what changed in the rules, as this transaction sees them."""
        if self.book.refresh(tx.conn):
            # The change may have been made in this very transaction.
            tx.if_undone(self.book.forget)

    def take(self, tx: Tx, events: Sequence[Event], *, looked: bool = False) -> list[Taken]:
        """Take events in, in this order, inside the caller's transaction (who may just have `looked`)."""
        if not looked:
            self.look(tx)
        fresh = insert_events(tx.conn, events)
        taken = [Taken(event, event.id in fresh) for event in events]
        rows = self._start(tx.conn, [item for item in taken if item.new and item.event.depth <= self._depth_limit])
        if rows:
            _INSERT_RUNS.run(tx.conn, rows)
        woken = self._wake(tx.conn, [item.event for item in taken if item.new])
        self.cache.put(item.event for item in taken if item.new)
        for item in taken:
            if item.new and item.event.type == "customer.merged":
                _follow_merge(tx.conn, item.event)
        self.tell_ready(tx, [*(row["id"] for row in rows if row["status"] == "ready"), *woken])
        return taken

    def tell_ready(self, tx: Tx, ready: Sequence[str]) -> None:
        """Tell whoever works on runs that these are ready, once they are on disk."""
        if ready:
            tx.after_commit(lambda: self._hint(ready))

    def wake(self) -> None:
        """Let whoever works on runs have a look: what held some of them back is over."""
        self._hint([])

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

    def _start(self, conn: Connection, items: Sequence[Taken]) -> list[dict[str, Any]]:
        """Return the rows of the runs that these events start."""
        started: list[tuple[Rule, dict[str, Any]]] = []
        for item in items:
            event = item.event
            if not self.book.matcher.listens(event.type):
                continue
            data = event_picture(event, self._clock.now().astimezone(self.zone), self.shop)
            for rule in self.book.match(event.type, data):
                row = new_run(rule, event, watching=rule.id in self.book.watching)
                started.append((rule, row))
                item.rules.append(rule.name)
                item.runs.append(row["id"])
        in_line = [(rule, row) for rule, row in started if rule.mode.run != "parallel"]
        if in_line:
            self._stand_in_line(conn, in_line)
        return [row for _, row in started]

    def _stand_in_line(self, conn: Connection, started: Sequence[tuple[Rule, dict[str, Any]]]) -> None:
        """Apply each rule's mode: other open runs of the same key decide what becomes of a new one."""
        lines = {_line(row) for _, row in started}
        lock_lines(conn, lines)
        stored = open_runs(conn, lines)
        here: dict[Line, list[dict[str, Any]]] = {}
        for rule, row in started:
            line = _line(row)
            before, fresh = stored.get(line, []), here.setdefault(line, [])
            if before or fresh:
                self._join(conn, rule, row, before, fresh)
            if rule.mode.run == "restart":
                # Whoever was there has been cancelled.
                stored.pop(line, None)
                fresh.clear()
            if row["status"] != "done":
                fresh.append(row)

    def _join(
        self, conn: Connection, rule: Rule, row: dict[str, Any], before: Sequence[str], fresh: Sequence[dict[str, Any]]
    ) -> None:
        """Let a run join a line that others stand in: those stored already, and those of this transaction."""
        # Clocks of two machines differ: whoever came later stands later, whatever they say.
        last = max([*before, *(other["id"] for other in fresh)])
        if row["id"] < last:
            row["id"] = id_after(last)
        if rule.mode.run == "single":
            _end(row, "skipped", "another run of this rule is under way for the same key")
        elif rule.mode.run == "restart":
            for other in fresh:
                _end(other, "cancelled", "a newer event restarted the rule")
            if before:
                cancel_runs(conn, before, "a newer event restarted the rule", row["started_at"])
        elif len(fresh) + len(before) > rule.mode.most:
            _end(row, "skipped", f"more than {rule.mode.most} runs are queued for the same key")
        else:
            row.update(status="queued", due_at=None)

    def _wake(self, conn: Connection, news: Sequence[Event]) -> list[str]:
        """Mark the waits that these events end, and make their runs ready; return which."""
        wanted: dict[str, Event] = {}
        for event in news:
            fields = self.book.wait_fields.get(event.type, ())
            data = {**event.data, "event": event_fields(event)} if fields else {}
            for path in fields:
                for value in values_at(data, path):
                    wanted.setdefault(match_text(event.type, path, value), event)
        if not wanted:
            return []
        query = select(waits).where(waits.c.match.in_(bindparam("matches", expanding=True)), waits.c.happened.is_(None))
        keys = list(wanted)
        found = [row for some in portions(keys) for row in conn.execute(query, {"matches": some})]
        woken = [(row.run, wanted[row.match]) for row in found if wanted[row.match].received_at <= row.until]
        if woken:
            # The runner checks the rest of the wait's conditions; where they fail the run goes back to sleep.
            conn.execute(_MARK_HAPPENED, [{"b_id": run, "b_event": event.id} for run, event in woken])
            conn.execute(_MAKE_READY, [{"b_id": run, "b_at": event.received_at} for run, event in woken])
        return [run for run, _ in woken]


_THESE = select(events).where(events.c.id.in_(bindparam("ids", expanding=True)))
_INSERT_RUNS = inserts(runs)
_MARK_HAPPENED = update(waits).where(waits.c.run == bindparam("b_id")).values(happened=bindparam("b_event"))
_MAKE_READY = (
    update(runs)
    .where(runs.c.id == bindparam("b_id"), runs.c.status == "waiting")
    .values(status="ready", due_at=bindparam("b_at"))
)


def _follow_merge(conn: Connection, event: Event) -> None:
    """Runs of a customer who turned out to be another one go on as that one's."""
    merged = event.data.get("merged")
    # The shop tells the whole record; other systems may tell the id alone.
    gone = merged.get("id") if isinstance(merged, Mapping) else merged
    if not isinstance(gone, str) or event.customer is None:
        return
    theirs = update(runs).where(runs.c.customer == gone, runs.c.finished_at.is_(None))
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
        "vars": {} if rule.condition.needs_runner else {"checked": True},
        "at": event.received_at,
        "due_at": event.received_at,
        "attempts": 0,
        "acted": 0,
        "owner": None,
        "fence": 0,
        "started_at": event.received_at,
        "finished_at": None,
    }


def _line(row: Mapping[str, Any]) -> Line:
    return row["rule"], row["key"]


def _end(row: dict[str, Any], outcome: str, reason: str) -> None:
    row.update(status="done", outcome=outcome, reason=reason, due_at=None, finished_at=row["started_at"])


def cancel_runs(conn: Connection, ids: Sequence[str], reason: str, now: datetime) -> None:
    """End open runs; one whose outside call is under way cannot commit any more (its fence moves on)."""
    ended = {"status": "done", "outcome": "cancelled", "reason": reason, "due_at": None, "finished_at": now}
    for some in portions(ids):
        running = select(runs.c.rule, runs.c.key).where(runs.c.id.in_(some), runs.c.status != "queued").distinct()
        left = conn.execute(running).all()
        open_runs = update(runs).where(runs.c.id.in_(some), runs.c.finished_at.is_(None))
        conn.execute(open_runs.values(**ended, fence=runs.c.fence + 1))
        conn.execute(delete(waits).where(waits.c.run.in_(some)))
        held = update(effects).where(effects.c.run.in_(some), effects.c.state == "held")
        conn.execute(held.values(state="skipped", reason=reason))
        release_queued(conn, [(row.rule, row.key) for row in left], now)
