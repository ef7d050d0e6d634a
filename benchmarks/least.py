"""The least possible work, written by hand against the bare driver, with the same durability: what limits the engine.

The tables have the columns and indexes of the engine's; nothing is checked, matched or decided.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_EVENT = "INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?)"
_TABLES = """
CREATE TABLE events (id TEXT PRIMARY KEY, source, external_id, type, time, received_at, key, customer, depth, cause,
  data,
  UNIQUE (source, external_id));
CREATE INDEX e1 ON events (key, type, received_at);
CREATE INDEX e2 ON events (customer, type, received_at);
CREATE INDEX e3 ON events (type, received_at);
CREATE TABLE runs (id TEXT PRIMARY KEY, rule, version, event, key, customer, status, due_at, outcome, reason, vars, at,
  started_at, finished_at);
CREATE INDEX r1 ON runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX r2 ON runs (rule, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX r3 ON runs (rule, started_at);
CREATE INDEX r4 ON runs (event);
CREATE INDEX r5 ON runs (rule, key) WHERE finished_at IS NULL;
CREATE INDEX r6 ON runs (customer, started_at);
CREATE TABLE traces (run, number, lines, PRIMARY KEY (run, number));
"""
_RUN = "INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_TRACE = "INSERT INTO traces VALUES (?,?,?)"
_DUE = "SELECT id, rule, vars FROM runs WHERE due_at <= ? ORDER BY due_at LIMIT ?"
_DONE = "UPDATE runs SET status='done', due_at=NULL, outcome='acted', finished_at=? WHERE id=?"


def open_least(path: Path) -> sqlite3.Connection:
    """Make an SQLite database that keeps what it has acknowledged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(_TABLES)
    return connection


def event_row(number: int, data: str) -> tuple[Any, ...]:
    name = f"event-{number:09}"
    return (name, "least", name, "order.created", number, number, f"k{number}", f"c{number % 1000}", 0, None, data)


def run_row(number: int, event: int, *, due_at: int) -> tuple[Any, ...]:
    name = f"run-{number:09}"
    who = (f"rule-{number % 100}", 1, f"event-{event:09}", f"k{event}", f"c{event % 1000}")
    return (name, *who, "waiting", due_at, None, None, "{}", due_at, number, None)


def put(connection: sqlite3.Connection, events: Sequence[Any], runs: Sequence[Any]) -> None:
    """Insert rows in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_EVENT, events)
    connection.executemany(_RUN, runs)
    connection.execute("COMMIT")


def finish_due(connection: sqlite3.Connection, now: int, most: int) -> int:
    """Take what is due, end it with a trace, all in one transaction; return how many."""
    connection.execute("BEGIN IMMEDIATE")
    due = connection.execute(_DUE, (now, most)).fetchall()
    connection.executemany(_DONE, [(now, row[0]) for row in due])
    connection.executemany(_TRACE, [(row[0], 0, "[]") for row in due])
    connection.execute("COMMIT")
    return len(due)


def timed(work: Callable[[], int]) -> float:
    """Return how much of something was done in a second of the clock on the wall."""
    started = time.perf_counter()
    done = work()
    return done / max(time.perf_counter() - started, 1e-9)
