"""The lines of an order: read, matched with those that are stored, and summed."""

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from core.errors import InvalidInput
from core.ids import new_id
from core.money import Money
from core.shop.rows import Row, rows_in, update_by_id
from core.shop.snapshots import known, show_money
from core.shop.tables import order_lines, variants
from core.shop.wanted import (
    join,
    optional,
    read_code,
    read_list,
    read_money,
    read_object,
    read_quantity,
    read_text,
    show_quantity,
)
from core.shop.work import Work

_KNOWN = ("external_id", "sku", "variant", "name", "quantity", "price", "discount")
_COMPARED = ("external_id", "variant", "sku", "name", "quantity", "price", "discount", "total")


def read_lines(work: Work, value: Any, currency: str | None, path: str) -> tuple[list[Row], str | None]:
    """Return wanted lines and their one currency; products are looked up by SKU in one statement."""
    lines: list[Row] = []
    for index, wanted in enumerate(read_list(value, path, most=2_000)):
        line, currency = _read_line(wanted, currency, f"{path}[{index}]")
        lines.append(line | {"position": index})
    _name_variants(work, lines, path)
    return lines, currency


def _read_line(wanted: Any, currency: str | None, path: str) -> tuple[Row, str | None]:
    read_object(wanted, _KNOWN, path)
    line: Row = {
        name: optional(reader)(wanted.get(name), join(path, name))
        for name, reader in {
            "external_id": read_code,
            "sku": read_code,
            "variant": read_code,
            "name": read_text,
        }.items()
    }
    if line["sku"] is None and line["variant"] is None and not line["name"]:
        raise InvalidInput(path, "needs a sku, a variant or a name")
    line["quantity"] = read_quantity(wanted.get("quantity", 1), join(path, "quantity"))
    read = partial(_read_optional_money, wanted)
    line["price"], currency = read("price", currency, path)
    line["discount"], currency = read("discount", currency, path)
    if currency is not None:
        exact = Money.from_minor(line["price"], currency) * (Decimal(line["quantity"]) / 1000)
        line["total"] = exact.minor() - line["discount"]
    else:
        line["total"] = 0
    if line["total"] < 0:
        raise InvalidInput(join(path, "discount"), "is more than the line costs")
    return line, currency


def _read_optional_money(wanted: Any, name: str, currency: str | None, path: str) -> tuple[int, str | None]:
    if wanted.get(name) is None:
        return 0, currency
    money = read_money(wanted[name], currency, join(path, name))
    return money.minor(), money.currency


def _name_variants(work: Work, lines: Sequence[Row], path: str) -> None:
    """Fill in the variant by its SKU and the SKU by its variant; lines of unknown products keep their own words."""
    by_sku = {
        row["sku"]: row for row in rows_in(work.conn, variants.c.sku, (line["sku"] for line in lines if line["sku"]))
    }
    wanted_ids = [line["variant"] for line in lines if line["variant"]]
    by_id = {row["id"]: row for row in rows_in(work.conn, variants.c.id, wanted_ids)} if wanted_ids else {}
    for line in lines:
        if line["variant"] is not None and line["variant"] not in by_id:
            raise InvalidInput(f"{path}[{line['position']}].variant", "is no product variant")
        row = by_id.get(line["variant"] or "") or by_sku.get(line["sku"] or "")
        line["variant"] = row["id"] if row else None
        line["sku"] = row["sku"] if row else line["sku"]
        line["name"] = line["name"] or line["sku"] or ""


def store_lines(work: Work, order: str, wanted: Sequence[Row], stored: Sequence[Row]) -> bool:
    """Make the stored lines the wanted ones; lines that stay keep their ids. Return whether anything differed."""
    free = list(stored)
    new: list[Row] = []
    changed: list[Row] = []
    for line in wanted:
        match = _take_match(line, free)
        if match is None:
            new.append({"id": new_id(), "order": order} | line)
            continue
        if any(match[name] != line[name] for name in (*_COMPARED, "position")):
            changed.append({"id": match["id"]} | line)
    if free:
        work.conn.execute(order_lines.delete().where(order_lines.c.id.in_([line["id"] for line in free])))
    update_by_id(work.conn, order_lines, changed, (*_COMPARED, "position"))
    if new:
        work.conn.execute(order_lines.insert(), new)
    return bool(free or changed or new)


def _take_match(line: Row, free: list[Row]) -> Row | None:
    """Take out the stored line that is meant: by its external id, else the first of the same product and price."""
    known_ways = (("sku", "name", "price"), ("sku", "name"))
    for names in known_ways if line["external_id"] is None else (("external_id",),):
        for index, stored in enumerate(free):
            if all(stored[name] == line[name] for name in names):
                return free.pop(index)
    return None


def show_lines(lines: Sequence[Row], currency: str | None) -> list[dict[str, Any]]:
    """Return lines as the changes of an order show them."""
    return [
        known(
            {
                "sku": line["sku"],
                "name": line["name"],
                "quantity": show_quantity(line["quantity"]),
                "price": show_money(line["price"], currency),
                "discount": show_money(line["discount"], currency) if line["discount"] else None,
            }
        )
        for line in lines
    ]
