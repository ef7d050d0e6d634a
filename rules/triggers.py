"""Triggers of a rule's own: schedules, dates of records, a person's hand, another system's call.

Each becomes an event that only this rule hears, so that runs, traces and "why?" work the same for all.
"""

from calendar import isleap
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Column, Connection, or_, select

from core.durations import Duration, add, at_local
from core.errors import Conflict, InvalidInput, NotFound
from core.events import Event, EventType
from core.ids import new_id
from core.schedule import Entry
from core.schemas import compile_schema
from core.shop.snapshots import order_data, snapshot_customers, snapshot_products
from core.shop.tables import customers, orders
from core.tables import schedules
from core.timetable import Missed
from core.writer import Tx
from rules.rule import DATES, OWN_EVENTS, Rule
from rules.steps import duration_at
from rules.store import LIVE, get_rule

if TYPE_CHECKING:
    from rules.engine import Engine

SOURCE = "vitrin/rules"
_COLUMNS: dict[str, Column[Any]] = {
    "customer.birthday": customers.c.birthday,
    "customer.created_at": customers.c.created_at,
    "order.created_at": orders.c.created_at,
    "order.status_at": orders.c.status_at,
}


def own_event_types() -> list[EventType]:
    """Return the event types that the engine itself brings."""
    titles = {
        OWN_EVENTS["schedule"]: ("A schedule is due", "Zamanı geldi", "Наступило время по расписанию"),
        OWN_EVENTS["webhook"]: ("Another system called", "Başka bir sistem çağırdı", "Вызов другой системы"),
        OWN_EVENTS["form"]: ("Started by hand", "Elle başlatıldı", "Запущено вручную"),
        OWN_EVENTS["date"]: ("A date has come", "Bir tarih geldi", "Наступила дата"),
        "rule.called": ("Called by another rule", "Başka bir kural çağırdı", "Вызвано другим правилом"),
        "run.failed": ("A run failed", "Bir çalışma başarısız oldu", "Запуск завершился ошибкой"),
    }
    schema = {"type": "object", "required": ["rule"], "properties": {"rule": {"type": "string", "title": "Rule"}}}
    return [
        EventType(
            name=name,
            title=dict(zip(("en", "tr", "ru"), words, strict=True)),
            schema=schema,
            sample={"rule": "example"},
            plugin="engine",
            checker=compile_schema(schema),
        )
        for name, words in titles.items()
    ]


# Schedules and dates


def sync_schedules(engine: "Engine", tx: Tx) -> None:
    """Make the stored schedules those of the live rules, no more and no less."""
    wanted = {entry.id: entry for rule in engine.book if (entry := _entry(rule, engine.settings.zone)) is not None}
    stored = select(schedules.c.id).where(schedules.c.owner == "rule")
    for schedule_id in set(tx.conn.execute(stored).scalars()) - wanted.keys():
        engine.scheduler.remove(tx, schedule_id)
    for entry in wanted.values():
        engine.scheduler.put(tx, entry)


def _entry(rule: Rule, zone: str) -> Entry | None:
    when = rule.trigger.document
    if rule.trigger.kind == "schedule":
        missed = Missed(when.get("missed", "last"))
        return Entry(
            id=f"rule:{rule.id}",
            owner="rule",
            name=rule.name,
            spec=when["schedule"],
            zone=when.get("zone", zone),
            missed=missed,
        )
    if rule.trigger.kind == "date":
        spec = f"every day at {when.get('at', '09:00')}"
        return Entry(id=f"rule:{rule.id}", owner="rule", name=rule.name, spec=spec, zone=zone, missed=Missed.ALL)
    return None


def on_tick(engine: "Engine", tx: Tx, schedule_id: str, planned_at: datetime) -> None:
    """A rule's schedule is due: tell the rule, or look whose date has come."""
    engine.book.refresh(tx.conn)
    rule = engine.book.matcher.get(schedule_id.removeprefix("rule:"))
    if rule is None:
        return
    if rule.trigger.kind == "date":
        engine.intake.take(tx, _date_events(engine, tx.conn, rule, planned_at))
        return
    data = {"rule": rule.name, "planned_at": planned_at.isoformat()}
    ident = f"{schedule_id}/{planned_at.isoformat()}"
    engine.intake.take(tx, [own_event(engine, OWN_EVENTS["schedule"], ident, data)])


