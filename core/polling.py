"""Pollers on the schedule: each account is asked for news in its turn; news and the new cursor are written together.

A tick hands over a job, never two of one poller at once. The plugin's code runs outside any transaction; what it
emits and wants written is kept until it has come back, and is then written with the cursor, or not at all.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, select

from core.accounts import DEFAULT, list_accounts
from core.capabilities import Poller
from core.crash import crash_point
from core.db import Database
from core.errors import InvalidInput, PluginError, SignInError, VitrinError
from core.events import Event
from core.invoke import Invoker
from core.job_context import JobContext
from core.jobs import Jobs
from core.jsontext import check_plain
from core.kept import Kept, News, Read
from core.marks import read_mark, write_mark
from core.schedule import Entry, Scheduler
from core.tables import accounts, schedules
from core.writer import Tx

log = structlog.get_logger("vitrin.polling")

OWNER = "poller"
TASK = "poll"
#: Seconds that one poll may take.
LIMIT_S = 300.0
#: Seconds between tries of one poll; the next tick comes anyway.
_RETRY = (5, 30, 300)

#: Takes events in, inside the given transaction.
Take = Callable[[Tx, list[Event]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One poller of one account."""

    plugin: str
    account: str
    name: str

    @property
    def id(self) -> str:
        return f"{OWNER}:{self.plugin}:{self.account}:{self.name}"

    @classmethod
    def of(cls, schedule_id: str) -> "Asked":
        """Read it back from its schedule's id; the account's name may hold colons, the others cannot."""
        _, plugin, rest = schedule_id.split(":", 2)
        account, _, name = rest.rpartition(":")
        return cls(plugin=plugin, account=account, name=name)


