"""RRULE (RFC 5545, section 3.3.10) as a plan, worked out on the wall clock of a time zone."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from dateutil.rrule import rrulestr

from core.crontab import WEEKDAYS
from core.durations import at_local
from core.errors import InvalidInput
from core.plans import HORIZON_YEARS, Every, Schedule, next_moment

_LONGEST_COUNT = 1000
_LONGEST_INTERVAL = 10_000
_PERIODS = {
    "HOURLY": relativedelta(hours=1),
    "DAILY": relativedelta(days=1),
    "WEEKLY": relativedelta(weeks=1),
    "MONTHLY": relativedelta(months=1),
    "YEARLY": relativedelta(years=1),
}
#: Without a BY part these mean elapsed time.
_ELAPSED = {"HOURLY": timedelta(hours=1), "MINUTELY": timedelta(minutes=1), "SECONDLY": timedelta(seconds=1)}
_BY_DAY = ("BYMONTHDAY", "BYDAY", "BYYEARDAY", "BYWEEKNO")
_BY_TIME = ("BYHOUR", "BYMINUTE", "BYSECOND")
_PARTS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYMONTH", "BYSETPOS", *_BY_DAY, *_BY_TIME}
_VALUE = re.compile(r"[-+0-9A-Z,]{1,400}")
_UNTIL = re.compile(r"([0-9]{8})(?:T([0-9]{6})(Z?))?")


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """An RRULE whose parts all stand in `line` (none left to be taken from the start); without COUNT and UNTIL."""

    zone: ZoneInfo
    line: str
    frequency: str
    interval: int
    #: Wall time of the first possible run.
    start: datetime
    until: datetime | None = None
    week_start: int = 0
    #: All its times, where the rule has a COUNT: they cannot be found without counting from the start.
    walls: tuple[datetime, ...] | None = field(default=None, repr=False)

    def next_after(self, moment: datetime) -> datetime | None:
        return next_moment(self._next_wall, moment, self.zone)

    def _next_wall(self, wall: datetime) -> datetime | None:
        wall = max(wall, self.start)
        if self.walls is not None:
            at = bisect_left(self.walls, wall)
            return self.walls[at] if at < len(self.walls) else None
        near = self._period_before(wall)
        horizon = wall + relativedelta(years=HORIZON_YEARS)
        found = rrulestr(f"{self.line};UNTIL={_stamp(horizon)}", dtstart=near).after(wall, inc=True)
        return found if found and (self.until is None or found <= self.until) else None

    def _period_before(self, wall: datetime) -> datetime:
        """Return a start in the rule's rhythm close to `wall`, so that years of past times are not walked."""
        origin = self._period_start(self.start)
        gone = relativedelta(self._period_start(wall), origin)
        days = (self._period_start(wall) - origin).days
        periods = {
            "YEARLY": gone.years,
            "MONTHLY": gone.years * 12 + gone.months,
            "WEEKLY": days // 7,
            "DAILY": days,
            "HOURLY": (self._period_start(wall) - origin) // timedelta(hours=1),
        }[self.frequency]
        return origin + _PERIODS[self.frequency] * (periods - periods % self.interval)

    def _period_start(self, wall: datetime) -> datetime:
        if self.frequency == "HOURLY":
            return wall.replace(minute=0, second=0, microsecond=0)
        day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.frequency == "WEEKLY":
            return day - timedelta(days=(day.weekday() - self.week_start) % 7)
        if self.frequency == "DAILY":
            return day
        return day.replace(day=1) if self.frequency == "MONTHLY" else day.replace(day=1, month=1)


def is_rrule(text: str) -> bool:
    """Tell whether the text looks like an RRULE."""
    return text.strip().upper().startswith(("RRULE:", "FREQ="))


