"""`bench growth`: what an event costs as rules and stored events grow; the limit is what the first size reaches."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import click

from benchmarks.figures import Figure, Task, figure, memory_mb
from benchmarks.workload import Workload, make_event
from core.bulk import inserts
from core.events import Event, insert_events
from core.jsontext import dumps
from core.writer import Tx
from rules.engine import Engine
from rules.intake import new_run
from rules.rule import compile_rule
from rules.tables import runs

RULES = (10, 100, 1_000, 10_000, 100_000)
STORED = (10_000, 100_000, 1_000_000, 5_000_000)
#: Rules that concern the stored events, as in a shop of some size.
_SHOP_RULES = 100
_BATCH = 100
_BATCHES = 10
_FILL = 5_000
_SECOND = timedelta(seconds=1)
_INSERT_RUNS = inserts(runs)

OPTIONS = (
    click.Option(["--rules"], type=click.IntRange(10), default=RULES[-1], show_default=True, help="Most rules."),
    click.Option(
        ["--stored"], type=click.IntRange(0), default=STORED[-2], show_default=True, help="Most stored events."
    ),
    click.Option(["--repeats"], type=click.IntRange(1), default=5, show_default=True, help="Repeats of each size."),
)


def run(task: Task) -> Iterator[Figure]:
    """Measure at each size what 1,000 new events cost, durable, in transactions of 100."""
    rules = [size for size in RULES if size <= task.options["rules"]]
    stored = [size for size in STORED if size <= task.options["stored"]]
    repeats = task.options["repeats"]
    steps = count(1)

    def step() -> None:
        task.moved(next(steps), len(rules) + len(stored))

    yield from _flat("growth.rules", _with_rules(task, rules, repeats, step))
    yield from _flat("growth.stored", _with_stored(task, stored, repeats, step))


def _flat(name: str, measured: Iterator[tuple[int, list[float], float]]) -> Iterator[Figure]:
    first: Figure | None = None
    for size, rates, memory in measured:
        rate = figure(f"{name}.{size}", rates, "events/cpu_s", limit=first.value if first else None)
        first = first or rate
        yield rate
        yield figure(f"{name}.{size}_mb", [memory], "MB")


def _with_rules(
    task: Task, sizes: Sequence[int], repeats: int, step: Callable[[], None]
) -> Iterator[tuple[int, list[float], float]]:
    """Yield size, rates and memory with so many rules: stored with the runs that they start."""
    engine = _open(task, "rules")
    try:
        for size in sizes:
            load = Workload(size)
            before = memory_mb()
            for number, document in enumerate(load.documents()):
                engine.book.matcher.add(compile_rule(document, id=f"{number:08}"))
            engine.take(load.events(1))
            gc.collect()
            memory = memory_mb() - before
            yield size, _rates(engine, load, repeats), memory
            for rule in engine.book.matcher:
                engine.book.matcher.remove(rule.id)
            step()
    finally:
        engine.close()


def _with_stored(
    task: Task, sizes: Sequence[int], repeats: int, step: Callable[[], None]
) -> Iterator[tuple[int, list[float], float]]:
    """Yield size, rates and memory with so many events and finished runs on disk: stored, matched, and walked."""
    engine = _open(task, "stored")
    try:
        load = Workload(_SHOP_RULES)
        for document in load.documents():
            engine.publish(dumps(document).decode(), actor="bench", state="on")
        filled = 0
        for size in sizes:
            filled = _fill(engine, load, filled, size)
            yield size, _rates(engine, load, repeats, walk=True), memory_mb()
            step()
    finally:
        engine.close()


def _open(task: Task, name: str) -> Engine:
    """Return an open engine on a database of its own."""
    engine = Engine(replace(task.settings, database=f"sqlite:///{task.settings.home / name}.db"), task.builtins)
    engine.open()
    return engine


def _rates(engine: Engine, load: Workload, repeats: int, *, walk: bool = False) -> list[float]:
    """Return events a CPU second; the disk's own time is not the program's."""
    rates = []
    data = load.orders(_BATCH * _BATCHES)
    for _ in range(repeats):
        now = engine.clock.now()
        batches = [
            [make_event(each, now) for each in data[start : start + _BATCH]] for start in range(0, len(data), _BATCH)
        ]
        gc.collect()
        started = time.process_time()
        for batch in batches:
            engine.take(batch)
        if walk:
            engine.drain()
        rates.append(len(data) / (time.process_time() - started))
    return rates


def _fill(engine: Engine, load: Workload, start: int, end: int) -> int:
    """Store events of past days, each with one finished run."""
    pattern = load.orders(_FILL)
    rules = list(engine.book)
    past = datetime(2020, 1, 1, tzinfo=UTC)
    for first in range(start, end, _FILL):
        events = [make_event(data, past + number * _SECOND) for number, data in enumerate(pattern, start=first)]
        rows = [
            _finished(new_run(rules[number % len(rules)], event, watching=False)) for number, event in enumerate(events)
        ]
        engine.writer.do(lambda tx, events=events, rows=rows: _store(tx, events, rows))
    return end


def _store(tx: Tx, events: Sequence[Event], rows: Sequence[dict[str, Any]]) -> None:
    insert_events(tx.conn, events)
    _INSERT_RUNS.run(tx.conn, rows)


def _finished(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"status": "done", "outcome": "acted", "due_at": None, "finished_at": row["started_at"]}
