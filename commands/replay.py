"""`replay`: a shop's recorded life through the engine under a virtual clock, with real runs and nothing sent."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from commands.recording import Recording
from core.clock import VirtualClock
from core.db import Database
from core.durations import Duration
from core.effects import count_by_kind
from core.errors import Conflict, InvalidInput
from core.events import Event
from core.host import Builtin
from core.ids import new_id
from core.marks import read_mark, write_mark
from core.schema_version import current
from core.settings import Settings
from core.writer import Tx
from rules.engine import Engine, Parts
from rules.rule import Rule
from rules.runs import count_outcomes
from rules.steps import Await, Sleep
from rules.store import publish

_POSITION = "replay.position"
#: Events of one transaction.
_GROUP = 500
#: Runs walked at once.
_BATCH = 1_000
#: Tells how many events are done, of how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be replayed, and where."""

    folder: Path
    rules: Path
    products: Path | None = None
    zone: str = "America/Sao_Paulo"
    resume: bool = False


def replay(order: Order, settings: Settings, builtins: Mapping[str, Builtin], progress: Progress) -> dict[str, Any]:
    """Run the whole recording and return the counts; `resume` goes on where a killed one stopped."""
    started = time.monotonic()
    recording = Recording(order.folder, order.products, ZoneInfo(order.zone))
    home = _home(order, settings)
    if not order.resume:
        shutil.rmtree(home, ignore_errors=True)
    own = replace(settings, home=home, database=_database(order, settings, home), key_file=home / "secret.key")
    engine = Engine(
        replace(own, zone=order.zone), builtins, Parts(clock=VirtualClock(datetime(2000, 1, 1, tzinfo=UTC)))
    )
    engine.open()
    try:
        _Replay(engine, recording, progress).run(order.rules)
        return _report(engine, time.monotonic() - started)
    finally:
        engine.close()


def _home(order: Order, settings: Settings) -> Path:
    """The same input is replayed in the same folder, so that it can be resumed."""
    what = f"{order.folder.resolve()}\n{order.rules.resolve()}\n{order.products and order.products.resolve()}"
    return settings.home / "replays" / hashlib.sha256(what.encode()).hexdigest()[:12]


def _database(order: Order, settings: Settings, home: Path) -> str:
    """Return a file of its own, or the database that a flag names, once it is sure that no shop lives in it."""
    if not settings.origin("database").startswith("flag"):
        return f"sqlite:///{home}/replay.db"
    db = Database(settings.database)
    try:
        with db.read() as conn:
            is_free = current(conn) is None or (order.resume and read_mark(conn, _POSITION) is not None)
    finally:
        db.close()
    if not is_free:
        raise Conflict(f"the database {settings.shown('database')} is not empty: a replay needs one of its own")
    return settings.database


