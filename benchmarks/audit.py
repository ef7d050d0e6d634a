"""The books of a farm: what is in the database, held against what was acknowledged and what went out."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection, text

from benchmarks.provider import Provider
from core.db import Database

#: Rows that one event leaves behind.
RUNS, EFFECTS, TASKS = 4, 6, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What a farm did, counted; `faults` tells what is not as it must be."""

    acknowledged: int
    events: int
    #: Calls that may have been under way when a process was killed: one for each thread that makes them.
    unclear: int
    #: Acknowledged and not stored, runs that did not act, sends that never went out.
    lost: int
    not_acted: int
    #: Ledger rows or tasks that are there twice.
    doubled: int
    missing: int
    #: Calls without a key that were made again.
    repeats: int
    #: Repeats that are not marked as such.
    unmarked: int
    #: Calls with a key that came under a second one.
    doubled_keys: int
    out_of_order: int

    @property
    def faults(self) -> dict[str, int]:
        """What is not as it must be."""
        found = {
            name: getattr(self, name)
            for name in ("lost", "not_acted", "doubled", "missing", "unmarked", "doubled_keys", "out_of_order")
        }
        found["repeats"] = max(self.repeats - self.unclear, 0)
        return {name: count for name, count in found.items() if count}


def take_stock(db: Database, provider: Provider, acknowledged: set[int], unclear: int) -> Audit:
    """Count rows and calls; everything must have come to its end."""
    with db.read() as conn:
        stored = {int(row[0]) for row in _rows(conn, "SELECT external_id FROM events WHERE source = 'shop'")}
        tasks = Counter(row[0] for row in _rows(conn, "SELECT title FROM tasks"))
        outcomes = dict(_rows(conn, "SELECT coalesce(outcome, status), count(*) FROM runs GROUP BY 1"))
        done, keys = _rows(conn, "SELECT count(*), count(DISTINCT idempotency_key) FROM effects WHERE state = 'done'")[
            0
        ]
        marked = _rows(conn, "SELECT count(*) FROM effects WHERE possible_duplicate")[0][0]
    calls = provider.requests
    plain = [times for (action, _), times in calls.items() if action == "send_plain"]
    unsent = sum(("send_plain", number) not in calls for number in stored)
    return Audit(
        acknowledged=len(acknowledged),
        events=len(stored),
        unclear=unclear,
        lost=len(acknowledged - stored) + unsent,
        not_acted=RUNS * len(stored) - outcomes.get("acted", 0),
        doubled=sum(tasks.values()) - len(tasks) + done - keys,
        missing=TASKS * len(stored) - len(tasks) + EFFECTS * len(stored) - done,
        repeats=sum(times - 1 for times in plain),
        unmarked=max(sum(times > 1 for times in plain) - marked, 0),
        doubled_keys=sum(len(found) - 1 for found in provider.keys.values()),
        out_of_order=sum(later < earlier for line in provider.lines.values() for earlier, later in pairwise(line)),
    )


def _rows(conn: Connection, question: str) -> list[tuple]:
    return [tuple(row) for row in conn.execute(text(question))]
