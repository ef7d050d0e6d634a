"""Runs as people see them: lists, one with its trace, and what a person may do with it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from core.audit import Entry, record
from core.crash import crash_point
from core.effects import list_effects
from core.errors import Conflict, InvalidInput, NotFound
from core.ids import new_id
from core.tables import effects
from core.writer import Tx
from rules.intake import cancel_runs
from rules.tables import rules, runs, traces, waits

OUTCOMES = ("acted", "stopped", "unknown", "waiting", "held", "skipped", "failed", "cancelled")


def list_runs(
    conn: Connection, *, limit: int = 50, before: str | None = None, **where: str | None
) -> list[dict[str, Any]]:
    """Return runs, the newest first; `before` is the id of the last run of the page before.

    `where` may name rule (its name), outcome, key, customer, event.
    """
    query = select(runs, rules.c.name.label("rule_name")).join(rules, rules.c.id == runs.c.rule)
    for name, value in where.items():
        if value is None:
            continue
        if name not in ("rule", "outcome", "status", "key", "customer", "event"):
            raise InvalidInput(name, "runs cannot be filtered by this")
        if name == "rule":
            query = query.where(rules.c.name == value)
        elif name == "outcome" and value == "waiting":
            query = query.where(or_(runs.c.outcome == value, runs.c.outcome.is_(None)))
        else:
            query = query.where(runs.c[name] == value)
    if before is not None:
        query = query.where(runs.c.id < before)
    return [_show(row) for row in conn.execute(query.order_by(runs.c.id.desc()).limit(limit))]


def find_run(conn: Connection, run_id: str) -> Row[Any] | None:
    query = select(runs, rules.c.name.label("rule_name")).join(rules, rules.c.id == runs.c.rule)
    return conn.execute(query.where(runs.c.id == run_id)).one_or_none()


def get_run(conn: Connection, run_id: str) -> dict[str, Any]:
    """Return one run with its trace and effects; raise NotFound."""
    row = find_run(conn, run_id)
    if row is None:
        raise NotFound(f"no run {run_id!r}")
    lines = conn.execute(select(traces.c.lines).where(traces.c.run == run_id).order_by(traces.c.number)).scalars()
    told = [dict(effect._mapping) for effect in list_effects(conn, run=run_id)]
    return {**_show(row), "trace": [line for part in lines for line in part], "effects": told[::-1]}


def _show(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "rule": row.rule_name,
        "version": row.version,
        "event": row.event,
        "key": row.key,
        "customer": row.customer,
        "status": row.status,
        "outcome": row.outcome or "waiting",
        "reason": row.reason,
        "watching": row.watching,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "due_at": row.due_at if row.status == "waiting" else None,
        "attempts": row.attempts,
    }


def count_outcomes(conn: Connection) -> dict[str, dict[str, int]]:
    """Return the number of runs by rule and outcome; a run that has just begun counts as waiting."""
    query = select(rules.c.name, runs.c.outcome, func.count()).join(rules, rules.c.id == runs.c.rule)
    counts: dict[str, dict[str, int]] = {}
    for name, outcome, count in conn.execute(query.group_by(rules.c.name, runs.c.outcome)):
        of_rule = counts.setdefault(name, {})
        of_rule[outcome or "waiting"] = of_rule.get(outcome or "waiting", 0) + count
    return counts


# What a person may do


def retry_run(tx: Tx, run_id: str, *, where: str = "failed", version: str = "same", actor: str, now: datetime) -> str:
    """Let a finished run go again and return its id: the same run from its failed step, or a new one from the start.

    What the old run delivered is not repeated from the failed step on; from the start it is a new firing.
    """
    if where not in ("failed", "start") or version not in ("same", "newest"):
        raise InvalidInput("where", "must be failed or start, with version same or newest")
    row = _finished(tx.conn, run_id)
    record(tx, Entry(actor=actor, action="run.retried", object=f"run:{run_id}", after={"where": where}), now)
    crash_point("run.retry")
    if where == "start":
        return _start_again(tx, row, version, now)
    if version == "newest":
        raise Conflict("a failed step can only go on in the version it failed in; retry from the start instead")
    if row.outcome != "failed":
        raise Conflict(f"the run did not fail ({row.outcome}); retry it from the start instead")
    _forget_failure(tx.conn, row)
    ready = {"status": "ready", "outcome": None, "reason": None, "due_at": now, "attempts": 0, "finished_at": None}
    # Where the other side has refused the last try, the next one repeats nothing.
    kept = {name: value for name, value in row.vars.items() if name not in ("failed_at", "failed_key")}
    state = {"cursor": row.vars.get("failed_at", row.cursor), "vars": {"answered": True, **kept}}
    tx.conn.execute(update(runs).where(runs.c.id == run_id).values(**ready, **state))
    return run_id


def _finished(conn: Connection, run_id: str) -> Row[Any]:
    row = find_run(conn, run_id)
    if row is None:
        raise NotFound(f"no run {run_id!r}")
    if row.status != "done":
        raise Conflict(f"the run is still {row.status}; cancel it first, or wait for it to end")
    return row


def _forget_failure(conn: Connection, row: Row[Any]) -> None:
    """Take the failed effect's row out of the way: its key is used again by the new try."""
    key = row.vars.get("failed_key")
    failed = update(effects).where(effects.c.idempotency_key == key, effects.c.state == "failed")
    conn.execute(failed.values(state="started"))


