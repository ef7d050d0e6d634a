"""Records as events and templates see them: plain data, money as `{"amount", "currency"}`, no empty members.

Read in batches: the number of statements does not grow with the number of records.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from core.errors import NotFound
from core.money import currency_digits
from core.shop.consents import find_consents
from core.shop.external_ids import find_external
from core.shop.rows import Row, chunks, rows_in
from core.shop.tables import customers, order_lines, orders, payments, products, shipments, staff, statuses, variants
from core.shop.tags import find_tags
from core.shop.wanted import show_quantity

Snapshot = dict[str, Any]

_OF_PRODUCT = (
    variants.c.product.label("product"),
    variants.c.options.label("options"),
    variants.c.weight_g.label("weight_g"),
    products.c.name.label("product_name"),
    products.c.category.label("category"),
    products.c.brand.label("brand"),
)


def known(values: Mapping[str, Any]) -> Snapshot:
    """Leave out what is not known, and write moments as ISO 8601 text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }


def show_money(units: int | None, currency: str | None) -> dict[str, str] | None:
    """Return stored minor units as people write them."""
    if units is None or currency is None:
        return None
    digits = currency_digits(currency)
    return {"amount": f"{Decimal(units).scaleb(-digits):f}", "currency": currency}


def snapshot_customers(conn: Connection, ids: Iterable[str]) -> dict[str, Snapshot]:
    """Return {id: customer}; unknown ids are left out."""
    rows = {row["id"]: row for row in rows_in(conn, customers.c.id, ids)}
    tags, words = find_tags(conn, "customer", rows), find_consents(conn, rows)
    external = find_external(conn, "customer", rows)
    plain = ("id", "name", "first_name", "last_name", "phone", "email", "language", "zone", "birthday", "city")
    found: dict[str, Snapshot] = {}
    for ours, row in rows.items():
        names = " ".join(filter(None, (row["first_name"], row["last_name"])))
        found[ours] = known(
            {name: row[name] for name in plain} | {"name": names or None if row["name"] is None else row["name"]}
        ) | {
            "tags": tags.get(ours, []),
            "fields": row["fields"],
            "consents": words.get(ours, {}),
            "external_ids": external.get(ours, {}),
            "created_at": row["created_at"].isoformat(),
        }
    return found


def snapshot_customer(conn: Connection, customer: str) -> Snapshot:
    """Return one customer by our id, or raise NotFound."""
    return _only(snapshot_customers(conn, [customer]), "customer", customer)


def snapshot_orders(conn: Connection, ids: Iterable[str]) -> dict[str, Snapshot]:
    """Return {id: order} with lines, payments, shipments and totals; unknown ids are left out."""
    rows = {row["id"]: row for row in rows_in(conn, orders.c.id, ids)}
    if not rows:
        return {}
    lines, paid, sent = _find_lines(conn, rows), _find_payments(conn, rows), _find_shipments(conn, rows)
    tags, external = find_tags(conn, "order", rows), find_external(conn, "order", rows)
    groups = {row["code"]: row for row in rows_in(conn, statuses.c.code, (row["status"] for row in rows.values()))}
    sellers = {
        row["id"]: row for row in rows_in(conn, staff.c.id, filter(None, (row["seller"] for row in rows.values())))
    }
    found: dict[str, Snapshot] = {}
    for ours, row in rows.items():
        found[ours] = _show_order(row, groups.get(row["status"]), sellers.get(row["seller"])) | {
            "items": lines.get(ours, []),
            "payments": paid.get(ours, []),
            "shipments": sent.get(ours, []),
            "tags": tags.get(ours, []),
            "fields": row["fields"],
            "external_ids": external.get(ours, {}),
        }
    return found


def snapshot_order(conn: Connection, order: str) -> Snapshot:
    """Return one order by our id, or raise NotFound."""
    return _only(snapshot_orders(conn, [order]), "order", order)


def order_data(conn: Connection, ids: Iterable[str]) -> dict[str, Snapshot]:
    """Return {id: {"order": ..., "customer": ...}}: the data of an event about an order."""
    found = snapshot_orders(conn, ids)
    people = snapshot_customers(conn, filter(None, (order.get("customer") for order in found.values())))
    return {
        ours: {"order": order} | ({"customer": people[order["customer"]]} if order.get("customer") in people else {})
        for ours, order in found.items()
    }


def _show_order(row: Row, status: Row | None, seller: Row | None) -> Snapshot:
    plain = ("id", "number", "customer", "status", "status_at", "channel", "source", "delivery", "address", "seller")
    money = ("discount", "delivery_cost", "total")
    return known(
        {name: row[name] for name in plain}
        | {"status_group": status and status["group"], "status_title": status and status["title"]}
        | {"seller_name": seller and seller["name"], "created_at": row["created_at"], "currency": row["currency"]}
        | {name: show_money(row[name], row["currency"]) for name in money}
        | {"paid_total": show_money(row["paid"], row["currency"])}
        | {"is_paid": row["paid"] >= row["total"] and row["currency"] is not None}
    )


