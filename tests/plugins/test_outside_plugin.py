"""A plugin from outside, found by its entry point: it works like a built-in, and a hostile one harms only itself."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from engines import make_engine, make_event, put_rule
from outside import SOURCE, Packages
from structlog.testing import capture_logs

from core import guarded, host, invoke
from core.accounts import Account, save_account
from core.errors import PluginError, VitrinError
from core.host import Plugin
from core.listing import list_events, page_effects
from core.schema_version import current
from rules.engine import Engine
from rules.runs import get_run, list_runs

GUEST = {"guest": {"id": "g-77", "name": "Ayla"}}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    installed = Packages(tmp_path / "site", monkeypatch)
    yield installed
    installed.forget()


@contextmanager
def opened(home: Path, **flags: Any) -> Iterator[Engine]:
    engine = make_engine(home, **flags)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def a_horn() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve the other side; yield its address and what it heard."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.append({"body": body, "key": self.headers["Idempotency-Key"]})
            raw = json.dumps({"heard": True}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def happen(engine: Engine, type: str, data: dict[str, Any], **more: Any) -> None:
    engine.take([make_event(engine, type, data, **more)])
    engine.drain()


def outcomes(engine: Engine) -> dict[str, tuple[str, str | None]]:
    with engine.db.read() as conn:
        return {run["rule"]: (run["outcome"], run["reason"]) for run in list_runs(conn)}


RULE = """
rule: door
when: {event: door.rung}
if:
  all:
    - {fact: door.luck, is: at_least, value: 4}
    - {field: guest.name, is: rhymes_with, value: Leyla}
then:
  - do: door.note_guest
    with: {name: "{{ guest.name }}"}
    as: note
  - do: door.sound_horn
    with: {name: "{{ guest.name }} ({{ steps.note.times }})"}
"""
AFTER = "rule: after\nwhen: {event: door.noted}\nthen:\n  - do: tasks.create\n    with: {title: 'noted {{ times }}'}\n"


def test_plugin_is_found_and_not_imported_while_off(tmp_path: Path, packages: Packages):
    packages.install_project(SOURCE)
    with opened(tmp_path / "home") as engine:
        plugin = engine.host.get("outside")
        assert (plugin.builtin, plugin.brought, plugin.quarantine) == (False, None, None)
        assert plugin.summary == "A plugin from outside: it imports nothing of Vitrin's own"
        assert "vitrin_outside" not in sys.modules


def test_its_source_names_nothing_of_ours():
    text = (SOURCE / "vitrin_outside" / "__init__.py").read_text()
    assert [line for line in text.splitlines() if line.startswith(("import", "from"))] == ["import pluggy"]


def test_event_reaches_its_fact_operator_and_actions(tmp_path: Path, packages: Packages):
    packages.install_project(SOURCE)
    with a_horn() as (address, heard), opened(tmp_path / "home", allow_hosts=address) as engine:
        engine.host.enable("outside", actor="test")
        set_up(engine, {"horn": f"http://{address}"})
        put_rule(engine, RULE)
        put_rule(engine, AFTER)
        happen(engine, "door.rung", GUEST, key="g-77")
        happen(engine, "door.rung", {"guest": {"id": "g-78", "name": "Boris"}}, key="g-78")
        happen(engine, "door.rung", {"guest": {"id": "g", "name": "Ayla"}}, key="g")
        with engine.db.read() as conn:
            runs = {run["key"]: run["outcome"] for run in list_runs(conn, rule="door")}
            effects = page_effects(conn, {}, limit=50)
            noted = list_events(conn, {"type": "door.noted"}, limit=10)
        # Boris rhymes with nobody; only the plugin knows.
        assert runs == {"g-77": "acted", "g-78": "stopped", "g": "stopped"}
        assert sorted((row["action"], row["state"]) for row in effects) == [
            ("door.note_guest", "done"),
            ("door.sound_horn", "done"),
            ("tasks.create", "done"),
        ]
        assert [call["body"] for call in heard] == [{"for": "Ayla (1)"}]
        assert heard[0]["key"] == next(row for row in effects if row["action"] == "door.sound_horn")["idempotency_key"]
        assert len(noted) == 1
        assert outcomes(engine)["after"] == ("acted", None)
        with engine.db.read() as conn:
            titles = set(conn.exec_driver_sql("SELECT title FROM tasks").scalars())
            assert current(conn) is not None
        assert titles == {"Ayla is at the door", "noted 1"}


def set_up(engine: Engine, settings: dict[str, Any]) -> None:
    """Keep the settings of the plugin's account."""
    schema = engine.host.get_on("outside").manifest["settings"]
    account = Account(plugin="outside", name="default", settings=settings)
    now = engine.clock.now()
    engine.writer.do(lambda tx: save_account(tx, engine.secrets, schema, account, actor="test", now=now))


