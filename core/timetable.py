"""Read schedules from words, crontab lines, RRULE or JSON, and say what they planned."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from core.crontab import WEEKDAYS, is_crontab, parse_crontab
from core.durations import at_local, find_zone, parse_duration
from core.errors import InvalidInput
from core.plans import LAST_DAY, Calendar, Every, Once, Schedule
from core.recurrence import is_rrule, parse_rrule
from core.windows import parse_time

#: Catching up returns at most this many missed moments at a time; the rest come when asked again.
MOST_MISSED = 1000
_LEAST = timedelta(minutes=1)
#: What a plan without a start counts from: a Monday, and the first of a month and of a year.
_ORIGIN = datetime.combine(date(2001, 1, 1), time())
_LONGEST_TEXT = 500
_ALLOWED = (
    "write words such as 'every day at 09:00', 'weekdays at 18:30', 'every monday and friday at 10:00', "
    "'every month on day 1 at 08:00', 'every last day of month at 20:00', 'every 15 minutes' or 'hourly', "
    "a crontab line such as '0 9 * * 1-5', or an RRULE"
)
_KEYS = ("every", "at", "cron", "rrule")
_ANY_DAY = ("day", "daily")
_DAY_GROUPS = {
    "weekday": range(5),
    "weekdays": range(5),
    "weekend": range(5, 7),
    "weekends": range(5, 7),
}
_FULL_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_NAMES = {
    name: number
    for names in (WEEKDAYS, _FULL_NAMES, [f"{name}s" for name in _FULL_NAMES])
    for number, name in enumerate(names)
}
_LIST = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+")
_LAST_DAY = re.compile(r"(?:on )?(?:the )?last day of (?:the |every |each )?month")
_MONTH_DAYS = re.compile(r"(?:month|monthly) on (?:the )?(?:days? )?(.+)")
_MONTH_DAY = re.compile(r"([0-9]{1,2})(?:st|nd|rd|th)?")
#: How far back a last planned moment is looked for, step by step: dense plans are found near, sparse ones are short.
_LOOK_BACK = tuple(timedelta(minutes=minutes) for minutes in (2, 60, 1440, 32 * 1440, 366 * 1440))


class Missed(StrEnum):
    """What to do about planned moments that passed while nobody looked."""

    ALL = "all"
    LAST = "last"
    NONE = "none"


def parse_schedule(
    spec: str | Mapping[str, Any], zone: ZoneInfo | str, *, least: timedelta = _LEAST, path: str = "schedule"
) -> Schedule:
    """Read a schedule in `zone`; intervals shorter than `least` are refused.

    `spec` is text (words, crontab or RRULE) or one of {"every": "15 minutes", "start"?}, {"every": "monday",
    "at": "10:00"}, {"at": "2026-05-01T09:00"}, {"cron": text}, {"rrule": text, "start"?}. Times without an offset
    are local.
    """
    zone = find_zone(zone, f"{path}.zone") if isinstance(zone, str) else zone
    plan = _read_text(spec, zone, path) if isinstance(spec, str) else _read_object(spec, zone, path)
    if isinstance(plan, Every) and plan.step < least:
        raise InvalidInput(path, f"{spec!r} would run too often; the shortest interval is {least.total_seconds():g} s")
    if isinstance(plan, Calendar) and plan.next_after(at_local(_ORIGIN, zone)) is None:
        raise InvalidInput(path, f"{spec!r} never happens; no such day is in the calendar")
    return plan


def next_times(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """Return up to `count` planned moments later than `after`, for previews."""
    times: list[datetime] = []
    while len(times) < count and (planned := schedule.next_after(times[-1] if times else after)) is not None:
        times.append(planned)
    return times


def find_last(schedule: Schedule, after: datetime, until: datetime) -> datetime | None:
    """Return the last planned moment later than `after` and not later than `until`."""
    for back in _LOOK_BACK:
        if until - back > after and (found := _walk(schedule, until - back, until)):
            return found
    return _walk(schedule, after, until)


def missed_ticks(
    schedule: Schedule, last_planned: datetime, now: datetime, policy: Missed, *, most: int = MOST_MISSED
) -> list[datetime]:
    """Return which planned moments after `last_planned` and up to `now` still have to run, oldest first.

    ALL gives at most `most` of them: ask again from the last one to get the rest.
    """
    if policy is Missed.NONE:
        return []
    if policy is Missed.LAST:
        last = find_last(schedule, last_planned, now)
        return [last] if last else []
    missed: list[datetime] = []
    planned = schedule.next_after(last_planned)
    while planned is not None and planned <= now and len(missed) < most:
        missed.append(planned)
        planned = schedule.next_after(planned)
    return missed


def _walk(schedule: Schedule, after: datetime, until: datetime) -> datetime | None:
    found = None
    planned = schedule.next_after(after)
    while planned is not None and planned <= until:
        found, planned = planned, schedule.next_after(planned)
    return found


def _read_text(text: str, zone: ZoneInfo, path: str) -> Schedule:
    if len(text) > _LONGEST_TEXT:
        raise InvalidInput(path, f"is {len(text)} characters long; {_ALLOWED}")
    if is_rrule(text):
        return parse_rrule(text, _ORIGIN, zone, path=path)
    words = " ".join(text.lower().split())
    return parse_crontab(words, zone, path=path) if is_crontab(words) else _read_words(words, zone, path)


def _read_object(spec: Mapping[str, Any], zone: ZoneInfo, path: str) -> Schedule:
    if not isinstance(spec, Mapping) or not all(isinstance(key, str) for key in spec):
        raise InvalidInput(path, f"is not a schedule; {_ALLOWED}")
    keys = set(spec)
    if keys == {"every", "at"}:
        at = spec["at"] if isinstance(spec["at"], str) else ", ".join(map(str, spec["at"]))
        return _read_words(f"every {_text(spec, 'every', path)} at {at}".lower(), zone, path)
    if len(keys - {"start"}) != 1 or not keys <= {*_KEYS, "start"}:
        raise InvalidInput(path, f"has the keys {sorted(keys)}; give one of {', '.join(_KEYS)}, or {_ALLOWED}")
    start = at_local(_ORIGIN, zone) if "start" not in spec else _read_moment(spec["start"], zone, f"{path}.start")
    if "every" in spec:
        return _read_interval(_text(spec, "every", path), start, f"{path}.every")
    if "rrule" in spec:
        wall = start.astimezone(zone).replace(tzinfo=None)
        return parse_rrule(_text(spec, "rrule", path), wall, zone, path=f"{path}.rrule")
    if "start" in spec:
        raise InvalidInput(f"{path}.start", "belongs to 'every' and 'rrule' only; leave it out")
    if "cron" in spec:
        return parse_crontab(_text(spec, "cron", path), zone, path=f"{path}.cron")
    return Once(at=_read_moment(spec["at"], zone, f"{path}.at"))


def _text(spec: Mapping[str, Any], key: str, path: str) -> str:
    value = spec[key]
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise InvalidInput(f"{path}.{key}", f"must be text of at most {_LONGEST_TEXT} characters; {_ALLOWED}")
    return value


def _read_moment(value: Any, zone: ZoneInfo, path: str) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return at_local(moment, zone) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as exc:
        raise InvalidInput(path, f"{value!r} is not a moment; write it like '2026-05-01T09:00'") from exc


def _read_interval(text: str, anchor: datetime, path: str) -> Every:
    step = parse_duration(f"1 {text}" if text in ("minute", "hour") else text, path=path).exact
    if not step:
        raise InvalidInput(
            path, f"{text!r} is no fixed interval; for months use 'every month on day 1 at 08:00', and never zero"
        )
    return Every(anchor=anchor, step=step)


def _read_words(words: str, zone: ZoneInfo, path: str) -> Schedule:
    words = "every hour" if words == "hourly" else words
    days, at, times = words.rpartition(" at ")
    if not at:
        try:
            return _read_interval(words.removeprefix("every "), at_local(_ORIGIN, zone), path)
        except InvalidInput as exc:
            raise InvalidInput(path, f"{words!r} is not a schedule; {_ALLOWED}") from exc
    clocks = [parse_time(text, path=path) for text in _LIST.split(times.strip())]
    if any(clock.second for clock in clocks):
        raise InvalidInput(path, f"{times!r} has seconds; schedules keep whole minutes")
    minutes = tuple(sorted({clock.hour * 60 + clock.minute for clock in clocks}))
    return _read_days(days.removeprefix("every ").removeprefix("on ").strip(), minutes, zone, path)


def _read_days(days: str, minutes: tuple[int, ...], zone: ZoneInfo, path: str) -> Calendar:
    if days in _ANY_DAY:
        return Calendar(zone=zone, minutes=minutes)
    if days in _DAY_GROUPS:
        return Calendar(zone=zone, minutes=minutes, weekdays=frozenset(_DAY_GROUPS[days]))
    if _LAST_DAY.fullmatch(days):
        return Calendar(zone=zone, minutes=minutes, days=frozenset({LAST_DAY}))
    if month := _MONTH_DAYS.fullmatch(days):
        numbers = frozenset(_month_day(text, path) for text in _LIST.split(month[1]))
        return Calendar(zone=zone, minutes=minutes, days=numbers)
    names = [name.removeprefix("every ") for name in _LIST.split(days)]
    if not all(name in _DAY_NAMES for name in names):
        raise InvalidInput(path, f"{days!r} are no days known here; {_ALLOWED}")
    return Calendar(zone=zone, minutes=minutes, weekdays=frozenset(_DAY_NAMES[name] for name in names))


def _month_day(text: str, path: str) -> int:
    if text in ("last", "last day"):
        return LAST_DAY
    match = _MONTH_DAY.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= 31:
        raise InvalidInput(path, f"{text!r} is no day of a month; use 1 to 31, or 'last day'")
    return int(match[1])