def _find_lines(conn: Connection, ids: Mapping[str, Row]) -> dict[str, list[Snapshot]]:
    joined = order_lines.outerjoin(variants, order_lines.c.variant == variants.c.id)
    joined = joined.outerjoin(products, variants.c.product == products.c.id)
    found: dict[str, list[Snapshot]] = {}
    for part in chunks(ids):
        wanted = select(order_lines, *_OF_PRODUCT).select_from(joined).where(order_lines.c.order.in_(part))
        for row in conn.execute(wanted.order_by(order_lines.c.order, order_lines.c.position)).mappings():
            found.setdefault(row["order"], []).append(_show_line(row, ids[row["order"]]["currency"]))
    return found


def _show_line(row: Mapping[Any, Any], currency: str | None) -> Snapshot:
    return known(
        {
            "id": row["id"],
            "external_id": row["external_id"],
            "name": row["name"],
            "product": _show_variant(row) | {"name": row["product_name"] or row["name"]},
            "quantity": show_quantity(row["quantity"]),
            "price": show_money(row["price"], currency),
            "discount": show_money(row["discount"], currency),
            "total": show_money(row["total"], currency),
        }
    )


def _show_variant(row: Mapping[Any, Any]) -> Snapshot:
    """Return a product as one of its variants: what lines, prices and stock are about."""
    return known(
        {
            "id": row["product"],
            "variant": row["variant"],
            "sku": row["sku"],
            "name": row["product_name"],
            "category": row["category"],
            "brand": row["brand"],
            "options": row["options"] or None,
            "weight_g": row["weight_g"],
        }
    )


def _find_payments(conn: Connection, ids: Iterable[str]) -> dict[str, list[Snapshot]]:
    found: dict[str, list[Snapshot]] = {}
    for row in sorted(rows_in(conn, payments.c.order, ids), key=lambda row: (row["created_at"], row["id"])):
        found.setdefault(row["order"], []).append(show_payment(row))
    return found


def show_payment(row: Row) -> Snapshot:
    plain = ("id", "order", "provider", "external_id", "state", "method", "instalments", "paid_at", "created_at")
    money = {name: show_money(row[name], row["currency"]) for name in ("amount", "refunded")}
    return known({name: row[name] for name in plain} | money)


def _find_shipments(conn: Connection, ids: Iterable[str]) -> dict[str, list[Snapshot]]:
    found: dict[str, list[Snapshot]] = {}
    for row in sorted(rows_in(conn, shipments.c.order, ids), key=lambda row: (row["created_at"], row["id"])):
        found.setdefault(row["order"], []).append(show_shipment(row))
    return found


def show_shipment(row: Row) -> Snapshot:
    plain = ("id", "order", "carrier", "tracking", "state", "state_at", "created_at")
    return known({name: row[name] for name in plain} | {"cost": show_money(row["cost"], row["currency"])})


def snapshot_variants(conn: Connection, ids: Iterable[str]) -> dict[str, Snapshot]:
    """Return {variant id: its product as that variant}; unknown ids are left out."""
    columns = (variants.c.id.label("variant"), variants.c.sku, *_OF_PRODUCT)
    joined = select(*columns).select_from(variants.join(products, variants.c.product == products.c.id))
    found: dict[str, Snapshot] = {}
    for part in chunks(ids):
        for row in conn.execute(joined.where(variants.c.id.in_(part))).mappings():
            found[row["variant"]] = _show_variant(row)
    return found


def snapshot_products(conn: Connection, ids: Iterable[str]) -> dict[str, Snapshot]:
    """Return {id: product with all its variants}; unknown ids are left out."""
    rows = {row["id"]: row for row in rows_in(conn, products.c.id, ids)}
    tags, external = find_tags(conn, "product", rows), find_external(conn, "product", rows)
    kinds: dict[str, list[Snapshot]] = {}
    shown = ("id", "sku", "barcode", "options", "weight_g", "active")
    for row in sorted(rows_in(conn, variants.c.product, rows), key=lambda row: (row["position"], row["id"])):
        kinds.setdefault(row["product"], []).append(known({name: row[name] for name in shown}))
    plain = ("id", "name", "brand", "category", "description", "url", "image", "fields", "active", "created_at")
    return {
        ours: known({name: row[name] for name in plain})
        | {"tags": tags.get(ours, []), "external_ids": external.get(ours, {}), "variants": kinds.get(ours, [])}
        | ({"sku": kinds[ours][0]["sku"]} if ours in kinds else {})
        for ours, row in rows.items()
    }


def _only(found: Mapping[str, Snapshot], noun: str, ours: str) -> Snapshot:
    if ours not in found:
        raise NotFound(f"no {noun} {ours!r}")
    return found[ours]
