"""An open engine for tests of the web, with a plugin that has settings, a secret and a webhook."""

from pathlib import Path
from typing import Any

from engines import START

from core.clock import VirtualClock
from core.host import Builtin
from core.settings import load_settings
from plugins import BUILTINS
from rules.engine import Engine, Parts

#: Nothing that a test does quickly is slowed down.
PLENTY: dict[str, str] = dict.fromkeys(("read", "write", "events", "test", "hook", "failed"), "1000000/minute")
HOOKED = Builtin(name="hooked", module="hooked_plugin", summary="Listens", on=True)


def open_engine(home: Path, **flags: Any) -> Engine:
    settings = load_settings({"home": home, "synchronous": "off", "zone": "UTC", **flags}, {})
    engine = Engine(settings, {**BUILTINS, HOOKED.name: HOOKED}, Parts(clock=VirtualClock(START)))
    engine.open()
    return engine