def test_enabling_and_disabling_needs_no_restart(tmp_path: Path, packages: Packages):
    packages.install_project(SOURCE)
    with opened(tmp_path / "home") as engine:
        assert engine.host.catalogue.find("door.rung") is None
        engine.host.enable("outside", actor="test")
        put_rule(engine, AFTER.replace("door.noted", "door.rung"))
        happen(engine, "door.rung", GUEST)
        assert outcomes(engine) == {"after": ("acted", None)}
        put_rule(engine, RULE)
        engine.host.disable("outside", actor="test")
        assert (engine.host.catalogue.find("door.rung"), engine.host.find_action("door.note_guest")) == (None, None)
        assert "door" in engine.book.broken
        engine.host.enable("outside", actor="test")
        assert engine.book.broken == {}
    with opened(tmp_path / "home") as engine:
        assert engine.host.get("outside").brought is not None


# Hostile ones

HEAD = """
import os, sys, threading
import pluggy
hookimpl = pluggy.HookimplMarker("vitrin")
T = {"en": "Bad", "tr": "Kötü", "ru": "Плохой"}
ANY = {"type": "object"}
MANIFEST = {"title": T, "summary": T, "category": "test", "version": "1", "permissions": {"effects": ["call"]}}
def action(run, scope="local"):
    return [{"name": "bad.act", "title": T, "effect": "call", "scope": scope, "params": ANY, "run": run}]
def fact(load):
    return [{"name": "bad.fact", "title": T, "schema": ANY, "subject": "order.id", "load": load}]
forever = threading.Event()
class Weird:
    def __getattr__(self, name): raise RuntimeError(name)
    def __str__(self): raise RuntimeError("no text")
    def __eq__(self, other): raise RuntimeError("no equal")
    __hash__ = None
@hookimpl
def vitrin_manifest():
    return MANIFEST
"""

#: Code that breaks as soon as the plugin is switched on, and words of the reason that is shown.
AT_START = {
    "import raises": ("raise RuntimeError('at import')", "at import"),
    "import exits": ("sys.exit(3)", "SystemExit"),
    "no syntax": ("def (:", "SyntaxError"),
    "import of what is missing": ("import no_such_module_anywhere", "no_such_module_anywhere"),
    "manifest raises": ("@hookimpl\ndef vitrin_manifest():\n    raise KeyError('oops')", "oops"),
    "manifest exits": ("@hookimpl\ndef vitrin_manifest():\n    sys.exit('bye')", "bye"),
    "manifest interrupts": ("@hookimpl\ndef vitrin_manifest():\n    raise KeyboardInterrupt", "KeyboardInterrupt"),
    "manifest is a list": ("@hookimpl\ndef vitrin_manifest():\n    return [1]", "must be a dict"),
    "manifest is an object": ("@hookimpl\ndef vitrin_manifest():\n    return Weird()", "must be a dict"),
    "manifest holds an object": (
        "@hookimpl\ndef vitrin_manifest():\n    return {**MANIFEST, 'title': Weird()}",
        "title",
    ),
    "manifest lacks a title": ("@hookimpl\ndef vitrin_manifest():\n    return {}", "title"),
    "manifest hangs": ("@hookimpl\ndef vitrin_manifest():\n    forever.wait()", "did not come back"),
    "import hangs": ("forever.wait()", "did not come back"),
    "actions are no list": ("@hookimpl\ndef vitrin_actions():\n    return 7", "must answer a list"),
    "action is no dict": ("@hookimpl\ndef vitrin_actions():\n    return ['act']", "must be a dict"),
    "action without run": ("@hookimpl\ndef vitrin_actions():\n    return action(None)", "run"),
    "action of another": (
        "@hookimpl\ndef vitrin_actions():\n    return [{**action(print)[0], 'name': 'messages.send'}]",
        "messages.send",
    ),
    "event of another": (
        (
            "@hookimpl\ndef vitrin_events():\n"
            "    return [{'name': 'order.created', 'title': T, 'schema': ANY, 'sample': {}}]"
        ),
        "order.created",
    ),
    "schema reads elsewhere": (
        (
            "@hookimpl\ndef vitrin_actions():\n"
            "    return [{**action(print)[0], 'params': {'$ref': 'http://evil.example/x'}}]"
        ),
        "$ref",
    ),
    "sample does not fit": (
        (
            "@hookimpl\ndef vitrin_events():\n"
            "    return [{'name': 'bad.event', 'title': T, 'schema': {**ANY, 'required': ['a']}, 'sample': {}}]"
        ),
        "sample",
    ),
    "asks for what no hook gives": ("@hookimpl\ndef vitrin_actions(engine):\n    return []", "engine"),
}

