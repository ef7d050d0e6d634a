"""Every built-in plugin keeps the contract; the checks find what breaks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import make_engine
from outside import SOURCE, Packages

from commands.new_plugin import make_plugin
from core.contract import Verdict, judge
from plugins import BUILTINS
from rules.engine import Engine

MANIFEST = """
import pluggy
hookimpl = pluggy.HookimplMarker("vitrin")
TITLE = {"en": "Odd", "tr": "Tuhaf", "ru": "Странный"}
FIELDS = {"a": {"type": "string", "title": "A"}}
TEXT = {"type": "object", "additionalProperties": False, "required": ["a"], "properties": FIELDS}
MANIFEST = {
    "title": TITLE, "summary": TITLE, "category": "test", "version": "1",
    "permissions": {"hosts": [], "effects": ["call"]},
}
ACTION = {
    "name": "odd.call", "title": TITLE, "effect": "call", "scope": "local", "params": TEXT,
    "run": lambda ctx, params: {}, "preview": lambda ctx, params: {"text": TITLE},
}
@hookimpl
def vitrin_manifest():
    return MANIFEST
@hookimpl
def vitrin_actions():
    return [ACTION]
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    installed = Packages(tmp_path / "site", monkeypatch)
    yield installed
    installed.forget()


def try_plugin(home: Path, name: str) -> Verdict:
    engine: Engine = make_engine(home, demo=True)  # the demo plugin is for demo mode only
    told = {"zone": engine.zone, "currency": "TRY", "language": "en", "region": "TR", "base_url": "http://127.0.0.1"}
    try:
        with engine.db.read() as conn:
            return judge(engine.host, conn, name, shop_settings=told)
    finally:
        engine.close()


def faults(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    return {check.name: check.reasons for check in verdict.checks if check.reasons}


@pytest.mark.parametrize("name", BUILTINS)
def test_builtin_keeps_the_whole_contract(tmp_path: Path, name: str):
    verdict = try_plugin(tmp_path / "home", name)
    assert faults(verdict) == {}
    assert verdict.tier == "gold"


def test_plugin_from_outside_keeps_it_too(tmp_path: Path, packages: Packages):
    packages.install_project(SOURCE)
    verdict = try_plugin(tmp_path / "home", "outside")
    assert (faults(verdict), verdict.tier) == ({}, "gold")


def test_new_plugin_starts_at_gold(tmp_path: Path, packages: Packages):
    packages.install_project(make_plugin("parrot", tmp_path))
    verdict = try_plugin(tmp_path / "home", "parrot")
    assert (faults(verdict), verdict.tier) == ({}, "gold")


OUTSIDE = """
ACTION |= {"scope": "outside", "takes_key": True}
MANIFEST["permissions"]["hosts"] = ["a.example"]
"""
#: What is changed in a plugin that is well -> the check that finds it, a part of its words, the tier that is left.
BREAKS = {
    "no effect declared": ('MANIFEST["permissions"] = {}', "permissions are declared", "its effect 'call'", None),
    "reaches out anywhere": (
        'ACTION["scope"] = "outside"; del MANIFEST["permissions"]["hosts"]; ACTION["run"] = lambda c, p: c.reject("x")',
        "permissions are declared",
        "does not say where",
        None,
    ),
    "any params": ('ACTION["params"] = {"type": "object"}', "bad params are refused", "unknown member", None),
    "brings nothing": ("vitrin_actions = None", "names are its own", "brings nothing", None),
    "raises at the start": ("raise ValueError('broken')", "starts and stops", "ValueError: broken", None),
    "hides from its manifest": ("del vitrin_manifest", "starts and stops", "no vitrin_manifest", None),
    "table of another": (
        (
            "import sqlalchemy, os\nmeta = sqlalchemy.MetaData()\nsqlalchemy.Table('users', meta)\n"
            "@hookimpl\ndef vitrin_tables():\n    return {'metadata': meta, 'migrations': os.path.dirname(__file__)}"
        ),
        "starts and stops",
        "odd_users",
        None,
    ),
    "one language": ('ACTION["title"] = {"en": "Odd"}', "speaks three languages", "no words in tr, ru", "bronze"),
    "field without label": (
        'TEXT["properties"]["a"] = {"type": "string"}',
        "fields have labels",
        "the field a",
        "bronze",
    ),
    "no preview": ('del ACTION["preview"]', "previews work", "has no preview", "bronze"),
    "preview raises": ('ACTION["preview"] = lambda ctx, params: 1 / 0', "previews work", "ZeroDivisionError", "bronze"),
    "preview writes": (
        'ACTION["preview"] = lambda ctx, params: ctx.shop.create_task({})',
        "previews work",
        "AttributeError",
        "bronze",
    ),
    "takes a refusal for success": (
        (OUTSIDE + 'ACTION["run"] = lambda ctx, params: {"status": ctx.http.get("https://a.example/").status}'),
        "survives a refusing other side",
        "takes a refusal with 401 for success",
        "silver",
    ),
    "breaks on a refusal": (
        (OUTSIDE + 'ACTION["run"] = lambda ctx, params: {"a": ctx.http.get("https://a.example/").headers["x-lost"]}'),
        "survives a refusing other side",
        "KeyError",
        "silver",
    ),
    "goes where it did not say": (
        (OUTSIDE + 'ACTION["run"] = lambda ctx, params: ctx.http.get("https://b.example/").raise_for_status()'),
        "survives a refusing other side",
        "does not declare this host",
        "silver",
    ),
    "repeats blindly": (
        'ACTION["scope"] = "outside"; ACTION["run"] = lambda ctx, params: ctx.reject("no")',
        "says what a repeat does",
        "say what a repeat does",
        "silver",
    ),
    "connection cannot be tested": (
        'MANIFEST["settings"] = TEXT',
        "connection can be tested",
        "no vitrin_check",
        "silver",
    ),
}


def test_plain_plugin_is_well(tmp_path: Path, packages: Packages):
    packages.install("odd", MANIFEST)
    verdict = try_plugin(tmp_path / "home", "odd")
    assert (faults(verdict), verdict.tier) == ({}, "gold")


@pytest.mark.parametrize("case", BREAKS)
def test_breach_is_found_and_costs_the_tier(tmp_path: Path, packages: Packages, case: str):
    change, check, words, tier = BREAKS[case]
    packages.install("odd", f"{MANIFEST}\n{change}\n")
    verdict = try_plugin(tmp_path / "home", "odd")
    assert words in "; ".join(faults(verdict).get(check, ())), faults(verdict)
    assert verdict.tier == tier
