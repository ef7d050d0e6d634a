"""The audit trail: who changed what, from what to what. Append-only; each row holds the hash of the one before."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, insert, select, text

from core.db import to_micros
from core.masking import mask_json
from core.tables import audit
from core.writer import Tx

FIRST = "0" * 64
_LOCK = 0x7669_7472_696E  # any number that nothing else locks on this database
_DEEPEST = 40


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing somebody did."""

    #: `user:<id>`, `token:<id>`, `cli`, `system`
    actor: str
    #: `noun.past_participle`, like an event.
    action: str
    #: `noun:<id>`
    object: str
    before: Any = None
    after: Any = None


def record(tx: Tx, entry: Entry, now: datetime) -> int:
    """Append one row, secrets and personal data masked, and return its number."""
    conn = tx.conn
    if conn.dialect.name == "postgresql":
        # Held until the end of the transaction: two processes append one after the other. SQLite has one writer anyway.
        conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    number, previous = head(conn)
    row = {
        "number": number + 1,
        "at": now,
        "actor": _clean(entry.actor),
        "action": _clean(entry.action),
        "object": _clean(entry.object),
        "before": _document(entry.before),
        "after": _document(entry.after),
        "previous": previous,
    }
    conn.execute(insert(audit).values(**row, hash=_hash(row)))
    return number + 1


def head(conn: Connection) -> tuple[int, str]:
    """Return number and hash of the newest row; kept elsewhere, they show that rows were cut off the end."""
    newest = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
    row = conn.execute(newest).one_or_none()
    return (0, FIRST) if row is None else (row.number, row.hash)


def verify(conn: Connection) -> int | None:
    """Return the number of the first row that was changed, or whose forerunner was removed; None when all is well."""
    expected, previous = 1, FIRST
    everything = select(audit).order_by(audit.c.number)
    with conn.execute(everything, execution_options={"yield_per": 1000}) as rows:
        for row in rows:
            if row.number != expected or row.previous != previous or row.hash != _hash(row._asdict()):
                return expected
            expected, previous = expected + 1, row.hash
    return None


def read(conn: Connection, *, about: str | None = None, below: int | None = None, limit: int = 50) -> list[Row[Any]]:
    """Return rows, the newest first: of one object, and those before the number `below`."""
    rows = select(audit).order_by(audit.c.number.desc()).limit(limit)
    if about is not None:
        rows = rows.where(audit.c.object == about)
    if below is not None:
        rows = rows.where(audit.c.number < below)
    return list(conn.execute(rows))


def _hash(row: Mapping[str, Any]) -> str:
    names = ("number", "actor", "action", "object", "before", "after", "previous")
    content = [to_micros(row["at"]), *(row[name] for name in names)]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _clean(value: str) -> str:
    """Replace what a database cannot store: half characters and NUL."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _document(value: Any) -> Any:
    """Wrap a bare value: documents are compared and shown member by member."""
    masked = mask_json(value)
    return _plain(masked if masked is None or isinstance(masked, Mapping | list) else {"value": masked})


def _plain(value: Any, depth: int = 0) -> Any:
    """Return what the database will give back, so that the hash holds over both."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {_clean(str(key)): _plain(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return [_plain(member, depth + 1) for member in value]
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    return _clean(str(value))
