"""What a plugin says about itself, whether it is on or not; and how it stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from core.accounts import scope_of
from core.errors import VitrinError
from core.host import Host, Plugin
from core.schemas import with_defaults
from core.tables import accounts, secrets

_LOAD_S, _HOOK_S = 30.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one plugin stands."""

    plugin: Plugin
    #: Empty where a plugin that is off cannot be asked.
    manifest: Mapping[str, Any]
    #: ready, settings, waiting (on, and not ready yet), broken, off
    state: str
    #: Why it is broken or waits; for settings the first field that is missing.
    reason: str = ""
    accounts: tuple[str, ...] = ()
    #: Names of the required settings that no account has, by account.
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.manifest.get("settings") or {}


def read_manifest(host: Host, plugin: Plugin) -> Mapping[str, Any]:
    """Return a plugin's manifest; one that is off is loaded for it, which runs its module. Raise PluginError."""
    if plugin.brought is not None:
        return plugin.brought.manifest
    module = host.guard.call(plugin.name, plugin.load, limit_s=_LOAD_S)
    told = host.guard.call(plugin.name, getattr(module, "vitrin_manifest", dict), limit_s=_HOOK_S)
    return told if isinstance(told, dict) else {}


def read_standings(host: Host, conn: Connection) -> list[Standing]:
    """Return how every plugin stands, by name; two queries for all of them."""
    stored = _stored(conn)
    return [_standing(host, plugin, stored.get(plugin.name, {})) for plugin in host]


def read_standing(host: Host, conn: Connection, name: str) -> Standing:
    """Return how one plugin stands; raise NotFound."""
    plugin = host.get(name)
    return _standing(host, plugin, _stored(conn, name).get(name, {}))


def _stored(conn: Connection, name: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
    """Return plugin -> account -> its settings; of secrets only that they are there."""
    rows = select(accounts.c.plugin, accounts.c.name, accounts.c.settings).order_by(accounts.c.name)
    hidden = select(secrets.c.scope, secrets.c.name)
    if name is not None:
        rows = rows.where(accounts.c.plugin == name)
        hidden = hidden.where(secrets.c.scope.startswith(f"plugin:{name}:", autoescape=True))
    kept: dict[str, set[str]] = {}
    for row in conn.execute(hidden):
        kept.setdefault(row.scope, set()).add(row.name)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in conn.execute(rows):
        known = dict.fromkeys(kept.get(scope_of(row.plugin, row.name), ()), "(secret)")
        found.setdefault(row.plugin, {})[row.name] = {**row.settings, **known}
    return found


def _standing(host: Host, plugin: Plugin, stored: Mapping[str, Mapping[str, Any]]) -> Standing:
    manifest = plugin.brought.manifest if plugin.brought else _manifest_of_off(host, plugin)
    told: dict[str, Any] = {"plugin": plugin, "manifest": manifest, "accounts": tuple(stored)}
    if plugin.quarantine:
        return Standing(state="broken", reason=plugin.quarantine, **told)
    if plugin.brought is None:
        return Standing(state="off", **told)
    missing = _missing(manifest.get("settings") or {}, stored)
    if missing:
        return Standing(state="settings", missing=missing, **told)
    if plugin.trouble:
        return Standing(state="waiting", reason=plugin.trouble, **told)
    return Standing(state="ready", **told)


def _manifest_of_off(host: Host, plugin: Plugin) -> Mapping[str, Any]:
    """Return the manifest of a built-in that is off; a foreign module is not run only to list it."""
    if not plugin.builtin or plugin.quarantine:
        return {}
    try:
        return read_manifest(host, plugin)
    except VitrinError:
        # Its own page and the attempt to switch it on tell what is wrong.
        return {}


def _missing(schema: Mapping[str, Any], stored: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the required settings that are not filled in; a plugin without an account needs its first one."""
    needed = schema.get("required", ())
    found = {}
    for name, settings in (stored or {"default": {}}).items():
        filled = with_defaults(dict(schema), dict(settings))
        left = tuple(one for one in needed if filled.get(one) is None)
        if left:
            found[name] = left
    return found
