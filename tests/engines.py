"""Engines for tests: a real database, real plugins, a clock that the test moves."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from databases import databases, place_database

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


def make_tables(url: str) -> None:
    """Bring an empty database up to this program: most of a test's time would go into it."""
    db = Database(url, synchronous="off")
    upgrade(db)
    db.close()


def make_engine(home: Path, *, clock: VirtualClock | None = None, **flags: Any) -> Engine:
    """Return an open engine with its own database, named by `home`."""
    given = {"home": home, "synchronous": "off", "zone": "UTC", **flags}
    if "database" not in flags:
        place_database(home, make_tables)
    engine = Engine(load_settings(given, {}), BUILTINS, Parts(clock=clock or VirtualClock(START)))
    databases.keep(home, lambda: _let_go(engine))
    engine.open()
    return engine


def _let_go(engine: Engine) -> None:
    engine.polling.settle()
    engine.db.close()


def put_rule(engine: Engine, text: str, state: str = "on") -> None:
    """Publish a rule and switch it."""
    engine.writer.do(lambda tx: publish(tx, text, engine.book.scope, actor="test", now=engine.clock.now(), state=state))


def make_event(engine: Engine, type: str, data: Mapping[str, Any], **more: Any) -> Event:
    """Return an event that happens now."""
    now = engine.clock.now()
    ident = new_id()
    fields = {"id": ident, "source": "test", "external_id": ident, "time": now, "received_at": now}
    return Event(**{**fields, "type": type, "key": None, "customer": None, "data": dict(data), **more})
