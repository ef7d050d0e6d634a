"""The people who work in the shop: whom tasks are given to and whose photo the customer sees."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, or_, select

from core.errors import Conflict, InvalidInput
from core.ids import new_id
from core.shop.external_ids import find_our_id, link, read_external
from core.shop.rows import Row, equals, insert_all, row_of, rows_in, update_by_id
from core.shop.snapshots import Snapshot, known
from core.shop.tables import staff
from core.shop.wanted import (
    join,
    optional,
    read_all,
    read_body,
    read_code,
    read_email,
    read_flag,
    read_object,
    read_phone,
    read_text,
    read_title,
)
from core.shop.work import Change, Draft, Work

_PLAIN = {
    "name": read_title,
    "email": optional(read_email),
    "photo": optional(read_body),
    "shop": optional(read_text),
    "role": optional(read_text),
    "active": read_flag,
}
_KNOWN = {*_PLAIN, "id", "external_id", "external_ids", "phone"}


def upsert_staff(work: Work, wanted: Any, *, path: str = "staff") -> Change:
    """Store a member of staff, found by id, external id or e-mail address."""
    read_object(wanted, _KNOWN, path)
    values = read_all(wanted, _PLAIN, path)
    if wanted.get("phone") is not None:
        values["phone"] = read_phone(wanted["phone"], join(path, "phone"), region=work.region)
    external = read_external(wanted, work.source, path)
    row = _find(work, wanted, external, values.get("email"), path)
    if row is None and "name" not in values:
        raise InvalidInput(join(path, "name"), "is required for a new member of staff")
    draft = Draft(work=work, noun="staff", row=row or _start(work), created=row is None)
    for name, value in values.items():
        draft.set(name, value)
    if draft.created:
        insert_all(work.conn, staff, [draft.row], "member of staff")
    elif draft.changes:
        draft.row["changed_at"] = work.now
        update_by_id(work.conn, staff, [draft.row], (*values, "changed_at"))
    for system, value in link(work, "staff", draft.row["id"], external).items():
        draft.note(f"external_ids.{system}", None, value)
    change = draft.done()
    if work.emit is not None and change.is_changed:
        kind = "staff.created" if change.created else "staff.changed"
        data = {"staff": get_staff(work.conn, change.id), "changes": dict(change.changes)}
        work.emit(kind, data, key=change.id, customer=None)
    return change


def _find(
    work: Work, wanted: Mapping[str, Any], external: Mapping[str, str], email: str | None, path: str
) -> Row | None:
    ours = find_our_id(work.conn, "staff", external)
    if wanted.get("id") is not None:
        ours = read_code(wanted["id"], join(path, "id"))
        row = row_of(work.conn, staff.c.id, ours, lock=True)
        if row is None:
            raise InvalidInput(join(path, "id"), "is no member of staff")
        return row
    if ours is not None:
        return row_of(work.conn, staff.c.id, ours, lock=True)
    if email is None and not external:
        raise InvalidInput(path, "needs an e-mail address or an external id, to be told from others")
    return None if email is None else row_of(work.conn, staff.c.email, email, lock=True)


def _start(work: Work) -> Row:
    row: Row = dict.fromkeys(staff.c.keys())
    return row | {"id": new_id(), "active": True, "created_at": work.now, "changed_at": work.now}


def find_staff_id(conn: Connection, reference: str) -> str | None:
    """Return our id for an id or an e-mail address."""
    named = or_(equals(staff.c.id, reference), equals(staff.c.email, reference.lower()))
    return conn.execute(select(staff.c.id).where(named)).scalars().first()


def get_staff(conn: Connection, ours: str) -> Snapshot:
    """Return one member of staff, or raise Conflict when the record vanished meanwhile."""
    row = row_of(conn, staff.c.id, ours)
    if row is None:
        raise Conflict(f"the member of staff {ours!r} is gone")
    return known({name: row[name] for name in ("id", "name", "email", "phone", "photo", "shop", "role", "active")})


def find_staff(conn: Connection, *, active: bool | None = True) -> list[Snapshot]:
    """Return the staff, by name."""
    wanted = select(staff.c.id).order_by(staff.c.name, staff.c.id)
    if active is not None:
        wanted = wanted.where(staff.c.active.is_(active))
    ids = list(conn.execute(wanted).scalars())
    rows = {row["id"]: row for row in rows_in(conn, staff.c.id, ids)}
    plain = ("id", "name", "email", "phone", "photo", "shop", "role", "active")
    return [known({name: rows[ours][name] for name in plain}) for ours in ids]
