"""Prices by price list, with history: one row is current, the rest say what was asked before."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from core.errors import InvalidInput, NotFound
from core.ids import new_id
from core.shop.rows import Row, chunks, insert_all, row_of
from core.shop.snapshots import show_money, snapshot_variants
from core.shop.tables import prices, variants
from core.shop.wanted import join, optional, read_code, read_moment, read_money, read_object
from core.shop.work import Change, Work

RETAIL = "retail"


def get_variant(work: Work, wanted: Mapping[str, Any], path: str) -> Row:
    """Return the variant that a record names by `variant` or `sku`."""
    for name, column in (("variant", variants.c.id), ("sku", variants.c.sku)):
        if wanted.get(name) is not None:
            code = read_code(wanted[name], join(path, name))
            row = row_of(work.conn, column, code)
            if row is None:
                raise NotFound(f"no product with the {name} {code!r}")
            return row
    raise InvalidInput(path, "needs a sku")


def set_price(work: Work, wanted: Any, *, path: str = "price") -> Change:
    """Store a price: sku, list (retail when not given), price, since. Price null ends the present one.

    A price older than the present one is ignored and named in the change.
    """
    read_object(wanted, ("sku", "variant", "list", "price", "currency", "since"), path)
    variant = get_variant(work, wanted, path)
    name = read_code(wanted.get("list", RETAIL), join(path, "list"))
    if "price" not in wanted:
        raise InvalidInput(join(path, "price"), "is required; null ends the present price")
    money = None
    if wanted["price"] is not None:
        money = read_money(wanted["price"], wanted.get("currency"), join(path, "price"))
    since = optional(read_moment)(wanted.get("since"), join(path, "since")) or work.now
    current = _find_current(work, variant["id"], name)
    before = None if current is None else show_money(current["amount"], current["currency"])
    after = None if money is None else money.as_json()
    field = f"price.{name}"
    if before == after:
        return Change(id=variant["id"])
    if work.masters.get(field, work.source) != work.source and current is not None:
        return Change(id=variant["id"], ignored={field: f"is kept by {work.masters[field]}"})
    if current is not None and since < current["since"]:
        return Change(id=variant["id"], ignored={field: "is older than the present price"})
    if current is not None:
        work.conn.execute(prices.update().where(prices.c.id == current["id"]).values(until=since))
    if money is not None:
        row = {"id": new_id(), "variant": variant["id"], "list": name, "amount": money.minor(), "until": None}
        row |= {"currency": money.currency, "source": work.source, "since": since}
        insert_all(work.conn, prices, [row], "price")
    changes = {field: {"from": before, "to": after}}
    if work.emit is not None:
        product = snapshot_variants(work.conn, [variant["id"]])[variant["id"]]
        told = {"list": name} | ({"from": before} if before else {}) | ({"to": after} if after else {})
        data = {"product": product, "price": told, "changes": changes}
        work.emit("price.changed", data, key=variant["sku"], customer=None)
    return Change(id=variant["id"], created=False, changes=changes)


def _find_current(work: Work, variant: str, name: str) -> Row | None:
    chosen = and_(prices.c.variant == variant, prices.c.list == name, prices.c.until.is_(None))
    found = work.conn.execute(select(prices).where(chosen).with_for_update()).mappings().first()
    return None if found is None else dict(found)


def find_prices(
    conn: Connection, ids: Iterable[str], *, name: str = RETAIL, at: datetime | None = None
) -> dict[str, dict[str, str]]:
    """Return {variant id: money} of one price list, now or as it was at a moment."""
    when = prices.c.until.is_(None)
    if at is not None:
        when = and_(prices.c.since <= at, or_(prices.c.until.is_(None), prices.c.until > at))
    found: dict[str, dict[str, str]] = {}
    for part in chunks(ids):
        chosen = select(prices).where(prices.c.variant.in_(part), prices.c.list == name, when)
        for row in conn.execute(chosen.order_by(prices.c.since)).mappings():
            money = show_money(row["amount"], row["currency"])
            if money is not None:
                found[row["variant"]] = money
    return found
