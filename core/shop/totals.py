"""Figures of the shop for a span of time: orders placed, money received, messages and tasks."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, ColumnElement, Connection, case, func, select, type_coerce

from core.db import to_micros
from core.money import Money
from core.shop.tables import messages, orders


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What happened from one moment to another."""

    orders: int
    #: Received for the orders placed in this span, by currency.
    paid: dict[str, Decimal]
    paid_orders: int
    messages: int
    delivered: int
    failed: int


def read_totals(conn: Connection, since: datetime, until: datetime) -> Totals:
    """Count what was placed, received and sent in a span."""
    placed = (orders.c.created_at >= since) & (orders.c.created_at < until)
    by_currency = select(orders.c.currency, func.count(), func.sum(orders.c.paid), _count(orders.c.paid > 0)).where(
        placed
    )
    count, paid, paid_orders = 0, {}, 0
    for currency, number, minor, with_money in conn.execute(by_currency.group_by(orders.c.currency)):
        count, paid_orders = count + number, paid_orders + with_money
        if currency and minor:
            paid[currency] = Money.from_minor(int(minor), currency).amount
    sent = (messages.c.created_at >= since) & (messages.c.created_at < until)
    done = messages.c.status.in_(("sent", "delivered", "captured"))
    told = select(func.count(), _count(done), _count(messages.c.status == "failed")).where(sent)
    total, delivered, failed = conn.execute(told).one()
    return Totals(orders=count, paid=paid, paid_orders=paid_orders, messages=total, delivered=delivered, failed=failed)


def count_orders(conn: Connection, since: datetime, step_s: int, steps: int) -> list[int]:
    """Return the orders placed in each of `steps` spans of `step_s` seconds from a moment on."""
    micros = type_coerce(orders.c.created_at, BigInteger)
    number = (micros - to_micros(since)) // (step_s * 1_000_000)
    query = select(number.label("span"), func.count()).where(orders.c.created_at >= since).group_by("span")
    found = {int(span): count for span, count in conn.execute(query)}
    return [found.get(place, 0) for place in range(steps)]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
