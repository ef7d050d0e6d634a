"""Orders: lines, totals and a configurable status machine; written as wanted states, the difference is told."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from core.errors import InvalidInput, NotFound
from core.ids import new_id
from core.money import read_currency
from core.shop.customers import find_or_stub, upsert_customer
from core.shop.external_ids import find_our_id, link, read_external
from core.shop.order_lines import read_lines, show_lines, store_lines
from core.shop.rows import Row, contains_text, equals, insert_all, matches, next_number, row_of, rows_in, update_by_id
from core.shop.snapshots import order_data, show_money
from core.shop.staff import find_staff_id
from core.shop.statuses import FIRST, check_requirements, check_transition, load_statuses
from core.shop.tables import counters, external_ids, order_lines, orders, payments, shipments
from core.shop.tags import delete_tag, find_tags, insert_tags
from core.shop.wanted import (
    join,
    optional,
    read_all,
    read_code,
    read_fields,
    read_moment,
    read_money,
    read_object,
    read_tags,
    read_text,
)
from core.shop.work import Change, Draft, Work

#: Statuses that have an event of their own besides `order.status_changed`.
TOLD = ("paid", "shipped", "delivered", "completed", "canceled", "returned")

_PLAIN = {
    "channel": optional(read_text),
    "delivery": optional(read_text),
    "address": optional(
        lambda value, path: read_text(value, path) if isinstance(value, str) else read_fields(value, path)
    ),
}
_MONEY = ("discount", "delivery_cost", "total")
_KNOWN = {
    *_PLAIN,
    *_MONEY,
    *("id", "external_id", "external_ids", "number", "customer", "status", "status_at", "seller", "currency"),
    *("items", "fields", "tags", "created_at"),
}
_STORED = [column for column in orders.c.keys() if column not in {"id", "source", "paid", "created_at"}]  # noqa: SIM118


def upsert_order(work: Work, wanted: Any, *, path: str = "order") -> Change:
    """Store a wanted order, found by id, external id or its source's number; tell what changed.

    Raises InvalidInput naming a wrong field, Conflict for a status that may not follow.
    """
    read_object(wanted, _KNOWN, path)
    external = read_external(wanted, work.source, path)
    row = _find(work, wanted, external, path)
    draft = Draft(work=work, noun="order", row=row or _start(work, wanted, path), created=row is None)
    if wanted.get("customer") is not None:
        _set_customer(draft, wanted["customer"], join(path, "customer"))
    for name, value in read_all(wanted, _PLAIN, path).items():
        draft.set(name, value)
    if wanted.get("seller") is not None:
        seller = read_text(wanted["seller"], join(path, "seller"))
        draft.set("seller", find_staff_id(work.conn, seller) or seller)
    _set_fields(draft, read_fields(wanted.get("fields", {}), join(path, "fields")))
    lines = _set_money(draft, wanted, path)
    before = draft.row["status"] if row else None
    _set_status(draft, wanted, lines, path)
    _write(draft)
    if lines is not None:
        store_lines(work, draft.row["id"], *lines)
    for system, value in link(work, "order", draft.row["id"], external).items():
        draft.note(f"external_ids.{system}", None, value)
    if "tags" in wanted:
        _set_tags(draft, read_tags(wanted["tags"], join(path, "tags")))
    change = draft.done()
    emit_order(work, change, before=before, status=draft.row["status"])
    return change


def _find(work: Work, wanted: Mapping[str, Any], external: Mapping[str, str], path: str) -> Row | None:
    if wanted.get("id") is not None:
        ours = read_code(wanted["id"], join(path, "id"))
        row = row_of(work.conn, orders.c.id, ours, lock=True)
        if row is None:
            raise NotFound(f"no order {ours!r}")
        return row
    ours = find_our_id(work.conn, "order", external)
    if ours is not None:
        return row_of(work.conn, orders.c.id, ours, lock=True)
    if wanted.get("number") is None or external:
        return None
    number = read_code(wanted["number"], join(path, "number"))
    chosen = and_(orders.c.source == work.source, orders.c.number == number)
    found = work.conn.execute(select(orders).where(chosen).with_for_update()).mappings().first()
    return None if found is None else dict(found)


def _start(work: Work, wanted: Mapping[str, Any], path: str) -> Row:
    number = optional(read_code)(wanted.get("number"), join(path, "number"))
    created_at = optional(read_moment)(wanted.get("created_at"), join(path, "created_at")) or work.now
    row: Row = dict.fromkeys(orders.c.keys())
    row |= dict.fromkeys((*_MONEY, "paid"), 0)
    row |= {"id": new_id(), "source": work.source, "fields": {}, "status": FIRST, "status_at": created_at}
    row |= {"number": number or str(next_number(work.conn, counters, f"order/{work.source}"))}
    return row | {"created_at": created_at, "changed_at": work.now}


def _set_customer(draft: Draft, wanted: Any, path: str) -> None:
    if isinstance(wanted, Mapping):
        customer = upsert_customer(draft.work, wanted, path=path).id
    else:
        customer = find_or_stub(draft.work, read_code(wanted, path))
    draft.set("customer", customer)


def _set_fields(draft: Draft, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        before = draft.row["fields"].get(name)
        if before == value or not draft.may_write(f"fields.{name}"):
            continue
        draft.note(f"fields.{name}", before, value)
        kept = {key: item for key, item in draft.row["fields"].items() if key != name}
        draft.row["fields"] = kept if value is None else kept | {name: value}


def _set_money(draft: Draft, wanted: Mapping[str, Any], path: str) -> tuple[list[Row], list[Row]] | None:
    """Put lines, discount, delivery and total into the row; return the wanted and the stored lines.

    A total that the other system states counts as stated; else it is the sum.
    """
    row, work = draft.row, draft.work
    currency = row["currency"]
    if wanted.get("currency") is not None:
        stated = read_currency(wanted["currency"], join(path, "currency"))
        if currency is not None and stated != currency:
            raise InvalidInput(join(path, "currency"), f"is {stated}, but the order is in {currency}")
        currency = stated
    lines = stored = None
    if "items" in wanted:
        lines, currency = read_lines(work, wanted["items"], currency, join(path, "items"))
        stored = sorted(rows_in(work.conn, order_lines.c.order, [row["id"]]), key=lambda line: line["position"])
    sums: dict[str, int] = {}
    for name in _MONEY:
        if wanted.get(name) is not None:
            money = read_money(wanted[name], currency, join(path, name))
            sums[name], currency = money.minor(), money.currency
    if currency != row["currency"]:
        draft.set("currency", currency)
    changed = _note_lines(draft, lines, stored)
    lines = lines if changed else None
    for name in ("discount", "delivery_cost"):
        if name in sums:
            changed |= draft.set(name, sums[name], shown=lambda units: show_money(units, currency))
    if "total" not in sums and changed:
        kept = lines if lines is not None else rows_in(work.conn, order_lines.c.order, [row["id"]])
        goods = sum(line["total"] for line in kept)
        sums["total"] = max(0, goods - row["discount"] + row["delivery_cost"])
    if "total" in sums:
        draft.set("total", sums["total"], shown=lambda units: show_money(units, currency))
    return None if lines is None or stored is None else (lines, stored)


def _note_lines(draft: Draft, lines: list[Row] | None, stored: list[Row] | None) -> bool:
    if lines is None or stored is None:
        return False
    names = ("external_id", "variant", "sku", "name", "quantity", "price", "discount")
    if [[line[name] for name in names] for line in lines] == [[line[name] for name in names] for line in stored]:
        return False
    if not draft.may_write("items"):
        return False
    currency = draft.row["currency"]
    draft.note("items", show_lines(stored, currency), show_lines(lines, currency))
    return True


def _set_status(draft: Draft, wanted: Mapping[str, Any], lines: tuple[list[Row], list[Row]] | None, path: str) -> None:
    """Move along the status machine; older news is ignored, and at the same moment the later call counts."""
    machine = load_statuses(draft.work)
    if wanted.get("status") is None:
        return
    row = draft.row
    status = read_code(wanted["status"], join(path, "status"))
    at = optional(read_moment)(wanted.get("status_at"), join(path, "status_at"))
    before = None if draft.created else row["status"]
    if status not in machine:
        check_transition(machine, row["number"], before, status, join(path, "status"))
    if at is not None and not draft.created and at < row["status_at"]:
        if status != row["status"]:
            draft.ignore("status", f"{status} is older news than {row['status']}")
        return
    if status != before and (draft.created or draft.may_write("status")):
        check_transition(machine, row["number"], before, status, join(path, "status"))
        _check_required(draft, machine, status, lines)
        draft.set("status", status)
        row["status_at"] = at or (row["created_at"] if draft.created else draft.work.now)
    elif status == before and at is not None and at > row["status_at"]:
        # The same status said again later: moves the clock for stale news, and is no change to tell.
        row["status_at"] = at
        draft.work.conn.execute(orders.update().where(orders.c.id == row["id"]).values(status_at=at))


def _check_required(draft: Draft, machine: Mapping[str, Row], status: str, lines: Any) -> None:
    needed = machine[status]["requires"]
    if not needed:
        return
    row, conn = draft.row, draft.work.conn
    has = {name: row[name] is not None for name in ("customer", "address", "delivery", "seller")}
    has["paid"] = row["currency"] is not None and row["paid"] >= row["total"]
    tables = {"items": order_lines, "payments": payments, "shipments": shipments}
    for name in tables.keys() & set(needed):
        column = tables[name].c.order
        has[name] = bool(rows_in(conn, column, [row["id"]]))
    if lines is not None:
        has["items"] = bool(lines[0])
    check_requirements(machine, row["number"], status, has)


def _write(draft: Draft) -> None:
    conn, row = draft.work.conn, draft.row
    if draft.created:
        insert_all(conn, orders, [row], "order")
    elif draft.touched:
        row["changed_at"] = draft.work.now
        update_by_id(conn, orders, [row], _STORED)


def _set_tags(draft: Draft, wanted: list[str]) -> None:
    order, conn = draft.row["id"], draft.work.conn
    before = find_tags(conn, "order", [order]).get(order, [])
    if wanted == before or not draft.may_write("tags"):
        return
    insert_tags(conn, "order", [(order, tag) for tag in wanted if tag not in before], draft.work.now)
    for tag in before:
        if tag not in wanted:
            delete_tag(conn, "order", order, tag)
    draft.note("tags", before, wanted)


def emit_order(work: Work, change: Change, *, before: str | None, status: str) -> None:
    """Tell of an order: created, its new status (also under the status's own name), and what else changed."""
    if work.emit is None or not change.is_changed:
        return
    data = order_data(work.conn, [change.id])[change.id]
    customer = data["order"].get("customer")
    moved = {name: value for name, value in change.changes.items() if name == "order.status"}
    other = {name: value for name, value in change.changes.items() if name != "order.status"}
    told: list[tuple[str, Mapping[str, Any]]] = [("order.created", {})] if change.created else []
    if moved:
        told.append(("order.status_changed", moved))
    if status in TOLD and status != before and (moved or change.created):
        told.append((f"order.{status}", moved))
    if other:
        told.append(("order.changed", other))
    for kind, changes in told:
        work.emit(kind, data | {"changes": dict(changes)}, key=change.id, customer=customer)


def change_order_tag(work: Work, order: str, tag: str, *, add: bool) -> Change:
    """Put a tag on an order, or take it off."""
    tag = read_code(tag, "tag")
    if add:
        done = insert_tags(work.conn, "order", [(order, tag)], work.now) > 0
    else:
        done = delete_tag(work.conn, "order", order, tag)
    if not done:
        return Change(id=order)
    after = find_tags(work.conn, "order", [order]).get(order, [])
    before = [name for name in after if name != tag] if add else sorted({*after, tag})
    change = Change(id=order, changes={"order.tags": {"from": before, "to": after}})
    emit_order(work, change, before=None, status="")
    return change


def sum_paid(work: Work, order: str) -> None:
    """Bring the order's paid sum in line with its payments."""
    received = select(func.coalesce(func.sum(payments.c.amount - payments.c.refunded), 0))
    received = received.where(payments.c.order == order, payments.c.state == "paid").scalar_subquery()
    work.conn.execute(orders.update().where(orders.c.id == order).values(paid=received, changed_at=work.now))


def find_order_id(conn: Connection, reference: str, *, system: str | None = None) -> str | None:
    """Return our id for an id of ours or of another system; without `system` only when no two orders share it."""
    if conn.execute(select(orders.c.id).where(equals(orders.c.id, reference))).first() is not None:
        return reference
    chosen = and_(external_ids.c.kind == "order", equals(external_ids.c.external_id, reference))
    if system is not None:
        chosen = and_(chosen, equals(external_ids.c.system, system))
    found = set(conn.execute(select(external_ids.c.object).where(chosen)).scalars())
    return found.pop() if len(found) == 1 else None


def get_order_id(conn: Connection, reference: str, *, system: str | None = None) -> str:
    """Return our id, or raise NotFound."""
    found = find_order_id(conn, reference, system=system)
    if found is None:
        raise NotFound(f"no order {reference!r}")
    return found


def find_orders(
    conn: Connection,
    *,
    text: str | None = None,
    status: str | None = None,
    customer: str | None = None,
    before: datetime | None = None,
    limit: int = 100,
) -> list[str]:
    """Return the ids of orders that match, the newest first; read them with `snapshot_orders`."""
    chosen = {"status": status, "customer": customer}
    wanted = select(orders.c.id).where(*matches(orders, chosen))
    if text is not None:
        wanted = wanted.where(or_(contains_text(orders.c.number, text), equals(orders.c.id, text)))
    if before is not None:
        wanted = wanted.where(orders.c.created_at < before)
    return list(conn.execute(wanted.order_by(orders.c.created_at.desc(), orders.c.id.desc()).limit(limit)).scalars())
