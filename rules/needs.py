"""What waits for a person: held effects, failures grouped by their cause, paused rules, plugins in trouble."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, and_, func, select

from core.connections import read_connections
from rules.tables import rules, runs

if TYPE_CHECKING:
    from rules.engine import Engine

_RECENT = timedelta(days=1)
_MOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that somebody should look at."""

    #: held, failed, paused, plugin, silent
    kind: str
    #: The rule or plugin it is about.
    about: str
    count: int = 1
    reason: str = ""
    since: datetime | None = None


def read_needs(engine: "Engine", conn: Connection, now: datetime) -> list[Need]:
    """Return what waits for a person, the gravest first; one cause is one row, with its count."""
    return [
        *_plugins(engine),
        *_silent(conn, now),
        *_paused(conn),
        *_held(conn),
        *_failed(conn, now),
    ]


def _plugins(engine: "Engine") -> Iterator[Need]:
    for plugin in engine.host:
        reason = plugin.quarantine or plugin.trouble
        if reason:
            yield Need(kind="plugin", about=plugin.name, reason=reason)


def _silent(conn: Connection, now: datetime) -> Iterator[Need]:
    for found in read_connections(conn, now):
        if found.silent:
            yield Need(kind="silent", about=found.plugin, since=found.last_at)


def _paused(conn: Connection) -> Iterator[Need]:
    paused = select(rules.c.name, rules.c.state_reason, rules.c.changed_at).where(
        rules.c.state == "paused", rules.c.archived_at.is_(None)
    )
    for row in conn.execute(paused.order_by(rules.c.changed_at.desc()).limit(_MOST)):
        yield Need(kind="paused", about=row.name, reason=row.state_reason or "", since=row.changed_at)


def _held(conn: Connection) -> Iterator[Need]:
    query = (
        select(rules.c.name, func.count().label("count"), func.min(runs.c.started_at).label("since"))
        .select_from(runs.join(rules, rules.c.id == runs.c.rule))
        .where(runs.c.status == "held", runs.c.finished_at.is_(None))
        .group_by(rules.c.name)
        .order_by(func.count().desc(), rules.c.name)
    )
    for row in conn.execute(query.limit(_MOST)):
        yield Need(kind="held", about=row.name, count=row._mapping["count"], since=row.since)


def _failed(conn: Connection, now: datetime) -> Iterator[Need]:
    query = (
        select(rules.c.name, runs.c.reason, func.count().label("count"), func.min(runs.c.started_at).label("since"))
        .select_from(rules.join(runs, and_(runs.c.rule == rules.c.id, runs.c.started_at >= now - _RECENT)))
        .where(runs.c.outcome == "failed")
        .group_by(rules.c.name, runs.c.reason)
        .order_by(func.count().desc(), rules.c.name)
    )
    for row in conn.execute(query.limit(_MOST)):
        yield Need(kind="failed", about=row.name, count=row._mapping["count"], reason=row.reason or "", since=row.since)


def count_held(conn: Connection) -> int:
    """Return how many runs wait for somebody to decide."""
    return conn.scalar(select(func.count()).where(runs.c.finished_at.is_(None), runs.c.status == "held")) or 0


def count_paused(conn: Connection) -> int:
    """Return how many rules paused by themselves."""
    return conn.scalar(select(func.count()).where(rules.c.state == "paused", rules.c.archived_at.is_(None))) or 0
