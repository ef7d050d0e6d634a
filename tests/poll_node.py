"""A plugin that is polled, and an engine with it: news are numbered, so that a lost or doubled one shows."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from databases import place_database
from engines import make_tables
from sqlalchemy import select

from core.clock import VirtualClock
from core.host import Builtin
from core.settings import load_settings
from core.tables import events
from plugins import BUILTINS
from rules.engine import Engine, Parts

hookimpl = pluggy.HookimplMarker("vitrin")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EACH = 3

SETTINGS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["token"],
    "properties": {"token": {"type": "string", "title": "Token", "writeOnly": True}},
}
NEWS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["number"],
    "properties": {"number": {"type": "integer", "title": "Number"}, "account": {"type": "string", "title": "Account"}},
}


def poll_numbers(ctx: Any, cursor: Any) -> Any:
    """Tell the next few numbers."""
    first = cursor or 0
    for number in range(first, first + EACH):
        ctx.emit("number.drawn", {"number": number, "account": ctx.account})
    return first + EACH


def make_plugin(run: Callable[[Any, Any], Any], *, settings: dict[str, Any] | None = None) -> ModuleType:
    """Return a plugin `feed` whose one poller is asked every five minutes."""
    title = {"en": "Feed"}
    module = ModuleType("feed_plugin")

    @hookimpl
    def vitrin_manifest() -> dict[str, Any]:
        told = {"title": title, "summary": title, "category": "test", "version": "1", "accounts": True}
        return told | ({"settings": settings} if settings else {})

    @hookimpl
    def vitrin_events() -> list[dict[str, Any]]:
        return [{"name": "number.drawn", "title": title, "schema": NEWS, "sample": {"number": 1}, "key": "number"}]

    @hookimpl
    def vitrin_pollers() -> list[dict[str, Any]]:
        return [{"name": "poll_numbers", "title": title, "schedule": "every 5 minutes", "run": run}]

    for hook in (vitrin_manifest, vitrin_events, vitrin_pollers):
        setattr(module, hook.__name__, hook)
    return module


class Polled:
    """An engine with the plugin, a schedule, jobs and polls; time passes when `run` is called."""

    def __init__(
        self,
        home: Path,
        run: Callable[[Any, Any], Any] = poll_numbers,
        *,
        settings: dict[str, Any] | None = None,
        start: datetime = START,
    ) -> None:
        sys.modules["feed_plugin"] = make_plugin(run, settings=settings)
        feed = Builtin(name="feed", module="feed_plugin", summary="News", on=True)
        place_database(home, make_tables)
        given = {"home": home, "synchronous": "off", "zone": "UTC"}
        self.clock = VirtualClock(start)
        self.engine = Engine(load_settings(given, {}), {**BUILTINS, "feed": feed}, Parts(clock=self.clock))
        self.engine.open()
        self.db, self.writer, self.host = self.engine.db, self.engine.writer, self.engine.host
        self.scheduler, self.jobs, self.queue = self.engine.scheduler, self.engine.jobs, self.engine.queue
        self.polling = self.engine.polling

    def run(self, minutes: int = 5) -> int:
        """Let time pass, minute by minute; return how many polls ran."""
        ran = 0
        for _ in range(minutes):
            self.clock.advance(60)
            self.scheduler.sweep(self.clock.now())
            ran += self.queue.drain()
        return ran

    def numbers(self) -> list[int]:
        """Return the numbers of all news that were taken in, in their order."""
        drawn = select(events.c.data).where(events.c.type == "number.drawn").order_by(events.c.id)
        with self.db.read() as conn:
            return [data["number"] for data in conn.execute(drawn).scalars()]


def main() -> None:
    """Poll for half an hour: `python poll_node.py HOME SECONDS`."""
    home, start = sys.argv[1:]
    polled = Polled(Path(home), start=datetime.fromtimestamp(float(start), UTC))
    polled.jobs.release_own()
    polled.queue.drain()
    polled.run(30)


if __name__ == "__main__":
    main()
