"""The demo's story in an engine: the past played quickly under a virtual clock, then step by step as it happens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from commands.demo_home import PLUGIN
from core.accounts import DEFAULT, Account, save_account
from core.capabilities import ActionCall
from core.clock import VirtualClock
from core.errors import Conflict, NotFound, UserError, VitrinError
from core.events import Event
from core.host import Builtin
from core.ids import new_id
from core.marks import read_mark, write_mark
from core.shop.messages import find_messages
from core.writer import Tx
from rules.engine import Engine
from rules.recipes import list_recipes
from rules.run import Calling, Run
from rules.store import publish

log = structlog.get_logger("vitrin.demo")

_MARK = "demo.story"
_ACTOR = "demo"
_SOURCE = "demo"
#: Steps of the past in one transaction.
_GROUP = 50
_BATCH = 1_000
_SEED = 7

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One step as it was told, with the events that it set off."""

    #: None where the step does not fit what somebody has changed in the shop by hand.
    told: Any | None
    events: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class _Heard:
    """The `emit` of one step: collects the shop's events under ids that are the same whenever it is told."""

    step: str
    now: datetime
    events: list[Event] = field(default_factory=list)

    def __call__(
        self,
        type: str,
        data: dict[str, Any],
        *,
        key: str | None = None,
        customer: str | None = None,
        id: str | None = None,
    ) -> None:
        event = Event(
            id=new_id(),
            source=_SOURCE,
            external_id=id or f"{self.step}/{len(self.events)}",
            type=type,
            time=self.now,
            received_at=self.now,
            key=key,
            customer=customer,
            data=data,
        )
        self.events.append(event)


def load_kit(builtins: Mapping[str, Builtin]) -> Any:
    """Return the demo plugin's module, which makes the story and the stand-ins; raise NotFound without it."""
    if PLUGIN not in builtins:
        raise NotFound("this program was built without its plugin 'demo'")
    return import_module(builtins[PLUGIN].module)


class Player:
    """Plays a story into an engine, and remembers in the database how far it came."""

    def __init__(self, engine: Engine, kit: Any, *, seed: int | None = None, now: datetime) -> None:
        self._engine = engine
        with engine.db.read() as conn:
            mark = read_mark(conn, _MARK)
        self.is_new = mark is None
        if mark is None:
            start = kit.begin_of(now)
            settings = engine.settings
            mark = {"seed": _SEED if seed is None else seed, "start": start.isoformat(), "done": 0}
            mark |= {"currency": settings.currency, "zone": settings.zone}
        if seed is not None and seed != mark["seed"]:
            raise Conflict(f"this demo shop was made with the seed {mark['seed']}: begin a new one with --fresh")
        self._mark: dict[str, Any] = mark
        start = datetime.fromisoformat(mark["start"])
        self.story = kit.Story(mark["seed"], start, currency=mark["currency"], zone=ZoneInfo(mark["zone"]))

    @property
    def start(self) -> datetime:
        return datetime.fromisoformat(self._mark["start"])

    @property
    def seed(self) -> int:
        return self._mark["seed"]

    @property
    def done(self) -> int:
        """How many steps have been told."""
        return self._mark["done"]

    # The past

    def play_past(self, clock: VirtualClock, now: datetime, progress: Progress) -> int:
        """Tell everything that lies before now, with all that rules make of it; return the number of steps."""
        engine, first = self._engine, self.done
        if self.is_new:
            clock.set(self.start)
            engine.writer.do(self._furnish)
            engine.sync()
        total = self.story.count_until(now)
        steps = islice(self.story.steps(first), max(total - first, 0))
        while group := list(islice(steps, _GROUP)):
            engine.writer.do(lambda tx, group=group: self._tell_group(tx, clock, group))
            progress(self.done - first, total - first)
        engine.writer.do(lambda tx: self._arrive(tx, clock, now))
        return self.done - first

    def _arrive(self, tx: Tx, clock: VirtualClock, now: datetime) -> None:
        self._run_until(tx, clock, now)
        clock.set(now)
        self._capture(tx)

    def _furnish(self, tx: Tx) -> None:
        now = self._engine.clock.now()
        self.story.furnish(self._engine.shop_of(tx, None, now, _SOURCE))
        for recipe in list_recipes(self._engine.host.get_on(PLUGIN).recipes):
            publish(tx, recipe.text, self._engine.book.scope, actor=_ACTOR, now=now, state="on")
        write_mark(tx.conn, _MARK, self._mark, now)

    def _tell_group(self, tx: Tx, clock: VirtualClock, group: list[dict[str, Any]]) -> None:
        for step in group:
            self._run_until(tx, clock, step["time"])
            clock.set(step["time"])
            self._tell(tx, step)
        self._run_until(tx, clock, clock.now())
        self._capture(tx)

    def _run_until(self, tx: Tx, clock: VirtualClock, moment: datetime) -> None:
        runner = self._engine.runner
        count = 1
        while count:
            count, calls = runner.advance_in(tx, _BATCH, until=moment, pace=clock.set)
            while calls:
                run, call = calls.pop()
                calls.extend(runner.record_in(tx, run, call, self._call(run, call)))

    def _call(self, run: Run, call: Calling) -> dict[str, Any] | VitrinError:
        """Call the stand-in, which answers at once: the past has no time to wait for workers."""
        action = self._engine.host.find_action(call.step.action)
        if action is None:
            return NotFound(f"no action {call.step.action}")
        account, attempt = call.step.account, run.attempts + 1
        request = ActionCall(
            action=action, params=call.params, key=call.key, event=run.event, account=account, attempt=attempt
        )
        try:
            return self._engine.invoker.call_outside(request)
        except VitrinError as exc:
            return exc

    # The present

    def play_next(self) -> Happened | None:
        """Let the next step of the story happen now; None when the story is over."""
        step = next(iter(self.story.steps(self.done)), None)
        return None if step is None else self._engine.writer.do(lambda tx: self._play(tx, step))

    def _play(self, tx: Tx, step: dict[str, Any]) -> Happened:
        self._capture(tx)
        return self._tell(tx, step)

    def _tell(self, tx: Tx, step: dict[str, Any]) -> Happened:
        engine, now = self._engine, self._engine.clock.now()
        heard = _Heard(step["id"], now)
        try:
            told = self.story.tell(engine.shop_of(tx, heard, now, _SOURCE), step)
        except UserError as exc:
            log.info("a step of the demo's story was left out", step=step["id"], reason=exc.message)
            told = None
        engine.intake.take(tx, heard.events)
        self._mark["done"] += 1
        write_mark(tx.conn, _MARK, self._mark, now)
        return Happened(told=told, events=heard.events)

    def _capture(self, tx: Tx) -> None:
        """Take messages out of the outbox before any channel could: the demo's customers do not exist."""
        shop = self._engine.shop_of(tx, None, self._engine.clock.now(), _SOURCE)
        for message in find_messages(tx.conn, status="queued", limit=_BATCH):
            shop.set_message_status(message["id"], "captured")


def connect_chat(engine: Engine, url: str, token: str) -> None:
    """Let the demo's plugin know where the stand-in for the chat listens this time."""
    schema = engine.host.get_on(PLUGIN).manifest["settings"]
    account = Account(plugin=PLUGIN, name=DEFAULT, settings={"url": url, "token": token})
    now = engine.clock.now()
    engine.writer.do(lambda tx: save_account(tx, engine.secrets, schema, account, actor=_ACTOR, now=now))
