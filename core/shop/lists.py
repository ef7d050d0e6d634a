"""The shop's lists as people page through them: by keyset, with what a row shows, in a few statements a page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, func, or_, select

from core.shop.prices import find_prices
from core.shop.rows import chunks, contains, contains_text, equals, is_storable
from core.shop.snapshots import show_money
from core.shop.tables import customers, orders, products, stock, tasks, variants
from core.shop.wanted import show_quantity
from core.tables import effects

#: Moment and id of the row that the page before ended with.
Place = tuple[datetime, str]
_MARKS = " +-()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose tasks: given to one of these names, or to nobody in person but to the role."""

    names: Sequence[str]
    role: str


def page_orders(
    conn: Connection,
    *,
    text: str | None = None,
    status: str | None = None,
    customer: str | None = None,
    limit: int,
    before: Place | None = None,
) -> list[dict[str, Any]]:
    """Return orders with their customers' names, the newest first."""
    shown = (orders.c.id, orders.c.number, orders.c.status, orders.c.created_at, orders.c.channel, orders.c.currency)
    who = (customers.c.id.label("customer"), customers.c.name, customers.c.first_name, customers.c.last_name)
    joined = orders.outerjoin(customers, orders.c.customer == customers.c.id)
    wanted = select(*shown, orders.c.total, orders.c.paid, *who).select_from(joined)
    if text is not None:
        wanted = wanted.where(or_(contains_text(orders.c.number, text), equals(orders.c.id, text)))
    for column, value in ((orders.c.status, status), (orders.c.customer, customer)):
        wanted = wanted if value is None else wanted.where(equals(column, value))
    wanted = _newest(wanted, orders.c.created_at, orders.c.id, before)
    return [_show_order(dict(row)) for row in conn.execute(wanted.limit(limit)).mappings()]


def _newest(wanted: Any, at: Any, ours: Any, before: Place | None) -> Any:
    if before is not None:
        wanted = wanted.where(or_(at < before[0], and_(at == before[0], ours < before[1])))
    return wanted.order_by(at.desc(), ours.desc())


def _show_order(row: dict[str, Any]) -> dict[str, Any]:
    paid = row["currency"] is not None and row["paid"] >= row["total"]
    money = {"total": show_money(row["total"], row["currency"]), "is_paid": paid}
    return row | money | {"customer_name": _full_name(row)}


def _full_name(row: dict[str, Any]) -> str | None:
    return row["name"] or " ".join(filter(None, (row["first_name"], row["last_name"]))) or None


def count_statuses(conn: Connection) -> dict[str, int]:
    """Return how many orders have each status."""
    counted = select(orders.c.status, func.count()).group_by(orders.c.status)
    return {row.status: row[1] for row in conn.execute(counted)}


def page_customers(
    conn: Connection, *, text: str | None = None, limit: int, before: Place | None = None
) -> list[dict[str, Any]]:
    """Return customers whose names, phone, e-mail or city hold the text, the newest first, with their orders' count."""
    wanted = select(customers)
    if text is not None:
        # A number is found however its digits are set apart.
        digits = "".join(letter for letter in text if letter not in _MARKS)
        wanted = wanted.where(contains(customers.c.search, digits if digits.isascii() and digits.isdigit() else text))
    wanted = _newest(wanted, customers.c.created_at, customers.c.id, before)
    rows = [dict(row) for row in conn.execute(wanted.limit(limit)).mappings()]
    counts = _count_orders(conn, [row["id"] for row in rows])
    return [
        row
        | {"name": _full_name(row), "orders": counts.get(row["id"], (0, None))[0]}
        | {"last_order_at": counts.get(row["id"], (0, None))[1]}
        for row in rows
    ]


def _count_orders(conn: Connection, ids: Iterable[str]) -> dict[str, tuple[int, datetime]]:
    found: dict[str, tuple[int, datetime]] = {}
    for part in chunks(ids):
        counted = select(orders.c.customer, func.count(), func.max(orders.c.created_at))
        for customer, count, last in conn.execute(
            counted.where(orders.c.customer.in_(part)).group_by(orders.c.customer)
        ):
            found[customer] = count, last
    return found


