"""Notes on customers and orders, written by people and rules."""

from typing import Any

from sqlalchemy import Connection, select

from core.errors import NotFound, Overtaken
from core.ids import new_id
from core.shop.rows import equals, insert_missing, row_of
from core.shop.snapshots import known
from core.shop.tables import notes
from core.shop.wanted import optional, read_body, read_code, read_title
from core.shop.work import Change, Work


def add_note(
    work: Work, kind: str, owner: str, text: Any, *, author: str | None = None, idempotency_key: str | None = None
) -> Change:
    """Write a note; with an idempotency key that was used before, return the note made then."""
    row = {
        "id": new_id(),
        "kind": kind,
        "object": owner,
        "text": read_body(text, "text"),
        "author": read_title(author or work.source, "author"),
        "idempotency_key": optional(read_code)(idempotency_key, "idempotency_key"),
        "at": work.now,
    }
    if insert_missing(work.conn, notes, [row]):
        return Change(id=row["id"], created=True)
    first = row_of(work.conn, notes.c.idempotency_key, idempotency_key)
    if first is None:
        raise Overtaken("another process stored the same note at this moment; try again")
    return Change(id=first["id"])


def delete_note(work: Work, note: str) -> Change:
    """Take a note back, as undo does; one that is gone already changes nothing."""
    if work.conn.execute(notes.delete().where(equals(notes.c.id, note))).rowcount == 0:
        return Change(id=note)
    return Change(id=note, changes={"note": {"from": note, "to": None}})


def find_notes(conn: Connection, kind: str, owner: str, *, limit: int = 100) -> list[dict[str, Any]]:
    """Return the notes of one record, the newest first."""
    chosen = select(notes).where(notes.c.kind == kind, equals(notes.c.object, owner))
    rows = conn.execute(chosen.order_by(notes.c.at.desc(), notes.c.id.desc()).limit(limit)).mappings()
    return [known({name: row[name] for name in ("id", "text", "author", "at")}) for row in rows]


def get_note(conn: Connection, note: str) -> dict[str, Any]:
    """Return one note, or raise NotFound."""
    row = row_of(conn, notes.c.id, note)
    if row is None:
        raise NotFound(f"no note {note!r}")
    return known({name: row[name] for name in ("id", "kind", "object", "text", "author", "at")})
