import time as stopwatch
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from dateutil.rrule import rrulestr
from hypothesis import assume, given
from hypothesis import strategies as st
from shared_files import vectors

from core.durations import at_local, find_zone
from core.errors import InvalidInput
from core.plans import Every, Schedule
from core.timetable import MOST_MISSED, Missed, find_last, missed_ticks, next_times, parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")
ISTANBUL = ZoneInfo("Europe/Istanbul")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
FRIDAY = datetime(2026, 5, 1, tzinfo=ISTANBUL)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds


def walls(schedule: Schedule, after: datetime, count: int) -> list[str]:
    zone = after.tzinfo
    return [f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" for moment in next_times(schedule, after, count)]


def rows(kind: str) -> list[dict[str, Any]]:
    found = [row for row in vectors("time_cases")["rows"] if row["class"] == kind]
    assert found
    return found


@pytest.mark.parametrize("form", ["words", "crontab", "rrule"])
def test_daily_times_match_the_table(form: str) -> None:
    for row in rows("daily_local"):
        hour, minute = row["at"].split(":")
        spec = {
            "words": f"every day at {row['at']}",
            "crontab": f"{int(minute)} {int(hour)} * * *",
            "rrule": f"RRULE:FREQ=DAILY;BYHOUR={int(hour)};BYMINUTE={int(minute)}",
        }[form]
        zone = find_zone(row["tz"])
        midnight = at_local(datetime.combine(datetime.fromisoformat(row["from_date"]), time()), zone)
        planned = next_times(parse_schedule(spec, zone), midnight - timedelta(seconds=1), row["days"])
        assert planned == [datetime.fromisoformat(text) for text in row["expect_utc"]], row["id"]


def test_intervals_match_the_table() -> None:
    for row in rows("every_minutes"):
        zone = find_zone(row["tz"])
        schedule = parse_schedule({"every": f"{row['step_minutes']} minutes", "start": row["start_local"]}, zone)
        start = at_local(datetime.fromisoformat(row["start_local"]), zone)
        end = start + timedelta(hours=row["hours"])
        planned = [at for at in next_times(schedule, start - timedelta(seconds=1), 1000) if at < end]
        assert len(planned) == row["expect_count"], row["id"]
        assert planned[0] == datetime.fromisoformat(row["expect_first"]), row["id"]
        assert planned[-1] == datetime.fromisoformat(row["expect_last"]), row["id"]


# spec, the next local times after Friday 2026-05-01 00:00
WORDS = [
    ("every day at 09:00", ["2026-05-01 09:00", "2026-05-02 09:00"]),
    ("Daily at 9:00 and 18:30", ["2026-05-01 09:00", "2026-05-01 18:30"]),
    ("weekdays at 18:30", ["2026-05-01 18:30", "2026-05-04 18:30"]),
    ("every weekend at 10:00", ["2026-05-02 10:00", "2026-05-03 10:00"]),
    ("every monday and friday at 10:00", ["2026-05-01 10:00", "2026-05-04 10:00"]),
    ("mon, wed and every sun at 10:00", ["2026-05-03 10:00", "2026-05-04 10:00", "2026-05-06 10:00"]),
    ("on Sundays at 23:59", ["2026-05-03 23:59", "2026-05-10 23:59"]),
    ("every month on day 1 at 08:00", ["2026-05-01 08:00", "2026-06-01 08:00"]),
    ("every month on the 15th and last day at 08:00", ["2026-05-15 08:00", "2026-05-31 08:00"]),
    ("every last day of month at 20:00", ["2026-05-31 20:00", "2026-06-30 20:00"]),
    ("on the last day of every month at 20:00", ["2026-05-31 20:00", "2026-06-30 20:00"]),
    ("every month on day 31 at 08:00", ["2026-05-31 08:00", "2026-07-31 08:00"]),
    ("every 15 minutes", ["2026-05-01 00:15", "2026-05-01 00:30"]),
    ("every hour", ["2026-05-01 01:00", "2026-05-01 02:00"]),
    ("hourly", ["2026-05-01 01:00", "2026-05-01 02:00"]),
    ("every 1h30m", ["2026-05-01 01:00", "2026-05-01 02:30"]),  # in the rhythm since the origin
    ("every 15 dakika", ["2026-05-01 00:15"]),
    ({"every": "15 minutes"}, ["2026-05-01 00:15"]),
    ({"every": "2 days", "start": "2026-04-30T10:00"}, ["2026-05-02 10:00", "2026-05-04 10:00"]),
    ({"every": "monday", "at": "10:00"}, ["2026-05-04 10:00"]),
    ({"every": "day", "at": ["10:00", "12:00"]}, ["2026-05-01 10:00", "2026-05-01 12:00"]),
    ({"at": "2026-05-02T09:00"}, ["2026-05-02 09:00"]),  # local
    ({"at": "2026-05-02T09:00:00Z"}, ["2026-05-02 12:00"]),
    ({"at": "2026-04-01T09:00"}, []),  # past
    ({"cron": "0 9 * * 1-5"}, ["2026-05-01 09:00", "2026-05-04 09:00"]),  # 1-5 is Monday to Friday
    ("0 9 * * 0", ["2026-05-03 09:00"]),  # Sunday
    ("0 9 * * 7", ["2026-05-03 09:00"]),  # Sunday again
    ("0 9 * * fri-sun", ["2026-05-01 09:00", "2026-05-02 09:00", "2026-05-03 09:00", "2026-05-08 09:00"]),
    ("0 9 * * 5-7", ["2026-05-01 09:00", "2026-05-02 09:00", "2026-05-03 09:00", "2026-05-08 09:00"]),
    ("0 9 * * */2", ["2026-05-02 09:00", "2026-05-03 09:00", "2026-05-05 09:00"]),  # Sun, Tue, Thu, Sat
    ("0 9 13 * 5", ["2026-05-01 09:00", "2026-05-08 09:00", "2026-05-13 09:00"]),  # the 13th or a Friday
    ("0 9 */2 * 5", ["2026-05-01 09:00", "2026-05-15 09:00"]),  # a star is not given: odd Fridays
    ("*/20 8,9 1 jun *", ["2026-06-01 08:00", "2026-06-01 08:20", "2026-06-01 08:40", "2026-06-01 09:00"]),
    ("5/20 8 * * *", ["2026-05-01 08:05", "2026-05-01 08:25", "2026-05-01 08:45", "2026-05-02 08:05"]),
    ("0 20 L * *", ["2026-05-31 20:00", "2026-06-30 20:00"]),
    ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
    ("@daily", ["2026-05-02 00:00"]),
    ("RRULE:FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9", ["2026-05-01 09:00", "2026-05-04 09:00"]),
    ("freq=monthly;byday=-1fr;byhour=9", ["2026-05-29 09:00", "2026-06-26 09:00"]),
    (
        {"rrule": "FREQ=DAILY;INTERVAL=3", "start": "2026-04-30T11:15"},
        ["2026-05-03 11:15", "2026-05-06 11:15"],
    ),
    ({"rrule": "FREQ=DAILY;COUNT=2", "start": "2026-04-30T11:15"}, ["2026-05-01 11:15"]),  # one is past
    ("FREQ=DAILY;UNTIL=20260502T090000Z;BYHOUR=13", ["2026-05-01 13:00"]),  # until 12:00 here
    ("FREQ=DAILY;UNTIL=20260501;BYHOUR=23", ["2026-05-01 23:00"]),  # the whole last day
    ({"rrule": "FREQ=MINUTELY;INTERVAL=10", "start": "2026-05-01T00:05"}, ["2026-05-01 00:05", "2026-05-01 00:15"]),
    ({"rrule": "FREQ=HOURLY;COUNT=2", "start": "2026-05-01T00:05"}, ["2026-05-01 00:05", "2026-05-01 01:05"]),
    ({"rrule": "FREQ=YEARLY", "start": "2024-02-29T09:00"}, ["2028-02-29 09:00"]),  # RRULE skips, it does not clamp
    ({"rrule": "FREQ=DAILY;BYHOUR=9", "start": "2026-07-01T00:00"}, ["2026-07-01 09:00"]),  # not before its start
]


@pytest.mark.parametrize(("spec", "expected"), WORDS, ids=lambda value: str(value)[:60])
def test_schedules_are_read(spec: str | dict[str, Any], expected: list[str]) -> None:
    assert walls(parse_schedule(spec, ISTANBUL), FRIDAY, max(len(expected), 1)) == expected


@pytest.mark.parametrize("line", ["FREQ=DAILY;UNTIL=20260502T090000Z;BYHOUR=13", "FREQ=DAILY;COUNT=3;BYHOUR=13"])
def test_rrule_ends(line: str) -> None:
    schedule = parse_schedule({"rrule": line, "start": "2026-04-29T00:00"}, ISTANBUL)
    assert walls(schedule, FRIDAY, 5) == ["2026-05-01 13:00"]


REFUSED = [
    "",
    "sometimes",
    "every day",  # no time of day
    "every 0 minutes",
    "every 30 seconds",  # under a minute
    "every month",
    "every 6 months",  # no fixed interval
    "every day at noon",
    "every day at 25:00",
    "every day at 09:00:30",
    "every fooday at 10:00",
    "every month on day 32 at 10:00",
    "every month on day 0 at 10:00",
    "60 * * * *",
    "* 24 * * *",
    "0 0 0 * *",
    "0 0 * 13 *",
    "0 0 * * 8",
    "5-1 * * * *",  # backwards
    "*/0 * * * *",
    "1,,2 * * * *",
    "0 0 30 2 *",  # never
    "0 0 * * l",
    "0 0 1-l * *",
    "0 0 32 * *",
    "@sometimes",
    "1 2 3 4",
    "RRULE:",
    "FREQ=SECONDLY",
    "FREQ=MINUTELY;BYHOUR=9",
    "FREQ=DAILY;BYSECOND=1,2",
    "FREQ=DAILY;INTERVAL=0",
    "FREQ=DAILY;COUNT=100000",
    "FREQ=DAILY;COUNT=x",
    "FREQ=DAILY;FREQ=WEEKLY",
    "FREQ=DAILY;BYHOUR=99",
    "FREQ=DAILY;BYDAY=XX",
    "FREQ=DAILY;WKST=XX",
    "FREQ=DAILY;UNTIL=20269999",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",  # never
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
    "FREQ=DAILY\nEXDATE:20260501",
    "x" * 1000,
    {},
    {"every": "15 minutes", "cron": "* * * * *"},
    {"every": 15},
    {"every": "15 minutes", "start": "yesterday"},
    {"at": "soon"},
    {"at": 5},
    {"at": "2026-05-01", "start": "2026-05-01"},
    {"cron": "0 9 * * *", "start": "2026-05-01"},
    {"rrule": ["FREQ=DAILY"]},
    {"daily": "09:00"},
    {1: 2},
    None,
    5,
    ["every day at 09:00"],
]


@pytest.mark.parametrize("spec", REFUSED, ids=lambda value: repr(value)[:60])
def test_bad_schedules_are_refused(spec: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_schedule(spec, "Europe/Istanbul", path="when.schedule")
    assert refusal.value.path.startswith("when.schedule")


@given(st.text(max_size=40) | st.from_regex(r"[-*/,0-9 a-z]{1,5}( [-*/,0-9l]{1,5}){4}", fullmatch=True))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        schedule = parse_schedule(text, BERLIN)
    except InvalidInput:
        return
    assert schedule.next_after(FRIDAY) is not None


def test_short_intervals_run_where_allowed() -> None:
    assert parse_schedule("every 10 seconds", ISTANBUL, least=timedelta(seconds=5)) == Every(
        anchor=datetime(2000, 12, 31, 22, tzinfo=UTC), step=timedelta(seconds=10)
    )


def test_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Atlantis"):
        parse_schedule("hourly", "Europe/Atlantis")


# What a crontab may hold; a star with a step only outside the days, whose "or" rule croniter reads differently.
def _fields(lowest: int, highest: int, *, stepped: bool) -> st.SearchStrategy[str]:
    number = st.integers(lowest, highest)
    # croniter reads '0-0' as the whole week, cron as Sunday: ranges here have two ends.
    span = st.lists(number, min_size=2, max_size=2, unique=True).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    some = st.lists(number.map(str) | span, min_size=1, max_size=3).map(",".join)
    ways = [st.just("*"), some, st.tuples(span, st.integers(1, 20)).map(lambda pair: f"{pair[0]}/{pair[1]}")]
    return st.one_of(*ways, st.integers(1, highest).map(lambda step: f"*/{step}")) if stepped else st.one_of(*ways)


CRONTABS = st.tuples(
    _fields(0, 59, stepped=True),
    _fields(0, 23, stepped=True),
    _fields(1, 28, stepped=False),
    _fields(1, 12, stepped=True),
    _fields(0, 7, stepped=False),
).map(" ".join)


@given(CRONTABS, MOMENTS, st.sampled_from(["UTC", "Asia/Kathmandu", "Pacific/Kiritimati"]))
def test_crontab_agrees_with_croniter(line: str, moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    expected = croniter(line, moment.astimezone(zone))
    ours = next_times(parse_schedule(line, zone), moment, 5)
    assert ours == [expected.get_next(datetime) for _ in ours]
    assert len(ours) == 5


RRULES = st.builds(
    lambda frequency, interval, parts: ";".join([f"FREQ={frequency}", f"INTERVAL={interval}", *parts]),
    st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
    st.integers(1, 5),
    st.lists(
        st.sampled_from(
            ["BYDAY=MO,FR", "BYMONTHDAY=1,-1", "BYHOUR=9,17", "BYMINUTE=0,30", "BYMONTH=2,5,11", "WKST=SU"]
        ),
        unique=True,
        max_size=3,
    ),
)


@given(RRULES, st.datetimes(datetime(2015, 1, 1), datetime(2020, 1, 1)), MOMENTS)  # noqa: DTZ001 - walls
def test_rrule_agrees_with_dateutil_from_its_start(line: str, start: datetime, moment: datetime) -> None:
    start = start.replace(microsecond=0)
    whole = rrulestr(line, dtstart=start)
    try:
        schedule = parse_schedule({"rrule": line, "start": start.isoformat()}, KATHMANDU)
    except InvalidInput:
        assert whole.after(start, inc=True) is None or whole.after(start, inc=True) > start.replace(year=2055)  # pyright: ignore[reportOptionalOperand]
        return
    expected = whole.after(moment.astimezone(KATHMANDU).replace(tzinfo=None))
    assume(expected is not None)
    assert schedule.next_after(moment) == at_local(expected, KATHMANDU)  # pyright: ignore[reportArgumentType]


CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 10, 29, 21, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),  # the day that was skipped
]


@given(CRONTABS, st.sampled_from(CHANGES), st.integers(-3000, 3000))
def test_every_planned_local_time_runs_once_over_clock_changes(
    line: str, change: tuple[str, datetime], minutes: int
) -> None:
    zone = ZoneInfo(change[0])
    begin = change[1] + timedelta(minutes=minutes)
    end = begin + timedelta(hours=30)
    schedule = parse_schedule(line, zone)
    planned, moment = [], begin
    while (following := schedule.next_after(moment)) is not None and following <= end:
        assert following > moment
        planned.append(following)
        moment = following
    # By definition: all local times the line names, read on a calendar without clock changes, then placed by policy.
    plain = parse_schedule(line, "UTC")
    wall = begin.astimezone(zone).replace(tzinfo=UTC) - timedelta(days=2)
    named = [at.replace(tzinfo=None) for at in _between(plain, wall, wall + timedelta(days=6))]
    assert planned == sorted({at for at in (at_local(name, zone) for name in named) if begin < at <= end})


def _between(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    found = []
    while (planned := schedule.next_after(after)) is not None and planned <= until:
        found.append(planned)
        after = planned
    return found


def test_gap_time_may_come_after_a_later_local_time() -> None:
    planned = walls(parse_schedule("every day at 02:30 and 03:15", BERLIN), datetime(2026, 3, 28, 12, tzinfo=BERLIN), 3)
    assert planned == ["2026-03-29 03:15", "2026-03-29 03:30", "2026-03-30 02:30"]


def test_last_planned_is_found_near_and_far() -> None:
    yearly = parse_schedule("0 0 29 2 *", "UTC")
    now = datetime(2031, 5, 1, tzinfo=UTC)
    assert find_last(yearly, datetime(2020, 1, 1, tzinfo=UTC), now) == datetime(2028, 2, 29, tzinfo=UTC)
    assert find_last(yearly, datetime(2028, 2, 29, tzinfo=UTC), now) is None
    hourly = parse_schedule("hourly", "UTC")
    assert find_last(hourly, datetime(2020, 1, 1, tzinfo=UTC), now) == now


@given(st.sampled_from(["*/7 9 * * 1", "every 90 minutes", "every day at 02:30"]), MOMENTS, st.integers(0, 20_000))
def test_last_missed_is_the_last_of_all(spec: str, after: datetime, minutes: int) -> None:
    schedule = parse_schedule(spec, BERLIN)
    until = after + timedelta(minutes=minutes)
    assert missed_ticks(schedule, after, until, Missed.LAST) == _between(schedule, after, until)[-1:]


def test_missed_moments_follow_the_policy() -> None:
    minutes = parse_schedule("every minute", "UTC")
    last = datetime(2026, 5, 1, tzinfo=UTC)
    now = last + timedelta(hours=26)
    assert missed_ticks(minutes, last, now, Missed.NONE) == []
    assert missed_ticks(minutes, last, now, Missed.LAST) == [now]
    first = missed_ticks(minutes, last, now, Missed.ALL)
    assert (len(first), first[0]) == (MOST_MISSED, last + timedelta(minutes=1))
    rest = missed_ticks(minutes, first[-1], now, Missed.ALL)
    assert len(first) + len(rest) == 26 * 60
    assert rest[-1] == now


def test_nothing_missed_when_the_clock_went_back() -> None:
    schedule = parse_schedule("hourly", "UTC")
    last = datetime(2026, 5, 1, tzinfo=UTC)
    for policy in Missed:
        assert missed_ticks(schedule, last, last - timedelta(days=30), policy) == []


@pytest.mark.parametrize("year", [1990, 2040, 2999, 8999, 9998])
def test_far_years_do_not_overflow(year: int) -> None:
    moment = datetime(year, 1, 1, tzinfo=UTC)
    for spec in ("every day at 09:00", "every 7 minutes", "FREQ=MONTHLY;BYDAY=MO", {"at": "2026-01-01T00:00"}):
        planned = parse_schedule(spec, BERLIN).next_after(moment)
        assert planned is None or planned > moment


def test_next_time_is_found_without_walking_the_past() -> None:
    specs = ("* * * * *", "every minute", "FREQ=DAILY;BYHOUR=9", "FREQ=HOURLY;BYMINUTE=0,30", "0 0 29 2 1")
    schedules = [parse_schedule(spec, BERLIN) for spec in specs]
    begin = stopwatch.perf_counter()
    for schedule in schedules:
        next_times(schedule, FRIDAY, 20)
    assert stopwatch.perf_counter() - begin < 3  # walking from 2001 takes minutes
