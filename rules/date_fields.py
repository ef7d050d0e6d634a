"""The date fields of records that a rule may start from, and the day or moment at which one of them starts it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from core.durations import Duration, add, at_local
from core.errors import RuleError
from core.windows import parse_time
from rules.steps import duration_at

#: Date fields that every shop has, and whether they come back every year.
DATES = {
    "customer.birthday": True,
    "customer.created_at": False,
    "customer.changed_at": False,
    "customer.first_order_at": False,
    "customer.last_order_at": False,
    "order.created_at": False,
    "order.status_at": False,
    "order.changed_at": False,
    "product.created_at": False,
    "product.changed_at": False,
    "task.due": False,
    "task.created_at": False,
    "task.done_at": False,
    "payment.created_at": False,
    "payment.paid_at": False,
    "shipment.created_at": False,
    "shipment.state_at": False,
}
#: Records whose custom fields may hold dates: customer.fields.NAME.
WITH_FIELDS = ("customer", "order", "product")

_MORNING = "09:00"
_UTC = ZoneInfo("UTC")
#: One part of the path of a custom field. Quotes and backslashes stay out: the path becomes part of an index.
_PART = re.compile(r"[^\W\d][\w -]{0,79}")
_MOST_PARTS = 5
#: How dates in custom fields are found: texts of this form sort by time.
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ]|$)")
#: Months differ by so many days at most: how far calendar offsets can be from where they are looked for.
_SLACK = timedelta(days=3)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateField:
    """A date field of a kind of record."""

    path: str
    noun: str
    #: The column, or the first part of a custom field's path.
    name: str
    #: Path inside the custom fields; empty for a column.
    custom: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dated:
    """A value of a date field: the shop's calendar day, and the moment (midnight where only a day is known)."""

    day: date
    moment: datetime

    def in_year(self, year: int, zone: ZoneInfo) -> "Dated":
        """Return the same day of another year; 29 February is kept on the 28th where there is none."""
        try:
            day = self.day.replace(year=year)
        except ValueError:
            day = self.day.replace(year=year, day=28)
        clock = self.moment.astimezone(zone).time()
        return Dated(day, at_local(datetime.combine(day, clock), zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class DatePlan:
    """A date trigger, read: which field, how far from it, and when on that day."""

    field: DateField
    offset: Duration
    #: The time of day; None: at the exact moment, because the offset counts hours.
    at: time | None
    yearly: bool

    def planned(self, dated: Dated, zone: ZoneInfo) -> datetime:
        """Return the moment at which a value starts the rule."""
        if self.at is None:
            return add(dated.moment, self.offset, zone)
        return at_local(datetime.combine(moved_day(dated.day, self.offset), self.at), zone)

    def occurrences(self, dated: Dated, zone: ZoneInfo, near: datetime) -> Iterator[tuple[str, datetime]]:
        """Yield what a value starts around a moment: the occurrence's name, and when."""
        if not self.yearly:
            yield (dated.day if self.at else dated.moment).isoformat(), self.planned(dated, zone)
            return
        # A moment in the past (made, paid) has its first anniversary a year later; a day is celebrated at once.
        first = dated.day.year + (0 if self._is_day else 1)
        middle = add(near, -self.offset, zone).year
        for year in range(max(first, middle - 1), middle + 2):
            yield str(year), self.planned(dated.in_year(year, zone), zone)

    @property
    def _is_day(self) -> bool:
        return bool(self.field.custom) or self.field.path == "customer.birthday"

    def span(self, planned_at: datetime, before: timedelta, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Return where values lie that start the rule in the time `before` a planned moment: wide enough, not exact."""
        slack = _SLACK if self.offset.years or self.offset.months else timedelta()
        if self.at is None:
            end = add(planned_at, -self.offset, zone)
            return end - before - slack, end + slack + timedelta(seconds=1)
        days = days_before(planned_at.astimezone(zone).date(), self.offset)
        if not days:
            return planned_at, planned_at
        start = at_local(datetime.combine(min(days), time.min), zone)
        return start, at_local(datetime.combine(max(days) + _DAY, time.min), zone)


def read_date_plan(when: Mapping[str, Any]) -> DatePlan:
    """Read a date trigger; raise RuleError naming the wrong part."""
    field = read_date_field(str(when["date"]))
    offset = duration_at(when.get("offset"), "when.offset", signed=True) or Duration()
    at = when.get("at", None if offset.seconds else _MORNING)
    repeat = when.get("repeat", "yearly" if DATES.get(field.path) else "once")
    return DatePlan(
        field=field, offset=offset, at=None if at is None else parse_time(str(at)), yearly=repeat == "yearly"
    )


def read_date_field(path: str) -> DateField:
    """Return the field of that path; raise RuleError where no record has such a date."""
    noun, _, name = path.partition(".")
    if path in DATES:
        return DateField(path=path, noun=noun, name=name)
    head, _, rest = name.partition(".")
    parts = tuple(rest.split("."))
    if noun in WITH_FIELDS and head == "fields":
        if len(parts) > _MOST_PARTS or not all(_PART.fullmatch(part) for part in parts):
            raise RuleError("when.date", f"{path!r} names no custom field; use letters, digits, _, - and blanks")
        return DateField(path=path, noun=noun, name=parts[0], custom=parts)
    custom = " or ".join(f"{noun}.fields.NAME" for noun in WITH_FIELDS)
    raise RuleError("when.date", f"must be one of {', '.join(DATES)}, or a custom field: {custom}")


def read_dated(value: Any, zone: ZoneInfo) -> Dated | None:
    """Return a stored value as a date: a moment, or ISO 8601 text of a day or a moment; None for anything else."""
    if isinstance(value, str):
        if not _ISO.match(value):
            return None
        try:
            value = date.fromisoformat(value) if len(value) <= 10 else datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        try:
            moment = at_local(value, zone) if value.tzinfo is None else value.astimezone(UTC)
            return Dated(moment.astimezone(zone).date(), moment)
        except OverflowError:
            return None
    if isinstance(value, date) and 1 < value.year < 9999:
        return Dated(value, at_local(datetime.combine(value, time.min), zone))
    return None


def moved_day(day: date, by: Duration) -> date:
    """Return the day that lies a duration from another one; hours count from its noon."""
    return add(datetime.combine(day, time(12), UTC), by, _UTC).date()


def days_before(today: date, offset: Duration) -> list[date]:
    """Return the days whose date, moved by the offset, is today: several (or none) at the ends of months."""
    middle = moved_day(today, -offset)
    around = (middle + timedelta(days=shift) for shift in range(-3, 4))
    return [day for day in around if moved_day(day, offset) == today]
