"""Lines: runs of one rule that stand behind one another because they have the same key."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, Integer, bindparam, case, func, select, update

from core.db import Moment
from core.key_locks import lock_names
from rules.tables import runs

#: A rule's id and a key.
Line = tuple[str, str | None]

_HERE = (
    runs.c.rule == bindparam("rule"),
    runs.c.key.in_(bindparam("keys", expanding=True)),
    runs.c.finished_at.is_(None),
)
_OPEN = select(runs.c.key, runs.c.id).where(*_HERE).order_by(runs.c.id)
_OPEN_OF_NONE = select(runs.c.key, runs.c.id).where(_HERE[0], runs.c.key.is_(None), _HERE[2]).order_by(runs.c.id)

#: The first run of each line, where all that are open in it only queue.
_BUSY = func.sum(case((runs.c.status == "queued", 0), else_=1), type_=Integer)
_FIRST = select(func.min(runs.c.id)).where(*_HERE).group_by(runs.c.key).having(_BUSY == 0)
_FIRST_OF_NONE = (
    select(func.min(runs.c.id)).where(_HERE[0], runs.c.key.is_(None), _HERE[2]).group_by(runs.c.key).having(_BUSY == 0)
)
_GO_ON = (
    update(runs).where(runs.c.id == bindparam("b_id")).values(status="ready", due_at=bindparam("b_now", type_=Moment))
)


def line_of(rule_id: str, key: str | None) -> str:
    """Return the name of the line that runs of one rule and key stand in."""
    return f"line:{rule_id}:{'' if key is None else f'={key}'}"


def lock_lines(conn: Connection, lines: Iterable[Line]) -> None:
    """Keep other processes from joining or moving these lines until the transaction ends."""
    lock_names(conn, (line_of(rule_id, key) for rule_id, key in lines))


def open_runs(conn: Connection, lines: Iterable[Line]) -> dict[Line, list[str]]:
    """Return the ids of the runs that stand in these lines, the first one first; lines with none are left out."""
    found: dict[Line, list[str]] = {}
    for rule_id, keys in _by_rule(lines):
        query = _OPEN if keys is not None else _OPEN_OF_NONE
        asked = {"rule": rule_id} if keys is None else {"rule": rule_id, "keys": keys}
        for key, run_id in conn.execute(query, asked):
            found.setdefault((rule_id, key), []).append(run_id)
    return found


def release_queued(conn: Connection, lines: Iterable[Line], now: datetime) -> list[str]:
    """In each of these lines let the oldest run go on, unless another one is under way; return them."""
    wanted = set(lines)
    # Another process may be about to join a line: it sees that we are gone, or we see it.
    lock_lines(conn, wanted)
    first: list[str] = []
    for rule_id, keys in _by_rule(wanted):
        query = _FIRST if keys is not None else _FIRST_OF_NONE
        asked = {"rule": rule_id} if keys is None else {"rule": rule_id, "keys": keys}
        first += conn.execute(query, asked).scalars()
    if first:
        conn.execute(_GO_ON, [{"b_id": run_id, "b_now": now} for run_id in first])
    return first


def _by_rule(lines: Iterable[Line]) -> Iterator[tuple[str, Sequence[str] | None]]:
    """Yield each rule with its keys, some hundred at a time; None stands for runs without a key."""
    keys: dict[str, set[str | None]] = defaultdict(set)
    for rule_id, key in lines:
        keys[rule_id].add(key)
    for rule_id, wanted in keys.items():
        named = [key for key in wanted if key is not None]
        if len(named) < len(wanted):
            yield rule_id, None
        for some in portions(named):
            yield rule_id, some


def portions(items: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """Cut a list into parts that fit into one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
