"""Lengths of time as people write them, and what it means to add one to a moment in a time zone."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from babel.units import format_unit
from dateutil.relativedelta import relativedelta

from core.errors import InvalidInput

_ALLOWED = (
    "write a number and a unit such as '3 days', '24 hours', '90 min', '1h30m', '2 weeks', '6 months', '1 year' "
    "(also in Turkish or Russian), or ISO 8601 such as 'P3DT4H'"
)
_LONGEST_TEXT = 100
#: Longer is a typing mistake, and would run past the year 9999 when added.
_LONGEST_YEARS = 200
_YEAR_PARTS = {"years": 1, "months": 12, "weeks": 52, "days": 365, "seconds": 365 * 86_400}

_WORDS = {
    "years": "y yr yrs year years yıl yil sene год года лет г",
    "months": "mo mos mth month months ay мес месяц месяца месяцев",
    "weeks": "w wk wks week weeks hafta нед неделя недели неделю недель",
    "days": "d day days gün gun дн день дня дней сутки суток д",
    "hours": "h hr hrs hour hours saat sa ч час часа часов",
    "minutes": "m min mins minute minutes dakika dk мин минута минуты минуту минут",
    "seconds": "s sec secs second seconds saniye sn с сек секунда секунды секунду секунд",
}
_UNITS = {word: unit for unit, words in _WORDS.items() for word in words.split()}
#: Babel's Turkish has no words for the calendar units; Turkish nouns take no plural after a number.
_TURKISH = {
    "year": "yıl",
    "month": "ay",
    "week": "hafta",
    "day": "gün",
    "hour": "saat",
    "minute": "dakika",
    "second": "saniye",
}
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800}

_PART = re.compile(r"([0-9]{1,9}(?:[.,][0-9]{1,6})?)\s*([^\W\d_]+)\.?")
_JOIN = re.compile(r"(?:\s|,|\b(?:and|ve|и)\b)*")
_ISO = re.compile(
    r"p(?=.)(?:(?P<years>[0-9]{1,9})y)?(?:(?P<months>[0-9]{1,9})m)?(?:(?P<weeks>{n})w)?(?:(?P<days>{n})d)?"
    r"(?:t(?=.)(?:(?P<hours>{n})h)?(?:(?P<minutes>{n})m)?(?:(?P<seconds>{n})s)?)?".replace(
        "{n}", r"[0-9]{1,9}(?:[.,][0-9]{1,6})?"
    )
)


@dataclass(frozen=True, kw_only=True)
class Duration:
    """A length of time whose calendar part (years, months) has no fixed number of seconds."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    seconds: float = 0

    @property
    def exact(self) -> timedelta | None:
        """The elapsed time, or None where months or years make it depend on the date."""
        return None if self.years or self.months else self.fixed

    @property
    def fixed(self) -> timedelta:
        """The part that is always as long: weeks, days and seconds."""
        return timedelta(weeks=self.weeks, days=self.days, seconds=self.seconds)

    def __neg__(self) -> "Duration":
        return Duration(
            years=-self.years, months=-self.months, weeks=-self.weeks, days=-self.days, seconds=-self.seconds
        )


def parse_duration(text: str, *, path: str = "duration", signed: bool = False) -> Duration:
    """Read a length of time; `signed` allows a leading minus, as an offset before a date needs."""
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_TEXT:
        raise InvalidInput(path, f"is not a length of time; {_ALLOWED}")
    # Lower-casing the Turkish capital İ leaves a combining dot behind.
    words = unicodedata.normalize("NFC", text.strip().lower().replace("\u0307", ""))
    negative = words[:1] in ("-", "\u2212")
    if negative and not signed:
        raise InvalidInput(path, f"{text!r} is negative, and a length of time here must not be")
    parts = _split(words[1:].lstrip() if negative else words)
    if not parts:
        raise InvalidInput(path, f"{text!r} is not a length of time; {_ALLOWED}")
    duration = _sum(parts, text, path)
    return -duration if negative else duration


