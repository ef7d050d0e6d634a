"""The leader lock: which of several nodes does what only one of them should do."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.clock import Clock
from core.db import Database
from core.tables import locks
from core.writer import Tx, Writer

LEASE = timedelta(seconds=10)
_RENEW_S = 3.0
_NOBODY = ""


class Lead:
    """Hold one named lock while renewing it; a holder silent for `LEASE` loses it to the next who asks.

    Silence is measured on the watcher's own monotonic clock, so clocks that disagree or jump neither end a living
    lease nor keep a dead one; `until` is shown to people and serves as the sign of life.
    """

    def __init__(self, db: Database, writer: Writer, clock: Clock, *, name: str, node_id: str) -> None:
        self._db, self._writer, self._clock = db, writer, clock
        self._name = name
        self._node_id = node_id
        self._fence = 0
        self._renewed_s = 0.0
        self._seen: tuple[str, int, Any] | None = None
        self._seen_s = 0.0

    @property
    def fence(self) -> int:
        """The number of the lease held, larger for each new holder; 0 where none is held."""
        return self._fence

    def hold(self) -> bool:
        """Take or renew the lock where that is due; tell whether this node holds it."""
        with self._db.read() as conn:
            row = conn.execute(select(locks).where(locks.c.name == self._name)).one_or_none()
        now_s = self._clock.monotonic()
        if row is None:
            return self._held(self._writer.do(self._insert), 1)
        if row.owner == self._node_id and row.fence == self._fence:
            fresh = now_s - self._renewed_s < _RENEW_S
            return fresh or self._held(self._writer.do(lambda tx: self._move(tx, row, row.fence)), row.fence)
        self._fence = 0
        # Our own name with another number: the lease of this node before it was restarted.
        if row.owner not in (_NOBODY, self._node_id) and not self._is_silent(row, now_s):
            return False
        return self._held(self._writer.do(lambda tx: self._move(tx, row, row.fence + 1)), row.fence + 1)

    def release(self) -> None:
        """Give the lock up, so that the next node need not wait."""
        mine = (locks.c.name == self._name, locks.c.owner == self._node_id, locks.c.fence == self._fence)
        if self._fence:
            self._writer.do(lambda tx: tx.conn.execute(update(locks).where(*mine).values(owner=_NOBODY)))
        self._fence = 0

    def _is_silent(self, row: Row[Any], now_s: float) -> bool:
        sign = (row.owner, row.fence, row.until)
        if sign != self._seen:
            self._seen, self._seen_s = sign, now_s
        return now_s - self._seen_s >= LEASE.total_seconds()

    def _held(self, won: bool, fence: int) -> bool:
        self._fence = fence if won else 0
        self._renewed_s = self._clock.monotonic()
        return won

    def _insert(self, tx: Tx) -> bool:
        until = self._clock.now() + LEASE
        return insert_new(tx.conn, locks, name=self._name, owner=self._node_id, until=until, fence=1)

    def _move(self, tx: Tx, row: Row[Any], fence: int) -> bool:
        seen = (
            locks.c.name == self._name,
            locks.c.owner == row.owner,
            locks.c.fence == row.fence,
            locks.c.until == row.until,
        )
        values = {"owner": self._node_id, "fence": fence, "until": self._clock.now() + LEASE}
        return tx.conn.execute(update(locks).where(*seen).values(values)).rowcount == 1


def insert_new(conn: Connection, table: Table, **values: Any) -> bool:
    """Insert a row; tell whether it was new, and leave the old one where its key exists."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    # Not rowcount: the driver need not know it for an INSERT.
    added = insert(table).values(values).on_conflict_do_nothing().returning(*table.primary_key)
    return conn.execute(added).one_or_none() is not None
