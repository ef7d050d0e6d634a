"""The host: plugins come and go at run time, the broken are put aside, the rest go on."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest
from databases import databases
from homes import NOON
from sqlalchemy import select

from core.audit import verify
from core.clock import VirtualClock
from core.db import Database, metadata
from core.errors import Conflict, InvalidInput, NotFound, PluginError, TemporaryError
from core.guarded import HungError
from core.host import Builtin, Host
from core.tables import audit, plugins
from core.writer import Writer

hookimpl = pluggy.HookimplMarker("vitrin")


def title(text: str) -> dict[str, str]:
    return dict.fromkeys(("en", "tr", "ru"), text)


def manifest(**more: Any) -> dict[str, Any]:
    return {"title": title("T"), "summary": title("S"), "category": "test", "version": "1", **more}


def action(name: str = "one.act", **more: Any) -> dict[str, Any]:
    shape = {"title": title("A"), "params": {"type": "object"}, "effect": "note", "scope": "local"}
    return {"name": name, "run": lambda _ctx, _params: {}, **shape, **more}


def happened(name: str = "one.happened", **more: Any) -> dict[str, Any]:
    return {"name": name, "title": title("E"), "schema": {"type": "object"}, "sample": {}, **more}


class House:
    """Hosts on one database, with plugins that the test writes down as hooks and answers."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.db = Database(databases.url(folder / "vitrin.db"), synchronous="off")
        metadata.create_all(self.db.engine)
        self.writer = Writer(self.db)
        self._patch = patch
        self._builtins: dict[str, Builtin] = {}
        self._foreign: list[EntryPoint] = []
        patch.setattr("core.host.entry_points", lambda group: [p for p in self._foreign if p.group == group])
        patch.setattr("core.host._HOOK_S", 0.3)

    def add(self, name: str, *, on: bool = True, foreign: bool = False, **hooks: Any) -> None:
        """Bring a plugin; a hook's answer may be a function that makes it."""
        module = ModuleType(f"fake_{name}")
        for hook, answer in {"manifest": manifest(), **hooks}.items():
            setattr(module, f"vitrin_{hook}", hookimpl(self._hook(answer), specname=f"vitrin_{hook}"))
        self._patch.setitem(sys.modules, module.__name__, module)
        if foreign:
            self._foreign.append(EntryPoint(name=name, value=module.__name__, group="vitrin"))
        else:
            self._builtins[name] = Builtin(name=name, module=module.__name__, summary="fake", on=on)

    @staticmethod
    def _hook(answer: Any) -> Callable[[], Any]:
        def hook() -> Any:
            return answer() if callable(answer) else answer

        return hook

    def host(self, **options: Any) -> Host:
        host = Host(self.db, self.writer, VirtualClock(NOON), self._builtins, **options)
        host.start()
        settle()
        return host

    def stored(self) -> dict[str, tuple[bool, str | None]]:
        settle()
        with self.db.read() as conn:
            return {row.name: (row.enabled, row.quarantine) for row in conn.execute(select(plugins))}

    def close(self) -> None:
        settle()
        self.writer.stop()
        self.db.close()


def settle() -> None:
    """Wait for what the host remembers on threads of its own."""
    for thread in threading.enumerate():
        if "_remember_aside" in thread.name:
            thread.join(10)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    house = House(tmp_path, monkeypatch)
    yield house
    house.close()


def on(host: Host) -> list[str]:
    return [plugin.name for plugin in host if plugin.brought is not None]


def test_default_decides_the_first_start(house: House) -> None:
    house.add("one")
    house.add("two", on=False)
    house.add("three", foreign=True)
    assert on(house.host()) == ["one"]
    assert on(house.host(on=("two", "three"))) == ["one", "three", "two"]
    assert on(house.host(on=("two",), off=("one",))) == ["two"]


