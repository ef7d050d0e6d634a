"""The exchange log: every call to an outside system and every webhook, masked, kept for some days."""

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, delete, insert, select

from core.clock import Clock
from core.errors import VitrinError
from core.http import Call
from core.ids import new_id
from core.tables import exchanges
from core.writer import Tx, Writer

log = structlog.get_logger("vitrin.exchanges")


class ExchangeLog:
    """Records calls without holding them up; a log that cannot be written is told, never the caller's trouble."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    def record(self, call: Call) -> None:
        row = {
            "id": new_id(),
            "at": self._clock.now(),
            "plugin": call.plugin,
            "account": call.account,
            "direction": "out",
            "method": call.method,
            "url": call.url,
            "status": call.status,
            "error": call.error,
            "millis": round(call.seconds * 1000),
            "request": call.request_body,
            "response": call.response_body,
        }
        try:
            self._writer.submit(lambda tx: tx.conn.execute(insert(exchanges).values(**row)))
        except VitrinError as exc:
            log.warning("an exchange was not logged", error=exc.message)


def list_exchanges(conn: Connection, *, plugin: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest exchanges."""
    query = select(exchanges).order_by(exchanges.c.at.desc(), exchanges.c.id.desc()).limit(limit)
    if plugin is not None:
        query = query.where(exchanges.c.plugin == plugin)
    return [dict(row._mapping) for row in conn.execute(query)]


def forget_exchanges(tx: Tx, before: datetime) -> int:
    """Delete exchanges older than a moment; return how many."""
    return tx.conn.execute(delete(exchanges).where(exchanges.c.at < before)).rowcount
