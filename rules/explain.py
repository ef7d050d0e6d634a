"""Why did it act, or not: recomputed from the stored event and the version that was live then."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, or_, select

from core.errors import NotFound, RuleError, StorageError, VitrinError
from core.events import Event, find_event, read_event
from core.shop.lookup import find_customers_by, find_keys
from core.tables import events
from core.writer import Tx
from rules.intake import event_picture
from rules.planned import tell_planned
from rules.port import EnginePort
from rules.rule import Rule
from rules.run import Run
from rules.runs import list_runs
from rules.store import LIVE, get_rule, list_rules, live_at
from rules.verdict import judge
from rules.words import find_culprit, say, say_row

if TYPE_CHECKING:
    from rules.engine import Engine


def verdicts(engine: "Engine", conn: Connection, event_id: str, *, language: str = "en") -> list[dict[str, Any]]:
    """Return what every rule that could hear this event made of it."""
    event = find_event(conn, event_id)
    if event is None:
        raise NotFound(f"no event {event_id!r}")
    found = []
    for row in list_rules(conn, archived=True):
        state, number = live_at(conn, row.id, event.received_at)
        if number is None:
            continue
        rule = _version(engine, conn, row.id, number)
        if rule is not None and rule.hears(event.type, event.data):
            found.append(_verdict(engine, conn, rule, event, state=state, language=language))
    return found


def why(
    engine: "Engine",
    conn: Connection,
    rule_name: str,
    *,
    event_id: str | None = None,
    key: str | None = None,
    language: str = "en",
) -> dict[str, Any]:
    """Return one sentence, with expected and actual, on why a rule acted or did not for an event or an order."""
    row = get_rule(conn, rule_name)
    event = _choose_event(engine, conn, row.id, event_id, key)
    planned = _planned(engine, conn, row, event, key=None if event_id else key, language=language)
    if planned is not None:
        return planned
    if event is None:
        return {"rule": row.name, "verdict": "no_event", "sentence": say("no_event", language)}
    state, number = live_at(conn, row.id, event.received_at)
    rule = _version(engine, conn, row.id, number) if number is not None else None
    if rule is None:
        return _told(row.name, number, event, "off", say("off", language))
    if not rule.hears(event.type, event.data):
        return _told(row.name, number, event, "other_event", say("other_event", language, event=event.type))
    return _verdict(engine, conn, rule, event, state=state, language=language)


def _planned(
    engine: "Engine", conn: Connection, row: Row[Any], event: Event | None, *, key: str | None, language: str
) -> dict[str, Any] | None:
    """Return what the clock holds for the record, where the rule was told of nothing there yet."""
    rule = None if key is None or row.version is None else _version(engine, conn, row.id, row.version)
    if rule is None or key is None or (event is not None and rule.hears(event.type, event.data)):
        return None
    return tell_planned(engine, conn, rule, key, state=row.state, language=language)


def near_misses(engine: "Engine", conn: Connection, rule_name: str, *, limit: int = 20) -> list[dict[str, Any]]:
    """Return the newest events that this rule heard without acting, each with the condition that stopped it."""
    row = get_rule(conn, rule_name)
    if row.version is None:
        return []
    rule = engine.book.version(conn, row.id, row.version)
    query = select(events).where(events.c.type.in_(rule.trigger.types)).order_by(events.c.received_at.desc())
    missed = []
    for found in conn.execute(query.limit(limit * 20)):
        event = read_event(found)
        if not rule.hears(event.type, event.data):
            continue
        verdict = _verdict(engine, conn, rule, event, state="on", language="en")
        if verdict["verdict"] in ("stopped", "unknown") and "run" not in verdict:
            missed.append(verdict)
        if len(missed) >= limit:
            break
    return missed


def _version(engine: "Engine", conn: Connection, rule_id: str, number: int) -> Rule | None:
    try:
        return engine.book.version(conn, rule_id, number)
    except RuleError:
        return None


def _choose_event(
    engine: "Engine", conn: Connection, rule_id: str, event_id: str | None, key: str | None
) -> Event | None:
    """Return the named event, or the newest of this order, SKU or customer that the rule hears, or just the newest."""
    if event_id is not None:
        event = find_event(conn, event_id)
        if event is None:
            raise NotFound(f"no event {event_id!r}")
        return event
    if key is None:
        raise NotFound("name an event or an order")
    about = or_(events.c.key.in_(find_keys(conn, key)), events.c.customer.in_(find_customers_by(conn, key)))
    query = select(events).where(about).order_by(events.c.received_at.desc()).limit(200)
    found = [read_event(row) for row in conn.execute(query)]
    for event in found:
        _, number = live_at(conn, rule_id, event.received_at)
        rule = _version(engine, conn, rule_id, number) if number is not None else None
        if rule is not None and rule.hears(event.type, event.data):
            return event
    return found[0] if found else None


def _verdict(
    engine: "Engine", conn: Connection, rule: Rule, event: Event, *, state: str, language: str
) -> dict[str, Any]:
    run = next(iter(list_runs(conn, limit=1, rule=rule.name, event=event.id)), None)
    if run is not None:
        return _of_run(rule, event, run, language)
    if state not in LIVE:
        return _told(rule.name, rule.version, event, "off", say("off", language))
    if event.depth > engine.settings.depth_limit:
        return _told(rule.name, rule.version, event, "stopped", say("too_deep", language, depth=event.depth))
    try:
        verdict, told = explain_condition(engine, conn, rule, event)
    except StorageError:
        raise
    except VitrinError as exc:
        # What a plugin or the rule gets wrong ends a run of it, and says nothing of the other rules.
        return _told(rule.name, rule.version, event, "failed", say("failed", language, reason=exc.message))
    if verdict is True:
        return _told(rule.name, rule.version, event, "holds", say("holds", language), told=told)
    word = "stopped" if verdict is False else "unknown"
    culprit = find_culprit(told)
    sentence = say(word, language, row=say_row(culprit, language) if culprit else "")
    return _told(rule.name, rule.version, event, word, sentence, told=told)


def _of_run(rule: Rule, event: Event, run: dict[str, Any], language: str) -> dict[str, Any]:
    word = run["outcome"]
    name = "run_stopped" if word in ("stopped", "unknown") else word
    if word == "waiting" and not run["due_at"]:
        name = "waiting_turn"
    elif word == "waiting" and run["reason"]:
        name = "waiting_for"
    until = run["due_at"].isoformat(timespec="minutes") if run["due_at"] else ""
    sentence = say(name, language, reason=run["reason"] or "", until=until)
    return {**_told(rule.name, run["version"], event, word, sentence), "run": run["id"]}


def _told(
    name: str, version: int | None, event: Event, verdict: str, sentence: str, *, told: dict[str, Any] | None = None
) -> dict[str, Any]:
    answer = {"rule": name, "version": version, "event": event.id, "verdict": verdict, "sentence": sentence}
    return {**answer, "condition": told} if told else answer


def explain_condition(
    engine: "Engine", conn: Connection, rule: Rule, event: Event
) -> tuple[bool | None, dict[str, Any]]:
    """Evaluate a rule's condition on a stored event, as of the moment it was taken in; reads only."""
    port = EnginePort(Tx(conn), engine.invoker, engine.intake, engine.clock, None)
    run = Run(id="", rule=rule, event=event, key=event.key, at=event.received_at)
    data = event_picture(event, event.received_at.astimezone(engine.zone), port.shop)
    verdict = judge(rule.condition, run, port, data)
    return verdict, rule.condition.explain(data)
