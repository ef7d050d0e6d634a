"""Pages of the big tables, by keyset: the newest first, from the row after which the page before ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select

from core.tables import effects, events

#: What lists may be filtered by: nothing else ever reaches a query.
EVENT_FILTERS = ("type", "source", "key", "customer", "external_id", "cause")
EFFECT_FILTERS = ("object", "rule", "run", "event", "customer", "kind", "state", "plugin")


def list_events(
    conn: Connection, where: Mapping[str, str | None], *, limit: int, before: str | None = None
) -> list[dict[str, Any]]:
    """Return events without their data, the newest first."""
    query = select(*(column for column in events.c if column.name != "data")).order_by(events.c.id.desc())
    for name in EVENT_FILTERS:
        if where.get(name) is not None:
            query = query.where(events.c[name] == where[name])
    if before is not None:
        query = query.where(events.c.id < before)
    return [_plain(row) for row in conn.execute(query.limit(limit))]


def find_event_ids(conn: Connection, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return our ids of the events that came with these sources and external ids."""
    found: dict[tuple[str, str], str] = {}
    for source in {source for source, _ in pairs}:
        wanted = [external for other, external in pairs if other == source]
        query = select(events.c.id, events.c.external_id).where(events.c.source == source)
        for row in conn.execute(query.where(events.c.external_id.in_(wanted))):
            found[source, row.external_id] = row.id
    return found


def page_effects(
    conn: Connection,
    where: Mapping[str, str | None],
    *,
    limit: int,
    before: tuple[datetime, str] | None = None,
) -> list[dict[str, Any]]:
    """Return rows of the ledger, the newest first; `before` is time and id of the last row of the page before."""
    query = select(effects).order_by(effects.c.at.desc(), effects.c.id.desc())
    for name in EFFECT_FILTERS:
        if where.get(name) is not None:
            query = query.where(effects.c[name] == where[name])
    if before is not None:
        at, effect_id = before
        query = query.where(or_(effects.c.at < at, and_(effects.c.at == at, effects.c.id < effect_id)))
    return [_plain(row) for row in conn.execute(query.limit(limit))]


def _plain(row: Row[Any]) -> dict[str, Any]:
    """Return a row under plain names: those of columns that SQL would quote are no plain text."""
    return {str(name): value for name, value in row._mapping.items()}
