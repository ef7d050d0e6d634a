"""Messages to customers: one action over whatever channels are on.

Until a channel takes it, a message stays in the outbox.
"""

from typing import Any

import pluggy

hookimpl = pluggy.HookimplMarker("vitrin")


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {
        "title": {"en": "Messages", "tr": "Mesajlar", "ru": "Сообщения"},
        "summary": {
            "en": "Puts messages to customers into the outbox, from where the channels take them.",
            "tr": "Müşteri mesajlarını giden kutusuna koyar; kanallar oradan alır.",
            "ru": "Кладёт сообщения покупателям в исходящие, откуда их берут каналы.",
        },
        "category": "messages",
        "version": "0.1.0",
        "permissions": {"effects": ["message"]},
    }


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    return [
        {
            "name": "messages.send",
            "title": {"en": "Send a message", "tr": "Mesaj gönder", "ru": "Отправить сообщение"},
            "effect": "message",
            "scope": "local",
            "params": {
                "type": "object",
                "additionalProperties": False,
                "required": ["text"],
                "properties": {
                    "text": {"type": "string", "title": "Text", "minLength": 1, "maxLength": 64000},
                    "subject": {"type": "string", "title": "Subject", "maxLength": 998},
                    "to": {"type": "string", "title": "Address", "description": "Left out: the event's customer."},
                    "channel": {"type": "string", "title": "Channel", "default": "any", "maxLength": 40},
                    "template": {"type": "string", "title": "Template's name", "maxLength": 200},
                },
            },
            "run": _send,
            "preview": _preview,
        }
    ]


def _send(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    message = {
        "customer": ctx.subject.get("customer"),
        "order": ctx.subject.get("order"),
        "channel": params.get("channel", "any"),
        "address": params.get("to"),
        "subject": params.get("subject"),
        "body": params["text"],
        "template": params.get("template"),
        "idempotency_key": ctx.idempotency_key,
    }
    given = {name: value for name, value in message.items() if value is not None}
    change = ctx.shop.queue_message(given, system=ctx.subject.get("source"))
    return {"object": f"message:{change.id}", "message": change.id}


def _preview(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    return {"text": dict.fromkeys(("en", "tr", "ru"), params["text"]), "subject": params.get("subject")}
