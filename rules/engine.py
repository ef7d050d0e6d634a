"""The engine: everything put together, for one process. The command line, the web, replay and tests all start here."""

import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import MetaData

from core.clock import Clock, SystemClock
from core.collect import Brought
from core.context import Emit
from core.db import Database
from core.errors import PluginError, VitrinError
from core.events import Event
from core.exchanges import ExchangeLog
from core.host import Builtin, Host
from core.http import HttpClient
from core.imports.options import ShopHabits
from core.imports.service import Imports
from core.invoke import Invoker
from core.job_context import JobContext
from core.jobs import Jobs
from core.polling import Polling
from core.queues.local import LocalQueue
from core.queues.port import JOBS, Carrier
from core.schedule import Entry, Scheduler
from core.schema_version import plugin_branch, upgrade
from core.secrets import Secrets
from core.settings import Settings, prepare_home
from core.shared_clock import SharedClock
from core.shared_rates import SharedRates
from core.shop.fresh import refresh_data
from core.shop.shop import Shop
from core.writer import Tx, Writer
from rules.check import ensure_ready
from rules.clock_jumps import ClockJumps
from rules.conditions import Scope
from rules.hints import Hints
from rules.intake import Intake, Taken
from rules.operators import OPERATORS, Operator
from rules.pulse import Pulse, forget_notes
from rules.replays import Replays
from rules.retention import forget_old
from rules.rule import Rule, read_yaml
from rules.runner import Runner
from rules.store import LIVE, Book, get_rule, get_version, publish, set_state
from rules.triggers import on_tick, own_event_types, sync_schedules

log = structlog.get_logger("vitrin.engine")

_RETENTION, _RESERVATIONS, _STARTS = "retention", "reservations", "starts"
_JOBS_KEPT = timedelta(days=90)
#: What the engine does for itself, and when.
_UPKEEP = {_RETENTION: "every day at 04:10", _RESERVATIONS: "every minute", _STARTS: "every minute"}
#: How long the loop sleeps at most when nothing is due: other processes may have made runs.
_LONGEST_SLEEP_S = 1.0
_BLOCKED_S = 0.25
#: While there is work, what other processes switched is looked for in every so many steps only. Rules are not affected:
#: each transaction looks by itself whether they have changed.
_SYNC_EVERY = 20
#: Runs that are walked in one transaction.
_BATCH = 200
#: How often a process looks around that hears from the others what is ready.
_LOOK_S = 0.5
_BEGIN_AGAIN_S = 60.0

#: What a process does. `run` does all; on many machines each process has a part.
WEB, WORK, CLOCK = "web", "work", "clock"
ROLES = (WEB, WORK, CLOCK)


@dataclass(slots=True, kw_only=True)
class Parts:
    """What tests and replay put in place of the usual."""

    clock: Clock | None = None
    http: HttpClient | None = None
    #: The process's own name among those that share the database, and how it tells them what is ready.
    node: str | None = None
    carrier: Carrier | None = None


