"""Triggers of a rule's own: schedules, dates of records, silences, a person's hand, another system's call.

Each becomes an event that only this rule hears, so that runs, traces and "why?" work the same for all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from core.errors import Conflict, InvalidInput, NotFound
from core.events import Event, EventType
from core.ids import new_id
from core.schedule import Entry
from core.schemas import compile_schema
from core.shop.snapshots import order_data, snapshot_customers, snapshot_products
from core.tables import schedules
from core.timetable import Missed
from core.writer import Tx
from rules.date_fields import read_date_plan
from rules.dates import date_events, keep_indexes, spec_of
from rules.own_events import own_event
from rules.rule import OWN_EVENTS, Rule
from rules.silences import arm, forget_archived, on_alarm, schedule_id_of
from rules.store import LIVE, get_rule

if TYPE_CHECKING:
    from rules.engine import Engine


def own_event_types() -> list[EventType]:
    """Return the event types that the engine itself brings."""
    titles = {
        OWN_EVENTS["schedule"]: ("A schedule is due", "Zamanı geldi", "Наступило время по расписанию"),
        OWN_EVENTS["webhook"]: ("Another system called", "Başka bir sistem çağırdı", "Вызов другой системы"),
        OWN_EVENTS["form"]: ("Started by hand", "Elle başlatıldı", "Запущено вручную"),
        OWN_EVENTS["date"]: ("A date has come", "Bir tarih geldi", "Наступила дата"),
        OWN_EVENTS["silence"]: ("An event did not come for long", "Bir olay uzun süre gelmedi", "Долго нет события"),
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


# By the clock


def sync_schedules(engine: "Engine", tx: Tx) -> None:
    """Make the stored schedules, alarms and date indexes those of the live rules, no more and no less."""
    stored = select(schedules.c.id).where(schedules.c.owner == "rule")
    running = set(tx.conn.execute(stored).scalars())
    entries = {entry.id: entry for rule in engine.book if (entry := _entry(rule, engine.settings.zone)) is not None}
    silent = {schedule_id_of(rule.id): rule for rule in engine.book if rule.trigger.kind == "silence"}
    for schedule_id in running - entries.keys() - silent.keys():
        engine.scheduler.remove(tx, schedule_id)
    for entry in entries.values():
        engine.scheduler.put(tx, entry)
    for schedule_id, rule in silent.items():
        arm(engine, tx, rule, running=schedule_id in running)
    forget_archived(tx)
    plans = [read_date_plan(rule.trigger.document) for rule in engine.book if rule.trigger.kind == "date"]
    keep_indexes(tx, plans, engine.clock.now())


def _entry(rule: Rule, zone: str) -> Entry | None:
    when = rule.trigger.document
    if rule.trigger.kind == "schedule":
        spec, missed = when["schedule"], Missed(when.get("missed", "last"))
    elif rule.trigger.kind == "date":
        spec, missed = spec_of(read_date_plan(when)), Missed(when.get("missed", "all"))
    else:
        return None
    return Entry(
        id=schedule_id_of(rule.id),
        owner="rule",
        name=rule.name,
        spec=spec,
        zone=when.get("zone", zone),
        missed=missed,
    )


def on_tick(engine: "Engine", tx: Tx, schedule_id: str, planned_at: datetime) -> None:
    """A rule's time has come: tell the rule, look whose date has come, or who has been silent for too long."""
    engine.book.refresh(tx.conn)
    rule = engine.book.matcher.get(schedule_id.removeprefix("rule:"))
    if rule is None:
        return
    if rule.trigger.kind == "date":
        engine.intake.take(tx, date_events(engine, tx.conn, rule, planned_at))
    elif rule.trigger.kind == "silence":
        on_alarm(engine, tx, rule)
    elif rule.trigger.kind == "schedule":
        data = {"rule": rule.name, "planned_at": planned_at.isoformat()}
        ident = f"{schedule_id}/{planned_at.isoformat()}"
        engine.intake.take(tx, [own_event(engine, OWN_EVENTS["schedule"], ident, data)])


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
