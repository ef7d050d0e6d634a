"""Date triggers: whose date has come, found through indexes, so that cost follows the dates due and not the records.

Nothing is planned ahead: the date as it is now decides, so a date that is moved takes its plan along. For each field
that a live rule looks at, an index is kept; the database keeps it right, whoever writes.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Column, Connection, Index, MetaData, String, Table, and_, func, or_, select, text
from sqlalchemy.schema import CreateIndex, DropIndex
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from core.errors import InvalidInput
from core.events import Event
from core.marks import read_mark, write_mark
from core.shop.rows import rows_in
from core.shop.snapshots import order_data, show_payment, show_shipment, snapshot_customers, snapshot_products
from core.shop.tables import customers, orders, payments, products, shipments, statuses, tasks
from core.shop.tasks import show_task
from core.writer import Tx
from rules.date_fields import Dated, DateField, DatePlan, read_date_plan, read_dated
from rules.own_events import own_event
from rules.rule import OWN_EVENTS, Rule

if TYPE_CHECKING:
    from rules.engine import Engine

TABLES = {
    "customer": customers,
    "order": orders,
    "product": products,
    "task": tasks,
    "payment": payments,
    "shipment": shipments,
}
#: Dates of customers that their orders tell: whether the last order counts, or the first.
_OF_ORDERS = {"customer.last_order_at": True, "customer.first_order_at": False}
#: How often a rule that counts hours looks: it acts within a minute.
EXACT_SPEC, EXACT_STEP = "every minute", timedelta(minutes=1)

_MARK = "rules.date_indexes"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Due:
    """A record whose date has come."""

    id: str
    #: Tells the occurrences of one record apart: the date, or the year of what comes every year.
    occurrence: str
    value: Any


def spec_of(plan: DatePlan) -> str:
    """Return when the rule has to look."""
    return EXACT_SPEC if plan.at is None else f"every day at {plan.at:%H:%M}"


def date_events(engine: "Engine", conn: Connection, rule: Rule, planned_at: datetime) -> list[Event]:
    """Return an event for each record whose date has come at this planned moment."""
    plan = read_date_plan(rule.trigger.document)
    due = {one.id: one for one in find_due(conn, plan, planned_at, engine.zone)}
    day = planned_at.astimezone(engine.zone).date().isoformat()
    made = []
    for ident, data in _pictures(conn, plan.field.noun, sorted(due)).items():
        told = {"field": plan.field.path, "day": day, "value": due[ident].value}
        made.append(
            own_event(
                engine,
                OWN_EVENTS["date"],
                f"rule:{rule.id}/{ident}/{due[ident].occurrence}",
                {**data, "rule": rule.name, "date": told},
                key=ident,
                customer=(data.get("customer") or {}).get("id"),
            )
        )
    return made


def find_due(conn: Connection, plan: DatePlan, planned_at: datetime, zone: ZoneInfo) -> Iterator[Due]:
    """Yield the records that this planned moment is for."""
    since = planned_at - EXACT_STEP
    for ident, value in _candidates(conn, plan, plan.span(planned_at, EXACT_STEP, zone), zone):
        dated = read_dated(value, zone)
        if dated is None:
            continue
        for occurrence, at in plan.occurrences(dated, zone, planned_at):
            if at == planned_at or (plan.at is None and since < at < planned_at):
                yield Due(ident, occurrence, value.isoformat() if isinstance(value, datetime) else value)


# Finding, by index


def _candidates(
    conn: Connection, plan: DatePlan, span: tuple[datetime, datetime], zone: ZoneInfo
) -> Iterable[tuple[str, Any]]:
    """Return (record, value) for all values that may lie in the span, and few others."""
    start, end = span
    if start >= end:
        return []
    field = plan.field
    if field.path in _OF_ORDERS:
        return _by_orders(conn, start, end, plan.yearly, last=_OF_ORDERS[field.path])
    value = value_of(field, TABLES[field.noun], conn.dialect.name)
    days = _days(start, end, zone)
    if not _is_text(field):
        condition = _between(conn, value, start, end, yearly=plan.yearly)
    elif plan.yearly:
        condition = _month_and_day(value).in_(_month_days(days))
    else:
        condition = and_(value >= days[0].isoformat(), value < (days[-1] + _DAY).isoformat())
    query = select(TABLES[field.noun].c.id, value).where(condition)
    return [(row[0], row[1]) for row in conn.execute(query)]


def _by_orders(
    conn: Connection, start: datetime, end: datetime, yearly: bool, *, last: bool
) -> list[tuple[str, datetime]]:
    """Return customers with an order in the span after (or before) which they placed no other; given up ones aside."""
    given_up = select(statuses.c.code).where(statuses.c.group == "canceled")
    other = orders.alias()
    later = other.c.created_at > orders.c.created_at if last else other.c.created_at < orders.c.created_at
    more = select(other.c.id).where(other.c.customer == orders.c.customer, later, other.c.status.not_in(given_up))
    query = select(orders.c.customer, orders.c.created_at).where(
        _between(conn, orders.c.created_at, start, end, yearly=yearly),
        orders.c.customer.is_not(None),
        orders.c.status.not_in(given_up),
        ~more.exists(),
    )
    return [(row[0], row[1]) for row in conn.execute(query)]


def _between(
    conn: Connection, value: ColumnElement[Any], start: datetime, end: datetime, *, yearly: bool
) -> ColumnElement[bool]:
    """Return the test that a moment lies in the span, or in the same span of an earlier year."""
    if not yearly:
        return and_(value >= start, value < end)
    first = conn.execute(select(func.min(value))).scalar_one()
    years = range(1, start.year - first.year + 2 if first is not None else 2)
    # A day to either side: shifting a moment by years may cross 29 February or a clock change.
    shifts = [_year_earlier(start - _DAY, back) for back in years]
    return or_(*(and_(value >= moment, value < moment + (end - start) + 2 * _DAY) for moment in shifts))


def _year_earlier(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year - years)
    except ValueError:
        return moment.replace(year=moment.year - years, day=28)


def _days(start: datetime, end: datetime, zone: ZoneInfo) -> list[date]:
    """Return the days of the span, with one more at each end: texts may be written in any zone."""
    first, last = start.astimezone(zone).date() - _DAY, end.astimezone(zone).date() + _DAY
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _month_days(days: list[date]) -> list[str]:
    found = {f"{day:%m-%d}" for day in days}
    return sorted(found | ({"02-29"} if "02-28" in found else set()))


def _is_text(field: DateField) -> bool:
    return bool(field.custom) or field.path == "customer.birthday"


def value_of(field: DateField, table: FromClause, dialect: str) -> ColumnElement[Any]:
    """Return the SQL of a field's value, the same to the letter in queries and in the index."""
    if not field.custom:
        return table.c[field.name]
    if dialect == "sqlite":
        path = ".".join(f'"{part}"' for part in field.custom)
        return func.json_extract(table.c.fields, text(f"'$.{path}'"), type_=String)
    value: ColumnElement[Any] = table.c.fields
    for part in field.custom[:-1]:
        value = value.op("->")(text(f"'{part}'"))
    return value.op("->>", return_type=String())(text(f"'{field.custom[-1]}'"))


