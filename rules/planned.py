"""What the clock holds for one record: when a date trigger or a silence will start its rule, or why it never did."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from core.errors import InvalidInput
from core.shop.lookup import find_customers_by, find_keys
from rules.date_fields import read_date_plan, read_dated
from rules.dates import find_value, next_planned
from rules.rule import Rule
from rules.silence_plan import CUSTOMER, SHOP, read_silence_plan
from rules.silences import WHOLE
from rules.store import LIVE
from rules.tables import silences
from rules.words import say

if TYPE_CHECKING:
    from rules.engine import Engine


def tell_planned(
    engine: "Engine", conn: Connection, rule: Rule, key: str, *, state: str, language: str
) -> dict[str, Any] | None:
    """Return the verdict on a record that a rule of the clock has told of nothing yet; None for other triggers.

    `key` is what a person types: an order's number, a phone, an e-mail, an id.
    """
    if rule.trigger.kind not in ("date", "silence"):
        return None
    if state not in LIVE:
        return _told(rule, "off", say("off", language))
    if rule.trigger.kind == "date":
        return _of_date(engine, conn, rule, key, language)
    return _of_silence(engine, conn, rule, key, language)


def _told(rule: Rule, verdict: str, sentence: str) -> dict[str, Any]:
    return {"rule": rule.name, "version": rule.version, "verdict": verdict, "sentence": sentence}


def _of_date(engine: "Engine", conn: Connection, rule: Rule, key: str, language: str) -> dict[str, Any]:
    plan = read_date_plan(rule.trigger.document)
    ids = find_customers_by(conn, key) if plan.field.noun == "customer" else find_keys(conn, key)
    found = [value for known, value in (find_value(conn, plan.field, ident) for ident in ids) if known]
    if not found:
        return _told(rule, "no_event", say("no_record", language, field=plan.field.path))
    value = next((value for value in found if value is not None), None)
    if value is None:
        return _told(rule, "unknown", say("date_missing", language, field=plan.field.path))
    dated = read_dated(value, engine.zone)
    try:
        if dated is None:
            raise InvalidInput("date", "is no date")
        at, ahead = next_planned(plan, dated, engine.zone, engine.clock.now())
    except InvalidInput:
        return _told(rule, "unknown", say("date_odd", language, field=plan.field.path, value=str(value)[:100]))
    told = {"field": plan.field.path, "value": dated.day.isoformat(), "until": _show(at, engine)}
    return _told(rule, "planned" if ahead else "past", say("date_ahead" if ahead else "date_past", language, **told))


def _of_silence(engine: "Engine", conn: Connection, rule: Rule, key: str, language: str) -> dict[str, Any]:
    plan = read_silence_plan(rule.trigger.document)
    keys = [WHOLE] if plan.per == SHOP else [key, *find_keys(conn, key)]
    keys += find_customers_by(conn, key) if plan.per == CUSTOMER else []
    row = conn.execute(select(silences).where(silences.c.rule == rule.id, silences.c.key.in_(keys)).limit(1)).first()
    if row is None:
        return _told(rule, "no_event", say("silence_unknown", language, event=plan.event))
    told = {"event": plan.event, "since": _show(row.since, engine)}
    if row.due_at is not None:
        told["until"] = _show(row.due_at, engine)
        return _told(rule, "planned", say("silence_ahead", language, **told))
    if row.told_at is not None:
        return _told(rule, "told", say("silence_told", language, **told, at=_show(row.told_at, engine)))
    return _told(rule, "past", say("silence_past", language, **told))


def _show(moment: datetime, engine: "Engine") -> str:
    return moment.astimezone(engine.zone).isoformat(timespec="minutes")
