"""The backlog: when more is due than one batch takes, which rules it belongs to, however deep it is.

Read from the index of what is due, some thousand rows at a time, and kept in memory: a few runs of each rule. A rule
that has more is deep; what it gets is taken from the front, where it has most anyway.
"""

from collections import deque
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, and_, bindparam, or_, select

from core.db import Moment
from rules.tables import runs

#: Rows of the index that are read for one batch, and runs of one rule, and of all, that are kept.
_PAGE, _OF_RULE, _OF_ALL = 5_000, 256, 50_000
#: Batches after which the reading starts anew: what became due behind it is found then.
_BATCHES = 200

_ROWS = (
    select(runs.c.due_at, runs.c.id, runs.c.rule)
    .where(runs.c.due_at <= bindparam("now", type_=Moment))
    .order_by(runs.c.due_at, runs.c.id)
    .limit(bindparam("most", type_=Integer))
)
_BEHIND = or_(
    runs.c.due_at > bindparam("last", type_=Moment),
    and_(runs.c.due_at == bindparam("last", type_=Moment), runs.c.id > bindparam("id")),
)
#: "From": lets the database enter the index there, and not at its front.
_MORE = _ROWS.where(runs.c.due_at >= bindparam("last", type_=Moment), _BEHIND)


class Backlog:
    """What is known of the runs that are due; empty while there is no backlog."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[str]] = {}
        #: Rules with more runs than are kept.
        self._deep: set[str] = set()
        self._last: tuple[datetime, str] | None = None
        self._batches = 0

    @property
    def rules(self) -> Collection[str]:
        """The rules that have something due."""
        return self._deep | self._waiting.keys()

    def forget(self) -> None:
        """Start anew: everything that was due has been taken."""
        self._waiting.clear()
        self._deep.clear()
        self._last, self._batches = None, 0

    def look(self, conn: Connection, now: datetime) -> None:
        """Read on in the index."""
        self._batches += 1
        if self._batches > _BATCHES:
            self.forget()
        if sum(map(len, self._waiting.values())) >= _OF_ALL:
            return
        asked: dict[str, Any] = {"now": now, "most": _PAGE}
        if self._last is not None:
            asked |= {"last": self._last[0], "id": self._last[1]}
        for due_at, run_id, rule_id in conn.execute(_ROWS if self._last is None else _MORE, asked):
            kept = self._waiting.setdefault(rule_id, deque())
            if len(kept) < _OF_RULE:
                kept.append(run_id)
            else:
                self._deep.add(rule_id)
            self._last = due_at, run_id

    def take(self, shares: Mapping[str, int]) -> list[str]:
        """Return runs of each rule, as many as it may have, as far as they are known one by one."""
        taken: list[str] = []
        for rule_id, share in shares.items():
            kept = self._waiting.get(rule_id, deque())
            taken += [kept.popleft() for _ in range(min(share, len(kept)))]
            if not kept:
                self._waiting.pop(rule_id, None)
        return taken
