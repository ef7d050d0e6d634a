"""Payments: one row for each payment of a provider, however often and in whichever order its news comes."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, select

from core.errors import Conflict, InvalidInput, NotFound
from core.ids import new_id
from core.money import read_currency
from core.shop.orders import get_order_id, sum_paid
from core.shop.rows import Row, insert_all, row_of, update_by_id
from core.shop.snapshots import order_data, show_money, show_payment
from core.shop.tables import orders, payments
from core.shop.wanted import (
    join,
    optional,
    read_all,
    read_choice,
    read_code,
    read_count,
    read_moment,
    read_money,
    read_object,
    read_text,
)
from core.shop.work import Change, Draft, Work

#: What each state may turn into; what is paid stays paid, a refund is an amount.
NEXT = {
    "pending": ("authorized", "paid", "failed", "canceled"),
    "authorized": ("paid", "failed", "canceled"),
    "failed": ("pending", "authorized", "paid", "canceled"),
    "canceled": ("paid",),
    "paid": (),
}

_PLAIN = {"method": optional(read_text), "instalments": optional(read_count)}
_KNOWN = {
    *_PLAIN,
    "id",
    "order",
    "provider",
    "external_id",
    "state",
    "amount",
    "currency",
    "refunded",
    "paid_at",
    "created_at",
}
_STORED = ("order", "state", "method", "instalments", "amount", "refunded", "paid_at", "changed_at")


def record_payment(work: Work, wanted: Any, *, path: str = "payment") -> Change:
    """Store what a provider says of a payment; it counts once by (provider, external id).

    News that is older than what is known (pending after paid, a smaller refund) is ignored and named in the change.
    """
    read_object(wanted, _KNOWN, path)
    row = _find(work, wanted, path)
    draft = Draft(work=work, noun="payment", row=row or _start(work, wanted, path), created=row is None)
    refunded_before = draft.row["refunded"]
    if wanted.get("order") is not None:
        _set_order(draft, read_code(wanted["order"], join(path, "order")), path)
    for name, value in read_all(wanted, _PLAIN, path).items():
        draft.set(name, value)
    _set_amounts(draft, wanted, path)
    was_paid = not draft.created and draft.row["state"] == "paid"
    _set_state(draft, wanted, path)
    _store(draft)
    change = draft.done()
    if change.is_changed and draft.row["order"] is not None:
        sum_paid(work, draft.row["order"])
    _emit(work, draft, was_paid=was_paid, refunded_before=refunded_before)
    return change


def _find(work: Work, wanted: Mapping[str, Any], path: str) -> Row | None:
    if wanted.get("id") is not None:
        ours = read_code(wanted["id"], join(path, "id"))
        row = row_of(work.conn, payments.c.id, ours, lock=True)
        if row is None:
            raise NotFound(f"no payment {ours!r}")
        return row
    provider, external = _name(work, wanted, path)
    chosen = and_(payments.c.provider == provider, payments.c.external_id == external)
    found = work.conn.execute(select(payments).where(chosen).with_for_update()).mappings().first()
    return None if found is None else dict(found)


def _name(work: Work, wanted: Mapping[str, Any], path: str) -> tuple[str, str]:
    provider = read_code(wanted.get("provider", work.source), join(path, "provider"))
    if wanted.get("external_id") is None:
        raise InvalidInput(join(path, "external_id"), "is required: it keeps a payment from being counted twice")
    return provider, read_code(wanted["external_id"], join(path, "external_id"))


def _start(work: Work, wanted: Mapping[str, Any], path: str) -> Row:
    provider, external = _name(work, wanted, path)
    if wanted.get("amount") is None:
        raise InvalidInput(join(path, "amount"), "is required for a new payment")
    created_at = optional(read_moment)(wanted.get("created_at"), join(path, "created_at")) or work.now
    row: Row = dict.fromkeys(payments.c.keys())
    row |= {"id": new_id(), "provider": provider, "external_id": external, "state": "pending"}
    return row | {"amount": 0, "refunded": 0, "created_at": created_at, "changed_at": work.now}


def _set_order(draft: Draft, reference: str, path: str) -> None:
    order = get_order_id(draft.work.conn, reference, system=draft.work.source)
    if draft.row["order"] not in (None, order):
        raise Conflict(f"payment {draft.row['external_id']} belongs to order {draft.row['order']}, not to {order}")
    draft.set("order", order)


def _set_amounts(draft: Draft, wanted: Mapping[str, Any], path: str) -> None:
    row = draft.row
    order = row_of(draft.work.conn, orders.c.id, row["order"], lock=True) if row["order"] else None
    currency = row["currency"] or (order["currency"] if order else None)
    if wanted.get("currency") is not None:
        stated = read_currency(wanted["currency"], join(path, "currency"))
        if currency is not None and stated != currency:
            raise InvalidInput(join(path, "currency"), f"is {stated}, but the order is in {currency}")
        currency = stated
    for name in ("amount", "refunded"):
        if wanted.get(name) is None:
            continue
        money = read_money(wanted[name], currency, join(path, name))
        currency = row["currency"] = money.currency
        if name == "refunded" and money.minor() < row["refunded"]:
            draft.ignore("refunded", "is less than was refunded before: older news")
            continue
        if name == "amount" and row["state"] == "paid" and money.minor() != row["amount"]:
            raise Conflict(f"payment {row['external_id']} was paid with another amount; a return is a refund")
        draft.set(name, money.minor(), shown=lambda units: show_money(units, row["currency"]))
    if row["refunded"] > row["amount"]:
        raise InvalidInput(join(path, "refunded"), "is more than was paid")
    if order is not None and order["currency"] is None:
        draft.work.conn.execute(orders.update().where(orders.c.id == order["id"]).values(currency=row["currency"]))


def _set_state(draft: Draft, wanted: Mapping[str, Any], path: str) -> None:
    row = draft.row
    paid_at = optional(read_moment)(wanted.get("paid_at"), join(path, "paid_at"))
    state = optional(read_choice(NEXT))(wanted.get("state"), join(path, "state"))
    if state is not None and state != row["state"]:
        if draft.created or state in NEXT[row["state"]]:
            draft.set("state", state)
        else:
            draft.ignore("state", f"{state} is older news than {row['state']}")
    if row["state"] == "paid" and row["paid_at"] is None:
        row["paid_at"] = paid_at or draft.work.now
    if row["refunded"] and row["state"] != "paid":
        raise InvalidInput(join(path, "refunded"), "needs a payment that is paid")


def _store(draft: Draft) -> None:
    if draft.created:
        insert_all(draft.work.conn, payments, [draft.row], "payment")
    elif draft.touched:
        draft.row["changed_at"] = draft.work.now
        update_by_id(draft.work.conn, payments, [draft.row], _STORED)


def _emit(work: Work, draft: Draft, *, was_paid: bool, refunded_before: int) -> None:
    if work.emit is None or not (draft.created or draft.changes):
        return
    row = draft.row
    data: dict[str, Any] = {"payment": show_payment(row), "changes": draft.changes}
    if row["order"] is not None:
        data |= order_data(work.conn, [row["order"]])[row["order"]]
    customer = data.get("customer", {}).get("id")
    told = []
    if row["state"] == "paid" and not was_paid:
        told.append("payment.received")
    if row["refunded"] > refunded_before:
        told.append("payment.refunded")
    if row["state"] == "failed" and (draft.created or "payment.state" in draft.changes):
        told.append("payment.failed")
    for kind in told or (["payment.created"] if draft.created else ["payment.changed"]):
        work.emit(kind, data, key=row["order"] or row["id"], customer=customer)
