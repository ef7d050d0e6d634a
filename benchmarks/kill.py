"""`bench kill`: processes killed at random under load, on SQLite (one process) or PostgreSQL (many, with a broker).

What is lost, doubled or out of order must be 0. `kill.repeats` may reach the number of kills (times `--threads`): calls
that take no key, made again because nobody could tell whether they had arrived, and marked so.
"""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.farm import Farm
from benchmarks.figures import Figure, Task
from benchmarks.servers import BROKERS, broker, free_port, postgresql
from core.errors import StorageError

OPTIONS = (
    click.Option(["--kills"], type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many."),
    click.Option(
        ["--db"], type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True, help="On what."
    ),
    click.Option(
        ["--broker"],
        type=click.Choice(["none", *BROKERS]),
        default="none",
        show_default=True,
        help="What carries the hints between the processes on PostgreSQL.",
    ),
    click.Option(
        ["--threads"],
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="Calls that a process makes at once; each kill may leave so many in the dark.",
    ),
    click.Option(["--seed"], type=int, default=20260301, show_default=True, help="Of the moments and the victims."),
)

#: One process does all on SQLite; on PostgreSQL each does its part.
_MEMBERS = {
    "sqlite": ("run",),
    "postgresql": ("web", "web", "work", "work", "work", "clock", "clock"),
}
#: Seconds between two kills: a lone process must have time to work before it dies.
_BETWEEN_S = {"sqlite": (0.0, 2.0), "postgresql": (0.0, 0.6)}
_START_S = 60.0
#: Open runs above which the feeders pause: the load must be there, and bearable.
_MOST_OPEN = 300
_ENOUGH = 100_000
_PATIENCE_S = 600.0


def run(task: Task) -> Iterator[Figure]:
    """Kill, wait until all is done, count."""
    options = task.options
    chance = random.Random(options["seed"])
    with ExitStack() as stack:
        url = task.settings.database if options["db"] == "sqlite" else stack.enter_context(postgresql())
        carrier = "" if options["broker"] == "none" else stack.enter_context(broker(options["broker"])).url
        folder = Path(task.settings.home)
        farm = Farm(folder, url, builtins=task.builtins, broker=carrier, workers=options["threads"])
        stack.callback(farm.close)
        for number, role in enumerate(_MEMBERS[options["db"]]):
            farm.start(f"{role}{number}", role, port=free_port() if role in ("web", "run") else 0)
        started_s = time.monotonic()
        _kill(farm, chance, task, options)
        farm.stop_feeding()
        drain_s = time.monotonic()
        if not farm.wait_done(_PATIENCE_S):
            raise StorageError(f"runs are open {_PATIENCE_S:.0f} s after the last kill:\n{farm.logs()}")
        yield from _figures(farm, drain_s - started_s, time.monotonic() - drain_s)


def _kill(farm: Farm, chance: random.Random, task: Task, options: Any) -> None:
    farm.feed(_ENOUGH, pause_s=0.02)
    while farm.kills < options["kills"]:
        # What has not come up yet holds nothing that it could lose.
        name = _wait_ready(farm, chance)
        time.sleep(chance.uniform(*_BETWEEN_S[options["db"]]))
        farm.hold_feeding(farm.count_open() > _MOST_OPEN)
        farm.kill(name)
        farm.again(name)
        task.moved(farm.kills, options["kills"])


def _wait_ready(farm: Farm, chance: random.Random) -> str:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        ready = [name for name in farm.members if farm.is_ready(name)]
        if ready:
            return chance.choice(ready)
        time.sleep(0.01)
    raise StorageError(f"no process came up within {_START_S:.0f} s:\n{farm.logs()}")


def _figures(farm: Farm, load_s: float, drain_s: float) -> Iterator[Figure]:
    audit = farm.audit()
    rows: dict[str, tuple[float, str, float | None]] = {
        "kills": (farm.kills, "kills", None),
        "events": (audit.acknowledged, "events", None),
        "lost": (audit.lost + audit.not_acted + audit.missing, "rows", 0),
        "doubled": (audit.doubled, "rows", 0),
        "repeats": (audit.repeats, "calls", audit.unclear),
        "repeats_unmarked": (audit.unmarked, "calls", 0),
        "repeats_with_key": (audit.doubled_keys, "calls", 0),
        "out_of_order": (audit.out_of_order, "events", 0),
        "load_s": (load_s, "s", None),
        "drain_s": (drain_s, "s", None),
    }
    for name, (value, unit, limit) in rows.items():
        yield Figure(name=f"kill.{name}", value=value, unit=unit, spread=(value, value), limit=limit)