def page_products(
    conn: Connection, *, text: str | None = None, limit: int, after: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return products by name with their variants' SKUs, retail prices and stock; the text is looked for in both."""
    wanted = select(products)
    if text is not None:
        of_product = select(variants.c.id).where(
            variants.c.product == products.c.id, contains_text(variants.c.sku, text)
        )
        wanted = wanted.where(or_(contains(products.c.search, text), exists(of_product)))
    if after is not None and is_storable(after[0]):
        name, ours = after
        wanted = wanted.where(or_(products.c.name > name, and_(products.c.name == name, products.c.id > ours)))
    rows = conn.execute(wanted.order_by(products.c.name, products.c.id).limit(limit)).mappings()
    shown = [dict(row) for row in rows]
    kinds = _find_variants(conn, [row["id"] for row in shown])
    return [row | {"variants": kinds.get(row["id"], [])} for row in shown]


def _find_variants(conn: Connection, ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for part in chunks(ids):
        chosen = select(variants).where(variants.c.product.in_(part))
        rows += map(dict, conn.execute(chosen.order_by(variants.c.position, variants.c.id)).mappings())
    levels, money = _sum_stock(conn, [row["id"] for row in rows]), find_prices(conn, [row["id"] for row in rows])
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        told = {"price": money.get(row["id"]), "stock": levels.get(row["id"])}
        found.setdefault(row["product"], []).append({name: row[name] for name in ("id", "sku", "options")} | told)
    return found


def _sum_stock(conn: Connection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return {variant: what lies in all places together}; variants that nobody counts are left out."""
    found: dict[str, dict[str, Any]] = {}
    for part in chunks(ids):
        summed = select(stock.c.variant, func.sum(stock.c.on_hand), func.sum(stock.c.reserved))
        for ours, on_hand, reserved in conn.execute(summed.where(stock.c.variant.in_(part)).group_by(stock.c.variant)):
            held = {"reserved": show_quantity(int(reserved)), "on_hand": show_quantity(int(on_hand))}
            found[ours] = {"available": show_quantity(int(on_hand - reserved))} | held
    return found


def page_tasks(
    conn: Connection, *, owner: Owner | None = None, limit: int, after: tuple[datetime | None, str] | None = None
) -> list[dict[str, Any]]:
    """Return open tasks, those due first in front and those without a date last, with their orders and customers."""
    joined = tasks.outerjoin(orders, tasks.c.order == orders.c.id)
    joined = joined.outerjoin(customers, tasks.c.customer == customers.c.id)
    who = (customers.c.name, customers.c.first_name, customers.c.last_name)
    wanted = select(tasks, orders.c.number.label("number"), *who).select_from(joined).where(tasks.c.status == "open")
    if owner is not None:
        of_role = and_(tasks.c.assignee.is_(None), tasks.c.role == owner.role)
        wanted = wanted.where(or_(tasks.c.assignee.in_(owner.names), of_role))
    if after is not None:
        due, ours = after
        undated = and_(tasks.c.due.is_(None), tasks.c.id > ours) if due is None else tasks.c.due.is_(None)
        dated = or_(tasks.c.due > due, and_(tasks.c.due == due, tasks.c.id > ours)) if due is not None else None
        wanted = wanted.where(undated if dated is None else or_(undated, dated))
    wanted = wanted.order_by(tasks.c.due.is_(None), tasks.c.due, tasks.c.id).limit(limit)
    rows = [{str(name): value for name, value in row.items()} for row in conn.execute(wanted).mappings()]
    made_by = find_makers(conn, [row["id"] for row in rows])
    return [row | {"customer_name": _full_name(row), "maker": made_by.get(row["id"])} for row in rows]


def find_makers(conn: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Return {task: the run that created it}, for tasks that an automation made."""
    found: dict[str, str] = {}
    for part in chunks(f"task:{ours}" for ours in ids):
        chosen = select(effects.c.object, effects.c.run).where(effects.c.object.in_(part), effects.c.run.is_not(None))
        for name, run in conn.execute(chosen.order_by(effects.c.at.desc())):
            found[name.removeprefix("task:")] = run
    return found