def test_switch_brings_and_takes_everything_at_run_time(house: House) -> None:
    fact = {"name": "one.level", "title": title("F"), "schema": {}, "subject": "a", "load": lambda _c, _k: {}}
    operator = {"name": "divides", "title": title("O"), "test": lambda _a, _b: True}
    poller = {"name": "poll_news", "title": title("P"), "schedule": "every 5 minutes", "run": lambda _c, _s: None}
    hook = {"path": "in", "verify": lambda _c, _r: None, "run": lambda _c, _r: {}}
    house.add(
        "one",
        on=False,
        actions=[action()],
        events=[happened()],
        facts=[fact],
        operators=[operator],
        pollers=[poller],
        webhooks=[hook],
    )
    host = house.host()
    seen: list[bool] = []
    host.on_change(lambda: seen.append("one.act" in host.actions))

    def brought() -> list[bool]:
        found = (host.find_action("one.act"), host.find_fact("one.level"), host.operators.get("divides"))
        more = (host.pollers.get("one.poll_news"), host.find_webhook("one", "in"), host.catalogue.find("one.happened"))
        return [each is not None for each in (*found, *more)]

    assert brought() == [False] * 6
    host.enable("one", actor="ann")
    assert brought() == [True] * 6
    host.disable("one", actor="ann")
    assert brought() == [False] * 6
    host.enable("one", actor="ann")
    assert brought() == [True] * 6
    assert seen == [True, False, True]


def test_switch_is_remembered_over_a_restart(house: House) -> None:
    house.add("one")
    house.add("two", on=False)
    host = house.host()
    host.disable("one", actor="ann")
    host.enable("two", actor="bob")
    assert on(house.host()) == ["two"]
    with house.db.read() as conn:
        told = conn.execute(select(audit.c.actor, audit.c.action, audit.c.object)).all()
        assert verify(conn) is None
    assert [tuple(row) for row in told] == [
        ("ann", "plugin.disabled", "plugin:one"),
        ("bob", "plugin.enabled", "plugin:two"),
    ]


def test_plugin_that_is_off_is_never_imported(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("one", on=False)
    monkeypatch.delitem(sys.modules, "fake_one")
    host = house.host()
    assert on(host) == []
    with pytest.raises(PluginError, match="plugin one: raised ModuleNotFoundError"):
        host.enable("one", actor="ann")
    assert host.get("one").quarantine is not None


def exits() -> Any:
    raise SystemExit(1)


def raises() -> Any:
    raise ValueError("broken")


def hangs() -> Any:
    threading.Event().wait(1)


# hooks that no plugin may answer like this, and the words about it
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"manifest": raises}, "raised ValueError: broken"),
    ({"manifest": exits}, "raised SystemExit: 1"),
    ({"manifest": hangs}, "did not come back within 0.3 s"),
    ({"manifest": None}, "has no vitrin_manifest hook"),
    ({"manifest": 5}, "manifest must be a dict, not int"),
    ({"manifest": {"title": title("T")}}, "manifest.summary: is required"),
    ({"manifest": manifest(colour="red")}, "manifest.colour"),
    ({"manifest": manifest(settings={"type": "nonsense"})}, "manifest.settings"),
    ({"actions": raises}, "raised ValueError: broken"),
    ({"actions": exits}, "raised SystemExit"),
    ({"actions": {"name": "x"}}, "vitrin_actions must answer a list, not dict"),
    ({"actions": ["x"]}, "vitrin_actions[0] must be a dict, not str"),
    ({"actions": [action("Bad Name")]}, "vitrin_actions[0].name"),
    ({"actions": [action(), action()]}, "brings the action one.act twice"),
    ({"actions": [action(run="later")]}, "vitrin_actions[0].run"),
    ({"actions": [action(scope="everywhere")]}, "vitrin_actions[0].scope"),
    ({"actions": [action(params={"$ref": "http://evil.example/schema"})]}, "vitrin_actions[0].params"),
    ({"events": [happened(sample=5)]}, "vitrin_events[0].sample"),
    ({"events": [happened(sample={}, schema={"type": "object", "required": ["a"]})]}, "vitrin_events[0].sample.a"),
    ({"events": [happened("nodot")]}, "vitrin_events[0].name"),
    (
        {"facts": [{"name": "one.x", "title": title("F"), "schema": {}, "subject": "a"}]},
        "vitrin_facts[0].load must be a function",
    ),
    (
        {"pollers": [{"name": "poll_x", "title": title("P"), "schedule": "often", "run": print}]},
        "vitrin_pollers[0].schedule",
    ),
    ({"webhooks": [{"path": "../in", "verify": print, "run": print}]}, "vitrin_webhooks[0].path"),
]


