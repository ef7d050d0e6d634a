"""Undo an import: records go back to what they were before it, unless somebody has changed them since."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, func, select, update
from sqlalchemy.exc import IntegrityError

from core.imports.pictures import (
    UNDO_ORDER,
    Picture,
    find_references,
    hash_of,
    no_picture,
    restore_picture,
    take_pictures,
)
from core.imports.tables import import_rows

#: Records that one transaction restores.
_BATCH = 100
_MOST_LEFT = 1_000


class Undo:
    """Undoes one import, a few records at a time; what is undone is marked, so it may be stopped anywhere."""

    def __init__(self, import_id: str) -> None:
        self._mine = and_(import_rows.c["import"] == import_id, import_rows.c.object.is_not(None))

    def some(self, conn: Connection) -> int:
        """Undo the next records inside the caller's transaction; return how many."""
        for noun in UNDO_ORDER:
            of_noun = and_(self._mine, import_rows.c.noun == noun)
            waiting = select(import_rows).where(of_noun, import_rows.c.first, import_rows.c.undone.is_(None))
            rows = conn.execute(waiting.order_by(import_rows.c.row.desc()).limit(_BATCH)).all()
            if rows:
                self._restore(conn, noun, rows)
                return len(rows)
        return 0

    def count(self, conn: Connection) -> int:
        """Return how many records the import has changed."""
        return conn.execute(select(func.count()).where(self._mine, import_rows.c.first)).scalar_one()

    def _restore(self, conn: Connection, noun: str, rows: Iterable[Row[Any]]) -> None:
        firsts = {row.object: row for row in rows}
        pictures = take_pictures(conn, noun, firsts)
        left_as = self._last_hashes(conn, noun, list(firsts))
        kept_by = find_references(conn, noun, {ours: pictures[ours] for ours, row in firsts.items() if not row.before})
        marks = []
        for ours, first in firsts.items():
            reason = _find_obstacle(first, pictures[ours], left_as[ours], kept_by.get(ours))
            reason = reason or _restore(conn, first, pictures[ours])
            marks.append({"_object": ours, "_undone": "left" if reason else "restored", "_reason": reason})
        mine = and_(self._mine, import_rows.c.noun == noun, import_rows.c.object == bindparam("_object"))
        told = {"undone": bindparam("_undone"), "reason": bindparam("_reason")}
        conn.execute(update(import_rows).where(mine).values(told), marks)

    def _last_hashes(self, conn: Connection, noun: str, objects: list[str]) -> dict[str, str]:
        """Return each record's hash as the import's last change left it."""
        mine = and_(self._mine, import_rows.c.noun == noun, import_rows.c.object.in_(objects))
        rows = conn.execute(select(import_rows.c.object, import_rows.c.after).where(mine).order_by(import_rows.c.row))
        return {row.object: row.after for row in rows}

    def report(self, conn: Connection) -> dict[str, Any]:
        """Return what was restored and deleted, what was left, and why."""
        first = and_(self._mine, import_rows.c.first)
        undone = import_rows.c.undone
        word = case((undone != "restored", "left"), (import_rows.c.status == "new", "deleted"), else_="restored")
        counted = select(word, func.count()).where(first).group_by(word)
        counts = {str(name): int(count) for name, count in conn.execute(counted)}
        left = and_(first, import_rows.c.undone == "left")
        rows = conn.execute(select(import_rows).where(left).order_by(import_rows.c.row).limit(_MOST_LEFT)).all()
        listed = [{"row": row.row, "noun": row.noun, "object": row.object, "reason": row.reason} for row in rows]
        return {"restored": 0, "deleted": 0, "left": 0} | counts | {"kept": listed}


def _find_obstacle(first: Row[Any], now: Picture, left_as: str, kept_by: str | None) -> str | None:
    """Say why a record must stay as it is, or return None."""
    if hash_of(now) != left_as:
        return "it was changed since the import"
    if first.before is None and first.status != "new" and first.noun not in ("price", "stock"):
        return "it is not known how it was before"
    return f"it has {kept_by} by now" if kept_by else None


def _restore(conn: Connection, first: Row[Any], now: Picture) -> str | None:
    """Restore one record; return why that could not be, or None."""
    try:
        with conn.begin_nested():
            restore_picture(conn, first.noun, now, first.before or no_picture(first.noun))
    except IntegrityError:
        return "another record has taken its place, or is connected with it"
    return None
