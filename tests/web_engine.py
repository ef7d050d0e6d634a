"""An open engine for tests of the web, with a plugin that has settings, a secret and a webhook."""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from engines import START

from core.clock import VirtualClock
from core.host import Builtin
from core.settings import load_settings
from plugins import BUILTINS
from rules.engine import Engine, Parts
from web.limits import LIMITS

#: Nothing that a test does quickly is slowed down.
PLENTY = dict.fromkeys(LIMITS, 1_000_000)
HOOKED = Builtin(name="hooked", module="hooked_plugin", summary="Listens", on=True)


def open_engine(home: Path, **flags: Any) -> Engine:
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(_new_database(), home / "vitrin.db")
    return _open(home, **flags)


def _open(home: Path, **flags: Any) -> Engine:
    settings = load_settings({"home": home, "synchronous": "off", "zone": "UTC", **flags}, {})
    engine = Engine(settings, {**BUILTINS, HOOKED.name: HOOKED}, Parts(clock=VirtualClock(START)))
    engine.open()
    return engine


@cache
def _new_database() -> Path:
    """Return a database as it is after the first start: making its tables takes most of that time."""
    home = Path(tempfile.mkdtemp())
    _open(home).close()
    return home / "vitrin.db"