class Polling:
    """Keeps a schedule for every poller of every connected account, and runs the polls as jobs."""

    def __init__(
        self, invoker: Invoker, scheduler: Scheduler, jobs: Jobs, db: Database, *, zone: str, take: Take
    ) -> None:
        self._host = invoker.host
        self._invoker, self._scheduler, self._jobs, self._db = invoker, scheduler, jobs, db
        self._writer, self._clock = jobs.writer, jobs.clock
        self._zone = zone
        self._take = take
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        jobs.register(TASK, self._poll, klass="bulk", retry=_RETRY, keep=False)
        scheduler.on(OWNER, self.tick)

    def start(self) -> None:
        """Put the schedules, and keep them right as plugins come and go."""
        self.rebuild()
        self._host.on_change(self._rebuild_soon)

    def rebuild(self) -> None:
        """Bring the schedules in line with the plugins that are on and their accounts; call it when accounts change."""
        with self._lock:
            with self._db.read() as conn:
                wanted = self._wanted(conn)
            self._writer.do(lambda tx: self._put(tx, wanted))

    def _rebuild_soon(self) -> None:
        # A plugin may be switched off by what it does inside an open transaction: written is on another thread.
        thread = threading.Thread(target=self._rebuild_or_say, name="vitrin-polling", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _rebuild_or_say(self) -> None:
        try:
            self.rebuild()
        except VitrinError as exc:
            log.error("the pollers' schedules could not be brought up to date", error=exc.message)

    def settle(self) -> None:
        """Return when the schedules are as the plugins are."""
        for thread in self._threads:
            thread.join()

    def _wanted(self, conn: Connection) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for poller in self._host.pollers.values():
            for account in self._accounts(conn, poller.plugin):
                asked = Asked(plugin=poller.plugin, account=account, name=poller.name)
                name = f"{poller.title.get('en', poller.name)} ({account})"
                entry = Entry(id=asked.id, owner=OWNER, name=name, spec=poller.schedule, zone=self._zone)
                found[entry.id] = entry
        return found

    def _accounts(self, conn: Connection, plugin: str) -> list[str]:
        """Return the connected accounts; a plugin that needs no settings has one from the start."""
        named = [account.name for account in list_accounts(conn, plugin)]
        if named:
            return named
        needed = (self._host.get_on(plugin).manifest.get("settings") or {}).get("required")
        return [] if needed else [DEFAULT]

    def _put(self, tx: Tx, wanted: dict[str, Entry]) -> None:
        for entry in wanted.values():
            self._scheduler.put(tx, entry)
        stored = tx.conn.execute(select(schedules.c.id).where(schedules.c.owner == OWNER)).scalars().all()
        for gone in set(stored) - set(wanted):
            self._scheduler.remove(tx, gone)

    # Due

    def tick(self, tx: Tx, schedule_id: str, _planned_at: datetime) -> None:
        """Hand the poll over as a job, unless the last one is still under way or a person must sign in first."""
        if not self._needs_person(tx.conn, Asked.of(schedule_id)):
            self.ask(tx, schedule_id)

    def ask(self, tx: Tx, schedule_id: str) -> str | None:
        """Poll as soon as there is a free worker; None where a poll is under way already."""
        if self._jobs.has_open(tx.conn, schedule_id):
            return None
        asked = Asked.of(schedule_id)
        args = {"plugin": asked.plugin, "account": asked.account, "name": asked.name}
        return self._jobs.defer(tx, TASK, args, key=schedule_id)

    def _needs_person(self, conn: Connection, asked: Asked) -> bool:
        """Tell whether the sign-in was refused and the account has not been changed since."""
        refused_at = (read_mark(conn, asked.id) or {}).get("sign_in_at")
        if refused_at is None:
            return False
        mine = select(accounts.c.changed_at).where(accounts.c.plugin == asked.plugin, accounts.c.name == asked.account)
        changed_at = conn.execute(mine).scalar_one_or_none()
        return changed_at is None or changed_at <= datetime.fromisoformat(refused_at)

    # The poll

    def _poll(self, job: JobContext) -> None:
        asked = Asked(**job.args)
        poller = self._host.pollers.get(f"{asked.plugin}.{asked.name}")
        if poller is None or job.state == "written":
            return
        try:
            kept, cursor = self._run(poller, asked)
            crash_point("poll.before_write")
            self._writer.do(lambda tx: self._write(tx, job, asked, kept, cursor))
        except VitrinError as exc:
            self._remember(asked, exc)
            raise

    def _run(self, poller: Poller, asked: Asked) -> tuple[Kept, Any]:
        """Ask the plugin, with a time limit; return what it wants written, and its new cursor."""
        with self._db.read() as conn:
            known = read_mark(conn, asked.id) or {}
            ctx = self._invoker.context_for(asked.plugin, Tx(conn), None, account=asked.account, out=True)
        with Kept(plugin=asked.plugin, catalogue=self._host.catalogue) as kept:
            aside = kept.stand_in(ctx, self._reader(asked))
            work = lambda: _plain_cursor(asked.plugin, poller.run(aside, known.get("cursor")))  # noqa: E731 - used once
            cursor = self._invoker.limited(asked.plugin, work, limit_s=LIMIT_S)
        return kept, cursor

    def _reader(self, asked: Asked) -> Read:
        """Return what answers a poller's questions to the shop and its store, each from a fresh picture."""

        def read(part: str, method: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
            with self._db.read() as conn:
                ctx = self._invoker.context_for(asked.plugin, Tx(conn), None, account=asked.account)
                return getattr(getattr(ctx, part), method)(*args, **given)

        return read

    def _write(self, tx: Tx, job: JobContext, asked: Asked, kept: Kept, cursor: Any) -> None:
        now = self._clock.now()
        news = News(plugin=asked.plugin, account=asked.account, catalogue=self._host.catalogue, job=job.job_id, now=now)
        ctx = self._invoker.context_for(asked.plugin, tx, news.emit, account=asked.account)
        kept.apply(ctx)
        self._take(tx, news.events)
        write_mark(tx.conn, asked.id, {"cursor": cursor, "polled_at": now.isoformat(), "error": None}, now)
        job.checkpoint_in(tx, "written")

    def _remember(self, asked: Asked, exc: VitrinError) -> None:
        """Keep why a poll failed beside the cursor, which stays."""
        now = self._clock.now()

        def write(tx: Tx) -> None:
            known = {**(read_mark(tx.conn, asked.id) or {}), "error": exc.message, "failed_at": now.isoformat()}
            if isinstance(exc, SignInError):
                known["sign_in_at"] = now.isoformat()
            write_mark(tx.conn, asked.id, known, now)

        self._writer.do(write)

    def list_pollers(self) -> list[dict[str, Any]]:
        """Return each poller's id, next moment, last success and last error, for health pages."""
        with self._db.read() as conn:
            rows = conn.execute(select(schedules).where(schedules.c.owner == OWNER).order_by(schedules.c.id)).all()
            told = [(row, read_mark(conn, row.id) or {}) for row in rows]
        return [
            {"id": row.id, "name": row.name, "next_at": row.next_at}
            | {key: known.get(key) for key in ("polled_at", "failed_at", "error")}
            for row, known in told
        ]


def _plain_cursor(plugin: str, cursor: Any) -> Any:
    try:
        check_plain({"cursor": cursor}, path="")
    except InvalidInput as exc:
        raise PluginError(plugin, f"a poller answered a cursor that is no plain data: {exc.message}") from exc
    return cursor