GOOD = "rule: good\nwhen: {event: order.created}\nthen:\n  - do: messages.send\n    with: {text: still here}\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait a short time only for what hangs; on a busy machine, writing out a plugin's trace takes longer than that."""
    monkeypatch.setattr(host, "_HOOK_S", 1.0)
    monkeypatch.setattr(invoke, "LOCAL_S", 1.0)
    monkeypatch.setattr(invoke, "OUTSIDE_S", 1.0)
    with capture_logs():
        yield


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("case", AT_START)
def test_plugin_that_breaks_at_the_start_is_set_aside(tmp_path: Path, packages: Packages, case: str):
    code, words = AT_START[case]
    packages.install("bad", f"{HEAD}\n{code}\n")
    with opened(tmp_path / "home") as engine:
        with pytest.raises(VitrinError):
            engine.host.enable("bad", actor="test")
        assert_set_aside(engine.host.get("bad"), words)
        put_rule(engine, GOOD)
        happen(engine, "order.created", {"order": {"id": "1"}})
        assert outcomes(engine) == {"good": ("acted", None)}


def assert_set_aside(plugin: Plugin, words: str) -> None:
    assert plugin.brought is None
    assert plugin.quarantine
    assert words in plugin.quarantine


@pytest.mark.usefixtures("quick")
def test_broken_plugin_does_not_keep_the_engine_from_starting(tmp_path: Path, packages: Packages):
    packages.install("bad", f"{HEAD}\nraise RuntimeError('at import')\n")
    with opened(tmp_path / "home", plugins_on="bad") as engine:
        assert_set_aside(engine.host.get("bad"), "at import")
        assert engine.host.get("messages").brought is not None


#: Code that breaks while it works, and words of the run's reason.
AT_WORK = {
    "action raises": ("def run(ctx, params): raise ValueError('my mistake')", "my mistake"),
    "action exits": ("def run(ctx, params): sys.exit(1)", "SystemExit"),
    "action interrupts": ("def run(ctx, params): raise KeyboardInterrupt", "KeyboardInterrupt"),
    "action hangs": ("def run(ctx, params): forever.wait()", "did not come back"),
    "action answers a number": ("def run(ctx, params): return 7", "not a dict"),
    "action answers an object": ("def run(ctx, params): return {'it': Weird()}", "Weird"),
    "action answers itself": ("def run(ctx, params):\n    told = {}\n    told['told'] = told\n    return told", ""),
    "action answers too much": ("def run(ctx, params): return {'it': 'x' * 2_000_000}", "too large"),
    "action answers infinity": ("def run(ctx, params): return {'it': float('inf')}", ""),
    "action floods events": (
        "def run(ctx, params):\n    for number in range(100_000): ctx.emit('bad.event', {'number': number})",
        "1000",
    ),
    "action writes wrongly": ("def run(ctx, params): ctx.shop.create_task({'no': Weird()})", ""),
    "action calls what is missing": ("def run(ctx, params): ctx.http.get('http://127.0.0.1:9/')", "NoneType"),
    "action emits nonsense": ("def run(ctx, params): ctx.emit(7, 'no data')", ""),
}

