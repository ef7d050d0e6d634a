"""A plugin for tests of the engine whose actions do what the test tells them, and an engine that has it on."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pluggy
from engines import START, make_event, put_rule
from sqlalchemy import Connection, select

from core.clock import SystemClock, VirtualClock
from core.events import Event
from core.host import Builtin
from core.http import HttpClient
from core.settings import load_settings
from core.tables import effects, events
from plugins import BUILTINS
from rules.engine import Engine, Parts
from rules.intake import Taken
from rules.runs import get_run, list_runs

hookimpl = pluggy.HookimplMarker("vitrin")
STAGE = Builtin(name="stage", module="stage", summary="does what the test says", on=True)


@dataclass
class Script:
    """What the actions are to do, and what they were asked."""

    #: Answers of the outside actions in turn: a dict, or an error to raise; "ok" when none is left.
    answers: list[Any] = field(default_factory=list)
    #: Parameters of every call that was made, by action.
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    #: Errors that the local action raises, by its text.
    broken: dict[str, BaseException] = field(default_factory=dict)
    #: What the fact knows, by subject.
    levels: dict[str, Any] = field(default_factory=dict)


script = Script()


def _title(text: str) -> dict[str, str]:
    return dict.fromkeys(("en", "tr", "ru"), text)


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {"title": _title("Stage"), "summary": _title("Stage"), "category": "test", "version": "1"}


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    anything = {"type": "object"}
    texts = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}

    def action(name: str, run: Any, *, params: dict[str, Any] = anything, **more: Any) -> dict[str, Any]:
        shape = {"title": _title(name), "params": params, "effect": "message", "scope": "outside"}
        return {"name": f"stage.{name}", "run": run, **shape, **more}

    return [
        action("say", _say, params=texts, scope="local", writes=["order.status"]),
        action("note", _say, params=texts, scope="local", effect="note"),
        action("emit", _emit, scope="local", effect="call", emits=["stage.happened"]),
        action("call", _call),
        action("call_keyed", _call, takes_key=True),
        action("call_once", _call, repeat="never"),
    ]


@hookimpl
def vitrin_events() -> list[dict[str, Any]]:
    item = {"type": "object", "properties": {"sku": {"type": "string"}, "price": {"type": "number"}}}
    order = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "city": {"type": "string"},
            "total": {"type": "number"},
            "items": {"type": "array", "items": item},
        },
    }
    schema = {"type": "object", "properties": {"order": order}}
    return [{"name": "stage.happened", "title": _title("Happened"), "schema": schema, "sample": {"order": {"id": "A"}}}]


@hookimpl
def vitrin_facts() -> list[dict[str, Any]]:
    shape = {"title": _title("Level"), "schema": {}, "with": {"type": "object"}}
    return [{"name": "stage.level", "subject": "order.id", "load": _levels, **shape}]


@hookimpl
def vitrin_operators() -> list[dict[str, Any]]:
    return [{"name": "divides", "title": _title("divides"), "types": ["number"], "test": lambda a, b: a % b == 0}]


def _say(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    script.calls.append(("say", dict(params)))
    if params["text"] in script.broken:
        raise script.broken[params["text"]]
    return {"object": f"said:{params['text']}", "text": params["text"]}


def _emit(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    for number in range(params.get("times", 1)):
        ctx.emit(params.get("type", "stage.happened"), {"order": {"id": f"E{number}"}}, key=params.get("key"))
    return {}


def _call(ctx: Any, params: dict[str, Any]) -> Any:
    script.calls.append(("call", dict(params)))
    script.keys.append(ctx.idempotency_key)
    answer = script.answers.pop(0) if script.answers else {"object": "ok"}
    if callable(answer):
        answer = answer(ctx)
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _levels(ctx: Any, keys: list[Any]) -> dict[Any, Any]:
    found = {key: script.levels[key[0]] for key in keys if key[0] in script.levels}
    for value in found.values():
        if isinstance(value, BaseException):
            raise value
    return found


class _Http(HttpClient):
    """One client for all engines of a test run: reading the certificates takes longer than most tests."""

    def close(self) -> None:
        """Stay open for the next engine."""


@cache
def _http() -> HttpClient:
    return _Http(clock=SystemClock())


class Stage:
    """An engine with the plugin on, on a clock that stands still, and words to play with it."""

    def __init__(self, home: Path, clock: VirtualClock | None = None, **flags: Any) -> None:
        given = {"home": home, "synchronous": "off", "zone": "UTC", "log_level": "error", **flags}
        self.clock = clock or VirtualClock(START)
        self.engine = Engine(
            load_settings(given, {}), {**BUILTINS, "stage": STAGE}, Parts(clock=self.clock, http=_http())
        )
        self.engine.open()

    def rule(self, text: str, state: str = "on") -> None:
        put_rule(self.engine, text, state)
        self.engine.sync()

    def event(self, type: str = "stage.happened", data: Mapping[str, Any] | None = None, **more: Any) -> Event:
        return make_event(self.engine, type, data or {}, **more)

    def take(self, type: str = "stage.happened", data: Mapping[str, Any] | None = None, **more: Any) -> Taken:
        """Take an event in, without walking the runs that it starts."""
        return self.engine.take([self.event(type, data, **more)])[0]

    def play(self, type: str = "stage.happened", data: Mapping[str, Any] | None = None, **more: Any) -> Taken:
        """Take an event in and walk until nothing is due."""
        taken = self.take(type, data, **more)
        self.drain()
        return taken

    def drain(self) -> int:
        """Walk what is due; a run that is due for ever fails the test instead of hanging it."""
        total = 0
        while count := self.engine.runner.advance():
            total += count
            self.engine.runner.wait_for_calls()
            assert total < 50_000, "something is due for ever"
        return total

    def later(self, **by: float) -> None:
        """Let time pass, waking what falls due on the way."""
        end = self.clock.now() + timedelta(**by)
        while (due := self.engine.runner.next_due()) is not None and due <= end:
            self.clock.set(max(due, self.clock.now()))
            if self.drain() == 0:
                break  # paused: what is due stays due
        self.clock.set(end)
        self.drain()

    def runs(self, **where: str) -> list[dict[str, Any]]:
        """Return runs with their traces, the oldest first."""
        with self.engine.db.read() as conn:
            return [get_run(conn, row["id"]) for row in list_runs(conn, limit=10_000, **where)[::-1]]

    def outcomes(self, **where: str) -> list[str]:
        with self.engine.db.read() as conn:
            return [row["outcome"] for row in list_runs(conn, limit=10_000, **where)[::-1]]

    def effects(self) -> list[Any]:
        with self.engine.db.read() as conn:
            return list(conn.execute(select(effects).order_by(effects.c.at, effects.c.id)))

    def states(self) -> list[str]:
        return [row.state for row in self.effects()]

    def events(self) -> list[Any]:
        with self.engine.db.read() as conn:
            return list(conn.execute(select(events).order_by(events.c.received_at, events.c.id)))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.engine.db.read() as conn:
            yield conn

    def do(self, work: Any) -> Any:
        return self.engine.writer.do(work)

    @property
    def said(self) -> list[Any]:
        """What the actions were told, in order: the text, or all parameters."""
        return [params.get("text", params) for _, params in script.calls]

    def close(self) -> None:
        self.engine.close()


def start_once(url: str) -> None:
    """Bring an empty database to where it is after the first start: copying it is much quicker."""
    with tempfile.TemporaryDirectory() as home:
        Stage(Path(home), database=url).close()
