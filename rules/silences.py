"""Absence without a starting event: nothing of a kind came for so long, in the whole shop or for each key.

One row a key holds when the last event came and when its silence is long enough; one alarm a rule wakes at the
earliest of them. Events are followed by a cursor, so intake pays nothing, and a restart goes on where it stood.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.events import Event
from core.marks import delete_mark, read_mark, write_mark
from core.shop.rows import chunks
from core.shop.snapshots import order_data, snapshot_customers
from core.shop.tables import customer_merges
from core.tables import events
from core.writer import Tx
from rules.own_events import own_event
from rules.rule import OWN_EVENTS, Rule
from rules.run import index_text, values_at
from rules.silence_plan import CUSTOMER, KEY, SHOP, SilencePlan, read_silence_plan
from rules.tables import rules, silences

if TYPE_CHECKING:
    from rules.engine import Engine

#: The key under which the whole shop is kept.
WHOLE = ""

#: Events are followed at least this often, and well before the first silence that one of them begins could end.
_FOLLOW = timedelta(hours=6)
#: Events of other processes may be committed a little later than they say: the last minute is read again.
_SETTLED = timedelta(minutes=1)
_PAGE, _PAGES = 5_000, 20
_MOST_TOLD = 500


def schedule_id_of(rule_id: str) -> str:
    """Return the name of a rule's alarm among the schedules."""
    return f"rule:{rule_id}"


# Coming and going


def arm(engine: "Engine", tx: Tx, rule: Rule, *, running: bool) -> None:
    """Begin to watch for a live rule, or anew where its trigger changed; silences over by now are not told.

    `running` says that its alarm is set already.
    """
    state = read_mark(tx.conn, _mark(rule.id))
    known = state is not None and state["trigger"] == rule.trigger.document
    if running and known:
        return
    plan, now = read_silence_plan(rule.trigger.document), engine.clock.now()
    if state is None or not known:
        tx.conn.execute(delete(silences).where(silences.c.rule == rule.id))
        state = {"trigger": dict(rule.trigger.document), "cursor": None}
    if plan.per == SHOP:
        # Nobody watched until now: the count begins here, and so do the events that end it.
        state["cursor"] = [now.isoformat(), ""]
        begun = {"rule": rule.id, "key": WHOLE, "since": now, "due_at": plan.due_after(now, engine.zone)}
        tx.conn.execute(delete(silences).where(silences.c.rule == rule.id))
        tx.conn.execute(silences.insert(), [{**begun, "told_at": None}])
    past = and_(silences.c.rule == rule.id, silences.c.due_at <= now)
    tx.conn.execute(update(silences).where(past).values(due_at=None))
    write_mark(tx.conn, _mark(rule.id), {**state, "live": now.isoformat()}, now)
    engine.scheduler.wake(tx, schedule_id_of(rule.id), now, owner="rule", name=rule.name)


def forget_archived(tx: Tx) -> None:
    """Drop the rows of rules that were archived; those of rules that are off stay, for they may come back."""
    gone = select(rules.c.id).where(rules.c.archived_at.is_not(None), rules.c.id.in_(select(silences.c.rule)))
    ids = list(tx.conn.execute(gone).scalars())
    if ids:
        tx.conn.execute(delete(silences).where(silences.c.rule.in_(ids)))
        delete_mark(tx.conn, *map(_mark, ids))


def _mark(rule_id: str) -> str:
    return f"silence:{rule_id}"


# The alarm


def on_alarm(engine: "Engine", tx: Tx, rule: Rule) -> None:
    """Follow the events, tell of the silences that are long enough, and set the alarm for the next one."""
    state = read_mark(tx.conn, _mark(rule.id))
    if state is None or state["trigger"] != rule.trigger.document:
        arm(engine, tx, rule, running=False)
        return
    plan, now = read_silence_plan(rule.trigger.document), engine.clock.now()
    follower = _Follower(engine, tx.conn, rule, plan, datetime.fromisoformat(state["live"]))
    whole = follower.follow(state, now)
    write_mark(tx.conn, _mark(rule.id), state, now)
    if whole:
        whole = _tell(engine, tx, rule, plan, now)
    again = _next_look(tx.conn, rule, plan, now) if whole else now
    engine.scheduler.wake(tx, schedule_id_of(rule.id), again, owner="rule", name=rule.name)


