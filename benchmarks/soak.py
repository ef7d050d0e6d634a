"""`bench soak`: a steady load for an hour: how long intake takes, and what grows that should not.

Memory, files and threads are looked at every few seconds; the first fifth of the time is for warming up.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from benchmarks.caller import Orders, call_apart, make_request
from benchmarks.figures import Figure, Task, figure, memory_mb, percentile
from benchmarks.serving import Serving
from benchmarks.workload import Workload

OPTIONS = (
    click.Option(["--seconds"], type=click.IntRange(min=10), default=3_600, show_default=True, help="How long."),
    click.Option(["--rate"], type=click.IntRange(min=1), default=50, show_default=True, help="Events a second."),
)
_RULES = 100
_LOOK_S = 5
_CONNECTIONS = 4
_WARM = 0.2


@dataclass(slots=True)
class _Look:
    """What was seen of the process at one moment."""

    at_s: float
    memory_mb: float
    files: int
    threads: int


@dataclass(slots=True)
class _Seen:
    took_ms: list[float] = field(default_factory=list)
    looks: list[_Look] = field(default_factory=list)
    calls: int = 0


def run(task: Task) -> Iterator[Figure]:
    """Send events at a steady rate, in slices, and look at the process after each."""
    seconds, rate = task.options["seconds"], task.options["rate"]
    own = replace(task.settings, home=task.settings.home / "soak")
    own = replace(own, database=f"sqlite:///{own.home / 'vitrin.db'}")
    serving = Serving(own, rules=_RULES)
    try:
        seen = _soak(task, serving, seconds, rate)
        done = serving.ask("drain")["runs"]
    finally:
        serving.close()
    assert done == seen.calls, f"{done} runs of {seen.calls} calls"
    warm = [look for look in seen.looks if look.at_s >= seconds * _WARM] or seen.looks
    yield figure("soak.intake_p95_ms", [percentile(seen.took_ms, 0.95)], "ms")
    yield figure("soak.events", [seen.calls / seconds], "events/s")
    yield figure("soak.memory_slope", [_slope([(look.at_s, look.memory_mb) for look in warm]) * 3600], "MB/h")
    yield figure("soak.memory_mb", [warm[-1].memory_mb], "MB")
    yield figure("soak.files", [warm[-1].files - warm[0].files], "more")
    yield figure("soak.threads", [warm[-1].threads - warm[0].threads], "more")


def _soak(task: Task, serving: Serving, seconds: int, rate: int) -> _Seen:
    body = json.dumps(Workload(_RULES).orders(1)[0]).encode()
    tokens = serving.tokens.items()
    requests = [make_request(f"/hooks/rule/{rule}", body, [f"X-Vitrin-Token: {token}"]) for rule, token in tokens]
    orders = Orders(port=serving.port, requests=requests, count=rate * _LOOK_S, connections=_CONNECTIONS, rate=rate)
    seen, started_s = _Seen(), time.monotonic()
    while (passed_s := time.monotonic() - started_s) < seconds:
        task.moved(int(passed_s), seconds)
        called = call_apart(orders)
        assert called.statuses == {"202": orders.count}, called.statuses
        seen.calls += orders.count
        seen.took_ms += called.took_ms
        seen.looks.append(_look(serving.pid, time.monotonic() - started_s))
    task.moved(seconds, seconds)
    return seen


def _look(pid: int, at_s: float) -> _Look:
    process = Path(f"/proc/{pid}")
    files, threads = (len(list((process / folder).iterdir())) for folder in ("fd", "task"))
    return _Look(at_s, memory_mb(pid), files, threads)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Return how fast the second value grows with the first: the line through the points with the least squares."""
    count = len(points)
    mean_x, mean_y = (sum(point[axis] for point in points) / count for axis in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
