"""What rules did lately, for lists and charts: counted by indexes, a whole shop in a few queries."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, case, func, select, type_coerce

from core.db import to_micros
from rules.tables import rules, runs

DAYS = 7
_HOUR = timedelta(hours=1)
#: What charts tell apart; other outcomes count as stopped.
ACTED, FAILED, STOPPED = "acted", "failed", "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What one rule did in the last seven days of the shop's calendar, today last."""

    #: Runs that acted, by day.
    days: tuple[int, ...] = (0,) * DAYS
    failed: int = 0
    #: Runs of any outcome, today.
    today: int = 0
    #: When it last started a run, and when it last acted, within these days.
    seen_at: datetime | None = None
    acted_at: datetime | None = None
    #: People or records that wait in one of its steps.
    waiting: int = 0
    held: int = 0

    @property
    def acted_today(self) -> int:
        return self.days[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """The runs that began in one hour."""

    begins: datetime
    acted: int
    stopped: int
    failed: int

    @property
    def total(self) -> int:
        return self.acted + self.stopped + self.failed


def day_starts(now: datetime, zone: ZoneInfo, days: int = DAYS) -> list[datetime]:
    """Return when each of the last days began in the shop's zone, today's last."""
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return [today - timedelta(days=days - 1 - number) for number in range(days)]


def read_activity(conn: Connection, now: datetime, zone: ZoneInfo) -> dict[str, Activity]:
    """Return the activity of every rule that did anything in these days, by the rule's id."""
    starts = day_starts(now, zone)
    day = case(*((runs.c.started_at >= start, number) for number, start in reversed(list(enumerate(starts)))))
    query = (
        select(
            runs.c.rule,
            day.label("day"),
            func.count().label("all"),
            _count(runs.c.outcome == ACTED).label("acted"),
            _count(runs.c.outcome == FAILED).label("failed"),
            func.max(runs.c.started_at).label("seen_at"),
            func.max(case((runs.c.outcome == ACTED, runs.c.started_at))).label("acted_at"),
        )
        .select_from(rules.join(runs, and_(runs.c.rule == rules.c.id, runs.c.started_at >= starts[0])))
        .group_by(runs.c.rule, "day")
    )
    found: dict[str, dict[int, Any]] = defaultdict(dict)
    for row in conn.execute(query):
        found[row.rule][row.day] = row
    open_runs = _open_runs(conn)
    names = {*found, *open_runs}
    return {name: _sum_up(found.get(name, {}), open_runs.get(name, (0, 0))) for name in names}


def _sum_up(by_day: dict[int, Any], open_runs: tuple[int, int]) -> Activity:
    rows = by_day.values()
    waiting, held = open_runs
    return Activity(
        days=tuple(by_day[number].acted if number in by_day else 0 for number in range(DAYS)),
        failed=sum(row.failed for row in rows),
        today=by_day[DAYS - 1].all if DAYS - 1 in by_day else 0,
        seen_at=max((row.seen_at for row in rows), default=None),
        acted_at=max((row.acted_at for row in rows if row.acted_at), default=None),
        waiting=waiting,
        held=held,
    )


def _open_runs(conn: Connection) -> dict[str, tuple[int, int]]:
    """Return by rule how many runs wait, and how many are held for somebody."""
    query = (
        select(runs.c.rule, _count(runs.c.status == "waiting"), _count(runs.c.status == "held"))
        .where(runs.c.finished_at.is_(None))
        .group_by(runs.c.rule)
    )
    return {rule: (waiting, held) for rule, waiting, held in conn.execute(query)}


def read_hours(conn: Connection, now: datetime, hours: int = 24) -> list[Hour]:
    """Return the runs of the last hours, the hour of `now` last."""
    first = now.replace(minute=0, second=0, microsecond=0) - (hours - 1) * _HOUR
    micros = type_coerce(runs.c.started_at, BigInteger)
    # Whole numbers are divided to whole numbers on both databases.
    number = (micros - to_micros(first)) // (_HOUR // timedelta(microseconds=1))
    query = (
        select(
            number.label("hour"),
            func.count().label("all"),
            _count(runs.c.outcome == ACTED).label("acted"),
            _count(runs.c.outcome == FAILED).label("failed"),
        )
        .select_from(rules.join(runs, and_(runs.c.rule == rules.c.id, runs.c.started_at >= first)))
        .group_by("hour")
    )
    rows = {int(row.hour): row for row in conn.execute(query)}
    return [
        Hour(
            begins=first + place * _HOUR,
            acted=rows[place].acted if place in rows else 0,
            failed=rows[place].failed if place in rows else 0,
            stopped=rows[place].all - rows[place].acted - rows[place].failed if place in rows else 0,
        )
        for place in range(hours)
    ]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
