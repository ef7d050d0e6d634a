"""`bench queue`: runs of an action that does nothing, out of the durable queue, start and end on disk."""

import time
from collections.abc import Iterator
from statistics import median

import click

from benchmarks.figures import Figure, Task, figure
from benchmarks.least import event_row, finish_due, open_least, put, run_row, timed
from benchmarks.measured import measured_engine, put_rules
from benchmarks.workload import EVENT_TYPE, Workload
from rules.engine import Engine

OPTIONS = (
    click.Option(["--runs"], type=click.IntRange(min=100), default=20_000, show_default=True, help="Runs to be done."),
    click.Option(["--repeats"], type=click.IntRange(min=1), default=3, show_default=True, help="Repeats of each."),
    click.Option(["--postgresql"], metavar="URL", help="An empty PostgreSQL database, to be measured too."),
)
_RULE = {"rule": "bench-idle", "when": {"event": EVENT_TYPE}, "then": [{"do": "idle.do_nothing"}]}
_IN_LINE = {**_RULE, "rule": "bench-in-line", "mode": {"run": "queued", "key": "customer.id"}}
_BATCH = 500
#: Of a workload with so many rules: some runs of each stand in line, and none finds its line full.
_CUSTOMERS = 10_000


def run(task: Task) -> Iterator[Figure]:
    """Fill the queue untimed, then empty it."""
    count, repeats = task.options["runs"], task.options["repeats"]
    rates, cpu_rates, least, in_line = [], [], [], []
    for done in range(repeats):
        task.moved(done, repeats)
        with measured_engine(task) as engine:
            wall, cpu = _drain(engine, _RULE, count)
        rates.append(wall)
        cpu_rates.append(cpu)
        least.append(_least(task, count, done))
        with measured_engine(task) as engine:
            in_line.append(_drain(engine, _IN_LINE, count)[1])
    task.moved(repeats, repeats)
    yield figure("queue.sqlite", rates, "runs/s", limit=median(least))
    yield figure("queue.sqlite_cpu", cpu_rates, "runs/cpu_s")
    yield figure("queue.in_line_cpu", in_line, "runs/cpu_s")
    if task.options["postgresql"]:
        with measured_engine(task, database=task.options["postgresql"]) as engine:
            found = [_drain(engine, _RULE, count) for _ in range(repeats)]
        yield figure("queue.postgresql", [wall for wall, _ in found], "runs/s")
        yield figure("queue.postgresql_cpu", [cpu for _, cpu in found], "runs/cpu_s")


def _drain(engine: Engine, rule: dict, count: int) -> tuple[float, float]:
    """Return runs a second, and a CPU second."""
    put_rules(engine, [rule])
    events = Workload(_CUSTOMERS).events(count, engine.clock.now())
    for start in range(0, count, _BATCH):
        engine.take(events[start : start + _BATCH])
    started_s, started_cpu = time.perf_counter(), time.process_time()
    done = engine.drain()
    seconds, cpu = time.perf_counter() - started_s, time.process_time() - started_cpu
    assert done == count, f"{done} of {count} runs were done"
    return done / seconds, done / cpu


def _least(task: Task, count: int, repeat: int) -> float:
    connection = open_least(task.settings.home / f"least-{repeat}" / "least.db")
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        put(connection, [event_row(n, "{}") for n in numbers], [run_row(n, n, due_at=0) for n in numbers])

    def drain() -> int:
        done = 0
        while some := finish_due(connection, 1, 200):
            done += some
        return done

    rate = timed(drain)
    connection.close()
    return rate
