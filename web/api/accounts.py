"""Accounts of plugins: settings are shown, secrets never are; and tests of a connection with values not saved yet."""

import re
from collections.abc import Mapping
from typing import Any

from core.accounts import (
    DEFAULT,
    Account,
    delete_account,
    find_account,
    merged_settings,
    save_account,
    scope_of,
    secret_names,
)
from core.errors import Conflict, InvalidInput, NotFound, PluginError, RemoteError
from core.writer import Tx
from web.problems import from_error
from web.routes import Call, Reply, Route
from web.shapes import ACCOUNT, TESTED, form

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
#: Settings that say where the secrets are sent.
_ADDRESS_WORDS = frozenset("url uri host hostname server domain address endpoint port base proxy region site".split())
_ADDRESS_FORMATS = ("uri", "uri-reference", "hostname", "ipv4", "ipv6")
_SETTINGS = {"type": "object", "maxProperties": 200}


def show_account(call: Call) -> Reply:
    """Show an account's settings, and which secrets are stored."""
    _schema(call)
    with call.engine.db.read() as conn:
        account = find_account(conn, call.names["name"], call.names["account"])
        if account is None:
            raise NotFound(f"the plugin has no account {call.names['account']!r}")
        return Reply(body=_show(call, conn, account))


def write_account(call: Call) -> Reply:
    """Save an account; secrets that are left out stay as they are, null clears one."""
    schema = _schema(call)
    plugin, name, given = call.names["name"], _account_name(call), call.body["settings"]
    _refuse_unknown(schema, given)

    def work(tx: Tx) -> Reply:
        _keep_secrets_home(call, tx.conn, schema, name, given)
        account = Account(plugin=plugin, name=name, settings=given)
        save_account(tx, call.engine.secrets, schema, account, actor=call.actor, now=call.now)
        stored = find_account(tx.conn, plugin, name)
        assert stored is not None, "it was saved a line above"
        return Reply(body=_show(call, tx.conn, stored))

    return call.write(work)


def forget_account(call: Call) -> Reply:
    """Forget an account and its secrets."""
    call.engine.host.get(call.names["name"])

    def work(tx: Tx) -> Reply:
        plugin, name = call.names["name"], call.names["account"]
        delete_account(tx, call.engine.secrets, plugin, name, actor=call.actor, now=call.now)
        return Reply(status=204)

    return call.write(work)


def try_connection(call: Call) -> Reply:
    """Try a connection with these settings, completed with the stored secrets; nothing is saved."""
    schema, plugin = _schema(call), call.names["name"]
    name, given = call.fields.get("account", DEFAULT), call.fields.get("settings")
    with call.engine.db.read() as conn:
        if given is None:
            stored = find_account(conn, plugin, name)
            given = dict(stored.settings) if stored else {}
        _refuse_unknown(schema, given)
        _keep_secrets_home(call, conn, schema, name, given)
        settings = merged_settings(conn, call.engine.secrets, schema, Account(plugin=plugin, name=name, settings=given))
    begun = call.engine.clock.monotonic()
    try:
        told, problem = call.engine.invoker.check(plugin, settings, name), None
    except (RemoteError, PluginError) as exc:
        body = from_error(exc).body
        told, problem = {}, {key: body[key] for key in ("status", "code", "detail")}
    seconds = round(call.engine.clock.monotonic() - begun, 3)
    hidden = {str(settings[key]) for key in secret_names(schema) if settings.get(key)}
    body = {"ok": problem is None, "seconds": seconds, "problem": problem, "told": told}
    names = {"account": str(told["account"]) if told.get("account") is not None else None, "next": told.get("next")}
    return Reply(body=_without({**body, **names}, hidden))


def _schema(call: Call) -> dict[str, Any]:
    schema = call.engine.host.get_on(call.names["name"]).manifest.get("settings")
    if not schema:
        raise Conflict(f"the plugin {call.names['name']} has no settings")
    return schema


def _account_name(call: Call) -> str:
    name = call.names["account"]
    if not _NAME.fullmatch(name):
        raise InvalidInput("account", "needs 1 to 60 small letters, digits, dashes or underscores")
    several = call.engine.host.get_on(call.names["name"]).manifest.get("accounts")
    if name != DEFAULT and not several:
        raise Conflict(f"the plugin {call.names['name']} has one account, called {DEFAULT!r}")
    return name


def _refuse_unknown(schema: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    known = schema.get("properties", {})
    for name in given:
        if name not in known:
            raise InvalidInput(f"settings.{name}", f"is not a known setting; known are {', '.join(known) or 'none'}")


def _keep_secrets_home(call: Call, conn: Any, schema: Mapping[str, Any], name: str, given: Mapping[str, Any]) -> None:
    """Refuse to send a stored secret to an address that somebody has just changed: it must be typed again."""
    plugin = call.names["name"]
    stored = call.engine.secrets.names(conn, scope_of(plugin, name))
    missing = [secret for secret in sorted(stored) if secret not in given]
    before = find_account(conn, plugin, name)
    if not missing or before is None:
        return
    for setting, part in schema.get("properties", {}).items():
        changed = given.get(setting) != before.settings.get(setting)
        if changed and setting not in secret_names(schema) and _is_address(setting, part):
            words = f"must be given again, because {setting} changed: a stored secret never follows to a new address"
            raise InvalidInput(f"settings.{missing[0]}", words)


def _is_address(name: str, schema: Mapping[str, Any]) -> bool:
    words = set(re.split(r"[^a-z]+", name.lower()))
    return schema.get("format") in _ADDRESS_FORMATS or bool(words & _ADDRESS_WORDS)


def _show(call: Call, conn: Any, account: Account) -> dict[str, Any]:
    schema = _schema(call)
    stored = call.engine.secrets.names(conn, scope_of(account.plugin, account.name))
    hidden = secret_names(schema)
    return {
        "plugin": account.plugin,
        "account": account.name,
        "settings": {key: value for key, value in account.settings.items() if key not in hidden},
        "secrets": {key: {"stored": key in stored, "hint": stored.get(key, "")} for key in sorted(hidden)},
    }


def _without(value: Any, hidden: set[str]) -> Any:
    """Return what a plugin told, without the secrets that it was handed."""
    if isinstance(value, str):
        for secret in hidden:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, dict):
        return {key: _without(item, hidden) for key, item in value.items()}
    return [_without(item, hidden) for item in value] if isinstance(value, list) else value


_PATH = "/plugins/{name}/accounts/{account}"

ROUTES = (
    Route(
        method="GET",
        path=_PATH,
        scope="plugins:read",
        run=show_account,
        summary="Show an account's settings; of secrets only whether they are stored, and a hint",
        answers={200: ACCOUNT},
    ),
    Route(
        method="PUT",
        path=_PATH,
        scope="plugins:write",
        run=write_account,
        summary="Save an account; secrets that are left out stay as they are, null clears one",
        body=form({"settings": _SETTINGS}),
        answers={200: ACCOUNT},
    ),
    Route(
        method="DELETE",
        path=_PATH,
        scope="plugins:write",
        run=forget_account,
        summary="Forget an account and its secrets",
        answers={204: None},
    ),
    Route(
        method="POST",
        path="/plugins/{name}/test",
        scope="plugins:write",
        run=try_connection,
        summary="Try a connection with settings that are not saved yet",
        body=form({}, {"account": {"type": "string", "pattern": f"^{_NAME.pattern}$"}, "settings": _SETTINGS}),
        body_required=False,
        answers={200: TESTED},
        limit="test",
    ),
)
