"""The engine: everything put together, for one process. The command line, the web, replay and tests all start here."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from core.clock import Clock, SystemClock
from core.context import Emit
from core.db import Database
from core.errors import VitrinError
from core.events import Event
from core.host import Builtin, Host
from core.http import HttpClient
from core.invoke import Invoker
from core.secrets import Secrets
from core.settings import Settings, prepare_home
from core.shop.fresh import refresh_data
from core.shop.shop import Shop
from core.writer import Tx, Writer
from rules.conditions import Scope
from rules.intake import Intake, Taken
from rules.operators import OPERATORS, Operator
from rules.runner import Runner
from rules.store import Book

log = structlog.get_logger("vitrin.engine")

#: How long the loop sleeps at most when nothing is due: other processes may have made runs.
_LONGEST_SLEEP_S = 1.0


@dataclass(slots=True, kw_only=True)
class Parts:
    """What tests and replay put in place of the usual."""

    clock: Clock | None = None
    http: HttpClient | None = None


class Engine:
    """One process's engine. `open` makes it ready; `start` adds the threads that a server needs."""

    def __init__(self, settings: Settings, builtins: Mapping[str, Builtin], parts: Parts | None = None) -> None:
        parts = parts or Parts()
        self.settings = settings
        self.clock = parts.clock or SystemClock()
        self.zone = ZoneInfo(settings.zone)
        prepare_home(settings)
        self.db = Database(settings.database, synchronous=settings.synchronous)
        self.writer = Writer(self.db, backlog=settings.backlog)
        self.secrets = Secrets(settings.key_file, self.clock)
        self.http = parts.http or HttpClient(clock=self.clock)
        self.host = Host(self.db, self.writer, self.clock, builtins, on=settings.plugins_on, off=settings.plugins_off)
        self.invoker = Invoker(
            self.host,
            self.db,
            self.secrets,
            self.http,
            self.clock,
            shop_of=self.shop_of,
            refresh_data=refresh_data,
            allow_hosts=settings.allow_hosts,
            shop_settings={
                "zone": self.zone,
                "currency": settings.currency,
                "language": settings.language,
                "region": settings.region,
                "base_url": settings.base_url,
            },
        )
        self.book = Book()
        self.ready = threading.Event()
        self.intake = Intake(self.book, self.clock, self.zone, depth_limit=settings.depth_limit, hint=self.ready.set)
        self.runner = Runner(
            self.db,
            self.writer,
            self.invoker,
            self.intake,
            self.clock,
            outside=self.invoker.call_outside,
            workers=settings.workers,
        )
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def shop_of(self, tx: Tx, emit: Emit | None, now: Any, source: str) -> Shop:
        return Shop(tx, emit, now, source, region=self.settings.region)

    # Life

    def open(self) -> None:
        """Make the database, the plugins and the rules ready; nothing runs by itself yet."""
        with self.db.read() as conn:
            self.secrets.open(conn)
        self.host.start()
        self._rescope()
        self.host.on_change(self._rescope)

    def start(self) -> None:
        """Start the writer and the worker."""
        self.writer.start()
        self.runner.release_own()
        thread = threading.Thread(target=self._work, name="vitrin-runner", daemon=True)
        thread.start()
        self._threads.append(thread)

    def close(self) -> None:
        """Finish what is in hand, then let go of everything."""
        self._stopping.set()
        self.ready.set()
        for thread in self._threads:
            thread.join(self.settings.stop_s)
        self.runner.stop()
        self.writer.stop()
        self.http.close()
        self.db.close()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self.ready.clear()
            try:
                if self.runner.advance():
                    continue
                due = self.runner.next_due()
            except VitrinError as exc:
                log.error("the runner could not go on; it tries again", error=str(exc))
                self._stopping.wait(_LONGEST_SLEEP_S)
                continue
            wait_s = _LONGEST_SLEEP_S if due is None else (due - self.clock.now()).total_seconds()
            self.ready.wait(min(max(wait_s, 0.01), _LONGEST_SLEEP_S))

    def _rescope(self) -> None:
        """Rules are compiled against the operators and facts of the plugins that are on."""
        added = {row.name: Operator.from_plugin(row.name, row.types, row.test) for row in self.host.operators.values()}
        scope = Scope(operators={**OPERATORS, **added}, facts=frozenset(self.host.facts))
        with self.db.read() as conn:
            self.book.rescope(conn, scope)

    # Work

    def take(self, events: Sequence[Event]) -> list[Taken]:
        """Take events in; returns after they, and the runs they started, are on disk."""
        return self.writer.do(lambda tx: self.intake.take(tx, events))

    def drain(self) -> int:
        """Advance until nothing is due now; for tests, replay and one-shot commands."""
        total = 0
        while count := self.runner.advance():
            total += count
            self.runner.wait_for_calls()
        return total
