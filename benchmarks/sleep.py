"""`bench sleep`: half a million runs that wait: putting and keeping them, starting over, firing the due ones."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import click
from sqlalchemy import select, update

from benchmarks.figures import Figure, Task, figure, memory_mb
from benchmarks.idle_plugin import IDLE
from benchmarks.least import event_row, finish_due, open_least, put, run_row
from benchmarks.measured import put_rules
from core.bulk import inserts
from core.events import Event
from core.ids import new_id
from core.settings import Settings
from core.tables import events
from core.writer import Tx
from rules.engine import Engine
from rules.intake import new_run
from rules.rule import Rule
from rules.tables import runs

OPTIONS = (
    click.Option(["--sleepers"], type=click.IntRange(min=1_000), default=500_000, show_default=True, help="Runs."),
    click.Option(["--due"], type=click.IntRange(min=100), default=10_000, show_default=True, help="Due at once."),
)
_RULE = {
    "rule": "bench-sleeper",
    "when": {"event": "order.created"},
    "then": [{"wait": {"for": "30 days", "recheck": False}}, {"do": "idle.do_nothing"}],
}
_BATCH = 5_000
_INSERT_EVENTS, _INSERT_RUNS = inserts(events), inserts(runs)


def run(task: Task) -> Iterator[Figure]:
    """Put the sleepers into the tables as the engine keeps them, start anew, and let some of them fall due."""
    count, due = task.options["sleepers"], task.options["due"]
    home = task.settings.home
    own = replace(task.settings, home=home, database=f"sqlite:///{home / 'vitrin.db'}", key_file=home / "secret.key")
    engine = Engine(own, {**task.builtins, IDLE.name: IDLE})
    engine.open()
    put_rules(engine, [_RULE])
    idle_mb = memory_mb()
    wakes = engine.clock.now() + timedelta(days=30)
    started_s, started_cpu = time.perf_counter(), time.process_time()
    _put_sleepers(task, engine, count, wakes)
    insert_s, insert_cpu = time.perf_counter() - started_s, time.process_time() - started_cpu
    engine.runner.next_due()
    memory = memory_mb() - idle_mb
    engine.close()
    least_s = _least_insert_s(task, count)
    yield figure("sleep.insert_s", [insert_s], "s", limit=least_s)
    yield figure("sleep.insert_cpu_s", [insert_cpu], "s")
    yield figure("sleep.memory_mb", [memory], "MB")
    yield from _start_over(task, own, due)


def _put_sleepers(task: Task, engine: Engine, count: int, wakes: datetime) -> None:
    (rule,) = engine.book
    for start in range(0, count, _BATCH):
        task.moved(start, count)
        engine.writer.do(lambda tx, start=start: _put_batch(tx, rule, range(start, min(start + _BATCH, count)), wakes))
    task.moved(count, count)


def _put_batch(tx: Tx, rule: Rule, numbers: Sequence[int], wakes: datetime) -> None:
    now = wakes - timedelta(days=30)
    slept = [_event(number, now) for number in numbers]
    rows = []
    for number, event in zip(numbers, slept, strict=True):
        until = wakes + timedelta(milliseconds=number)
        row = new_run(rule, event, watching=False)
        asleep = {"status": "waiting", "outcome": "waiting", "due_at": until}
        rows.append({**row, **asleep, "vars": {"checked": True, "until": until.isoformat(), "traced": 1}})
    _INSERT_EVENTS.run(tx.conn, [{name: getattr(event, name) for name in events.c.keys()} for event in slept])  # noqa: SIM118
    _INSERT_RUNS.run(tx.conn, rows)


def _event(number: int, now: datetime) -> Event:
    ident, key = new_id(), f"order-{number}"
    data = {"order": {"id": key, "total": {"amount": "120.00", "currency": "TRY"}}}
    about = {"type": "order.created", "key": key, "customer": f"customer-{number % 50_000}", "data": data}
    return Event(id=ident, source="bench", external_id=ident, time=now, received_at=now, **about)


def _start_over(task: Task, own: Settings, due: int) -> Iterator[Figure]:
    """Open the engine anew, find the next that is due, then make some due and fire them."""
    engine = Engine(own, {**task.builtins, IDLE.name: IDLE})
    engine.open()
    started_s = time.perf_counter()
    engine.runner.release_own()
    assert engine.runner.next_due() is not None
    yield figure("sleep.restart_s", [time.perf_counter() - started_s], "s")
    engine.writer.do(lambda tx: _make_due(tx, due, engine.clock.now()))
    started_s, started_cpu = time.perf_counter(), time.process_time()
    fired = engine.drain()
    seconds, cpu = time.perf_counter() - started_s, time.process_time() - started_cpu
    assert fired == due, f"{fired} of {due} sleepers fired"
    engine.close()
    yield figure("sleep.fire_s", [seconds], "s", limit=_least_fire_s(task, due))
    yield figure("sleep.fire_cpu_s", [cpu], "s")


def _make_due(tx: Tx, count: int, now: datetime) -> None:
    """Let the first of them have slept long enough; by hand, because nobody waits 30 days for a bench."""
    first = select(runs.c.id).where(runs.c.due_at.is_not(None)).order_by(runs.c.due_at).limit(count)
    until = {"checked": True, "until": now.isoformat(), "traced": 1}
    tx.conn.execute(update(runs).where(runs.c.id.in_(first)).values(due_at=now, vars=until))


def _least_insert_s(task: Task, count: int) -> float:
    connection = open_least(task.settings.home / "least" / "least.db")
    started_s = time.perf_counter()
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        put(connection, [event_row(n, "{}") for n in numbers], [run_row(n, n, due_at=n + 1) for n in numbers])
    connection.close()
    return time.perf_counter() - started_s


def _least_fire_s(task: Task, due: int) -> float:
    connection = open_least(task.settings.home / "fire" / "least.db")
    for start in range(0, due, _BATCH):
        numbers = range(start, min(start + _BATCH, due))
        put(connection, [event_row(n, "{}") for n in numbers], [run_row(n, n, due_at=0) for n in numbers])
    started_s = time.perf_counter()
    while finish_due(connection, 1, 200):
        pass
    connection.close()
    return time.perf_counter() - started_s
