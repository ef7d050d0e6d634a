"""`bench replay`: events a second of the recorded shop with its eight rules, everything durable."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Task, figure
from commands.replay import Order, replay
from core.errors import NotFound

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT.parent / "shared" / "data" / "olist"
RULES = ROOT / "tests" / "acceptance" / "olist" / "rules"


def run(task: Task) -> Iterator[Figure]:
    """Replay once on a fresh database."""
    if not RECORDED.is_dir():
        raise NotFound("the recorded shop (shared/data/olist beside the project) is not here")
    report = replay(Order(folder=RECORDED, rules=RULES), task.settings, task.builtins, task.moved)
    yield figure("replay.events", [report["events"] / report["seconds"]], "events/s")
    yield figure("replay.peak_mb", [report["peak_mb"]], "MB")
    yield figure("replay.seconds", [report["seconds"]], "s")
