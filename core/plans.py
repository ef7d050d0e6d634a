"""The kinds of plan a schedule can be: once, each so often, or at times of day on chosen days.

A planned local time that a clock change skips runs once, read with the offset before the gap; one that happens twice
runs once, the first time. `Every` counts elapsed time and knows no clock changes.
"""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from core.durations import at_local

#: How far ahead a planned day is looked for: 29 February can miss a given weekday for 40 years.
HORIZON_YEARS = 41
#: Stands for the last day of the month among days of the month.
LAST_DAY = 32
_LAST_YEAR = 9000
_ZERO = timedelta(0)


class Schedule(Protocol):
    """A plan of moments."""

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first planned moment later than `moment`, in UTC; None where there is no more."""
        ...


@dataclass(frozen=True, kw_only=True)
class Once:
    """One moment."""

    at: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        return self.at if moment < self.at else None


@dataclass(frozen=True, kw_only=True)
class Every:
    """A moment each `step` of elapsed time, counted from `anchor`, up to `until`."""

    anchor: datetime
    step: timedelta
    until: datetime | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        count = max((moment - self.anchor) // self.step + 1, 0)
        try:
            planned = self.anchor + count * self.step
        except OverflowError:
            return None
        return None if self.until and planned > self.until else planned


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Times of day on chosen local days, as a crontab line or words describe them."""

    zone: ZoneInfo
    #: Minutes after midnight, ascending.
    minutes: tuple[int, ...]
    months: frozenset[int] = frozenset(range(1, 13))
    #: Days of the month, or `LAST_DAY`.
    days: frozenset[int] = frozenset(range(1, 32))
    #: Monday = 0.
    weekdays: frozenset[int] = frozenset(range(7))
    #: Whether the day of the month or the weekday is enough (crontab, where both are given).
    either: bool = False

    def next_after(self, moment: datetime) -> datetime | None:
        return next_moment(self._next_wall, moment, self.zone)

    def _next_wall(self, wall: datetime) -> datetime | None:
        day = wall.date()
        minute = wall.hour * 60 + wall.minute + bool(wall.second or wall.microsecond)
        at = bisect_left(self.minutes, minute) if self._is_planned(day) else len(self.minutes)
        if at == len(self.minutes):
            later = self._next_day(day)
            if later is None:
                return None
            day, at = later, 0
        return datetime.combine(day, time(*divmod(self.minutes[at], 60)))

    def _next_day(self, day: date) -> date | None:
        last_year = day.year + HORIZON_YEARS
        while day.year < last_year:
            day += timedelta(days=1)
            if day.month not in self.months:
                day = day.replace(day=monthrange(day.year, day.month)[1])
            elif self._is_planned(day):
                return day
        return None

    def _is_planned(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        on_weekday = day.weekday() in self.weekdays
        on_day = day.day in self.days or (LAST_DAY in self.days and day.day == monthrange(day.year, day.month)[1])
        return (on_weekday or on_day) if self.either else (on_weekday and on_day)


def next_moment(next_wall: Callable[[datetime], datetime | None], moment: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first moment after `moment` of planned local times, which `next_wall` finds at or after a given one.

    Times inside a gap are moved behind it, past planned times that follow the gap: so the first local time is not
    always the first moment, and the search starts one gap earlier and ends where no later time can come first.
    """
    if moment.year >= _LAST_YEAR:
        return None
    local = moment.astimezone(zone)
    before = (moment - timedelta(hours=25)).astimezone(zone)
    gap = max((local.utcoffset() or _ZERO) - (before.utcoffset() or _ZERO), _ZERO)
    best: datetime | None = None
    best_wall = datetime.combine(date.max, time.max)
    wall = next_wall(local.replace(tzinfo=None) - gap)
    while wall is not None and wall < best_wall:
        planned = at_local(wall, zone)
        if planned > moment and (best is None or planned < best):
            best, best_wall = planned, planned.astimezone(zone).replace(tzinfo=None)
        wall = next_wall(wall + timedelta(seconds=1)) if wall < best_wall else None
    return best
