"""Tags on customers, orders and products."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, select

from core.shop.rows import chunks, insert_missing
from core.shop.tables import tags as table

_FIND = select(table.c.object, table.c.tag).where(
    table.c.kind == bindparam("kind"), table.c.object.in_(bindparam("objects", expanding=True))
)


def find_tags(conn: Connection, kind: str, objects: Iterable[str]) -> dict[str, list[str]]:
    """Return {id: tags in order}; records without tags are left out."""
    found: dict[str, list[str]] = {}
    for part in chunks(objects):
        for owner, tag in conn.execute(_FIND, {"kind": kind, "objects": part}):
            found.setdefault(owner, []).append(tag)
    # Sorted here, because two databases order letters in two ways.
    return {owner: sorted(names) for owner, names in found.items()}


def insert_tags(conn: Connection, kind: str, entries: Sequence[tuple[str, str]], now: datetime) -> int:
    """Put (id, tag) pairs on record; return how many were new."""
    rows = [{"kind": kind, "object": owner, "tag": tag, "at": now} for owner, tag in entries]
    return insert_missing(conn, table, rows)


def delete_tag(conn: Connection, kind: str, owner: str, tag: str) -> bool:
    """Take a tag off; False when it was not there."""
    chosen = and_(table.c.kind == kind, table.c.object == owner, table.c.tag == tag)
    return conn.execute(table.delete().where(chosen)).rowcount > 0


def move_tags(conn: Connection, kind: str, drop: str, keep: str, now: datetime) -> None:
    """Give one record's tags to another."""
    names = find_tags(conn, kind, [drop]).get(drop, [])
    insert_tags(conn, kind, [(keep, name) for name in names], now)
    conn.execute(table.delete().where(table.c.kind == kind, table.c.object == drop))