BAD = "rule: bad\nwhen: {event: order.created}\nthen:\n  - do: bad.act\n    with: {}\n"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("scope", ["local", "outside"])
@pytest.mark.parametrize("case", AT_WORK)
def test_hostile_action_fails_its_own_run_only(tmp_path: Path, packages: Packages, case: str, scope: str):
    code, words = AT_WORK[case]
    hook = f"@hookimpl\ndef vitrin_actions():\n    return action(run, {scope!r})"
    packages.install("bad", f"{HEAD}\n{code}\n{hook}\n")
    with opened(tmp_path / "home") as engine:
        engine.host.enable("bad", actor="test")
        put_rule(engine, BAD)
        put_rule(engine, GOOD)
        happen(engine, "order.created", {"order": {"id": "1"}})
        found = outcomes(engine)
        assert found["good"] == ("acted", None)
        assert found["bad"][0] in ("failed", "waiting")
        if scope == "local":
            assert words in (found["bad"][1] or "")
        with engine.db.read() as conn:
            assert list_events(conn, {"type": "bad.event"}, limit=1) == []
            assert page_effects(conn, {"plugin": "bad", "state": "done"}, limit=1) == []


@pytest.mark.usefixtures("quick")
def test_hung_action_quarantines_its_plugin(tmp_path: Path, packages: Packages):
    code = "def run(ctx, params): forever.wait()\n@hookimpl\ndef vitrin_actions():\n    return action(run)"
    packages.install("bad", f"{HEAD}\n{code}\n")
    with opened(tmp_path / "home") as engine:
        engine.host.enable("bad", actor="test")
        put_rule(engine, BAD)
        happen(engine, "order.created", {"order": {"id": "1"}})
        assert_set_aside(engine.host.get("bad"), "did not come back")
        # A person may try again.
        assert engine.host.enable("bad", actor="test").quarantine is None


@pytest.mark.usefixtures("quick")
def test_errors_in_a_row_quarantine_a_plugin(tmp_path: Path, packages: Packages):
    code = "def run(ctx, params): raise ValueError('again')\n@hookimpl\ndef vitrin_actions():\n    return action(run)"
    packages.install("bad", f"{HEAD}\n{code}\n")
    with opened(tmp_path / "home") as engine:
        engine.host.enable("bad", actor="test")
        put_rule(engine, BAD)
        put_rule(engine, GOOD)
        for number in range(host._MOST_ERRORS):
            happen(engine, "order.created", {"order": {"id": str(number)}})
        assert_set_aside(engine.host.get("bad"), "errors in a row")
        with engine.db.read() as conn:
            good = [run["outcome"] for run in list_runs(conn, rule="good")]
        assert good == ["acted"] * host._MOST_ERRORS


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "load",
    [
        "lambda ctx, keys: 1 / 0",
        "lambda ctx, keys: sys.exit(1)",
        "lambda ctx, keys: forever.wait()",
        "lambda ctx, keys: 7",
        "lambda ctx, keys: {key: Weird() for key in keys}",
        "lambda ctx, keys: {'another': 1}",
    ],
)
def test_hostile_fact_leaves_other_rules_alone(tmp_path: Path, packages: Packages, load: str):
    packages.install("bad", f"{HEAD}\n@hookimpl\ndef vitrin_facts():\n    return fact({load})\n")
    with opened(tmp_path / "home") as engine:
        engine.host.enable("bad", actor="test")
        condition = "if: {fact: bad.fact, is: equal, value: 1}"
        put_rule(engine, GOOD.replace("rule: good", "rule: asks").replace("then:", f"{condition}\nthen:"))
        put_rule(engine, GOOD)
        happen(engine, "order.created", {"order": {"id": "1"}})
        found = outcomes(engine)
        assert found["good"] == ("acted", None)
        assert found["asks"][0] in ("failed", "unknown", "waiting", "stopped")