def _next_look(conn: Connection, rule: Rule, plan: SilencePlan, now: datetime) -> datetime:
    """Return when to look again: at the next silence's end, and before one that begins now could end."""
    again = now + (plan.least if plan.per == SHOP else min(plan.least / 2, _FOLLOW))
    # The second test is what lets the index over open silences answer.
    open_ones = and_(silences.c.rule == rule.id, silences.c.due_at.is_not(None))
    first = conn.execute(select(func.min(silences.c.due_at)).where(open_ones)).scalar_one()
    if plan.per == SHOP and first is not None:
        return first
    return again if first is None else min(first, again)


class _Follower:
    """Reads the events that came since the last look, and moves the silences on."""

    def __init__(self, engine: "Engine", conn: Connection, rule: Rule, plan: SilencePlan, live: datetime) -> None:
        self._engine, self._conn, self._rule, self._plan, self._live = engine, conn, rule, plan, live
        named = plan.per not in (SHOP, CUSTOMER, KEY)
        #: Whether the events' data has to be read at all.
        self._reads_data = named or bool(plan.where)

    def follow(self, state: dict[str, Any], now: datetime) -> bool:
        """Take in what came, move the cursor on in `state`, and tell whether that was all there is."""
        if self._plan.per == SHOP and not self._reads_data:
            newest = select(func.max(events.c.received_at)).where(events.c.type == self._plan.event)
            last = self._conn.execute(newest).scalar_one()
            self._move({WHOLE: last} if last is not None else {})
            return True
        for _ in range(_PAGES):
            rows = self._page(state["cursor"])
            found: dict[str, datetime] = {}
            for row in rows:
                for key in self._keys(row):
                    found[key] = row.received_at
            self._move(found)
            state["cursor"] = _moved(state["cursor"], rows, now - _SETTLED)
            if len(rows) < _PAGE:
                return True
        return False

    def _page(self, cursor: Sequence[str] | None) -> Sequence[Any]:
        columns = [events.c.id, events.c.type, events.c.received_at, events.c.key, events.c.customer]
        if self._reads_data:
            columns += [events.c.data, events.c.time, events.c.source]
        query = select(*columns).where(events.c.type == self._plan.event)
        if cursor is not None:
            at, last = datetime.fromisoformat(cursor[0]), cursor[1]
            later = and_(events.c.received_at == at, events.c.id > last)
            query = query.where(events.c.received_at >= at, or_(events.c.received_at > at, later))
        return self._conn.execute(query.order_by(events.c.received_at, events.c.id).limit(_PAGE)).all()

    def _keys(self, row: Any) -> list[str]:
        """Return the keys whose silence this event ends."""
        plan, data = self._plan, {}
        if self._reads_data:
            names = ("id", "type", "time", "key", "source")
            data = {**row.data, "event": {name: getattr(row, name) for name in names}}
        for path, wanted in plan.where:
            if index_text(wanted) not in values_at(data, path):
                return []
        if plan.per == SHOP:
            return [WHOLE]
        if plan.per in (CUSTOMER, KEY):
            key = row.customer if plan.per == CUSTOMER else row.key
            return [key] if key else []
        return [key for key in values_at(data, plan.per) if key]

    def _move(self, found: dict[str, datetime]) -> None:
        """Note the newest event of each key; a silence that was over before the rule went live is not told."""
        rows = []
        for key, at in found.items():
            due = self._plan.due_after(at, self._engine.zone)
            rows.append({"rule": self._rule.id, "key": key, "since": at, "due_at": due, "told_at": None})
            if due <= self._live:
                rows[-1]["due_at"] = None
        if not rows:
            return
        dialect = sqlite if self._conn.dialect.name == "sqlite" else postgresql
        added = dialect.insert(silences)
        newer = {name: added.excluded[name] for name in ("since", "due_at", "told_at")}
        known = [silences.c.rule, silences.c.key]
        later = silences.c.since < added.excluded.since
        self._conn.execute(added.on_conflict_do_update(index_elements=known, set_=newer, where=later), rows)


