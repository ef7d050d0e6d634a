"""Pause all: nothing new is done until somebody resumes; events are kept and waits stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from core.audit import Entry, record
from core.marks import delete_mark, write_mark
from core.tables import marks
from core.writer import Tx

_MARK = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why nothing is done right now."""

    reason: str
    by: str
    at: datetime
    #: Kinds of effect that go on all the same (payments and receipts, unless they were ticked).
    still: frozenset[str] = frozenset()


def find_pause(conn: Connection) -> Pause | None:
    """Return the pause in force, if any: a person's, or that of a restored copy."""
    rows = {row.name: row for row in conn.execute(select(marks).where(marks.c.name.in_((_MARK, "muted"))))}
    row = rows.get(_MARK) or rows.get("muted")
    if row is None:
        return None
    value: Any = row.value if isinstance(row.value, dict) else {"reason": str(row.value)}
    reason = value.get("reason") or "restored from a backup"
    return Pause(reason=reason, by=row.by or "vitrin", at=row.at, still=frozenset(value.get("still", ())))


def pause(tx: Tx, *, reason: str, by: str, now: datetime, still: Sequence[str] = ()) -> None:
    """Stop every new effect, except those of the kinds in `still`."""
    value = {"reason": reason, "still": sorted(still)}
    write_mark(tx.conn, _MARK, value, now, by=by)
    record(tx, Entry(actor=by, action="engine.paused", object="engine", after=value), now)


def resume(tx: Tx, *, by: str, now: datetime) -> Pause | None:
    """End the pause and return the one that was in force."""
    found = find_pause(tx.conn)
    if found is None:
        return None
    delete_mark(tx.conn, _MARK, "muted")
    record(tx, Entry(actor=by, action="engine.resumed", object="engine", before={"reason": found.reason}), now)
    return found
