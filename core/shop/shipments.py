"""Shipments of orders: carrier, tracking number, state; late news from carriers never turns time back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, select

from core.errors import Conflict, InvalidInput, NotFound
from core.ids import new_id
from core.shop.external_ids import find_our_id, link, read_external
from core.shop.orders import get_order_id
from core.shop.rows import Row, insert_all, row_of, update_by_id
from core.shop.snapshots import order_data, show_money, show_shipment
from core.shop.tables import orders, shipments
from core.shop.wanted import join, optional, read_choice, read_code, read_moment, read_money, read_object
from core.shop.work import Change, Draft, Work

STATES = ("created", "shipped", "ready_for_pickup", "delivered", "returned", "lost", "canceled")

_KNOWN = (
    *("id", "external_id", "external_ids", "order", "carrier", "tracking", "state", "state_at", "cost", "created_at"),
)


def record_shipment(work: Work, wanted: Any, *, path: str = "shipment") -> Change:
    """Store what a carrier says of a shipment, found by id, external id, or carrier and tracking number.

    A state older (by `state_at`) than the one known is ignored and named in the change.
    """
    read_object(wanted, _KNOWN, path)
    external = read_external(wanted, work.source, path)
    row = _find(work, wanted, external, path)
    draft = Draft(work=work, noun="shipment", row=row or _start(work, wanted, path), created=row is None)
    order = get_order_id(work.conn, draft.row["order"], system=work.source) if draft.created else draft.row["order"]
    draft.row["order"] = order
    if wanted.get("tracking") is not None:
        draft.set("tracking", read_code(wanted["tracking"], join(path, "tracking")))
    if wanted.get("cost") is not None:
        _set_cost(draft, wanted["cost"], join(path, "cost"))
    _set_state(draft, wanted, path)
    if draft.created:
        insert_all(work.conn, shipments, [draft.row], "shipment")
    elif draft.touched:
        draft.row["changed_at"] = work.now
        update_by_id(
            work.conn, shipments, [draft.row], ("tracking", "cost", "currency", "state", "state_at", "changed_at")
        )
    for system, value in link(work, "shipment", draft.row["id"], external).items():
        draft.note(f"external_ids.{system}", None, value)
    _emit(work, draft)
    return draft.done()


def _find(work: Work, wanted: Mapping[str, Any], external: Mapping[str, str], path: str) -> Row | None:
    ours = optional(read_code)(wanted.get("id"), join(path, "id"))
    if ours is not None:
        row = row_of(work.conn, shipments.c.id, ours, lock=True)
        if row is None:
            raise NotFound(f"no shipment {ours!r}")
        return row
    ours = find_our_id(work.conn, "shipment", external)
    if ours is not None:
        return row_of(work.conn, shipments.c.id, ours, lock=True)
    if wanted.get("carrier") is None or wanted.get("tracking") is None:
        if not external:
            raise InvalidInput(path, "needs an external id, or a carrier and a tracking number, to be told from others")
        return None
    carrier = read_code(wanted["carrier"], join(path, "carrier"))
    tracking = read_code(wanted["tracking"], join(path, "tracking"))
    chosen = and_(shipments.c.carrier == carrier, shipments.c.tracking == tracking)
    found = work.conn.execute(select(shipments).where(chosen).with_for_update()).mappings().first()
    if found is not None and wanted.get("order") is not None:
        order = get_order_id(work.conn, read_code(wanted["order"], join(path, "order")), system=work.source)
        if order != found["order"]:
            raise Conflict(f"{carrier} {tracking} belongs to order {found['order']}, not to {order}")
    return None if found is None else dict(found)


def _start(work: Work, wanted: Mapping[str, Any], path: str) -> Row:
    for name in ("order", "carrier"):
        if wanted.get(name) is None:
            raise InvalidInput(join(path, name), "is required for a new shipment")
    created_at = optional(read_moment)(wanted.get("created_at"), join(path, "created_at")) or work.now
    row: Row = dict.fromkeys(shipments.c.keys())
    row |= {"id": new_id(), "order": read_code(wanted["order"], join(path, "order")), "state": "created"}
    row |= {"carrier": read_code(wanted["carrier"], join(path, "carrier")), "state_at": created_at}
    return row | {"created_at": created_at, "changed_at": work.now}


def _set_cost(draft: Draft, wanted: Any, path: str) -> None:
    currency = draft.row["currency"]
    if currency is None:
        order = row_of(draft.work.conn, orders.c.id, draft.row["order"])
        currency = order["currency"] if order else None
    money = read_money(wanted, currency, path)
    draft.row["currency"] = money.currency
    draft.set("cost", money.minor(), shown=lambda units: show_money(units, money.currency))


def _set_state(draft: Draft, wanted: Mapping[str, Any], path: str) -> None:
    row = draft.row
    state = optional(read_choice(STATES))(wanted.get("state"), join(path, "state"))
    at = optional(read_moment)(wanted.get("state_at"), join(path, "state_at"))
    if state is None:
        return
    if at is not None and at < row["state_at"] and not draft.created:
        if state != row["state"]:
            draft.ignore("state", f"{state} is older news than {row['state']}")
        return
    if draft.set("state", state) or draft.created:
        row["state_at"] = at or draft.work.now


def _emit(work: Work, draft: Draft) -> None:
    if work.emit is None or not (draft.created or draft.changes):
        return
    data = {"shipment": show_shipment(draft.row), "changes": draft.changes}
    data |= order_data(work.conn, [draft.row["order"]])[draft.row["order"]]
    customer = data.get("customer", {}).get("id")
    moved = "shipment.state" in draft.changes
    kind = "shipment.created" if draft.created else "shipment.status_changed" if moved else "shipment.changed"
    work.emit(kind, data, key=draft.row["order"], customer=customer)
