"""Merge two customer records that are one person: nothing that points to the dropped one is lost, old ids resolve."""

from typing import Any

from core.errors import InvalidInput, NotFound
from core.shop.external_ids import move_links
from core.shop.identity import find_customer_id
from core.shop.rows import Row, rows_in, update_by_id
from core.shop.snapshots import snapshot_customers
from core.shop.tables import consents, customer_links, customer_merges, customers, messages, notes, orders, tasks
from core.shop.tags import move_tags
from core.shop.work import Change, Work
from core.tables import effects, events
from core.text import fold

_FILLED = ("name", "first_name", "last_name", "phone", "email", "language", "zone", "birthday", "city")
#: What points to a customer. Events and effects too: caps and history count for the person, not for the record.
_POINTERS = (
    customer_links.c.customer,
    consents.c.customer,
    orders.c.customer,
    tasks.c.customer,
    messages.c.customer,
    customer_merges.c.kept,
    events.c.customer,
    effects.c.customer,
)


def merge_customers(work: Work, *, keep: str, drop: str, actor: str) -> Change:
    """Give everything of `drop` to `keep`; fields that are empty there are filled. Repeating it changes nothing."""
    kept_id, dropped_id = (_get_id(work, reference) for reference in (keep, drop))
    if kept_id == dropped_id:
        if keep != drop:
            return Change(id=kept_id)
        raise InvalidInput("drop", "is the same customer as the one to keep")
    rows = {row["id"]: row for row in rows_in(work.conn, customers.c.id, sorted([kept_id, dropped_id]), lock=True)}
    dropped = snapshot_customers(work.conn, [dropped_id])[dropped_id]
    changes = merge_rows(work, keep=rows[kept_id], drop=rows[dropped_id], actor=actor)
    change = Change(id=kept_id, changes=changes)
    if work.emit is not None:
        kept = snapshot_customers(work.conn, [kept_id])[kept_id]
        data = {"customer": kept, "merged": dropped, "changes": changes}
        work.emit("customer.merged", data, key=kept_id, customer=kept_id)
    return change


def _get_id(work: Work, reference: str) -> str:
    found = find_customer_id(work.conn, reference)
    if found is None:
        raise NotFound(f"no customer {reference!r}")
    return found


def merge_rows(work: Work, *, keep: Row, drop: Row, actor: str) -> dict[str, dict[str, Any]]:
    """Move and store; `keep` is brought up to date in place. Return what changed on the kept record."""
    conn = work.conn
    record = snapshot_customers(conn, [drop["id"]])[drop["id"]]
    changes: dict[str, dict[str, Any]] = {}
    for name in _FILLED:
        if keep[name] is None and drop[name] is not None:
            keep[name] = drop[name]
            changes[f"customer.{name}"] = {"from": None, "to": drop[name]}
    keep["fields"] = drop["fields"] | keep["fields"]
    keep["search"] = fold(" ".join(filter(None, (keep[name] for name in (*_FILLED[:5], "city")))))
    keep["created_at"] = min(keep["created_at"], drop["created_at"])
    keep["stub"], keep["changed_at"] = keep["stub"] and drop["stub"], work.now
    update_by_id(conn, customers, [keep], (*_FILLED, "fields", "search", "created_at", "changed_at", "stub"))
    for column in _POINTERS:
        conn.execute(column.table.update().where(column == drop["id"]).values({column.name: keep["id"]}))
    conn.execute(
        notes.update().where(notes.c.kind == "customer", notes.c.object == drop["id"]).values(object=keep["id"])
    )
    move_links(conn, "customer", drop["id"], keep["id"])
    move_tags(conn, "customer", drop["id"], keep["id"], work.now)
    trail = {"dropped": drop["id"], "kept": keep["id"], "actor": actor, "at": work.now, "record": record}
    conn.execute(customer_merges.insert(), [trail])
    conn.execute(customers.delete().where(customers.c.id == drop["id"]))
    return changes
