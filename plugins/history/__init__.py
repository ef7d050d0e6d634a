"""Facts over the stored events: what happened to a person before, how often, and when last."""

from datetime import UTC, datetime
from typing import Any

import pluggy
from sqlalchemy import bindparam, func, select

from core.db import Moment
from core.durations import add, parse_duration
from core.tables import events

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
            "load": lambda ctx, keys: _load(ctx, keys, "count"),
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
            "load": lambda ctx, keys: _load(ctx, keys, "last"),
        },
    ]


def _load(ctx: Any, keys: list[Any], what: str) -> dict[Any, Any]:
    """Answer from the index on (customer, type, received_at); only what was before the asked moment counts."""
    answers = {}
    zone = ctx.shop_settings["zone"]
    for key in keys:
        customer, at, params = key
        wanted = dict(params)
        since = add(at, -parse_duration(wanted["within"]), zone) if "within" in wanted else _ALWAYS
        asked = {"customer": customer, "type": wanted["event"], "since": since, "before": at}
        answers[key] = ctx.conn.execute(_QUERIES[what], asked).scalar_one()
    return answers


_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE = (
    events.c.customer == bindparam("customer"),
    events.c.type == bindparam("type"),
    events.c.received_at < bindparam("before", type_=Moment),
    events.c.received_at >= bindparam("since", type_=Moment),
)
_QUERIES = {
    "count": select(func.count()).select_from(events).where(*_BEFORE),
    "last": select(func.max(events.c.time)).where(*_BEFORE),
}
