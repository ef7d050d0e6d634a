"""`bench intake`: webhooks and events from the wire to the disk, with 100 rules on and SQLite's synchronous=FULL.

The caller is a process of its own, and its CPU seconds are not counted.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import click

from benchmarks.caller import Called, Orders, call_apart, make_request
from benchmarks.figures import Figure, Task, figure, percentile
from benchmarks.least import event_row, open_least, put, run_row, timed
from benchmarks.measured import measured_engine, put_rules
from benchmarks.serving import Serving
from benchmarks.workload import Workload

OPTIONS = (
    click.Option(
        ["--requests"], type=click.IntRange(min=100), default=10_000, show_default=True, help="Calls to make."
    ),
    click.Option(["--connections"], type=click.IntRange(min=1), default=16, show_default=True, help="Calls at once."),
    click.Option(["--repeats"], type=click.IntRange(min=1), default=3, show_default=True, help="Repeats of each."),
)
_RULES = 100
_BATCH = 100
ROOT = Path(__file__).resolve().parents[1]


def run(task: Task) -> Iterator[Figure]:
    """Measure webhooks, the same with everything done before the answer, and batches of events."""
    count, repeats = task.options["requests"], task.options["repeats"]
    rounds: dict[str, list[tuple[Called, float]]] = {"ack": [], "done": []}
    bare: list[float] = []
    batches = []
    for done in range(repeats):
        task.moved(done, repeats)
        for name, header in (("ack", []), ("done", ["Prefer: wait=10"])):
            rounds[name].append(_webhooks(task, f"{name}-{done}", header))
        bare.append(_bare(task, done))
        batches.append(_batches(task, count))
    task.moved(repeats, repeats)
    for name, found in rounds.items():
        rates = [len(called.took_ms) / called.seconds for called, _ in found]
        yield figure(f"intake.{name}", rates, "requests/s", limit=median(bare))
        yield figure(f"intake.{name}_p99_ms", [percentile(called.took_ms, 0.99) for called, _ in found], "ms")
        yield figure(f"intake.{name}_cpu_ms", [cpu for _, cpu in found], "ms")
    yield figure("intake.batch", [wall for wall, _ in batches], "events/s", limit=_least_batches(task, count))
    yield figure("intake.batch_cpu", [cpu for _, cpu in batches], "events/cpu_s")


def _body() -> bytes:
    return json.dumps(Workload(_RULES).orders(1)[0], ensure_ascii=True).encode()


def _webhooks(task: Task, name: str, headers: list[str]) -> tuple[Called, float]:
    """Return what the caller saw, and the milliseconds of CPU for a request: its answer, its action and its trace."""
    home = task.settings.home / name
    own = replace(task.settings, home=home, database=f"sqlite:///{home / 'vitrin.db'}")
    serving = Serving(own, rules=_RULES)
    try:
        body = _body()
        requests = [
            make_request(f"/hooks/rule/{rule}", body, [f"X-Vitrin-Token: {token}", *headers])
            for rule, token in serving.tokens.items()
        ]
        orders = Orders(port=serving.port, requests=requests, count=200, connections=task.options["connections"])
        call_apart(orders)
        before = serving.ask("drain")["cpu_s"]
        called = call_apart(replace(orders, count=task.options["requests"]))
        told = serving.ask("drain")
    finally:
        serving.close()
    assert called.statuses == {"202": len(called.took_ms)}, called.statuses
    assert told["runs"] == len(called.took_ms) + 200, told
    return called, (told["cpu_s"] - before) / len(called.took_ms) * 1000


def _bare(task: Task, repeat: int) -> float:
    """Return how many requests a second the least possible server takes."""
    command = [sys.executable, "-m", "benchmarks.bare", str(task.settings.home / f"bare-{repeat}" / "bare.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        request = make_request("/", _body(), [])
        count, connections = task.options["requests"], task.options["connections"]
        called = call_apart(Orders(port=port, requests=[request], count=count, connections=connections))
        server.communicate("")
    return count / called.seconds


def _batches(task: Task, count: int) -> tuple[float, float]:
    """Return how many events a second, and a CPU second, are taken a hundred at a time, with the runs they start."""
    load = Workload(_RULES)
    with measured_engine(task) as engine:
        put_rules(engine, load.documents())
        events = load.events(count, engine.clock.now())
        engine.writer.start()
        started_s, started_cpu = time.perf_counter(), time.process_time()
        for start in range(0, count, _BATCH):
            engine.take(events[start : start + _BATCH])
        return count / (time.perf_counter() - started_s), count / (time.process_time() - started_cpu)


def _least_batches(task: Task, count: int) -> float:
    """Return the same for bare inserts of an event and its three runs."""
    connection = open_least(task.settings.home / "least-batches" / "least.db")
    body = _body().decode()

    def work() -> int:
        for start in range(0, count, _BATCH):
            numbers = range(start, start + _BATCH)
            runs = [run_row(n * 3 + part, n, due_at=n) for n in numbers for part in range(3)]
            put(connection, [event_row(n, body) for n in numbers], runs)
        return count

    rate = timed(work)
    connection.close()
    return rate