def _start_again(tx: Tx, row: Row[Any], version: str, now: datetime) -> str:
    number = row.version
    if version == "newest":
        number = tx.conn.execute(select(rules.c.version).where(rules.c.id == row.rule)).scalar_one() or number
    run_id = new_id()
    fresh = {
        **row._mapping,
        "id": run_id,
        "version": number,
        "status": "ready",
        "outcome": None,
        "reason": None,
        "cursor": 0,
        "vars": {"again": row.id},
        "at": now,
        "due_at": now,
        "attempts": 0,
        "acted": 0,
        "owner": None,
        "fence": 0,
        "started_at": now,
        "finished_at": None,
    }
    fresh.pop("rule_name")
    tx.conn.execute(insert(runs).values(**fresh))
    return run_id


def cancel_run(tx: Tx, run_id: str, *, actor: str, now: datetime, reason: str | None = None) -> None:
    """End an open run; a call that is under way is not recalled, but the run takes no further step."""
    row = find_run(tx.conn, run_id)
    if row is None:
        raise NotFound(f"no run {run_id!r}")
    if row.status == "done":
        raise Conflict("the run has ended already")
    cancel_runs(tx.conn, [run_id], reason or f"cancelled by {actor}", now)
    record(tx, Entry(actor=actor, action="run.cancelled", object=f"run:{run_id}", after={"reason": reason}), now)


def cancel_waiting(tx: Tx, rule_id: str, *, actor: str, now: datetime, reason: str) -> int:
    """End every open run of a rule: "stop all" when it is switched off."""
    open_runs = select(runs.c.id).where(runs.c.rule == rule_id, runs.c.finished_at.is_(None))
    ids = list(tx.conn.execute(open_runs).scalars())
    cancel_runs(tx.conn, ids, reason, now)
    record(
        tx, Entry(actor=actor, action="rule.runs_cancelled", object=f"rule:{rule_id}", after={"count": len(ids)}), now
    )
    return len(ids)


def release_run(tx: Tx, run_id: str, *, actor: str, now: datetime) -> None:
    """Let a waiting run go on at once, as if its time had come."""
    row = find_run(tx.conn, run_id)
    if row is None:
        raise NotFound(f"no run {run_id!r}")
    if row.status != "waiting":
        raise Conflict(f"the run is {row.status}, not waiting")
    values: dict[str, Any] = {"due_at": now}
    if row.vars.get("until"):
        values["vars"] = {**row.vars, "until": now.isoformat()}
    tx.conn.execute(update(waits).where(waits.c.run == run_id).values(until=now))
    tx.conn.execute(update(runs).where(runs.c.id == run_id).values(**values))
    record(tx, Entry(actor=actor, action="run.released", object=f"run:{run_id}"), now)


def decide(tx: Tx, run_id: str, *, approve: bool, actor: str, now: datetime) -> None:
    """Approve or refuse what a run holds; refused effects are skipped and the run goes on."""
    row = find_run(tx.conn, run_id)
    if row is None:
        raise NotFound(f"no run {run_id!r}")
    if row.status != "held":
        raise Conflict(f"the run holds nothing: it is {row.status}")
    held = (effects.c.run == run_id, effects.c.state.in_(("held", "unclear")))
    keys = list(tx.conn.execute(select(effects.c.idempotency_key).where(*held)).scalars())
    if approve:
        # The run writes the effect's row anew when it acts.
        tx.conn.execute(delete(effects).where(effects.c.run == run_id, effects.c.state == "held"))
        tx.conn.execute(update(effects).where(*held).values(state="started", reason=f"approved by {actor}"))
    else:
        refused = {"state": "skipped", "reason": f"refused by {actor}"}
        tx.conn.execute(update(effects).where(*held).values(**refused))
    word = {"approved" if approve else "refused": keys[0] if keys else "all"}
    again = {"status": "ready", "due_at": now, "vars": {**row.vars, **word}}
    tx.conn.execute(update(runs).where(runs.c.id == run_id).values(**again))
    action = "run.approved" if approve else "run.refused"
    record(tx, Entry(actor=actor, action=action, object=f"run:{run_id}", after={"effects": keys}), now)


def overdue(conn: Connection, now: datetime) -> list[dict[str, Any]]:
    """Return how many runs are due and since when, by rule: the queue's lag."""
    query = (
        select(runs.c.rule, func.count().label("count"), func.min(runs.c.due_at).label("oldest"))
        .where(runs.c.due_at <= now, or_(runs.c.status == "ready", runs.c.status == "waiting"))
        .group_by(runs.c.rule)
    )
    return [dict(row._mapping) for row in conn.execute(query)]
