"""Locks on names, for one transaction: what one process looks at and decides upon, no other changes meanwhile.

PostgreSQL only; SQLite lets one writer in at a time, so there the whole database is locked already.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import Connection, bindparam, text

_grouped: ContextVar[bool] = ContextVar("grouped", default=False)
_NUMBERS = (
    " FROM (SELECT DISTINCT hashtextextended(name, 0) AS number FROM unnest(CAST(:names AS text[])) AS name ORDER BY 1)"
    " AS numbers"
)
#: In one order for everybody: those who take several at once do not wait for each other in a circle.
_TAKE = text("SELECT pg_advisory_xact_lock(number)" + _NUMBERS).bindparams(bindparam("names"))
_TRY = text("SELECT bool_and(pg_try_advisory_xact_lock(number))" + _NUMBERS).bindparams(bindparam("names"))


class InTheWay(BaseException):
    """Another process holds a name; the piece of work is undone and done again alone, where it may wait.

    A piece that waited inside a group would make the group's other names wait with it, and two groups for each other.
    No error: nobody but the writer may catch it.
    """


@contextmanager
def in_group(is_group: bool) -> Iterator[None]:
    """Say whether several pieces of work share the transaction of this block."""
    token = _grouped.set(is_group)
    try:
        yield
    finally:
        _grouped.reset(token)


def lock_names(conn: Connection, names: Iterable[str]) -> None:
    """Hold these names to the end of the transaction; where another process holds one, wait for it."""
    if conn.dialect.name != "postgresql":
        return
    wanted = sorted(set(names))
    if not wanted:
        return
    if not _grouped.get():
        conn.execute(_TAKE, {"names": wanted})
    elif not conn.execute(_TRY, {"names": wanted}).scalar_one():
        raise InTheWay
