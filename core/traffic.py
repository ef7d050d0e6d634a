"""The exchange log as lists show it: narrowed, by keyset, one exchange whole."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from core.errors import NotFound
from core.tables import exchanges

DIRECTIONS = ("in", "out")
RESULTS = ("ok", "failed")
_FAILED = or_(exchanges.c.error.is_not(None), func.coalesce(exchanges.c.status, 0) >= 400)
_LISTED = [column for column in exchanges.c if column.name not in ("request", "response")]


def page_exchanges(
    conn: Connection,
    *,
    plugin: str | None = None,
    direction: str | None = None,
    result: str | None = None,
    limit: int,
    before: tuple[datetime, str] | None = None,
) -> list[dict[str, Any]]:
    """Return exchanges without their bodies, the newest first; `before` is time and id of the last one seen."""
    query = select(*_LISTED).order_by(exchanges.c.at.desc(), exchanges.c.id.desc())
    if plugin is not None:
        query = query.where(exchanges.c.plugin == plugin)
    if direction is not None:
        query = query.where(exchanges.c.direction == direction)
    if result is not None:
        query = query.where(_FAILED if result == "failed" else ~_FAILED)
    if before is not None:
        at, last = before
        query = query.where(or_(exchanges.c.at < at, and_(exchanges.c.at == at, exchanges.c.id < last)))
    return [_told(row._mapping) for row in conn.execute(query.limit(limit))]


def get_exchange(conn: Connection, exchange_id: str) -> dict[str, Any]:
    """Return one exchange with its bodies, as they were kept: masked and cut."""
    row = conn.execute(select(exchanges).where(exchanges.c.id == exchange_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such exchange; it may be past its retention")
    return _told(row._mapping)


def list_systems(conn: Connection) -> list[str]:
    """Return the plugins that have exchanges in the log."""
    return list(conn.execute(select(exchanges.c.plugin).distinct().order_by(exchanges.c.plugin)).scalars())


def _told(row: Any) -> dict[str, Any]:
    told = {str(name): value for name, value in row.items()}
    return {**told, "failed": told["error"] is not None or (told["status"] or 0) >= 400}