#: A hostile operator, what the run's trace says, what the quarantine says.
OPERATORS = {
    "raises": ("lambda a, b: 1 / 0", "ZeroDivisionError", "errors in a row"),
    "exits": ("lambda a, b: sys.exit(1)", "SystemExit", "errors in a row"),
    "interrupts": ("lambda a, b: (_ for _ in ()).throw(KeyboardInterrupt())", "KeyboardInterrupt", "errors in a row"),
    "hangs": ("lambda a, b: forever.wait()", "did not come back", "did not come back"),
    "answers an object": ("lambda a, b: Weird()", "answered Weird", "errors in a row"),
    "answers a number": ("lambda a, b: 1", "answered int", "errors in a row"),
    "answers text": ("lambda a, b: 'yes'", "answered str", "errors in a row"),
}
ASKS = """
rule: asks
when: {event: order.created}
if: {field: order.id, is: badly, value: x}
then:
  - do: messages.send
    with: {text: never}
"""


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("case", OPERATORS)
def test_hostile_operator_stops_only_itself(tmp_path: Path, packages: Packages, case: str):
    test, in_trace, in_reason = OPERATORS[case]
    row = f"[{{'name': 'badly', 'title': T, 'types': ['text'], 'test': {test}}}]"
    packages.install("bad", f"{HEAD}\n@hookimpl\ndef vitrin_operators():\n    return {row}\n")
    with opened(tmp_path / "home") as engine:
        engine.host.enable("bad", actor="test")
        put_rule(engine, ASKS)
        put_rule(engine, GOOD)
        for number in range(host._MOST_ERRORS):
            taken = engine.take([make_event(engine, "order.created", {"order": {"id": str(number)}})])
            # Intake asks no plugin: it is as well as before.
            assert taken[0].rules == (["asks", "good"] if engine.host.get("bad").quarantine is None else ["good"])
            engine.drain()
        assert_set_aside(engine.host.get("bad"), in_reason)
        with engine.db.read() as conn:
            good = [run["outcome"] for run in list_runs(conn, rule="good")]
            asks = [get_run(conn, run["id"]) for run in list_runs(conn, rule="asks")]
        assert good == ["acted"] * host._MOST_ERRORS
        assert {run["outcome"] for run in asks} == {"failed"}
        assert all([line["kind"] for line in run["trace"]] == ["failed"] for run in asks)
        assert in_trace in asks[-1]["trace"][-1]["reason"]
        assert "badly" in engine.book.broken["asks"]


def test_operator_without_a_test_is_set_aside(tmp_path: Path, packages: Packages):
    row = "[{'name': 'badly', 'title': T, 'types': ['text'], 'test': None}]"
    packages.install("bad", f"{HEAD}\n@hookimpl\ndef vitrin_operators():\n    return {row}\n")
    with opened(tmp_path / "home") as engine, pytest.raises(PluginError, match="test"):
        engine.host.enable("bad", actor="test")


@pytest.mark.usefixtures("quick")
def test_hung_operator_costs_a_batch_one_wait(tmp_path: Path, packages: Packages):
    row = "[{'name': 'badly', 'title': T, 'types': ['text'], 'test': lambda a, b: forever.wait()}]"
    packages.install("bad", f"{HEAD}\n@hookimpl\ndef vitrin_operators():\n    return {row}\n")
    with opened(tmp_path / "home") as engine:
        engine.host.enable("bad", actor="test")
        put_rule(engine, ASKS)
        engine.take([make_event(engine, "order.created", {"order": {"id": str(number)}}) for number in range(20)])
        engine.drain()
        waiting = [thread for thread in threading.enumerate() if thread.name == "vitrin-plugin-bad"]
        assert len(waiting) == 1
        with engine.db.read() as conn:
            asks = [(run["outcome"], run["reason"]) for run in list_runs(conn, rule="asks")]
        assert [outcome for outcome, _ in asks] == ["failed"] * 20
        assert all("did not come back within 1 s" in (reason or "") for _, reason in asks)


@pytest.mark.usefixtures("quick")
def test_operator_cannot_change_what_it_is_asked_about(tmp_path: Path, packages: Packages):
    code = "def test(value, wanted):\n    value.clear()\n    wanted.clear()\n    return True\n"
    row = "[{'name': 'badly', 'title': T, 'types': ['any'], 'test': test}]"
    packages.install("bad", f"{HEAD}\n{code}\n@hookimpl\ndef vitrin_operators():\n    return {row}\n")
    with opened(tmp_path / "home") as engine:
        engine.host.enable("bad", actor="test")
        condition = "if: {field: order.places, is: badly, value: [x]}"
        put_rule(engine, GOOD.replace("then:", f"{condition}\nthen:").replace("still here", "'{{ order.places.A }}'"))
        happen(engine, "order.created", {"order": {"id": "1", "places": {"A": "shelf"}}})
        with engine.db.read() as conn:
            assert [row["params"]["text"] for row in page_effects(conn, {}, limit=2)] == ["shelf"]


def test_hanging_threads_do_not_pile_up(tmp_path: Path):
    guard = guarded.Guard()
    stop = threading.Event()
    for _ in range(10):
        with pytest.raises(guarded.HungError):
            guard.call("piling", stop.wait, limit_s=0.01)
    waiting = [thread for thread in threading.enumerate() if thread.name == "vitrin-plugin-piling"]
    stop.set()
    assert len(waiting) == guarded._MOST_HANGING
