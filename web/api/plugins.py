"""Plugins: listed, shown, switched on and off."""

from typing import Any

from core.accounts import list_accounts
from core.host import Plugin
from web.paging import QUERY, page_of, page_schema
from web.routes import Call, Reply, Route
from web.shapes import OBJECT, PLUGIN, PLUGIN_ROW


def list_all_plugins(call: Call) -> Reply:
    """List plugins."""
    rows = [_row(plugin) for plugin in call.engine.host]
    return Reply(body=page_of(rows, call.query, kind="plugins"))


def show_plugin(call: Call) -> Reply:
    """Show one plugin with what it brings."""
    return Reply(body=_show(call, call.engine.host.get(call.names["name"])))


def enable_plugin(call: Call) -> Reply:
    """Switch a plugin on, now."""
    return Reply(body=_show(call, call.engine.host.enable(call.names["name"], actor=call.actor)))


def disable_plugin(call: Call) -> Reply:
    """Switch a plugin off, now; always works."""
    return Reply(body=_show(call, call.engine.host.disable(call.names["name"], actor=call.actor)))


def show_settings_schema(call: Call) -> Reply:
    """Return the JSON Schema of an account's settings."""
    brought = call.engine.host.get_on(call.names["name"])
    return Reply(body=brought.manifest.get("settings") or {"type": "object", "properties": {}})


def _row(plugin: Plugin) -> dict[str, Any]:
    manifest = plugin.brought.manifest if plugin.brought else {}
    return {
        "name": plugin.name,
        "title": manifest.get("title") or {"en": plugin.name},
        "summary": manifest.get("summary") or {"en": plugin.summary},
        "category": manifest.get("category"),
        "version": manifest.get("version"),
        "builtin": plugin.builtin,
        "enabled": plugin.brought is not None,
        "quarantine": plugin.quarantine,
    }


def _show(call: Call, plugin: Plugin) -> dict[str, Any]:
    brought = plugin.brought
    with call.engine.db.read() as conn:
        accounts = [account.name for account in list_accounts(conn, plugin.name)]
    manifest = brought.manifest if brought else {}
    return {
        **_row(plugin),
        "permissions": manifest.get("permissions", {}),
        "settings": manifest.get("settings"),
        "several_accounts": bool(manifest.get("accounts")),
        "accounts": accounts,
        "events": [kind.name for kind in brought.events] if brought else [],
        "actions": [action.name for action in brought.actions] if brought else [],
        "facts": [fact.name for fact in brought.facts] if brought else [],
        "webhooks": [hook.path for hook in brought.webhooks] if brought else [],
    }


ROUTES = (
    Route(
        method="GET",
        path="/plugins",
        scope="plugins:read",
        run=list_all_plugins,
        summary="List plugins",
        query=QUERY,
        answers={200: page_schema(PLUGIN_ROW)},
    ),
    Route(
        method="GET",
        path="/plugins/{name}",
        scope="plugins:read",
        run=show_plugin,
        summary="Show one plugin with what it brings",
        answers={200: PLUGIN},
    ),
    Route(
        method="GET",
        path="/plugins/{name}/schema",
        scope="plugins:read",
        run=show_settings_schema,
        summary="The JSON Schema of an account's settings",
        answers={200: OBJECT},
    ),
    Route(
        method="POST",
        path="/plugins/{name}/enable",
        scope="plugins:write",
        run=enable_plugin,
        summary="Switch a plugin on, now",
        answers={200: PLUGIN},
    ),
    Route(
        method="POST",
        path="/plugins/{name}/disable",
        scope="plugins:write",
        run=disable_plugin,
        summary="Switch a plugin off, now; always works",
        answers={200: PLUGIN},
    ),
)
