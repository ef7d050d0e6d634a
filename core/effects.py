"""The effect ledger: one append-only row for every side effect, by whichever plugin."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, update

from core.ids import new_id
from core.tables import effects

#: States in which an effect counts against caps: it happened, is happening, or may have happened.
COUNTED = ("done", "started", "unclear", "watched")
#: The same without what rules that only watch have recorded.
REAL = ("done", "started", "unclear")

#: Names the locks under which several processes count, and how many there are: together they must fit the server's
#: table of locks.
_LOCK, _SLOTS = 0x766974, 1024
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock, :slot)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One side effect; `state` and `result` are set once more when an outside call has answered."""

    idempotency_key: str
    kind: str
    action: str
    plugin: str
    state: str
    at: datetime
    object: str | None = None
    customer: str | None = None
    key: str | None = None
    rule: str | None = None
    version: int | None = None
    run: str | None = None
    event: str | None = None
    first: bool = False
    reason: str | None = None
    attempts: int = 1
    possible_duplicate: bool = False
    cost: Any = None
    undo: Any = None
    params: Any = None
    result: Any = None
    id: str = field(default_factory=new_id)


_FIELDS = tuple(effects.c.keys())


class Ledger:
    """Writes effects inside one transaction, in groups; counts see what was written a moment ago."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._new: list[dict[str, Any]] = []

    def add(self, effect: Effect) -> None:
        self._new.append({name: getattr(effect, name) for name in _FIELDS})

    def flush(self) -> None:
        if self._new:
            self._conn.execute(insert(effects), self._new)
            self._new = []

    def reserve(self, counted: str) -> bool:
        """Keep other processes from counting the same until this transaction ends; False while one of them does.

        It never waits, so two transactions that count several things cannot wait for each other. SQLite has one
        writer anyway.
        """
        if self._conn.dialect.name != "postgresql":
            return True
        slot = zlib.crc32(counted.encode("utf-8", "replace")) % _SLOTS
        return self._conn.execute(_TRY_LOCK, {"lock": _LOCK, "slot": slot}).scalar_one()

    def count(self, since: datetime, *, states: Sequence[str] = COUNTED, **where: str | bool | None) -> int:
        """Count effects since a moment (not included) that match the given columns."""
        self.flush()
        query = select(func.count()).select_from(effects).where(effects.c.at > since, effects.c.state.in_(states))
        for name, value in where.items():
            query = query.where(effects.c[name] == value)
        return self._conn.execute(query).scalar_one()

    def oldest_of_newest(
        self, count: int, since: datetime, *, states: Sequence[str] = COUNTED, **where: str | bool | None
    ) -> datetime | None:
        """Return when the count-th newest effect since a moment happened: when the next one fits under a cap."""
        self.flush()
        query = select(effects.c.at).where(effects.c.at > since, effects.c.state.in_(states))
        for name, value in where.items():
            query = query.where(effects.c[name] == value)
        return self._conn.execute(query.order_by(effects.c.at.desc()).offset(count - 1).limit(1)).scalar_one_or_none()

    def find(self, key: str) -> Row[Any] | None:
        self.flush()
        return self._conn.execute(select(effects).where(effects.c.idempotency_key == key)).one_or_none()

    def settle(self, key: str, values: Mapping[str, Any]) -> None:
        """Write what an outside call answered, or that it is tried again."""
        self.flush()
        self._conn.execute(update(effects).where(effects.c.idempotency_key == key).values(**values))


def list_effects(conn: Connection, *, limit: int = 100, **where: str) -> list[Row[Any]]:
    """Return the newest effects with these columns: the answer to "why?" for any object."""
    query = select(effects).order_by(effects.c.at.desc(), effects.c.id.desc()).limit(limit)
    for name, value in where.items():
        query = query.where(effects.c[name] == value)
    return list(conn.execute(query))


def count_by_kind(conn: Connection) -> dict[str, int]:
    """Return how many effects of each kind were done."""
    query = select(effects.c.kind, func.count()).where(effects.c.state == "done").group_by(effects.c.kind)
    return {row.kind: row[1] for row in conn.execute(query)}
