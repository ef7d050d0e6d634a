"""What is known about customers and products up to a moment: the questions that facts ask, answered in batches."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from core.shop.rows import chunks, equals
from core.shop.tables import order_lines, orders, payments, places, products, statuses, stock, tags, variants
from core.shop.wanted import show_quantity

#: Who is asked about, and up to which moment (not included).
Asked = tuple[str, datetime]


def count_orders(conn: Connection, asked: Iterable[Asked]) -> dict[Asked, int]:
    """Return how many orders the customers had placed, canceled and returned ones left out."""
    asked = set(asked)
    placed: dict[str, list[datetime]] = {}
    for part in chunks(customer for customer, _ in asked):
        wanted = select(orders.c.customer, orders.c.created_at).where(_bought_by(part))
        for customer, at in conn.execute(wanted.order_by(orders.c.created_at)):
            placed.setdefault(customer, []).append(at)
    return {(customer, at): bisect_left(placed.get(customer, []), at) for customer, at in asked}


def find_last_bought(
    conn: Connection, asked: Iterable[Asked], *, words: Mapping[str, str] | None = None
) -> dict[Asked, datetime | None]:
    """Return when each customer last bought a category, sku or product; None when never before that moment."""
    asked = set(asked)
    columns = {"category": products.c.category, "sku": order_lines.c.sku, "product": variants.c.product}
    joined = orders.join(order_lines, order_lines.c.order == orders.c.id)
    joined = joined.outerjoin(variants, order_lines.c.variant == variants.c.id)
    joined = joined.outerjoin(products, variants.c.product == products.c.id)
    named = [equals(columns[name], value) for name, value in (words or {}).items()]
    bought: dict[str, list[datetime]] = {}
    for part in chunks(customer for customer, _ in asked):
        wanted = select(orders.c.customer, orders.c.created_at).select_from(joined).where(_bought_by(part), *named)
        for customer, at in conn.execute(wanted.order_by(orders.c.created_at)):
            bought.setdefault(customer, []).append(at)
    found: dict[Asked, datetime | None] = {}
    for customer, at in asked:
        moments = bought.get(customer, [])
        before = bisect_left(moments, at)
        found[customer, at] = moments[before - 1] if before else None
    return found


def _bought_by(customers: Sequence[str]) -> ColumnElement[bool]:
    given_up = select(statuses.c.code).where(statuses.c.group == "canceled")
    return and_(orders.c.customer.in_(customers), orders.c.status.not_in(given_up))


def sum_spent(conn: Connection, asked: Iterable[Asked]) -> dict[Asked, dict[str, int]]:
    """Return {currency: minor units} that each customer had paid, less what was refunded since."""
    asked = set(asked)
    paid: dict[str, list[tuple[datetime, str, int]]] = {}
    columns = (orders.c.customer, payments.c.paid_at, payments.c.currency, payments.c.amount - payments.c.refunded)
    joined = payments.join(orders, payments.c.order == orders.c.id)
    for part in chunks(customer for customer, _ in asked):
        wanted = select(*columns).select_from(joined)
        wanted = wanted.where(orders.c.customer.in_(part), payments.c.state == "paid")
        for customer, at, currency, units in conn.execute(wanted):
            paid.setdefault(customer, []).append((at, currency, units))
    found: dict[Asked, dict[str, int]] = {}
    for customer, at in asked:
        sums = found.setdefault((customer, at), {})
        for moment, currency, units in paid.get(customer, []):
            if moment < at:
                sums[currency] = sums.get(currency, 0) + units
    return found


def find_tags_before(conn: Connection, asked: Iterable[Asked]) -> dict[Asked, list[str]]:
    """Return the tags that customers had been given, of those they still have."""
    asked = set(asked)
    given: dict[str, list[tuple[str, datetime]]] = {}
    for part in chunks(customer for customer, _ in asked):
        chosen = and_(tags.c.kind == "customer", tags.c.object.in_(part))
        for customer, tag, at in conn.execute(select(tags.c.object, tags.c.tag, tags.c.at).where(chosen)):
            given.setdefault(customer, []).append((tag, at))
    return {
        (customer, at): sorted(tag for tag, since in given.get(customer, []) if since < at) for customer, at in asked
    }


def find_available(
    conn: Connection, skus: Iterable[str], *, place: str | None = None
) -> dict[str, tuple[Any, datetime]]:
    """Return {sku: (free quantity over all places or in one, when it last changed)}; unknown SKUs are left out."""
    found: dict[str, tuple[Any, datetime]] = {}
    free, changed = func.sum(stock.c.on_hand - stock.c.reserved), func.max(stock.c.changed_at)
    joined = stock.join(variants, stock.c.variant == variants.c.id).join(places, stock.c.place == places.c.code)
    for part in chunks(skus):
        wanted = select(variants.c.sku, free, changed).select_from(joined).where(variants.c.sku.in_(part))
        wanted = wanted if place is None else wanted.where(equals(stock.c.place, place))
        for sku, units, at in conn.execute(wanted.group_by(variants.c.sku)):
            found[sku] = show_quantity(int(units)), at
    return found