def _report(engine: Engine, seconds: float) -> dict[str, Any]:
    with engine.db.read() as conn:
        position = read_mark(conn, _POSITION)
        counts, effects = count_outcomes(conn), count_by_kind(conn)
    taken = position["events"]
    return {
        "events": taken,
        "runs": counts,
        "effects": effects,
        "seconds": round(seconds, 2),
        "events_per_s": round(taken / seconds) if seconds else 0,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    """Return the most memory this process has held, in MB; the kernel's own count, not that of a parent."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise InvalidInput("peak_mb", "this system does not tell how much memory a process held")


class _Replay:
    """One replay: windows of events, each in one transaction with all the runs that are due in it."""

    def __init__(self, engine: Engine, recording: Recording, progress: Progress) -> None:
        self._engine = engine
        self._recording = recording
        self._progress = progress
        assert isinstance(engine.clock, VirtualClock)
        self._clock: VirtualClock = engine.clock

    def run(self, rules: Path) -> None:
        self._engine.writer.do(lambda tx: self._prepare(tx, rules))
        with self._engine.db.read() as conn:
            self._engine.book.refresh(conn)
            done = read_mark(conn, _POSITION)["events"]
        horizon = _horizon(self._engine)
        source = self._recording.events(done)
        while window := list(islice(source, _GROUP)):
            done += len(window)
            total = done
            self._engine.writer.do(lambda tx, window=window, total=total: self._group(tx, window, horizon, total))
            self._progress(done, self._recording.count)
        self._engine.writer.do(lambda tx: self._finish(tx, horizon))

    def _prepare(self, tx: Tx, rules: Path) -> None:
        """Customers and rules, once; a resumed replay has them already."""
        if read_mark(tx.conn, _POSITION) is not None:
            return
        now = self._clock.now()
        for path in rule_files(rules):
            text = path.read_text(encoding="utf-8")
            publish(tx, text, self._engine.book.scope, actor="replay", now=now, state="on")
        shop = self._engine.shop_of(tx, None, now, "recording")
        people = iter(self._recording.customers())
        while some := list(islice(people, 1_000)):
            shop.upsert_customers([_customer(person) for person in some])
        write_mark(tx.conn, _POSITION, {"events": 0}, now)

    def _group(self, tx: Tx, events: list[dict[str, Any]], horizon: timedelta, total: int) -> None:
        for window in _windows(events, horizon):
            self._clock.set(window[0].received_at)
            self._engine.intake.take(tx, window)
            self._advance(tx, window[-1].received_at)
            self._clock.set(window[-1].received_at)
        write_mark(tx.conn, _POSITION, {"events": total}, self._clock.now())

    def _advance(self, tx: Tx, until: datetime) -> None:
        while True:
            count, calls = self._engine.runner.advance_in(tx, _BATCH, until=until, pace=self._clock.set)
            while calls:
                # Nothing leaves a replay: an outside call is answered as captured.
                run, call = calls.pop()
                calls.extend(self._engine.runner.record_in(tx, run, call, {"captured": True}))
            if count < _BATCH:
                left = self._engine.runner.next_due_in(tx.conn)
                if left is None or left > until:
                    return

    def _finish(self, tx: Tx, horizon: timedelta) -> None:
        """Let time run on until nothing waits."""
        while True:
            due = self._engine.runner.next_due_in(tx.conn)
            if due is None:
                return
            self._advance(tx, due + horizon)


def _customer(person: Mapping[str, Any]) -> dict[str, Any]:
    return {"external_id": person["id"], "city": person["city"]}


def _windows(events: list[dict[str, Any]], horizon: timedelta) -> Iterator[list[Event]]:
    """Split events into windows shorter than the shortest wait: what starts in a window is not due in it."""
    window: list[Event] = []
    for told in events:
        event = _event(told)
        if window and event.received_at - window[0].received_at >= max(horizon, timedelta(microseconds=1)):
            yield window
            window = []
        window.append(event)
    if window:
        yield window


def _event(told: Mapping[str, Any]) -> Event:
    return Event(
        id=new_id(),
        source=told["source"],
        external_id=told["id"],
        type=told["type"],
        time=told["time"],
        received_at=told["time"],
        key=told["key"],
        customer=told["customer"],
        data=told["data"],
    )


def _horizon(engine: Engine) -> timedelta:
    """Return the shortest time that any rule waits; zero where that cannot be told beforehand."""
    shortest = timedelta(days=1)
    for rule in engine.book:
        if any(not kind.startswith(("order.", "review.")) for kind in rule.trigger.types):
            return timedelta()
        shortest = min([shortest, *_waits(rule)])
    return shortest


def _waits(rule: Rule) -> Iterator[timedelta]:
    if rule.limits.per_hour is not None or rule.limits.per_day is not None:
        yield timedelta()
    for step in rule.program:
        if isinstance(step, Await):
            yield _least(step.timeout)
        elif isinstance(step, Sleep):
            plain = step.duration is not None and step.until is None and step.window is None and step.at is None
            yield _least(step.duration) if plain and step.duration is not None else timedelta()


def _least(duration: Duration) -> timedelta:
    return duration.fixed + timedelta(days=28 * (duration.months + 12 * duration.years))


def rule_files(path: Path) -> list[Path]:
    """Return the rule files of a folder (or the one file), in a stable order; InvalidInput where there is none."""
    files = [path] if path.is_file() else sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if not files:
        raise InvalidInput("rules", f"{path} is no rule file and holds none (*.yaml)")
    return files