def _split(words: str) -> list[tuple[str, str]]:
    """Return (number, unit) pairs; empty where anything is left over."""
    iso = _ISO.fullmatch(words)
    if iso:
        return [(number, unit) for unit, number in iso.groupdict().items() if number]
    parts: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        part = _PART.match(words, at)
        if part is None or part[2] not in _UNITS:
            return []
        parts.append((part[1], _UNITS[part[2]]))
        joint = _JOIN.match(words, part.end())
        at = joint.end() if joint else part.end()
    return parts


def _sum(parts: list[tuple[str, str]], text: str, path: str) -> Duration:
    fields = dict.fromkeys(_YEAR_PARTS, 0)
    rest = Decimal(0)
    for number, unit in parts:
        amount = Decimal(number.replace(",", "."))
        whole = int(amount)
        if unit in ("years", "months") and amount != whole:
            raise InvalidInput(path, f"{text!r} has part of a month or year; use whole ones, or days")
        if unit in fields and unit != "seconds":
            fields[unit] += whole
            amount -= whole
        rest += amount * _SECONDS.get(unit, 0)
    if sum(fields[unit] / size for unit, size in _YEAR_PARTS.items()) + float(rest) / _YEAR_PARTS["seconds"] > (
        _LONGEST_YEARS
    ):
        raise InvalidInput(path, f"{text!r} is longer than {_LONGEST_YEARS} years")
    fields.pop("seconds")
    return Duration(**fields, seconds=int(rest) if rest == int(rest) else float(rest))


@cache
def find_zone(name: str, path: str = "zone") -> ZoneInfo:
    """Return the IANA time zone of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise InvalidInput(path, f"no time zone is called {name!r}; use a name such as 'Europe/Istanbul'") from exc


def at_local(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment of a wall-clock time: a skipped one by the offset before the gap, a doubled one the first."""
    # fold=0 means exactly this in PEP 495.
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def add(moment: datetime, duration: Duration, zone: ZoneInfo) -> datetime:
    """Add elapsed time; years and months first, on the calendar of `zone`, clamped to the month's last day."""
    try:
        if duration.years or duration.months:
            local = moment.astimezone(zone).replace(tzinfo=None)
            moment = at_local(local + relativedelta(years=duration.years, months=duration.months), zone)
        return moment.astimezone(UTC) + duration.fixed
    except (OverflowError, ValueError) as exc:
        raise InvalidInput("duration", f"leads from {moment:%Y-%m-%d} beyond the calendar; use a shorter one") from exc


def add_calendar(moment: datetime, duration: Duration, zone: ZoneInfo, at: time) -> datetime:
    """Count whole local days, months and years from the local day of `moment`, then take the local time `at`.

    Hours in the duration are elapsed before the day is read. The answer may lie before `moment` (day + 0).
    """
    try:
        day = (moment + timedelta(seconds=duration.seconds)).astimezone(zone).date()
        day += relativedelta(years=duration.years, months=duration.months)
        day += timedelta(weeks=duration.weeks, days=duration.days)
        return at_local(datetime.combine(day, at), zone)
    except (OverflowError, ValueError) as exc:
        raise InvalidInput("duration", f"leads from {moment:%Y-%m-%d} beyond the calendar; use a shorter one") from exc


def period_words(duration: Duration, language: str) -> str:
    """Say a duration in a reader's language: '1 month 3 days', '3 gün', '2 часа'."""
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    counts = (
        ("year", duration.years),
        ("month", duration.months),
        ("week", duration.weeks),
        ("day", duration.days),
        ("hour", hours),
        ("minute", minutes),
        ("second", seconds),
    )
    said = [(unit, count) for unit, count in counts if count] or [("second", 0)]
    if language.startswith("tr"):
        return " ".join(f"{count} {_TURKISH[unit]}" for unit, count in said)
    return " ".join(format_unit(count, f"duration-{unit}", locale=language) for unit, count in said)
