"""The outbox: every message to a customer, queued once for one idempotency key, its fate only moving forwards."""

from typing import Any

from sqlalchemy import Connection, select

from core.errors import NotFound, Overtaken
from core.ids import new_id
from core.shop.identity import find_customer_id
from core.shop.rows import Row, equals, insert_missing, matches, row_of
from core.shop.snapshots import Snapshot, known, snapshot_customers
from core.shop.tables import messages
from core.shop.wanted import optional, read_all, read_body, read_choice, read_code, read_object, read_text
from core.shop.work import Change, Work

#: What each state may turn into; receipts come late, twice and in the wrong order.
NEXT = {
    "queued": ("sent", "delivered", "failed", "captured"),
    "sent": ("delivered", "failed"),
    "delivered": (),
    "failed": ("sent", "delivered"),
    "captured": (),
}

_READERS = {
    "customer": optional(read_code),
    "order": optional(read_code),
    "channel": read_code,
    "address": optional(read_text),
    "subject": optional(read_text),
    "body": read_body,
    "template": optional(read_code),
    "status": read_choice(("queued", "captured")),
    "rule": optional(read_code),
    "run": optional(read_code),
    "idempotency_key": read_code,
}
_SHOWN = (
    *("id", "customer", "order", "channel", "address", "subject", "body", "template", "status", "rule", "run"),
    *("external_id", "created_at", "sent_at", "delivered_at", "error"),
)


def queue_message(work: Work, wanted: Any, *, system: str | None = None, path: str = "message") -> Change:
    """Put a message into the outbox; with a key that was used before, return the message made then.

    A customer nobody knows yet stays under the id that the event gave: a message needs no customer record.
    """
    read_object(wanted, _READERS, path)
    needed = {"channel": None, "body": None, "idempotency_key": None, "status": "queued"}
    values = read_all(needed | dict(wanted), _READERS, path)
    if values.get("customer") is not None:
        ours = find_customer_id(work.conn, values["customer"], system=system or work.source)
        values["customer"] = ours or values["customer"]
    row: Row = dict.fromkeys(messages.c.keys())
    row |= {"id": new_id(), "created_at": work.now} | values
    if insert_missing(work.conn, messages, [row]) == 0:
        first = row_of(work.conn, messages.c.idempotency_key, values["idempotency_key"])
        if first is None:
            raise Overtaken("another process stored the same message at this moment; try again")
        return Change(id=first["id"])
    return Change(id=row["id"], created=True)


def set_message_status(
    work: Work, message: str, status: str, *, error: str | None = None, external_id: str | None = None
) -> Change:
    """Record what became of a message; news older than what is known is ignored."""
    status = read_choice(NEXT)(status, "message.status")
    row = row_of(work.conn, messages.c.id, message, lock=True)
    if row is None:
        raise NotFound(f"no message {message!r}")
    before = row["status"]
    if status == before:
        return Change(id=row["id"])
    if status not in NEXT[before]:
        return Change(id=row["id"], ignored={"message.status": f"{status} is older news than {before}"})
    row |= {"status": status, "error": optional(read_body)(error, "message.error")}
    row["external_id"] = optional(read_code)(external_id, "message.external_id") or row["external_id"]
    if status in {"sent", "delivered"}:
        row["sent_at"] = row["sent_at"] or work.now
    if status == "delivered":
        row["delivered_at"] = work.now
    work.conn.execute(messages.update().where(messages.c.id == row["id"]).values(row))
    changes = {"message.status": {"from": before, "to": status}}
    if work.emit is not None and status != "captured":
        data: dict[str, Any] = {"message": show_message(row), "changes": changes}
        people = snapshot_customers(work.conn, [row["customer"]]) if row["customer"] else {}
        data |= {"customer": people[row["customer"]]} if people else {}
        work.emit(f"message.{status}", data, key=row["id"], customer=row["customer"])
    return Change(id=row["id"], changes=changes)


def show_message(row: Row) -> Snapshot:
    return known({name: row[name] for name in _SHOWN})


def get_message(conn: Connection, message: str) -> Snapshot:
    """Return one message, or raise NotFound."""
    row = row_of(conn, messages.c.id, message)
    if row is None:
        raise NotFound(f"no message {message!r}")
    return show_message(row)


def find_message_id(conn: Connection, *, channel: str, external_id: str) -> str | None:
    """Return our id for the provider's, as receipts and bounces name it."""
    chosen = (equals(messages.c.channel, channel), equals(messages.c.external_id, external_id))
    return conn.execute(select(messages.c.id).where(*chosen)).scalars().first()


def find_messages(
    conn: Connection,
    *,
    customer: str | None = None,
    status: str | None = None,
    rule: str | None = None,
    limit: int = 100,
) -> list[Snapshot]:
    """Return messages that match, the newest first."""
    chosen = {"customer": customer, "status": status, "rule": rule}
    wanted = select(messages).where(*matches(messages, chosen))
    wanted = wanted.order_by(messages.c.created_at.desc(), messages.c.id.desc()).limit(limit)
    return [show_message(dict(row)) for row in conn.execute(wanted).mappings()]
