"""Products and their variants; a SKU names one variant."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from core.errors import Conflict, InvalidInput, NotFound
from core.ids import new_id
from core.shop.external_ids import find_our_id, link, read_external
from core.shop.prices import set_price
from core.shop.rows import Row, contains, equals, insert_all, row_of, rows_in, update_by_id
from core.shop.snapshots import snapshot_products
from core.shop.tables import order_lines, products, variants
from core.shop.tags import delete_tag, find_tags, insert_tags
from core.shop.wanted import (
    join,
    optional,
    read_all,
    read_body,
    read_code,
    read_count,
    read_fields,
    read_flag,
    read_list,
    read_object,
    read_tags,
    read_text,
    read_title,
)
from core.shop.work import Change, Draft, Work
from core.text import fold

_PLAIN = {
    "name": read_title,
    "brand": optional(read_text),
    "category": optional(read_text),
    "description": optional(read_body),
    "url": optional(read_body),
    "image": optional(read_body),
    "active": read_flag,
}
_VARIANT = {
    "sku": read_code,
    "barcode": optional(read_code),
    "options": read_fields,
    "weight_g": optional(read_count),
    "active": read_flag,
}
#: What a product with a single variant may say without a list of variants.
_SHORT = ("sku", "barcode", "options", "weight_g", "price")
_KNOWN = {*_PLAIN, *_SHORT, "id", "external_id", "external_ids", "fields", "tags", "variants"}
_STORED = [column for column in products.c.keys() if column not in {"id", "source", "created_at"}]  # noqa: SIM118


def upsert_product(work: Work, wanted: Any, *, path: str = "product") -> Change:
    """Store a wanted product with its variants, found by id, external id or any SKU.

    Variants that are not named stay as they are; `active: false` takes one out of sale.
    """
    read_object(wanted, _KNOWN, path)
    external = read_external(wanted, work.source, path)
    kinds = _read_variants(wanted, path)
    stored = rows_in(work.conn, variants.c.sku, (kind["sku"] for kind, _ in kinds), lock=True)
    row = _find(work, wanted, external, stored, path)
    values = read_all(wanted, _PLAIN, path)
    if row is None and "name" not in values:
        raise InvalidInput(join(path, "name"), "is required for a new product")
    draft = Draft(work=work, noun="product", row=row or _start(work), created=row is None)
    for name, value in values.items():
        draft.set(name, value)
    for name, value in read_fields(wanted.get("fields", {}), join(path, "fields")).items():
        if draft.row["fields"].get(name) != value and draft.may_write(f"fields.{name}"):
            draft.note(f"fields.{name}", draft.row["fields"].get(name), value)
            kept = {key: item for key, item in draft.row["fields"].items() if key != name}
            draft.row["fields"] = kept if value is None else kept | {name: value}
    _write(draft)
    _write_variants(draft, kinds, stored)
    for system, value in link(work, "product", draft.row["id"], external).items():
        draft.note(f"external_ids.{system}", None, value)
    if "tags" in wanted:
        _set_tags(draft, read_tags(wanted["tags"], join(path, "tags")))
    change = draft.done()
    _emit(work, change)
    for index, (kind, price) in enumerate(kinds):
        if price is not None:
            set_price(work, {"sku": kind["sku"], "price": price}, path=f"{path}.variants[{index}]")
    return change


def _read_variants(wanted: Mapping[str, Any], path: str) -> list[tuple[dict[str, Any], Any]]:
    """Return (values, price) of each variant; the short form names one."""
    entries = read_list(wanted.get("variants", []), join(path, "variants"), most=2_000)
    named = [(entry, f"{path}.variants[{index}]") for index, entry in enumerate(entries)]
    short = {name: wanted[name] for name in _SHORT if name in wanted}
    if short:
        if named:
            raise InvalidInput(join(path, next(iter(short))), "belongs into variants, where they are listed")
        named = [(short, path)]
    found: dict[str, tuple[dict[str, Any], Any]] = {}
    for entry, where in named:
        read_object(entry, {*_VARIANT, "price"}, where)
        values = read_all({"sku": None} | dict(entry), _VARIANT, where)
        if values["sku"] in found:
            raise InvalidInput(join(where, "sku"), f"{values['sku']} is listed twice")
        found[values["sku"]] = values, entry.get("price")
    return list(found.values())


def _find(
    work: Work, wanted: Mapping[str, Any], external: Mapping[str, str], stored: list[Row], path: str
) -> Row | None:
    owners = {row["product"] for row in stored}
    ours = optional(read_code)(wanted.get("id"), join(path, "id")) or find_our_id(work.conn, "product", external)
    if ours is None and len(owners) > 1:
        raise Conflict(f"these SKUs belong to {len(owners)} products: {', '.join(row['sku'] for row in stored)}")
    ours = ours or (owners.pop() if owners else None)
    if ours is None:
        if not external and not wanted.get("variants") and wanted.get("sku") is None:
            raise InvalidInput(path, "needs a sku or an external id, to be told from others")
        return None
    taken = [row["sku"] for row in stored if row["product"] != ours]
    if taken:
        raise Conflict(f"the SKU {taken[0]} belongs to another product")
    row = row_of(work.conn, products.c.id, ours, lock=True)
    if row is None:
        raise NotFound(f"no product {ours!r}")
    return row


def _start(work: Work) -> Row:
    row: Row = dict.fromkeys(products.c.keys())
    row |= {"id": new_id(), "fields": {}, "active": True, "search": "", "source": work.source}
    return row | {"created_at": work.now, "changed_at": work.now}


def _write(draft: Draft) -> None:
    conn, row = draft.work.conn, draft.row
    row["search"] = fold(" ".join(row[name] for name in ("name", "brand", "category") if row[name]))
    if draft.created:
        insert_all(conn, products, [row], "product")
    elif draft.touched:
        row["changed_at"] = draft.work.now
        update_by_id(conn, products, [row], _STORED)


def _write_variants(draft: Draft, kinds: list[tuple[dict[str, Any], Any]], stored: list[Row]) -> None:
    conn, by_sku = draft.work.conn, {row["sku"]: row for row in stored}
    count = 0 if draft.created else len(rows_in(conn, variants.c.product, [draft.row["id"]]))
    new: list[Row] = []
    for values, _ in kinds:
        row = by_sku.get(values["sku"])
        if row is None:
            base = {"id": new_id(), "product": draft.row["id"], "barcode": None, "options": {}, "weight_g": None}
            new.append(base | {"active": True, "position": count + len(new)} | values)
            draft.note(f"variants.{values['sku']}", None, values["sku"])
            continue
        changed = [name for name, value in values.items() if row[name] != value and draft.may_write(name)]
        for name in changed:
            draft.note(f"variants.{values['sku']}.{name}", row[name], values[name])
        if changed:
            update_by_id(conn, variants, [row | {name: values[name] for name in changed}], changed)
    insert_all(conn, variants, new, "SKU")
    for row in new:
        # Order lines that came before their product find it now.
        chosen = (order_lines.c.sku == row["sku"], order_lines.c.variant.is_(None))
        conn.execute(order_lines.update().where(*chosen).values(variant=row["id"]))


def _set_tags(draft: Draft, wanted: list[str]) -> None:
    product, conn = draft.row["id"], draft.work.conn
    before = find_tags(conn, "product", [product]).get(product, [])
    if wanted == before or not draft.may_write("tags"):
        return
    insert_tags(conn, "product", [(product, tag) for tag in wanted if tag not in before], draft.work.now)
    for tag in before:
        if tag not in wanted:
            delete_tag(conn, "product", product, tag)
    draft.note("tags", before, wanted)


def _emit(work: Work, change: Change) -> None:
    if work.emit is None or not change.is_changed:
        return
    kind = "product.created" if change.created else "product.changed"
    data = {"product": snapshot_products(work.conn, [change.id])[change.id], "changes": dict(change.changes)}
    work.emit(kind, data, key=change.id, customer=None)


def find_products(
    conn: Connection, *, text: str | None = None, category: str | None = None, limit: int = 100
) -> list[str]:
    """Return the ids of products whose name, brand or category holds the text, by name."""
    wanted = select(products.c.id)
    if text is not None:
        wanted = wanted.where(contains(products.c.search, text))
    if category is not None:
        wanted = wanted.where(equals(products.c.category, category))
    return list(conn.execute(wanted.order_by(products.c.name, products.c.id).limit(limit)).scalars())
