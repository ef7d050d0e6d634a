from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_files import vectors

from core.durations import find_zone
from core.errors import InvalidInput
from core.windows import Window, is_open, next_open, parse_window

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Kiritimati")]
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds
CLOCKS = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))
WINDOWS = st.builds(
    Window,
    start=CLOCKS,
    end=CLOCKS,
    weekdays=st.none() | st.frozensets(st.integers(0, 6), min_size=1),
)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def test_quiet_hours_match_the_table() -> None:
    rows = [row for row in vectors("time_cases")["rows"] if row["class"] == "quiet_hours"]
    assert rows
    for row in rows:
        sent = next_open(
            datetime.fromisoformat(row["event_utc"]), parse_window(row["window_local"]), find_zone(row["tz"])
        )
        assert sent == datetime.fromisoformat(row["expect_send_utc"]), row["id"]


# window, moment, next open, in Berlin
OPENINGS = [
    ("10:00-21:00", "2026-05-01T12:00", "2026-05-01T12:00"),  # open
    ("10:00-21:00", "2026-05-01T10:00", "2026-05-01T10:00"),  # start is inside
    ("10:00-21:00", "2026-05-01T21:00", "2026-05-02T10:00"),  # end is outside
    ("21:00-09:00", "2026-05-01T23:00", "2026-05-01T23:00"),  # before midnight
    ("21:00-09:00", "2026-05-01T08:59", "2026-05-01T08:59"),  # after midnight
    ("21:00-09:00", "2026-05-01T09:00", "2026-05-01T21:00"),  # closed by day
    ("09:00-24:00", "2026-05-01T23:59", "2026-05-01T23:59"),  # until midnight
    ("09:00-24:00", "2026-05-02T00:00", "2026-05-02T09:00"),
    ("00:00-00:00", "2026-05-01T03:00", "2026-05-01T03:00"),  # the whole day
    ("02:30-10:00", "2026-03-29T01:59", "2026-03-29T03:30"),  # opens in the gap: offset before
    ("20:00-02:00", "2026-10-25T01:59", "2026-10-25T01:59"),
    ("03:00-10:00", "2026-10-25T02:30", "2026-10-25T03:00"),  # waits through the doubled hour
]


@pytest.mark.parametrize(("hours", "moment", "opens"), OPENINGS)
def test_window_opens_as_local_clocks_show(hours: str, moment: str, opens: str) -> None:
    assert next_open(local(moment), parse_window(hours), BERLIN) == local(opens)


def test_night_window_belongs_to_the_day_it_opens() -> None:
    friday_night = parse_window("21:00-09:00", weekdays=[4])
    assert is_open(local("2026-05-02T03:00"), friday_night, BERLIN)  # Saturday 03:00
    assert next_open(local("2026-05-01T03:00"), friday_night, BERLIN) == local("2026-05-01T21:00")


def test_weekend_waits_for_monday() -> None:
    office = parse_window(["10:00", "18:00"], weekdays=range(5))
    assert next_open(local("2026-05-01T18:00"), office, BERLIN) == local("2026-05-04T10:00")


def test_window_swallowed_by_the_clock_opens_next_week() -> None:
    sunday = Window(start=time(2, 45), end=time(3, 15), weekdays=frozenset({6}))
    assert next_open(local("2026-03-28T12:00"), sunday, BERLIN) == local("2026-04-05T02:45")


@pytest.mark.parametrize(
    "hours", ["10:00", "10-21", "25:00-26:00", "10:00-21:60", "10:00-12:00-14:00", ["10:00"], [10, 21], "a-b"]
)
def test_bad_windows_are_refused(hours: str | list[str]) -> None:
    with pytest.raises(InvalidInput):
        parse_window(hours)


@pytest.mark.parametrize("weekdays", [[], [7], [-1]])
def test_bad_weekdays_are_refused(weekdays: list[int]) -> None:
    with pytest.raises(InvalidInput, match="Monday"):
        parse_window("10:00-21:00", weekdays=weekdays)


@given(MOMENTS, WINDOWS, st.sampled_from(ZONES))
def test_next_open_is_open_and_never_earlier(moment: datetime, window: Window, zone: ZoneInfo) -> None:
    opens = next_open(moment, window, zone)
    assert opens >= moment
    assert next_open(opens, window, zone) == opens


@given(MOMENTS, WINDOWS, st.sampled_from(ZONES), st.integers(1, 3000))
def test_later_moments_never_open_earlier(moment: datetime, window: Window, zone: ZoneInfo, minutes: int) -> None:
    later = moment + timedelta(minutes=minutes)
    assert next_open(later, window, zone) >= next_open(moment, window, zone)


@given(MOMENTS, WINDOWS)
def test_window_holds_the_wall_time(moment: datetime, window: Window) -> None:
    zone = ZoneInfo("Asia/Kathmandu")  # no clock changes
    opens = next_open(moment, window, zone).astimezone(zone)
    clock, weekday = opens.time(), opens.weekday()
    early = window.start >= window.end and clock < window.end  # the part after midnight
    assert early or clock >= window.start
    if window.start < window.end:
        assert clock < window.end
    if window.weekdays is not None:
        assert weekday in window.weekdays or (early and (weekday - 1) % 7 in window.weekdays)
