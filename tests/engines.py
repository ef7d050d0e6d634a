"""Engines for tests: real SQLite, real plugins, a clock that the test moves."""

import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from core.clock import VirtualClock
from core.db import Database
from core.events import Event
from core.ids import new_id
from core.schema_version import upgrade
from core.settings import load_settings
from plugins import BUILTINS
from rules.engine import Engine, Parts
from rules.store import publish

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@cache
def _empty_database() -> Path:
    """Return a database with all tables, made once: most of a test's time would go into making them."""
    path = Path(tempfile.mkdtemp()) / "empty.db"
    db = Database(f"sqlite:///{path}", synchronous="off")
    upgrade(db)
    db.close()
    return path


def make_engine(home: Path, *, clock: VirtualClock | None = None, **flags: Any) -> Engine:
    """Return an open engine with its own database in `home`."""
    given = {"home": home, "synchronous": "off", "zone": "UTC", **flags}
    if "database" not in flags and not (home / "vitrin.db").exists():
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(_empty_database(), home / "vitrin.db")
    engine = Engine(load_settings(given, {}), BUILTINS, Parts(clock=clock or VirtualClock(START)))
    engine.open()
    return engine


def put_rule(engine: Engine, text: str, state: str = "on") -> None:
    """Publish a rule and switch it."""
    engine.writer.do(lambda tx: publish(tx, text, engine.book.scope, actor="test", now=engine.clock.now(), state=state))


def make_event(engine: Engine, type: str, data: Mapping[str, Any], **more: Any) -> Event:
    """Return an event that happens now."""
    now = engine.clock.now()
    ident = new_id()
    fields = {"id": ident, "source": "test", "external_id": ident, "time": now, "received_at": now}
    return Event(**{**fields, "type": type, "key": None, "customer": None, "data": dict(data), **more})