def own_event(
    engine: "Engine",
    type: str,
    ident: str,
    data: dict[str, Any],
    *,
    key: str | None = None,
    customer: str | None = None,
) -> Event:
    """Return an event of the engine's own."""
    now = engine.clock.now()
    return Event(
        id=new_id(),
        source=SOURCE,
        external_id=ident,
        type=type,
        time=now,
        received_at=now,
        key=key,
        customer=customer,
        data=data,
    )


def _date_events(engine: "Engine", conn: Connection, rule: Rule, planned_at: datetime) -> list[Event]:
    when = rule.trigger.document
    field = when["date"]
    offset = duration_at(when.get("offset"), "when.offset", signed=True) or Duration()
    today = planned_at.astimezone(engine.zone).date()
    noun = field.split(".")[0]
    ids = sorted({ident for day in _days_before(today, offset) for ident in _records_at(engine, conn, field, day)})
    found = (
        order_data(conn, ids)
        if noun == "order"
        else {ident: {"customer": customer} for ident, customer in snapshot_customers(conn, ids).items()}
    )
    events = []
    for ident, data in found.items():
        customer = data.get("customer", {}).get("id")
        told = {**data, "rule": rule.name, "date": {"field": field, "day": today.isoformat()}}
        event_id = f"rule:{rule.id}/{ident}/{today}"
        events.append(own_event(engine, OWN_EVENTS["date"], event_id, told, key=ident, customer=customer))
    return events


def _days_before(today: date, offset: Duration) -> list[date]:
    """Return the days whose date, moved by the offset, is today: several (or none) at the ends of months."""

    def moved(day: date, by: Duration) -> date:
        return add(datetime.combine(day, time(12), UTC), by, ZoneInfo("UTC")).date()

    middle = moved(today, -offset)
    around = (middle + timedelta(days=shift) for shift in range(-3, 4))
    return [day for day in around if moved(day, offset) == today]


def _records_at(engine: "Engine", conn: Connection, field: str, day: date) -> list[str]:
    column = _COLUMNS[field]
    table = column.table
    if DATES[field]:
        ends = [column.like(f"%-{day:%m-%d}")]
        if (day.month, day.day) == (2, 28) and not isleap(day.year):
            ends.append(column.like("%-02-29"))
        condition = or_(*ends)
    else:
        start = at_local(datetime.combine(day, time.min), engine.zone)
        end = at_local(datetime.combine(day + timedelta(days=1), time.min), engine.zone)
        condition = (column >= start) & (column < end)
    return list(conn.execute(select(table.c.id).where(condition).order_by(table.c.id)).scalars())


# By hand


def start_by_hand(
    engine: "Engine", tx: Tx, rule_name: str, form: Mapping[str, Any], records: Sequence[str], *, actor: str
) -> list[Event]:
    """Start a rule with a filled-in form, once or for each record; raise where the form or a record is wrong."""
    row = get_rule(tx.conn, rule_name)
    if row.state not in LIVE or row.version is None:
        raise Conflict(f"rule {row.name} is {row.state}: switch it on first")
    rule = engine.book.version(tx.conn, row.id, row.version)
    if rule.trigger.kind != "form":
        raise Conflict(f"rule {row.name} is not started by hand but by {', '.join(rule.trigger.types)}")
    compile_schema(dict(rule.trigger.document["form"])).check(dict(form), path="form")
    noun = rule.trigger.document.get("on", "nothing")
    if (noun == "nothing") == bool(records):
        raise InvalidInput("records", "names no records" if records else f"needs the ids of the {noun}s to start with")
    started = []
    for data, key, customer in _records(tx.conn, noun, records):
        told = {**data, "rule": row.name, "form": dict(form), "actor": actor}
        started.append(own_event(engine, OWN_EVENTS["form"], new_id(), told, key=key, customer=customer))
    engine.intake.take(tx, started)
    return started


def _records(conn: Connection, noun: str, ids: Sequence[str]) -> list[tuple[dict[str, Any], str | None, str | None]]:
    if noun == "nothing":
        return [({}, None, None)]
    if noun == "order":
        found = order_data(conn, ids)
    else:
        read = snapshot_customers if noun == "customer" else snapshot_products
        found = {ident: {noun: record} for ident, record in read(conn, ids).items()}
    lost = [ident for ident in ids if ident not in found]
    if lost:
        raise NotFound(f"no {noun} {lost[0]!r}")
    return [(found[ident], ident, (found[ident].get("customer") or {}).get("id")) for ident in ids]
