"""The shop's own actions, facts and events over the shop model."""

from typing import Any

import pluggy

from plugins.shop.actions import ACTIONS
from plugins.shop.events import EVENTS
from plugins.shop.facts import FACTS

hookimpl = pluggy.HookimplMarker("vitrin")


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {
        "title": {"en": "Shop", "tr": "Mağaza", "ru": "Магазин"},
        "summary": {
            "en": "Orders, customers, products and tasks: what rules can react to, ask and do.",
            "tr": "Siparişler, müşteriler, ürünler ve görevler: kuralların izleyip sorabildiği ve yapabildiği işler.",
            "ru": "Заказы, клиенты, товары и задачи: на что правила отвечают, что спрашивают и что делают.",
        },
        "category": "shop",
        "version": "0.1.0",
        "permissions": {"effects": ["task", "tag", "status", "stock", "note", "customer"]},
    }


@hookimpl
def vitrin_events() -> list[dict[str, Any]]:
    return list(EVENTS)


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    return list(ACTIONS)


@hookimpl
def vitrin_facts() -> list[dict[str, Any]]:
    return list(FACTS)
