"""An engine's worth of imports for tests: a shop, its jobs and the import service over one database."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

import core.imports.tables
import core.shop.tables
import core.tables  # noqa: F401 - fills the metadata
from core.clock import VirtualClock
from core.context import Emit
from core.db import Database, metadata
from core.events import Catalogue, Event, EventType
from core.imports.fields import KINDS  # noqa: F401 - for the tests
from core.imports.options import ShopHabits
from core.imports.pictures import NOUNS
from core.imports.service import Imports
from core.jobs import Jobs
from core.queues.local import LocalQueue
from core.shop import Shop
from core.writer import Tx, Writer
from plugins.files import EVENTS
from plugins.shop.events import EVENTS as SHOP_EVENTS

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


class ImportNode:
    """One process of ours with a shop, and a clock that stands still."""

    def __init__(self, url: str, home: Path) -> None:
        self.db = Database(url, synchronous="off")
        metadata.create_all(self.db.engine)
        self.clock = VirtualClock(NOON)
        self.writer = Writer(self.db)
        self.jobs = Jobs(self.db, self.writer, self.clock, "test")
        self.queue = LocalQueue(self.jobs)
        self.told: list[Event] = []
        catalogue = Catalogue()
        catalogue.add(EventType(**kind, plugin="shop") for kind in [*SHOP_EVENTS, *EVENTS])
        self.imports = Imports(
            self.db,
            self.jobs,
            home=home,
            habits=ShopHabits(zone=ZoneInfo("Europe/Istanbul"), currency="TRY"),
            shop_of=self.shop_of,
            take=self.take,
            catalogue=catalogue,
        )

    def shop_of(self, tx: Tx, emit: Emit | None, now: datetime, source: str) -> Shop:
        return Shop(tx, emit, now, source)

    def take(self, _tx: Tx, events: list[Event]) -> None:
        self.told += events

    def do(self, write: Callable[[Shop], Any], *, source: str = "files") -> Any:
        return self.writer.do(lambda tx: write(Shop(tx, None, self.clock.now(), source)))

    def read(self, ask: Callable[[Connection], Any]) -> Any:
        with self.db.read() as conn:
            return ask(conn)

    def picture(self) -> dict[str, Any]:
        """Return every row of every table that imports may change, without the moments of writing."""
        tables = {part.table.name: part.table for noun in NOUNS.values() for part in noun.parts}
        with self.db.read() as conn:
            return {name: sorted(map(repr, conn.execute(select(table)))) for name, table in tables.items()}

    def upload(self, content: bytes | str, kind: str, *, name: str = "list.csv", **options: Any) -> str:
        raw = content if isinstance(content, bytes) else content.encode()
        return self.imports.upload([raw], name, kind, actor="elif", options=options)

    def check(self, import_id: str) -> dict[str, Any]:
        self.imports.check(import_id, actor="elif")
        self.queue.drain()
        shown = self.imports.show(import_id)
        assert shown["status"] == "ready", shown["error"]
        return shown["checked"]

    def run(self, import_id: str) -> dict[str, Any]:
        self.imports.run(import_id, actor="elif")
        self.queue.drain()
        return self.imports.show(import_id)

    def undo(self, import_id: str) -> dict[str, Any]:
        self.clock.advance(timedelta(hours=1))
        self.imports.undo(import_id, actor="elif")
        self.queue.drain()
        shown = self.imports.show(import_id)
        assert shown["status"] == "undone", shown["error"]
        return shown["undone"]


def main() -> None:
    """Go on with what is due: `python import_node.py URL HOME`."""
    url, home = sys.argv[1:]
    node = ImportNode(url, Path(home))
    node.jobs.release_own()
    node.queue.drain()


if __name__ == "__main__":
    main()
