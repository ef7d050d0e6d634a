"""Work on plugins: tests of their connection, judgement by the contract, new ones."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from commands.call import FAILED, Call, pass_call
from commands.new_plugin import make_plugin
from commands.noun import Verb
from commands.opening import open_engine
from commands.output import columns
from core.accounts import DEFAULT, Account, find_account, merged_settings
from core.contract import judge

#: Settings of the shop that plugins are told.
_TOLD = ("currency", "language", "region", "base_url")


@click.command("test", cls=Verb, examples=("plugins test mail", "plugins test mail --account orders --json"))
@click.argument("name")
@click.option("--account", default=DEFAULT, show_default=True)
@pass_call
def test(call: Call, name: str, account: str) -> None:
    """Test a plugin's connection with the settings that are stored."""
    with open_engine(call) as engine:
        schema = engine.host.get_on(name).manifest.get("settings") or {"type": "object"}
        with engine.db.read() as conn:
            stored = find_account(conn, name, account) or Account(plugin=name, name=account, settings={})
            settings = merged_settings(conn, engine.secrets, schema, stored)
        started = time.monotonic()
        told = engine.invoker.check(name, settings, account)
        seconds = round(time.monotonic() - started, 3)
    answer = {"plugin": name, "account": told.get("account"), "seconds": seconds, "next": told.get("next")}
    call.show(answer, lambda: f"{name}: {told.get('account') or 'it works'} ({seconds} s)")


@click.command("doctor", cls=Verb, examples=("plugins doctor shop", "plugins doctor parrot --json"))
@click.argument("name")
@pass_call
def doctor(call: Call, name: str) -> int:
    """Hold a plugin against the contract and name its tier: bronze, silver or gold."""
    with tempfile.TemporaryDirectory(prefix="vitrin-trial-") as home:
        # A shop of its own: a plugin on trial is switched on and off, and what it writes is thrown away.
        trial = replace(
            call,
            flags={
                "home": home,
                "synchronous": "off",
                "demo": True,
                "database": f"sqlite:///{home}/trial.db",
            },
            config=None,
        )
        with open_engine(trial, make=True) as engine, engine.db.read() as conn:
            told = {"zone": engine.zone, **{key: getattr(engine.settings, key) for key in _TOLD}}
            verdict = judge(engine.host, conn, name, shop_settings=told)
    call.show(verdict.to_dict(), lambda: _words(verdict.to_dict()))
    return 0 if verdict.tier else FAILED


def _words(told: dict[str, Any]) -> str:
    return f"{told['plugin']}: {told['tier'] or 'does not keep the contract'}\n" + columns(
        told["checks"], ("check", "tier", "passed", "reason")
    )


@click.command("new", cls=Verb, examples=("plugins new parrot", "plugins new parrot --folder ~/plugins"))
@click.argument("name")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where; here by default."
)
@pass_call
def new(call: Call, name: str, folder: Path) -> None:
    """Make a working plugin outside of this program: events, an action, a fake of the other side, a test."""
    place = make_plugin(name, folder, frozenset(call.builtins))
    files = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    call.show({"plugin": name, "folder": str(place), "files": files}, lambda: str(place))
    call.say(f"its README says how to install it, in short: .venv/bin/python -m pip install -e {place}")


WORK = (test, doctor, new)
