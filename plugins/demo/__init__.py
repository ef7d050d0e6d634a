"""The demo: a synthetic phone shop and a stand-in for a chat service. For demo mode only."""

from pathlib import Path
from typing import Any

import pluggy

from plugins.demo import notify
from plugins.demo.chat import ChatProvider
from plugins.demo.story import Story, begin_of

__all__ = ["ChatProvider", "Story", "begin_of"]

hookimpl = pluggy.HookimplMarker("vitrin")

_RECIPES = Path(__file__).parent / "recipes"


def _text(en: str, tr: str, ru: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "title": en, "x-title": {"en": en, "tr": tr, "ru": ru}, **more}


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {
        "title": {"en": "Demo shop", "tr": "Deneme mağazası", "ru": "Демо-магазин"},
        "summary": {
            "en": "For demo mode only: a synthetic phone shop, and a chat that is played on this machine.",
            "tr": "Yalnızca deneme modu için: yapay bir telefon mağazası ve bu makinede taklit edilen bir sohbet.",
            "ru": "Только для демо-режима: вымышленный магазин телефонов и чат, который изображает эта машина.",
        },
        "category": "demo",
        "version": "0.1.0",
        "permissions": {"hosts": ["127.0.0.1"], "effects": ["note"]},
        "settings": {
            "type": "object",
            "additionalProperties": False,
            "required": ["url", "token"],
            "properties": {
                "url": _text("Address of the chat", "Sohbetin adresi", "Адрес чата", format="uri", maxLength=200),
                "token": _text("Token", "Anahtar", "Ключ", minLength=8, maxLength=200, writeOnly=True),
            },
        },
    }


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    return [
        {
            "name": "demo.notify_chat",
            "title": {
                "en": "Write to the staff's chat",
                "tr": "Ekip sohbetine yaz",
                "ru": "Написать в чат сотрудников",
            },
            "effect": "note",
            "scope": "outside",
            "takes_key": True,
            "params": {
                "type": "object",
                "additionalProperties": False,
                "required": ["room", "text"],
                "properties": {
                    "room": _text("Room", "Oda", "Комната", minLength=1, maxLength=80),
                    "text": _text("Text", "Metin", "Текст", minLength=1, maxLength=4000),
                },
            },
            "result": {
                "type": "object",
                "required": ["object", "message"],
                "properties": {"object": {"type": "string"}, "message": {"type": "string"}},
            },
            "run": notify.send,
            "preview": notify.preview,
        }
    ]


@hookimpl
def vitrin_recipes() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(_RECIPES.glob("*.yaml"))]


@hookimpl
def vitrin_check(ctx: Any) -> dict[str, Any]:
    return notify.check(ctx)
