"""An open engine for tests of the web, with a plugin that has settings, a secret and a webhook."""

import tempfile
from pathlib import Path
from typing import Any

from databases import place_database
from engines import START

from core.clock import Clock, VirtualClock
from core.host import Builtin
from core.settings import load_settings
from plugins import BUILTINS
from rules.engine import Engine, Parts
from web.limits import LIMITS

#: Nothing that a test does quickly is slowed down.
PLENTY = dict.fromkeys(LIMITS, 1_000_000)
HOOKED = Builtin(name="hooked", module="hooked_plugin", summary="Listens", on=True)


def open_engine(home: Path, **flags: Any) -> Engine:
    place_database(home, start_once)
    return _open(home, **flags)


def _open(home: Path, *, clock: Clock | None = None, **flags: Any) -> Engine:
    settings = load_settings({"home": home, "synchronous": "off", "zone": "UTC", **flags}, {})
    engine = Engine(settings, {**BUILTINS, HOOKED.name: HOOKED}, Parts(clock=clock or VirtualClock(START)))
    engine.open()
    return engine


def start_once(url: str) -> None:
    """Bring an empty database to where it is after the first start."""
    with tempfile.TemporaryDirectory() as home:
        _open(Path(home), database=url).close()