def parse_rrule(text: str, start: datetime, zone: ZoneInfo, *, path: str = "schedule") -> Schedule:
    """Read one RRULE line that begins at the wall time `start`; plain hourly or minutely ones count elapsed time."""
    parts = _split(text, path)
    frequency = parts["FREQ"]
    interval = _number(parts, "INTERVAL", _LONGEST_INTERVAL, path) or 1
    count = _number(parts, "COUNT", _LONGEST_COUNT, path)
    until = _read_until(parts.pop("UNTIL", None), zone, path)
    parts.pop("COUNT", None)
    if frequency in _ELAPSED and not any(part.startswith("BY") for part in parts):
        return _elapsed(_ELAPSED[frequency] * interval, count, until, at_local(start, zone), zone)
    if frequency not in _PERIODS or "," in parts.get("BYSECOND", ""):
        raise InvalidInput(path, f"{text!r} would run too often; use a crontab line, or 'every 15 minutes'")
    _fill(parts, start)
    try:
        plan = Recurrence(
            zone=zone,
            line="RRULE:" + ";".join(f"{name}={value}" for name, value in parts.items()),
            frequency=frequency,
            interval=interval,
            start=start,
            until=until,
            week_start=[day[:2].upper() for day in WEEKDAYS].index(parts.get("WKST", "MO")),
        )
        return _count_out(plan, count) if count else _checked(plan, text, path)
    except (ValueError, OverflowError) as exc:
        raise InvalidInput(path, f"{text!r} is not a valid RRULE: {exc}") from exc


def _split(text: str, path: str) -> dict[str, str]:
    line = text.strip().upper().removeprefix("RRULE:")
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in line.rstrip(";").split(";"))]
    parts = dict(pairs)
    wrong = [name for name, value in pairs if name not in _PARTS or not _VALUE.fullmatch(value)]
    if wrong or len(parts) != len(pairs) or parts.get("FREQ") not in _PERIODS | _ELAPSED:
        raise InvalidInput(
            path,
            f"{text!r} is not one RRULE line{f' (at {wrong[0]!r})' if wrong else ''}; "
            "write it like 'RRULE:FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9' and give the first moment as 'start'",
        )
    return parts


def _number(parts: dict[str, str], name: str, largest: int, path: str) -> int | None:
    text = parts.get(name)
    if text is None:
        return None
    if not (text.isdigit() and len(text) < 9 and 1 <= int(text) <= largest):
        raise InvalidInput(path, f"RRULE part {name} is {text!r}; use a number from 1 to {largest}")
    return int(text)


def _read_until(text: str | None, zone: ZoneInfo, path: str) -> datetime | None:
    """Return the last wall time; a bare date means the end of that day, a trailing Z that it was given in UTC."""
    if text is None:
        return None
    match = _UNTIL.fullmatch(text)
    try:
        if match is None:
            raise ValueError("no date")
        wall = datetime.fromisoformat(f"{match[1]}T{match[2] or '235959'}")
    except ValueError as exc:
        raise InvalidInput(path, f"RRULE part UNTIL is {text!r}; write it like 20261231 or 20261231T200000Z") from exc
    return wall.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if match[3] else wall


def _elapsed(step: timedelta, count: int | None, until: datetime | None, anchor: datetime, zone: ZoneInfo) -> Every:
    ends = [anchor + (count - 1) * step] if count else []
    ends += [at_local(until, zone)] if until else []
    return Every(anchor=anchor, step=step, until=min(ends, default=None))


def _fill(parts: dict[str, str], start: datetime) -> None:
    """Write down what an RRULE takes silently from its start, so that it can be counted from another moment."""
    frequency = parts["FREQ"]
    if not any(part in parts for part in _BY_DAY):
        if frequency == "YEARLY":
            parts.setdefault("BYMONTH", str(start.month))
        if frequency in ("YEARLY", "MONTHLY"):
            parts["BYMONTHDAY"] = str(start.day)
        if frequency == "WEEKLY":
            parts["BYDAY"] = WEEKDAYS[start.weekday()][:2].upper()
    for name, value in zip(_BY_TIME, (start.hour, start.minute, start.second), strict=True):
        if name != "BYHOUR" or frequency != "HOURLY":
            parts.setdefault(name, str(value))


def _count_out(plan: Recurrence, count: int) -> Recurrence:
    horizon = plan.start + relativedelta(years=HORIZON_YEARS)
    times = rrulestr(f"{plan.line};UNTIL={_stamp(horizon)}", dtstart=plan.start)
    walls = tuple(wall for wall in islice(times, count) if plan.until is None or wall <= plan.until)
    if not walls:
        raise ValueError("it never happens")
    return Recurrence(
        zone=plan.zone, line=plan.line, frequency=plan.frequency, interval=plan.interval, start=plan.start, walls=walls
    )


def _checked(plan: Recurrence, text: str, path: str) -> Recurrence:
    if plan.next_after(at_local(plan.start, plan.zone) - timedelta(days=2)) is None:
        raise InvalidInput(path, f"{text!r} never happens")
    return plan


def _stamp(wall: datetime) -> str:
    return f"{wall:%Y%m%dT%H%M%S}"