def _moved(cursor: Any, rows: Sequence[Any], settled: datetime) -> Any:
    """Return where to read on: after the last row, but not past what may still be written behind it."""
    if len(rows) == _PAGE or (rows and rows[-1].received_at <= settled):
        return [rows[-1].received_at.isoformat(), rows[-1].id]
    if rows and (cursor is None or datetime.fromisoformat(cursor[0]) < settled):
        return [settled.isoformat(), ""]
    return cursor


# Telling


def _tell(engine: "Engine", tx: Tx, rule: Rule, plan: SilencePlan, now: datetime) -> bool:
    """Tell the rule of the silences that are long enough; tell whether those were all."""
    due = select(silences).where(silences.c.rule == rule.id, silences.c.due_at <= now)
    rows = tx.conn.execute(due.order_by(silences.c.due_at, silences.c.key).limit(_MOST_TOLD)).all()
    gone, heard = _merged(tx.conn, rule, [row.key for row in rows]) if plan.per == CUSTOMER else (set(), {})
    renewed = {row.key: heard[row.key] for row in rows if heard.get(row.key, row.since) > row.since}
    silent = [row for row in rows if row.key not in gone and row.key not in renewed]
    pictures = _pictures(tx.conn, plan, sorted(row.key for row in silent))
    for some in chunks(row.key for row in rows):
        mine = and_(silences.c.rule == rule.id, silences.c.key.in_(some))
        tx.conn.execute(update(silences).where(mine).values(due_at=None, told_at=now))
    for key, since in renewed.items():
        again = {"since": since, "due_at": plan.due_after(since, engine.zone), "told_at": None}
        tx.conn.execute(update(silences).where(silences.c.rule == rule.id, silences.c.key == key).values(again))
    engine.intake.take(tx, [_event(engine, rule, plan, row, pictures.get(row.key, {})) for row in silent])
    return len(rows) < _MOST_TOLD


def _merged(conn: Connection, rule: Rule, keys: Sequence[str]) -> tuple[set[str], dict[str, datetime]]:
    """Return which customers became another one, and when others were last heard of as one that they took in."""
    gone: set[str] = set()
    heard: dict[str, datetime] = {}
    joined = customer_merges.join(silences, silences.c.key == customer_merges.c.dropped)
    last = select(customer_merges.c.kept, func.max(silences.c.since)).select_from(joined)
    for some in chunks(keys):
        dropped = select(customer_merges.c.dropped).where(customer_merges.c.dropped.in_(some))
        gone |= set(conn.execute(dropped).scalars())
        taken = last.where(silences.c.rule == rule.id, customer_merges.c.kept.in_(some))
        heard |= {row[0]: row[1] for row in conn.execute(taken.group_by(customer_merges.c.kept))}
    return gone, heard


def _event(engine: "Engine", rule: Rule, plan: SilencePlan, row: Any, picture: dict[str, Any]) -> Event:
    silence = {"event": plan.event, "since": row.since.isoformat(), "for": str(rule.trigger.document["for"])}
    if row.key != WHOLE:
        silence["key"] = row.key
    return own_event(
        engine,
        OWN_EVENTS["silence"],
        f"rule:{rule.id}/{row.key}/{row.since.isoformat()}/{row.due_at.isoformat()}",
        {**picture, "rule": rule.name, "silence": silence},
        key=row.key or None,
        customer=row.key if plan.per == CUSTOMER else (picture.get("customer") or {}).get("id"),
    )


def _pictures(conn: Connection, plan: SilencePlan, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what is known of the customers or orders that are silent."""
    if plan.per == CUSTOMER:
        return {key: {"customer": record} for key, record in snapshot_customers(conn, keys).items()}
    return order_data(conn, keys) if plan.per == KEY else {}
