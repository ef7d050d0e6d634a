"""Hours of the day in which something may happen, such as when a customer may be written to."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.durations import at_local
from core.errors import InvalidInput

#: A weekly window that a clock change swallowed once is open again well within this.
_LOOK_AHEAD_DAYS = 22
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")


@dataclass(frozen=True, kw_only=True)
class Window:
    """Local hours from `start` (included) to `end` (not included); over midnight where `end` is not after `start`."""

    start: time
    end: time
    #: Days on which it opens, Monday = 0; None means every day.
    weekdays: frozenset[int] | None = None


def parse_time(text: str, *, path: str = "time") -> time:
    """Read a wall-clock time such as '09:00' or '21:30:15'."""
    match = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidInput(path, f"{text!r} is not a time of day; write hours and minutes such as '09:00'")
    hour, minute, second = match.groups(default="0")
    return time(int(hour), int(minute), int(second))


def parse_window(hours: str | Sequence[str], *, weekdays: Sequence[int] | None = None, path: str = "between") -> Window:
    """Read '10:00-21:00' or ['10:00', '21:00']; the end may be '24:00', equal ends mean the whole day."""
    ends = hours.split("-") if isinstance(hours, str) else list(hours)
    if len(ends) != 2 or not all(isinstance(end, str) for end in ends):
        raise InvalidInput(path, "give two times of day, the first and the last, such as ['10:00', '21:00']")
    days = None if weekdays is None else frozenset(weekdays)
    if days is not None and (not days or not days <= frozenset(range(7))):
        raise InvalidInput(f"{path}.weekdays", "name at least one day, 0 (Monday) to 6 (Sunday)")
    last = "00:00" if ends[1].strip() == "24:00" else ends[1]
    return Window(start=parse_time(ends[0], path=f"{path}[0]"), end=parse_time(last, path=f"{path}[1]"), weekdays=days)


def is_open(moment: datetime, window: Window, zone: ZoneInfo) -> bool:
    """Tell whether `moment` lies in the window, as clocks in `zone` show it."""
    return next_open(moment, window, zone) == moment


def next_open(moment: datetime, window: Window, zone: ZoneInfo) -> datetime:
    """Return `moment` where the window is open, else the moment it opens next."""
    for opens, closes in _openings(moment, window, zone):
        if moment < closes:
            return max(moment, opens).astimezone(UTC)
    raise InvalidInput("between", "this window never opens; check its days")


def next_stretch(moment: datetime, length: timedelta, window: Window, zone: ZoneInfo) -> datetime:
    """Return the first moment, `moment` or later, from which the window stays open for so long."""
    for opens, closes in _openings(moment, window, zone):
        start = max(moment, opens)
        if start + length <= closes:
            return start.astimezone(UTC)
    raise InvalidInput("between", "the window is never open for so long")


def _openings(moment: datetime, window: Window, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    # From two days back: yesterday's window may reach over midnight, and a clock change may push it on.
    day = moment.astimezone(zone).date() - timedelta(days=2)
    for _ in range(_LOOK_AHEAD_DAYS):
        if window.weekdays is None or day.weekday() in window.weekdays:
            last = day if window.start < window.end else day + timedelta(days=1)
            opens = at_local(datetime.combine(day, window.start), zone)
            closes = at_local(datetime.combine(last, window.end), zone)
            # A clock change can swallow a short window whole.
            if opens < closes:
                yield opens, closes
        day += timedelta(days=1)
