"""`plugins`: listed, switched, set up, tested. Making and judging them is in `plugin_work`."""

from collections.abc import Mapping
from typing import Any

import click

from commands.call import ACTOR, Call, pass_call
from commands.noun import Noun
from commands.opening import open_engine, write
from commands.output import columns, pairs
from commands.plugin_work import WORK
from commands.secret_sources import read_document, read_secrets
from core.accounts import (
    DEFAULT,
    Account,
    delete_account,
    find_account,
    list_accounts,
    save_account,
    scope_of,
    secret_names,
)
from core.errors import InvalidInput
from core.host import Plugin
from core.writer import Tx
from rules.engine import Engine

_SHOWN = ("name", "state", "builtin", "version", "category", "summary", "quarantine")


@click.group(
    cls=Noun,
    examples=("plugins list", "plugins enable mail", "plugins config mail --set mail.json", "plugins new parrot"),
)
def plugins() -> None:
    """List, switch, set up, test and make plugins."""


for verb in WORK:
    plugins.add_command(verb)


@plugins.command("list", examples=("plugins list", "plugins list --json"))
@pass_call
def list_(call: Call) -> None:
    """List plugins: those that ship with the engine, and those that are installed."""
    with open_engine(call) as engine:
        found = [_row(plugin, call.settings.language) for plugin in engine.host]
    call.show(found, lambda: columns(found, _SHOWN))


def _row(plugin: Plugin, language: str) -> dict[str, Any]:
    manifest = plugin.brought.manifest if plugin.brought else {}
    summary = manifest.get("summary", {})
    return {
        "name": plugin.name,
        "state": "quarantined" if plugin.quarantine else "on" if plugin.brought else "off",
        "builtin": plugin.builtin,
        "version": manifest.get("version"),
        "category": manifest.get("category"),
        "summary": summary.get(language) or summary.get("en") or plugin.summary,
        "quarantine": plugin.quarantine,
    }


@plugins.command("info", examples=("plugins info shop", "plugins info shop --json"))
@click.argument("name")
@pass_call
def info(call: Call, name: str) -> None:
    """Show one plugin: what it brings, needs and may do."""
    with open_engine(call) as engine:
        plugin = engine.host.get(name)
        with engine.db.read() as conn:
            accounts = [account.name for account in list_accounts(conn, name)]
        brought = plugin.brought
        told = {
            **_row(plugin, call.settings.language),
            "accounts": accounts,
            "permissions": brought.manifest.get("permissions", {}) if brought else {},
            "needs": brought.manifest.get("needs", {}) if brought else {},
        }
        for kind in ("events", "actions", "facts", "operators", "pollers"):
            told[kind] = [one.name for one in getattr(brought, kind)] if brought else []
        told["webhooks"] = [hook.path for hook in brought.webhooks] if brought else []
    call.show(told, lambda: pairs(told))


@plugins.command("enable", examples=("plugins enable mail",))
@click.argument("name", nargs=-1, required=True)
@pass_call
def enable(call: Call, name: tuple[str, ...]) -> None:
    """Switch plugins on; a quarantined one gets another chance."""
    with open_engine(call) as engine:
        found = [_row(engine.host.enable(one, actor=ACTOR), call.settings.language) for one in name]
    call.show(found, lambda: "\n".join(f"{row['name']} is {row['state']}" for row in found))


@plugins.command("disable", examples=("plugins disable mail",))
@click.argument("name", nargs=-1, required=True)
@pass_call
def disable(call: Call, name: tuple[str, ...]) -> None:
    """Switch plugins off; always works."""
    with open_engine(call) as engine:
        found = [_row(engine.host.disable(one, actor=ACTOR), call.settings.language) for one in name]
    call.show(found, lambda: "\n".join(f"{row['name']} is {row['state']}" for row in found))


@plugins.command(
    "config",
    tries=True,
    examples=(
        "plugins config mail",
        "plugins config mail --set mail.json --secret password=env:SMTP_PASSWORD",
        "plugins config mail --account orders --set - < orders.json",
        "plugins config mail --unset imap_password",
    ),
)
@click.argument("name")
@click.option("--account", default=DEFAULT, show_default=True, help="Which of the plugin's connections.")
@click.option("--set", "source", type=click.Path(allow_dash=True), help="JSON file with settings; - for stdin.")
@click.option(
    "--secret", "secrets", multiple=True, metavar="NAME=FROM", help="FROM is env:VARIABLE, file:PATH or - (stdin)."
)
@click.option("--unset", multiple=True, help="A setting to forget, so that its default holds; or a stored secret.")
@click.option("--forget", is_flag=True, help="Forget the account and its secrets.")
@pass_call
def config(call: Call, name: str, account: str, **given: Any) -> int:
    """Show or change a plugin's settings; secrets are never shown, and never taken from a flag."""
    changes = bool(given["source"] or given["secrets"] or given["unset"] or given["forget"])
    with open_engine(call) as engine:
        schema = engine.host.get_on(name).manifest.get("settings")
        if not schema:
            raise InvalidInput("name", f"the plugin {name} has no settings")
        if changes:
            fresh = _read_settings(schema, given["source"], given["secrets"])
            fresh |= dict.fromkeys(secret_names(schema) & set(given["unset"]) - set(fresh))
            wanted = Account(plugin=name, name=account, settings=fresh)
            write(call, engine, lambda tx: _change(tx, engine, schema, wanted, given))
        told = _account(engine, schema, name, account)
    call.show(told, lambda: pairs({**told["settings"], **dict.fromkeys(told["secrets"], "(stored)")}))
    return call.changed(1) if changes else 0


def _read_settings(schema: Mapping[str, Any], source: str | None, secrets: tuple[str, ...]) -> dict[str, Any]:
    fresh = read_document(source)
    known = schema.get("properties", {})
    unknown = sorted(set(fresh) - set(known))
    if unknown:
        words = f"is not a setting of this plugin ({source}); known are {', '.join(known)}"
        raise InvalidInput(f"settings.{unknown[0]}", words)
    return fresh | read_secrets(secrets, secret_names(schema))


def _change(tx: Tx, engine: Engine, schema: Mapping[str, Any], fresh: Account, given: Mapping[str, Any]) -> None:
    """Keep what was given over what is there, or forget it all."""
    now = engine.clock.now()
    if given["forget"]:
        delete_account(tx, engine.secrets, fresh.plugin, fresh.name, actor=ACTOR, now=now)
        return
    before = find_account(tx.conn, fresh.plugin, fresh.name)
    kept = {key: value for key, value in (before.settings if before else {}).items() if key not in given["unset"]}
    account = Account(plugin=fresh.plugin, name=fresh.name, settings={**kept, **fresh.settings})
    save_account(tx, engine.secrets, schema, account, actor=ACTOR, now=now)


def _account(engine: Engine, schema: Mapping[str, Any], plugin: str, name: str) -> dict[str, Any]:
    with engine.db.read() as conn:
        account = find_account(conn, plugin, name)
        stored = sorted(engine.secrets.names(conn, scope_of(plugin, name)))
    settings = dict(account.settings) if account else {}
    missing = [key for key in schema.get("required", ()) if key not in settings and key not in stored]
    return {"plugin": plugin, "account": name, "settings": settings, "secrets": stored, "missing": missing}
