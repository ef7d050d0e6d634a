"""How each outside system is doing: what went in and out today, and whether it is silent longer than usual."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from core.tables import exchanges

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
#: Silence is told when it is so many times the usual distance, and at least half an hour.
_TIMES, _LEAST = 6, timedelta(minutes=30)
#: Fewer calls in a week than this have no rhythm.
_RHYTHM = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection24h:
    """One plugin's traffic in the last 24 hours, against its week."""

    plugin: str
    inward: int
    outward: int
    failed: int
    last_at: datetime
    #: The usual distance between two calls; None where there are too few.
    usual: timedelta | None
    silent: bool

    @property
    def state(self) -> str:
        """Return ok, slow (some calls fail) or silent."""
        if self.silent:
            return "silent"
        return "slow" if self.failed else "ok"


def read_connections(conn: Connection, now: datetime) -> list[Connection24h]:
    """Return every system that was spoken with in the last week, by name."""
    today = exchanges.c.at >= now - _DAY
    failed = today & (exchanges.c.error.is_not(None) | (exchanges.c.status >= 400))
    query = (
        select(
            exchanges.c.plugin,
            func.count().label("week"),
            _count(today & (exchanges.c.direction == "in")).label("inward"),
            _count(today & (exchanges.c.direction == "out")).label("outward"),
            _count(failed).label("failed"),
            func.max(exchanges.c.at).label("last_at"),
        )
        .where(exchanges.c.at >= now - _WEEK)
        .group_by(exchanges.c.plugin)
        .order_by(exchanges.c.plugin)
    )
    return [_told(row, now) for row in conn.execute(query)]


def _told(row: Any, now: datetime) -> Connection24h:
    usual = _WEEK / row.week if row.week >= _RHYTHM else None
    silent = usual is not None and now - row.last_at > max(usual * _TIMES, _LEAST)
    return Connection24h(
        plugin=row.plugin,
        inward=row.inward,
        outward=row.outward,
        failed=row.failed,
        last_at=row.last_at,
        usual=usual,
        silent=silent,
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
