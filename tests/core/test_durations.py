from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_files import vectors

from core.durations import Duration, add, add_calendar, at_local, find_zone, parse_duration, period_words
from core.errors import InvalidInput

BERLIN = ZoneInfo("Europe/Berlin")
ISTANBUL = ZoneInfo("Europe/Istanbul")

READ = [
    ("3 days", Duration(days=3)),
    ("24 hours", Duration(seconds=86_400)),  # hours stay hours
    ("90 min", Duration(seconds=5_400)),
    ("1h30m", Duration(seconds=5_400)),  # run together
    ("2 weeks", Duration(weeks=2)),
    ("6 months", Duration(months=6)),
    ("1 year", Duration(years=1)),
    ("P3DT4H", Duration(days=3, seconds=14_400)),  # ISO 8601
    ("P1M", Duration(months=1)),  # M before T is months
    ("PT1M", Duration(seconds=60)),  # M after T is minutes
    ("P2W", Duration(weeks=2)),
    ("1.5 days", Duration(days=1, seconds=43_200)),  # a part of a day is hours
    ("1,5 saat", Duration(seconds=5_400)),  # decimal comma
    ("0.5 s", Duration(seconds=0.5)),
    ("1 day, 2 hours and 3 minutes", Duration(days=1, seconds=7_380)),
    ("2 gün ve 3 saat", Duration(days=2, seconds=10_800)),  # Turkish
    ("2 DAKİKA", Duration(seconds=120)),  # dotted capital I
    ("1 YIL", Duration(years=1)),  # dotless capital I
    ("2 hafta", Duration(weeks=2)),
    ("6 ay", Duration(months=6)),
    ("3 дня", Duration(days=3)),  # Russian plurals
    ("5 дней", Duration(days=5)),
    ("1 неделя", Duration(weeks=1)),
    ("2 часа и 30 минут", Duration(seconds=9_000)),
    ("5 лет", Duration(years=5)),
    ("11 МЕСЯЦЕВ", Duration(months=11)),
    ("0 days", Duration()),
]

REFUSED = [
    "",
    "   ",
    "soon",
    "5",  # no unit
    "days",  # no number
    "3 days later",
    "P",  # ISO without parts
    "PT",
    "P3DT",
    "-3 days",  # negative, where no sign is allowed
    "1.5 months",  # months have no parts
    "201 years",
    "999999999 days",
    "1e3 days",
    "٣ days",  # Arabic digits
    "9" * 200 + " days",
]


@pytest.mark.parametrize(("text", "duration"), READ)
def test_durations_are_read(text: str, duration: Duration) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", REFUSED)
def test_bad_durations_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_duration(text, path="wait.for")
    assert refusal.value.path == "wait.for"


def test_refusal_names_what_is_allowed() -> None:
    with pytest.raises(InvalidInput, match=r"3 days.*P3DT4H"):
        parse_duration("a while")


def test_number_without_text_is_refused() -> None:
    with pytest.raises(InvalidInput):
        parse_duration(3)  # pyright: ignore[reportArgumentType]


def test_minus_is_read_where_allowed() -> None:
    assert parse_duration("-3 days", signed=True) == Duration(days=-3)
    assert parse_duration("-P1M", signed=True) == Duration(months=-1)


def test_only_fixed_lengths_are_exact() -> None:
    assert parse_duration("1 week 1 day 1 h").exact == timedelta(days=8, hours=1)
    assert parse_duration("1 month").exact is None
    assert parse_duration("1 year 1 day").exact is None


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        assert isinstance(parse_duration(text, signed=True), Duration)


@given(
    st.builds(
        Duration,
        years=st.integers(0, 20),
        months=st.integers(0, 20),
        weeks=st.integers(0, 20),
        days=st.integers(0, 20),
        seconds=st.integers(0, 86_399),
    ),
    st.sampled_from(["tr", "en", "ru"]),
)
def test_words_of_a_duration_read_back(duration: Duration, language: str) -> None:
    assert parse_duration(period_words(duration, language)) == duration


def test_week_is_168_hours_over_a_clock_change() -> None:
    before = datetime(2026, 3, 27, 12, tzinfo=UTC)
    assert add(before, parse_duration("1 week"), BERLIN) - before == timedelta(hours=168)


def test_months_keep_the_wall_time() -> None:
    winter = datetime(2026, 1, 15, 9, tzinfo=BERLIN)
    assert add(winter, Duration(months=6), BERLIN) == datetime(2026, 7, 15, 9, tzinfo=BERLIN)


# start in local time, duration, expected UTC, in Berlin
MONTHS = [
    ("2026-01-31T12:00", Duration(months=1), "2026-02-28T11:00"),  # clamped
    ("2028-01-31T12:00", Duration(months=1), "2028-02-29T11:00"),  # clamped to a leap day
    ("2024-02-29T12:00", Duration(years=1), "2025-02-28T11:00"),  # leap day gone
    ("2026-02-28T02:30", Duration(months=1, days=1), "2026-03-29T01:30"),  # a month, then 24 h elapsed
    ("2026-01-29T02:30", Duration(months=2), "2026-03-29T01:30"),  # into the gap: offset before
    ("2026-08-25T02:30", Duration(months=2), "2026-10-25T00:30"),  # into the fold: the first
    ("2026-03-31T12:00", Duration(months=-1), "2026-02-28T11:00"),  # backwards
]


@pytest.mark.parametrize(("start", "duration", "expected"), MONTHS)
def test_calendar_arithmetic_clamps_and_keeps_policy(start: str, duration: Duration, expected: str) -> None:
    moment = at_local(datetime.fromisoformat(start), BERLIN)
    assert add(moment, duration, BERLIN) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants naive bounds
    st.integers(0, 10_000_000),
)
def test_exact_durations_just_elapse(moment: datetime, seconds: int) -> None:
    assert add(moment, Duration(seconds=seconds), BERLIN) == moment + timedelta(seconds=seconds)


def test_beyond_the_calendar_is_said_in_words() -> None:
    with pytest.raises(InvalidInput, match="beyond the calendar"):
        add(datetime(9999, 1, 1, tzinfo=UTC), Duration(years=1), BERLIN)
    with pytest.raises(InvalidInput, match="beyond the calendar"):
        add_calendar(datetime(9999, 12, 31, tzinfo=UTC), Duration(days=1), BERLIN, time(9))


def test_unknown_zone_is_named() -> None:
    for name in ("Europe/Atlantis", "../etc/passwd", "", "\0"):
        with pytest.raises(InvalidInput, match="no time zone"):
            find_zone(name)


def test_journey_offsets_match_the_table() -> None:
    rows = [row for row in vectors("time_cases")["rows"] if row["class"] == "journey_offset"]
    assert rows
    for row in rows:
        zone = find_zone(row["tz"])
        bought = at_local(datetime.fromisoformat(row["purchase_local"]), zone)
        sent = add_calendar(bought, Duration(**row["offset"]), zone, time.fromisoformat(row["send_at_local"]))
        assert sent == datetime.fromisoformat(row["expect_utc"]), row["id"]
        assert sent.astimezone(zone).date().isoformat() == row["expect_local_date"], row["id"]


def test_hours_of_an_offset_elapse_before_the_day_is_read() -> None:
    bought = datetime(2026, 5, 1, 20, tzinfo=ISTANBUL)
    assert add_calendar(bought, parse_duration("5 hours"), ISTANBUL, time(11)) == datetime(
        2026, 5, 2, 11, tzinfo=ISTANBUL
    )
