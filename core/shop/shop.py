"""The shop as plugins are handed it: one object for every writer, inside one open transaction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from core.errors import InvalidInput
from core.shop import (
    customers,
    external_ids,
    messages,
    notes,
    orders,
    payments,
    prices,
    products,
    shipments,
    staff,
    stock,
    tasks,
)
from core.shop import statuses as status_machine
from core.shop.identity import find_customer_id
from core.shop.lookup import find_customers_by
from core.shop.merges import merge_customers
from core.shop.work import Change, Emit, Work
from core.writer import Tx

T = TypeVar("T")


class Shop:
    """Takes wanted states, stores the difference and tells what changed; each call is done whole or not at all.

    `source` names the system whose word this is; `emit=None` keeps automations from starting (imports).
    References may be our ids, ids that were merged away, or ids of the `system` (the source when not given).
    """

    def __init__(
        self,
        tx: Tx,
        emit: Emit | None,
        now: datetime,
        source: str,
        region: str = "TR",
        *,
        masters: Mapping[str, str] | None = None,
    ) -> None:
        self.work = Work(conn=tx.conn, emit=emit, now=now, source=source, region=region, masters=masters or {})

    @property
    def conn(self) -> Connection:
        """The transaction's connection, for the `find_` and `snapshot_` functions."""
        return self.work.conn

    @property
    def source(self) -> str:
        return self.work.source

    def _whole(self, write: Callable[..., T], *args: Any, **options: Any) -> T:
        """Undo what a call wrote when it fails, so that a caller may go on with its transaction."""
        with self.work.conn.begin_nested():
            return write(self.work, *args, **options)

    # Customers

    def upsert_customer(self, wanted: Mapping[str, Any], *, path: str = "customer") -> Change:
        return self._whole(customers.upsert_customer, wanted, path=path)

    def upsert_customers(self, wanted: Sequence[Mapping[str, Any]], *, path: str = "customers") -> list[Change]:
        return self._whole(customers.upsert_customers, wanted, path=path)

    def merge_customers(self, keep: str, drop: str, *, actor: str) -> Change:
        return self._whole(merge_customers, keep=keep, drop=drop, actor=actor)

    def find_customer(self, reference: str, *, system: str | None = None) -> str | None:
        """Return our id, or None."""
        return find_customer_id(self.conn, reference, system=system)

    def find_customer_by(self, text: str) -> str | None:
        """Return the one customer with this phone number, e-mail address or id; None for nobody, or several."""
        found = find_customers_by(self.conn, text)
        return found[0] if len(found) == 1 else None

    def open_customer(self, reference: str, *, system: str | None = None) -> str:
        """Return our id; a customer nobody knows yet gets a stub record."""
        return self._whole(customers.find_or_stub, reference, system=system)

    # Tags, notes and external ids

    def add_tag(self, kind: str, reference: str, tag: str, *, system: str | None = None) -> Change:
        """Tag a customer or an order."""
        return self._change_tag(kind, reference, tag, system, add=True)

    def remove_tag(self, kind: str, reference: str, tag: str, *, system: str | None = None) -> Change:
        return self._change_tag(kind, reference, tag, system, add=False)

    def _change_tag(self, kind: str, reference: str, tag: str, system: str | None, *, add: bool) -> Change:
        if kind == "customer":
            customer = customers.find_or_stub(self.work, reference, system=system)
            write = customers.add_customer_tag if add else customers.remove_customer_tag
            return write(self.work, customer, tag)
        if kind == "order":
            order = orders.get_order_id(self.conn, reference, system=system)
            return orders.change_order_tag(self.work, order, tag, add=add)
        raise InvalidInput("kind", "must be customer or order")

    def add_note(
        self, kind: str, owner: str, text: str, *, author: str | None = None, idempotency_key: str | None = None
    ) -> Change:
        """Write a note on a record of ours."""
        return notes.add_note(self.work, kind, owner, text, author=author, idempotency_key=idempotency_key)

    def delete_note(self, note: str) -> Change:
        return notes.delete_note(self.work, note)

    def link(self, kind: str, object_id: str, external: Mapping[str, str]) -> dict[str, str]:
        """Connect a record with ids of other systems; return those that are new."""
        return self._whole(external_ids.link, kind, object_id, external)

    # Orders

    def upsert_order(self, wanted: Mapping[str, Any], *, path: str = "order") -> Change:
        return self._whole(orders.upsert_order, wanted, path=path)

    def change_status(self, reference: str, status: str, *, system: str | None = None) -> Change:
        """Move an order along the status machine; Conflict when it may not go there."""
        order = orders.get_order_id(self.conn, reference, system=system)
        return self._whole(orders.upsert_order, {"id": order, "status": status})

    def find_order(self, reference: str, *, system: str | None = None) -> str | None:
        """Return our id, or None."""
        return orders.find_order_id(self.conn, reference, system=system)

    def get_order(self, reference: str, *, system: str | None = None) -> str:
        """Return our id, or raise NotFound."""
        return orders.get_order_id(self.conn, reference, system=system)

    def set_status(self, wanted: Mapping[str, Any]) -> None:
        """Store one status of the order's status machine."""
        self._whole(status_machine.set_status, wanted)

    def record_payment(self, wanted: Mapping[str, Any], *, path: str = "payment") -> Change:
        return self._whole(payments.record_payment, wanted, path=path)

    def record_shipment(self, wanted: Mapping[str, Any], *, path: str = "shipment") -> Change:
        return self._whole(shipments.record_shipment, wanted, path=path)

    # Products, prices, stock

    def upsert_product(self, wanted: Mapping[str, Any], *, path: str = "product") -> Change:
        return self._whole(products.upsert_product, wanted, path=path)

    def set_price(self, wanted: Mapping[str, Any], *, path: str = "price") -> Change:
        return self._whole(prices.set_price, wanted, path=path)

    def set_place(self, wanted: Mapping[str, Any]) -> None:
        self._whole(stock.set_place, wanted)

    def set_stock(self, wanted: Mapping[str, Any], *, path: str = "stock") -> Change:
        return self._whole(stock.set_stock, wanted, path=path)

    def reserve(self, wanted: Mapping[str, Any], *, path: str = "reservation") -> Change:
        return self._whole(stock.reserve, wanted, path=path)

    def release(self, reservation: str) -> Change:
        return self._whole(stock.release, reservation)

    def ship(self, reservation: str) -> Change:
        return self._whole(stock.ship, reservation)

    def release_due(self, *, limit: int = 500) -> list[Change]:
        """Release reservations whose time is over."""
        return self._whole(stock.release_due, limit=limit)

    # Staff, tasks, messages

    def upsert_staff(self, wanted: Mapping[str, Any], *, path: str = "staff") -> Change:
        return self._whole(staff.upsert_staff, wanted, path=path)

    def create_task(self, wanted: Mapping[str, Any], *, system: str | None = None, path: str = "task") -> Change:
        return tasks.create_task(self.work, wanted, system=system, path=path)

    def change_task(self, task: str, wanted: Mapping[str, Any], *, path: str = "task") -> Change:
        return tasks.change_task(self.work, task, wanted, path=path)

    def close_task(self, task: str, *, status: str = "done", by: str | None = None) -> Change:
        return tasks.close_task(self.work, task, status=status, by=by)

    def reopen_task(self, task: str) -> Change:
        return tasks.reopen_task(self.work, task)

    def queue_message(self, wanted: Mapping[str, Any], *, system: str | None = None, path: str = "message") -> Change:
        return messages.queue_message(self.work, wanted, system=system, path=path)

    def set_message_status(
        self, message: str, status: str, *, error: str | None = None, external_id: str | None = None
    ) -> Change:
        return messages.set_message_status(self.work, message, status, error=error, external_id=external_id)
