"""The gallery of plugins, and switching them on and off."""

from collections.abc import Mapping
from typing import Any

from core.accounts import DEFAULT
from core.errors import VitrinError
from core.manifests import Standing, read_manifest, read_standing, read_standings
from rules.labels import Labels, title_in
from rules.uses import read_uses
from web.texts import mark
from web.visits import ADMIN, DEVELOPER, MANAGER, Answer, Page, Visit

PAGE = Page("plugins")
READERS = (ADMIN, MANAGER, DEVELOPER)
WRITERS = (ADMIN, DEVELOPER)

#: What a plugin may ask to do, in the shop's words.
EFFECTS = {
    "message": mark("Send messages to customers"),
    "task": mark("Give tasks to people"),
    "tag": mark("Change tags of customers and orders"),
    "status": mark("Change the status of orders"),
    "price": mark("Change prices"),
    "money": mark("Move money: payments and refunds"),
    "points": mark("Give and take loyalty points"),
    "stock": mark("Change stock"),
    "label": mark("Make shipping labels"),
    "note": mark("Write notes for the staff"),
    "call": mark("Call other systems"),
}
_ICONS = {
    "messages": "chat",
    "demo": "flask",
    "shop": "shop",
    "data": "doc",
    "connections": "webhook",
    "engine": "history",
}


@PAGE.get("/plugins", READERS)
def gallery(visit: Visit) -> Answer:
    """List every plugin: what it brings, what it may do, how it stands."""
    with visit.engine.db.read() as conn:
        standings = [one for one in read_standings(visit.engine.host, conn) if _is_for_here(visit, one)]
    order = ("broken", "settings", "waiting", "ready", "off")
    cards = sorted((card_of(visit, one) for one in standings), key=lambda card: order.index(card["state"]))
    return visit.render("plugins/list.html", active="plugins", cards=cards)


def _is_for_here(visit: Visit, standing: Standing) -> bool:
    return visit.engine.settings.demo or not standing.plugin.demo


def card_of(visit: Visit, standing: Standing) -> dict[str, Any]:
    """Return what pages say of a plugin."""
    plugin, manifest = standing.plugin, standing.manifest
    brought = plugin.brought
    permissions: Mapping[str, Any] = manifest.get("permissions") or {}
    return {
        "name": plugin.name,
        "title": title_in(manifest.get("title"), visit.language, plugin.name),
        "summary": title_in(manifest.get("summary"), visit.language, plugin.summary),
        "version": manifest.get("version", ""),
        "icon": _ICONS.get(str(manifest.get("category")), "plug"),
        "builtin": plugin.builtin,
        "state": standing.state,
        "reason": standing.reason,
        "is_on": brought is not None,
        "hosts": permissions.get("hosts", []),
        "effects": [EFFECTS.get(effect, effect) for effect in permissions.get("effects", [])],
        "has_settings": bool(standing.settings.get("properties")),
        "events": list(brought.events) if brought else [],
        "actions": list(brought.actions) if brought else [],
        "facts": list(brought.facts) if brought else [],
        "recipes": len(brought.recipes) if brought else 0,
        "webhooks": list(brought.webhooks) if brought else [],
    }


@PAGE.get("/plugins/{name}/switch", WRITERS)
def ask_switch(visit: Visit) -> Answer:
    """Show what switching means: the permissions before it goes on, the automations before it goes off."""
    name, host = visit.names["name"], visit.engine.host
    plugin, problem = host.get(name), ""
    with visit.engine.db.read() as conn:
        standing = read_standing(host, conn, name)
        uses = read_uses(visit.engine, conn, name, visit.language)
    if not standing.manifest:
        try:
            manifest = read_manifest(host, plugin)
            standing = Standing(plugin=plugin, manifest=manifest, state=standing.state, reason=standing.reason)
        except VitrinError as exc:
            problem = exc.message
    return visit.render(
        "plugins/switch.html",
        active="plugins",
        card=card_of(visit, standing),
        needs=(standing.manifest.get("needs") or {}).get("plugins", []),
        uses=uses,
        problem=problem,
        labels=Labels(visit.engine, visit.language),
    )


@PAGE.post("/plugins/{name}/switch", WRITERS)
def switch(visit: Visit) -> Answer:
    """Switch a plugin on, or off; off always works, and asks nothing."""
    name, host = visit.names["name"], visit.engine.host
    if not visit.field("on"):
        host.disable(name, actor=visit.actor)
        return visit.go(f"/plugins/{name}", visit.say("Switched off. Its settings stay."))
    try:
        host.enable(name, actor=visit.actor)
    except VitrinError as exc:
        return visit.go(f"/plugins/{name}", visit.say("It stays off: %(reason)s", reason=exc.message), kind="bad")
    with visit.engine.db.read() as conn:
        standing = read_standing(host, conn, name)
    if standing.state == "settings":
        return visit.go(f"/plugins/{name}?account={DEFAULT}#account", visit.say("Switched on. Fill in its settings."))
    return visit.go(f"/plugins/{name}", visit.say("Switched on."))