def _month_and_day(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.substr(value, text("6"), text("5"), type_=String)


# Indexes


def keep_indexes(tx: Tx, plans: Iterable[DatePlan], now: datetime) -> None:
    """Make the indexes that these plans search by, and drop those that no plan uses any more."""
    dialect = tx.conn.dialect.name
    wanted = {index.name: index for plan in plans if (index := _index(plan, dialect)) is not None}
    stored: dict[str, str] = read_mark(tx.conn, _MARK) or {}
    for index in wanted.values():
        tx.conn.execute(CreateIndex(index, if_not_exists=True))
    for name, table in stored.items():
        if name not in wanted:
            tx.conn.execute(DropIndex(Index(name, _bare(table).c.id), if_exists=True))
    kept = {str(name): index.table.name for name, index in wanted.items() if index.table is not None}
    if kept != stored:
        write_mark(tx.conn, _MARK, kept, now)


def _index(plan: DatePlan, dialect: str) -> Index | None:
    field = plan.field
    if field.path in _OF_ORDERS:
        field = DateField(path="order.created_at", noun="order", name="created_at")
    real = TABLES[field.noun]
    table = _bare(real.name, *(() if field.custom else (field.name,)))
    value = value_of(field, table, dialect)
    if _is_text(field) and plan.yearly:
        value = _month_and_day(value)
    elif any(next(iter(index.columns.keys()), "") == field.name and not field.custom for index in real.indexes):
        return None
    told = hashlib.sha256(f"{field.path}/{plan.yearly and _is_text(field)}".encode()).hexdigest()[:16]
    return Index(f"ix_dates_{real.name}_{told}", value)


def _bare(name: str, *columns: str) -> Table:
    """Return the table's name with columns to hang an index on: the real one's own list of indexes stays as it is."""
    return Table(name, MetaData(), *(Column(column, String) for column in ("id", "fields", *columns)))


# What the rule is told


def _pictures(conn: Connection, noun: str, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return what events about these records hold."""
    if noun == "order":
        return order_data(conn, ids)
    if noun in ("customer", "product"):
        read = snapshot_customers if noun == "customer" else snapshot_products
        return {ident: {noun: record} for ident, record in read(conn, ids).items()}
    show = {"task": show_task, "payment": show_payment, "shipment": show_shipment}[noun]
    rows = rows_in(conn, TABLES[noun].c.id, ids)
    about = order_data(conn, filter(None, (row["order"] for row in rows)))
    people = snapshot_customers(conn, filter(None, (row.get("customer") for row in rows)))
    found = {}
    for row in rows:
        data = {noun: show(row), **about.get(row["order"], {})}
        if row.get("customer") in people:
            data["customer"] = people[row["customer"]]
        found[row["id"]] = data
    return found


# Telling


def find_value(conn: Connection, field: DateField, ident: str) -> tuple[bool, Any]:
    """Return whether there is such a record, and the value of its date field."""
    if field.path in _OF_ORDERS:
        return _order_value(conn, ident, last=_OF_ORDERS[field.path])
    table = TABLES[field.noun]
    row = conn.execute(select(value_of(field, table, conn.dialect.name)).where(table.c.id == ident)).one_or_none()
    return row is not None, row and row[0]


def _order_value(conn: Connection, ident: str, *, last: bool) -> tuple[bool, datetime | None]:
    given_up = select(statuses.c.code).where(statuses.c.group == "canceled")
    chosen = func.max(orders.c.created_at) if last else func.min(orders.c.created_at)
    query = select(chosen).where(orders.c.customer == ident, orders.c.status.not_in(given_up))
    known = conn.execute(select(customers.c.id).where(customers.c.id == ident)).first() is not None
    return known, conn.execute(query).scalar_one()


def next_planned(plan: DatePlan, dated: Dated, zone: ZoneInfo, now: datetime) -> tuple[datetime, bool]:
    """Return when a value starts the rule (next, or at last) and whether that lies ahead."""
    moments = sorted(at for _, at in plan.occurrences(dated, zone, now))
    ahead = [at for at in moments if at > now]
    if ahead:
        return ahead[0].astimezone(UTC), True
    if not moments:
        raise InvalidInput("date", "lies beyond the calendar")
    return moments[-1].astimezone(UTC), False
