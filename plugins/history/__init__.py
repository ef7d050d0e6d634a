"""Facts over the stored events: what happened to a person before, how often, and when last."""

from collections.abc import Callable
from typing import Any

import pluggy

from core.durations import add, parse_duration
from core.events import count_happened, find_last_happened

hookimpl = pluggy.HookimplMarker("vitrin")

_PARAMS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["event"],
    "properties": {
        "event": {"type": "string", "title": "Event type"},
        "within": {"type": "string", "title": "Period", "description": "180 days, 24 hours; always when left out."},
    },
}


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {
        "title": {"en": "History", "tr": "Geçmiş", "ru": "История"},
        "summary": {
            "en": "Asks what happened to a customer before: how often, and when last.",
            "tr": "Müşterinin daha önce ne yaşadığını sorar: kaç kez ve en son ne zaman.",
            "ru": "Спрашивает, что было с покупателем раньше: сколько раз и когда в последний раз.",
        },
        "category": "engine",
        "version": "0.1.0",
    }


@hookimpl
def vitrin_facts() -> list[dict[str, Any]]:
    return [
        {
            "name": "history.happened",
            "title": {
                "en": "How often it happened before",
                "tr": "Daha önce kaç kez oldu",
                "ru": "Сколько раз это было раньше",
            },
            "schema": {"type": "integer", "minimum": 0},
            "with": _PARAMS,
            "subject": "event.customer",
            "load": lambda ctx, keys: _load(ctx, keys, count_happened),
        },
        {
            "name": "history.last",
            "title": {
                "en": "When it happened last",
                "tr": "En son ne zaman oldu",
                "ru": "Когда это было в последний раз",
            },
            "schema": {"type": ["string", "null"], "format": "date-time"},
            "with": _PARAMS,
            "subject": "event.customer",
            "load": lambda ctx, keys: _load(ctx, keys, find_last_happened),
        },
    ]


def _load(ctx: Any, keys: list[Any], find: Callable[..., Any]) -> dict[Any, Any]:
    """Answer from the index on (customer, type, received_at); only what was before the asked moment counts."""
    answers = {}
    for key in keys:
        customer, at, params = key
        wanted = dict(params)
        since = None
        if "within" in wanted:
            since = add(at, -parse_duration(wanted["within"]), ctx.shop_settings["zone"])
        answers[key] = find(ctx.conn, customer, wanted["event"], since=since, before=at)
    return answers