@pytest.mark.parametrize(("hooks", "words"), BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("foreign", [False, True])
def test_broken_plugin_is_put_aside_and_the_rest_goes_on(
    house: House, hooks: dict[str, Any], words: str, *, foreign: bool
) -> None:
    house.add("one", foreign=foreign, **hooks)
    house.add("fine", actions=[action("fine.act")])
    host = house.host(on=("one",))
    assert on(host) == ["fine"]
    assert words in (host.get("one").quarantine or "")
    assert list(host.actions) == ["fine.act"]
    assert list(host.catalogue) == []
    assert words in (house.stored()["one"][1] or "")


def test_quarantine_lasts_over_restarts_until_a_person_ends_it(house: House) -> None:
    broken = [True]
    house.add("one", actions=lambda: raises() if broken[0] else [action()])
    assert on(house.host()) == []
    broken[0] = False
    host = house.host()
    assert on(host) == []
    assert host.get("one").quarantine == "plugin one: raised ValueError: broken"
    host.enable("one", actor="ann")
    assert (on(host), host.get("one").quarantine) == (["one"], None)
    assert house.stored()["one"] == (True, None)
    assert on(house.host()) == ["one"]


def test_errors_in_a_row_put_a_plugin_aside(house: House) -> None:
    house.add("one", foreign=True, actions=[action()])
    house.add("two")
    host = house.host(on=("one",))

    def fails() -> Any:
        return host.guard.call("one", raises, limit_s=5)

    for _ in range(4):
        with pytest.raises(PluginError):
            host.watched("one", fails)
    assert host.watched("one", lambda: 5) == 5  # one good answer, and the count begins anew
    for number in range(5):
        assert on(host) == ["one", "two"], number
        with pytest.raises(PluginError):
            host.watched("one", fails)
    assert on(host) == ["two"]
    assert host.get("one").quarantine == "5 errors in a row, the last: plugin one: raised ValueError: broken"
    with pytest.raises(Conflict, match="plugin one is switched off"):
        host.get_on("one")


def test_refusals_of_the_other_side_are_no_errors_of_the_plugin(house: House) -> None:
    house.add("one", foreign=True)
    host = house.host(on=("one",))
    for error in [TemporaryError("one", "busy"), InvalidInput("a", "b")] * 10:
        with pytest.raises(type(error)):
            host.watched(
                "one", lambda error=error: host.guard.call("one", lambda: (_ for _ in ()).throw(error), limit_s=5)
            )
    assert on(host) == ["one"]


def test_one_hang_puts_a_plugin_aside(house: House) -> None:
    house.add("one", foreign=True)
    host = house.host(on=("one",))
    with pytest.raises(HungError):
        host.watched("one", lambda: host.guard.call("one", hangs, limit_s=0.05))
    assert on(host) == []
    assert "did not come back" in (host.get("one").quarantine or "")


def test_plugin_is_put_aside_inside_an_open_transaction(house: House) -> None:
    """Who is caught in the middle of a write must not wait for that very write."""
    house.add("one")
    house.writer.start()
    host = house.host()
    house.writer.do(lambda _tx: host.set_aside("one", "caught"))
    assert on(host) == []
    assert house.stored()["one"] == (True, "caught")


def test_needed_plugins_must_be_on_first(house: House) -> None:
    house.add("base", on=False)
    house.add("one", on=False, manifest=manifest(needs={"plugins": ["base", "gone"]}))
    house.add("two", on=False, manifest=manifest(needs={"plugins": ["base"]}))
    host = house.host()
    with pytest.raises(Conflict, match="plugin two needs the plugin base: switch that on first"):
        host.enable("two", actor="ann")
    host.enable("base", actor="ann")
    host.enable("two", actor="ann")
    with pytest.raises(Conflict, match="plugin one needs the plugin gone"):
        host.enable("one", actor="ann")
    assert on(host) == ["base", "two"]
    assert host.get("one").quarantine is None  # it is well, only too early


# what two plugins may not both bring
CLASHES: list[tuple[Mapping[str, Any], Mapping[str, Any], str]] = [
    (
        {"actions": [action("a.b")]},
        {"actions": [action("a.b")]},
        "brings the action a.b, which another plugin brings already",
    ),
    ({"events": [happened("a.b")]}, {"events": [happened("a.b")]}, "a.b: is already an event of the plugin one"),
    (
        {"operators": [{"name": "odd", "title": title("O"), "test": lambda _a, _b: True}]},
        {"operators": [{"name": "odd", "title": title("O"), "test": lambda _a, _b: True}]},
        "brings the operator odd",
    ),
]


@pytest.mark.parametrize(("first", "second", "words"), CLASHES, ids=["action", "event", "operator"])
def test_second_plugin_with_a_taken_name_is_put_aside(
    house: House, first: Mapping[str, Any], second: Mapping[str, Any], words: str
) -> None:
    house.add("one", **first)
    house.add(
        "two",
        events=[*second.get("events", ()), happened("two.own")],
        **{k: v for k, v in second.items() if k != "events"},
    )
    host = house.host()
    assert on(host) == ["one"]
    assert words in (host.get("two").quarantine or "")
    # Nothing of the second stays behind, and everything of the first is there.
    assert host.catalogue.find("two.own") is None
    assert {kind.plugin for kind in host.catalogue} <= {"one"}
    host.disable("one", actor="ann")
    host.enable("two", actor="ann")
    assert on(host) == ["two"]


def test_builtin_name_cannot_be_taken_from_outside(house: House) -> None:
    house.add("one", actions=[action("one.real")])
    house.add("one", foreign=True, actions=[action("one.fake")])
    host = house.host()
    assert [plugin.name for plugin in host] == ["one"]
    assert host.is_trusted("one")


def test_only_builtins_are_trusted(house: House) -> None:
    house.add("one")
    house.add("two", foreign=True)
    host = house.host()
    assert (host.is_trusted("one"), host.is_trusted("two")) == (True, False)


# names that are no plugin, some of them dangerous
STRANGERS = ["", "nobody", "../one", "one.py", "os", "__init__", "One", "one\0"]


@pytest.mark.parametrize("name", STRANGERS)
def test_name_is_looked_up_and_never_imported(house: House, name: str) -> None:
    house.add("one")
    host = house.host()
    for act in (
        host.get,
        host.get_on,
        lambda name: host.enable(name, actor="ann"),
        lambda name: host.disable(name, actor="ann"),
    ):
        with pytest.raises(NotFound, match="no plugin"):
            act(name)


def test_switching_twice_changes_nothing(house: House) -> None:
    asked: list[int] = []
    house.add("one", actions=lambda: asked.append(1) or [action()])
    host = house.host()
    host.enable("one", actor="ann")
    host.enable("one", actor="ann")
    assert len(asked) == 1
    for _ in range(2):
        host.disable("one", actor="ann")
    assert on(host) == []


def test_readers_see_all_or_nothing_while_plugins_change(house: House) -> None:
    house.add("one", actions=[action(f"one.a{number}") for number in range(50)])
    host = house.host()
    seen: set[int] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(len(host.actions))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        host.disable("one", actor="ann")
        host.enable("one", actor="ann")
    stop.set()
    reader.join(10)
    assert seen <= {0, 50}