class Engine:
    """One process's engine. `open` makes it ready; `start` adds the threads that a server needs."""

    def __init__(self, settings: Settings, builtins: Mapping[str, Builtin], parts: Parts | None = None) -> None:
        parts = parts or Parts()
        self.settings = settings
        self.zone = ZoneInfo(settings.zone)
        prepare_home(settings)
        self.lease = timedelta(seconds=settings.lease_s)
        self.db = Database(settings.database, synchronous=settings.synchronous, idle=self.lease)
        self.clock = parts.clock or (SystemClock() if self.db.is_sqlite else SharedClock(self.db))
        self.writer = Writer(self.db, backlog=settings.backlog)
        self.secrets = Secrets(settings.key_file, self.clock)
        # Where processes share the database, what an outside system bears is shared among them.
        gate = None if self.db.is_sqlite else SharedRates(self.writer, self.clock)
        self.http = parts.http or HttpClient(recorder=ExchangeLog(self.writer, self.clock), gate=gate)
        self.node = parts.node or node_name(settings)
        self.ready = threading.Event()
        self.book = Book()
        self.host = self._make_host(builtins)
        self.invoker = self._make_invoker()
        told = {"zone": settings.zone, "currency": settings.currency, "language": settings.language}
        self.intake = Intake(self.book, self.clock, told, depth_limit=settings.depth_limit, hint=self._hint_runs)
        self.runner = self._make_runner()
        self.pulse = Pulse(self.writer, self.runner, self.clock, self.node)
        self.runner.leases.length = self.lease
        self.jobs = Jobs(self.db, self.writer, self.clock, self.node, lease=self.lease)
        self.jobs.register(_RETENTION, self._forget_old, klass="bulk", keep=False)
        self.jobs.register(_STARTS, lambda _job: self.host.begin_again(), klass="bulk", keep=False)
        self.queue = LocalQueue(self.jobs, workers=settings.workers)
        self.scheduler = Scheduler(self.db, self.writer, self.clock, node_id=self.node)
        self.scheduler.on("rule", lambda tx, schedule_id, planned: on_tick(self, tx, schedule_id, planned))
        self.scheduler.on("system", lambda tx, schedule_id, _planned: self._keep_up(tx, schedule_id))
        self.polling = Polling(
            self.invoker, self.scheduler, self.jobs, self.db, zone=settings.zone, take=self.intake.take
        )
        self.imports = Imports(
            self.db,
            self.jobs,
            home=settings.home,
            habits=ShopHabits(zone=self.zone, currency=settings.currency),
            shop_of=self.shop_of,
            take=self.intake.take,
            catalogue=self.host.catalogue,
        )
        self.replays = Replays(self.db, self.jobs, hint=self.ready.set)
        self.carrier = parts.carrier
        self.hints = Hints(self.carrier, self.db, self.clock, self.runner) if self.carrier else None
        if self.hints is not None:
            self.jobs.on_handed(self.hints.tell_job)
        self.roles: frozenset[str] = frozenset()
        self._jumps = ClockJumps(self.clock, self.writer, self.lease)
        self._began_s = self.clock.monotonic()
        self._synced = -1
        self._busy_steps = 0
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def _make_host(self, builtins: Mapping[str, Builtin]) -> Host:
        return Host(
            self.db,
            self.writer,
            self.clock,
            builtins,
            on=self.settings.plugins_on,
            off=self.settings.plugins_off,
            demo=self.settings.demo,
            install=self._install,
        )

    def _make_invoker(self) -> Invoker:
        settings = self.settings
        return Invoker(
            self.host,
            self.db,
            self.secrets,
            self.http,
            self.clock,
            shop_of=self.shop_of,
            refresh_data=refresh_data,
            shop_settings={
                "zone": self.zone,
                "allow_hosts": settings.allow_hosts,
                "currency": settings.currency,
                "language": settings.language,
                "region": settings.region,
                "base_url": settings.base_url,
            },
        )

    def _make_runner(self) -> Runner:
        return Runner(
            self.db,
            self.writer,
            self.invoker,
            self.intake,
            self.clock,
            outside=self.invoker.call_outside,
            node=self.node,
            workers=self.settings.workers,
        )

    def shop_of(self, tx: Tx, emit: Emit | None, now: Any, source: str) -> Shop:
        return Shop(tx, emit, now, source, region=self.settings.region)

    # Life

    def open(self) -> None:
        """Make the database, the plugins and the rules ready; nothing runs by itself yet."""
        self._follow_clock()
        upgrade(self.db)
        with self.db.read() as conn:
            self.secrets.open(conn)
        self.host.catalogue.add(own_event_types())
        self.host.hand_contexts(self.invoker.contexts_of)
        self.host.start()
        self._rescope()
        self.sync()
        self.host.on_change(self._rescope)
        self.polling.start()
        self.writer.do(self._plan_upkeep)

    def start(self, *roles: str) -> None:
        """Start what these roles need; without any, all of it in this process."""
        self.roles = frozenset(roles or ROLES)
        self.writer.start()
        if self.carrier is not None:
            self.carrier.start()
        if WORK in self.roles:
            self.runner.release_own()
            self.queue.start()
            if self.carrier is not None:
                self.carrier.listen(self._on_hint)
        if CLOCK in self.roles:
            self.scheduler.start()
        self._run_on_thread(self._work, "vitrin-runner")
        if WORK in self.roles:
            self._run_on_thread(self._renew_on, "vitrin-renew")

    def _run_on_thread(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def close(self) -> None:
        """Finish what is in hand, then let go of everything."""
        self._stopping.set()
        self.ready.set()
        self.scheduler.stop()
        for thread in self._threads:
            thread.join(self.settings.stop_s)
        self.queue.stop(self.settings.stop_s)
        self.polling.settle()
        self.host.stop()
        self.runner.stop()
        if self.carrier is not None and self.roles:
            self.carrier.stop()
        self.writer.stop()
        self.http.close()
        self.db.close()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self.ready.clear()
            try:
                wait_s = self._step()
            except VitrinError as exc:
                log.error("the runner could not go on; it tries again", error=str(exc))
                self._stopping.wait(_LONGEST_SLEEP_S)
                continue
            except Exception:
                # A fault of ours must not end the only thread that walks runs.
                log.exception("the runner met a fault; it tries again")
                self._stopping.wait(_LONGEST_SLEEP_S)
                continue
            self.ready.wait(wait_s)

    def _renew_on(self) -> None:
        while not self._stopping.wait(self.settings.lease_s / 4):
            try:
                self.runner.leases.renew(self.writer)
            except VitrinError as exc:
                log.error("leases of runs could not be renewed; it is tried again", error=exc.message)

    def _step(self) -> float:
        """Do what this process has to do now, and return for how long it may sleep."""
        if self._busy_steps % _SYNC_EVERY == 0:
            self.sync()
        self._jumps.look()
        self.pulse.beat()
        if self.roles != frozenset(ROLES):
            self._begin_again()
        if self.hints is not None:
            return self._step_carried(self.hints)
        looked = self.clock.now()
        if WORK not in self.roles:
            return _LONGEST_SLEEP_S
        done = self.runner.advance(_BATCH)
        self._busy_steps = self._busy_steps + 1 if done else 0
        if done >= _BATCH:
            return 0.0
        due = self.runner.next_due()
        if done and due is not None and due <= self.clock.now():
            return 0.0
        wait_s = _LONGEST_SLEEP_S if due is None else (due - self.clock.now()).total_seconds()
        # What was due and not taken is paused, or in another process's hands.
        least = _BLOCKED_S if due is not None and due <= looked else 0.01
        return min(max(wait_s, least), _LONGEST_SLEEP_S)

    def _step_carried(self, hints: Hints) -> float:
        """Tell the others what is due, where this process leads; take up what no hint reached, where it works."""
        if CLOCK in self.roles and self.scheduler.leads:
            hints.tell_due()
        return 0.0 if WORK in self.roles and hints.sweep() else _LOOK_S

    def _begin_again(self) -> None:
        """Ask plugins that were not ready in this process; where one process does all, a job does it."""
        if self.clock.monotonic() - self._began_s < _BEGIN_AGAIN_S:
            return
        self._began_s = self.clock.monotonic()
        if any(plugin.trouble for plugin in self.host):
            threading.Thread(target=self.host.begin_again, name="vitrin-begin", daemon=True).start()

    def _hint_runs(self, ready: Sequence[str]) -> None:
        if ready and self.hints is not None and self.roles:
            self.hints.tell_runs(ready)
            if not self.hints.is_deaf:
                return
        if WORK in self.roles or not self.roles:
            self.ready.set()

    def _on_hint(self, kind: str, ids: list[str]) -> None:
        if kind == JOBS:
            self.queue.wake()
        elif self.hints is not None:
            self.hints.take_runs(ids)

    def _follow_clock(self) -> None:
        if isinstance(self.clock, SharedClock):
            self.clock.follow()

    def sync(self) -> None:
        """Take in what changed in the rules, and make their schedules fit; cheap when nothing did."""
        self._follow_clock()
        self.host.follow()
        with self.db.read() as conn:
            self.book.refresh(conn)
        if self._synced != self.book.stamp:
            stamp = self.book.stamp
            self.writer.do(lambda tx: sync_schedules(self, tx))
            self._synced = stamp

    def _install(self, brought: Brought) -> None:
        """Bring a plugin's own tables up to date before it is on."""
        tables = brought.tables
        if not tables:
            return
        if not isinstance(tables.get("metadata"), MetaData) or not tables.get("migrations"):
            raise PluginError(brought.name, "vitrin_tables must answer metadata (SQLAlchemy) and migrations (a folder)")
        upgrade(self.db, plugin_branch(brought.name, Path(tables["migrations"]), tables["metadata"]))

    def _rescope(self) -> None:
        """Rules are compiled against the operators and facts of the plugins that are on."""
        added = {
            row.name: Operator.from_plugin(row.name, row.plugin, row.types) for row in self.host.operators.values()
        }
        scope = Scope(operators={**added, **OPERATORS}, facts=frozenset(self.host.facts))
        with self.db.read() as conn:
            self.book.rescope(conn, scope)

    # Upkeep

    def _plan_upkeep(self, tx: Tx) -> None:
        for name, spec in _UPKEEP.items():
            entry = Entry(id=f"system:{name}", owner="system", name=name, spec=spec, zone=self.settings.zone)
            self.scheduler.put(tx, entry)

    def _keep_up(self, tx: Tx, schedule_id: str) -> None:
        if schedule_id == f"system:{_RETENTION}":
            self.jobs.defer(tx, _RETENTION, {}, key=schedule_id)
        elif schedule_id == f"system:{_STARTS}" and any(plugin.trouble for plugin in self.host):
            self.jobs.defer(tx, _STARTS, {}, key=schedule_id)
        elif schedule_id == f"system:{_RESERVATIONS}":
            self.shop_of(tx, self.intake.emitter(tx, "vitrin/shop"), self.clock.now(), "vitrin").release_due()

    def _forget_old(self, job: JobContext) -> None:
        now = self.clock.now()
        forgotten = forget_old(self.writer, self.settings, now)
        self.writer.do(lambda tx: forget_notes(tx, now - _JOBS_KEPT))
        forgotten["jobs"] = self.writer.do(lambda tx: self.jobs.forget(tx, now - _JOBS_KEPT))
        forgotten["imports"] = self.writer.do(lambda tx: self.imports.forget(tx, now))
        log.info("what was past its retention was deleted", **forgotten)

    # Work

    def publish(self, text: str, *, actor: str, note: str | None = None, state: str | None = None) -> Rule:
        """Check a rule's text and make it the newest version; raise RuleError for what could never work."""
        document = read_yaml(text)
        if state in LIVE:
            ensure_ready(self, document)
        now = self.clock.now()
        scope = self.book.scope
        rule = self.writer.do(lambda tx: publish(tx, text, scope, actor=actor, now=now, note=note, state=state))
        self.sync()
        return rule

    def switch(self, name: str, state: str, *, actor: str, reason: str | None = None) -> None:
        """Switch a rule; on and watching are refused where it could never work, off always works."""
        if state in LIVE:
            with self.db.read() as conn:
                row = get_rule(conn, name)
                document = get_version(conn, row.id, row.version).document if row.version is not None else None
            if document is not None:
                ensure_ready(self, document)
        now = self.clock.now()
        self.writer.do(lambda tx: set_state(tx, name, state, actor=actor, now=now, reason=reason))
        self.sync()

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


def node_name(settings: Settings) -> str:
    """Return this process's name among those that share the database: stable over restarts on one machine."""
    return f"{platform.node()}:{settings.home.resolve()}:{settings.port}"
