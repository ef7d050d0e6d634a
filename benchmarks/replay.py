"""`bench replay`: events a second of the recorded shop with its eight rules, everything durable."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from commands.replay import Order, replay
from core.errors import NotFound
from core.host import Builtin
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT.parent / "shared" / "data" / "olist"
RULES = ROOT / "tests" / "acceptance" / "olist" / "rules"


def run(settings: Settings, builtins: Mapping[str, Builtin]) -> dict[str, Any]:
    """Replay once on a fresh database and return the figures."""
    if not RECORDED.is_dir():
        raise NotFound("the recorded shop (shared/data/olist beside the project) is not here")
    with tempfile.TemporaryDirectory() as folder:
        here = replace(settings, home=Path(folder))
        report = replay(Order(folder=RECORDED, rules=RULES), here, builtins, lambda _done, _total: None)
    figures = [
        {"name": "replay.events", "value": report["events_per_s"], "unit": "events/s", "reach": 1000},
        {"name": "replay.peak_mb", "value": report["peak_mb"], "unit": "MB", "limit": 300},
        {"name": "replay.seconds", "value": report["seconds"], "unit": "s"},
    ]
    return {"bench": "replay", "figures": figures}
