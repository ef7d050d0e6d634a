"""Accounts: a plugin's connections, each with its settings; values marked `writeOnly` are kept as secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from core.audit import Entry, record
from core.errors import InvalidInput, NotFound
from core.ids import new_id
from core.marks import PLUGINS_STAMP, write_mark
from core.schemas import compile_schema, with_defaults
from core.secrets import Secrets
from core.tables import accounts
from core.writer import Tx

DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One connection of a plugin."""

    plugin: str
    name: str
    #: Without secrets.
    settings: Mapping[str, Any]


def secret_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the top-level settings that are secrets."""
    properties = schema.get("properties", {})
    return frozenset(name for name, part in properties.items() if part.get("writeOnly"))


def cleared_secrets(schema: Mapping[str, Any], settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the secrets that these settings take away: those that are null."""
    return frozenset(name for name in secret_names(schema) if name in settings and settings[name] is None)


def scope_of(plugin: str, name: str) -> str:
    return f"plugin:{plugin}:{name}"


def list_accounts(conn: Connection, plugin: str) -> list[Account]:
    rows = conn.execute(select(accounts).where(accounts.c.plugin == plugin).order_by(accounts.c.name))
    return [Account(plugin=row.plugin, name=row.name, settings=row.settings) for row in rows]


def find_account(conn: Connection, plugin: str, name: str) -> Account | None:
    query = select(accounts).where(accounts.c.plugin == plugin, accounts.c.name == name)
    row = conn.execute(query).one_or_none()
    return None if row is None else Account(plugin=row.plugin, name=row.name, settings=row.settings)


def full_settings(conn: Connection, secrets: Secrets, schema: Mapping[str, Any], account: Account) -> dict[str, Any]:
    """Return an account's settings with defaults and secrets filled in: for the plugin's eyes only."""
    settings = dict(account.settings)
    scope = scope_of(account.plugin, account.name)
    for name in secrets.names(conn, scope):
        settings[name] = secrets.get(conn, scope, name)
    return with_defaults(dict(schema), settings)


def merged_settings(conn: Connection, secrets: Secrets, schema: Mapping[str, Any], account: Account) -> dict[str, Any]:
    """Return given settings completed with the stored secrets that were left out, and checked; null clears one."""
    stored, cleared = full_settings(conn, secrets, schema, account), cleared_secrets(schema, account.settings)
    kept = {key: value for key, value in stored.items() if key in secret_names(schema)}
    whole = {key: value for key, value in {**kept, **account.settings}.items() if key not in cleared}
    merged = with_defaults(dict(schema), whole)
    compile_schema(dict(schema)).check(merged, path="settings")
    return merged


def save_account(
    tx: Tx,
    secrets: Secrets,
    schema: Mapping[str, Any],
    account: Account,
    *,
    actor: str,
    now: datetime,
) -> None:
    """Keep an account; secrets go to the encrypted store. One that is not given stays as it was, null clears it."""
    if not account.name or len(account.name) > 60:
        raise InvalidInput("account", "needs a name of 1 to 60 characters")
    hidden, cleared = secret_names(schema), cleared_secrets(schema, account.settings)
    merged_settings(tx.conn, secrets, schema, account)
    plain = {key: value for key, value in account.settings.items() if key not in hidden}
    scope = scope_of(account.plugin, account.name)
    for key in cleared:
        secrets.delete(tx, scope, key)
    given = hidden & set(account.settings) - cleared
    for key in given:
        secrets.put(tx, scope, key, str(account.settings[key]))
    write_mark(tx.conn, PLUGINS_STAMP, new_id(), now)
    before = find_account(tx.conn, account.plugin, account.name)
    values = {"settings": plain, "changed_at": now}
    if before is None:
        row = {"id": new_id(), "plugin": account.plugin, "name": account.name, "created_at": now, **values}
        tx.conn.execute(insert(accounts).values(**row))
    else:
        mine = update(accounts).where(accounts.c.plugin == account.plugin, accounts.c.name == account.name)
        tx.conn.execute(mine.values(**values))
    record(
        tx,
        Entry(
            actor=actor,
            action="account.saved",
            object=f"plugin:{account.plugin}",
            before=None if before is None else dict(before.settings),
            after={**plain, **dict.fromkeys(given, "(secret)"), **dict.fromkeys(cleared, "(cleared)")},
        ),
        now,
    )


def delete_account(tx: Tx, secrets: Secrets, plugin: str, name: str, *, actor: str, now: datetime) -> None:
    """Forget an account and its secrets."""
    mine = delete(accounts).where(accounts.c.plugin == plugin, accounts.c.name == name)
    if not tx.conn.execute(mine).rowcount:
        raise NotFound(f"plugin {plugin} has no account {name!r}")
    secrets.delete(tx, scope_of(plugin, name))
    write_mark(tx.conn, PLUGINS_STAMP, new_id(), now)
    record(tx, Entry(actor=actor, action="account.deleted", object=f"plugin:{plugin}", before={"account": name}), now)
