"""Webhooks: signed news from other systems become events, and rules send signed news to other systems."""

from typing import Any

import pluggy

from plugins.webhooks.incoming import EVENT, run, verify
from plugins.webhooks.outgoing import preview, send
from plugins.webhooks.schemes import SCHEMES, TOLERANCE_S, read_key, read_secrets

hookimpl = pluggy.HookimplMarker("vitrin")

_HEADER = {"type": "string", "pattern": "^[A-Za-z0-9-]{1,100}$"}
_PATH = {"type": "string", "pattern": r"^[^.\s]+(\.[^.\s]+)*$", "maxLength": 200}


def _text(en: str, tr: str, ru: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "title": en, "x-title": {"en": en, "tr": tr, "ru": ru}, **more}


_SETTINGS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["secret"],
    "if": {"required": ["scheme"], "properties": {"scheme": {"const": "generic_hmac_sha256"}}},
    "then": {"required": ["header"]},
    "properties": {
        "scheme": _text(
            "How it is signed", "Nasıl imzalanır", "Как подписано", enum=list(SCHEMES), default="standard_webhooks"
        ),
        "secret": _text("Secret", "Gizli anahtar", "Секрет", minLength=1, maxLength=500, writeOnly=True),
        "previous_secret": _text(
            "Secret before it, still taken", "Önceki anahtar, hâlâ geçerli", "Прежний секрет, ещё принимается",
            maxLength=500, writeOnly=True,
        ),
        "url": _text("Address to send to", "Gönderilecek adres", "Адрес для отправки", format="uri", maxLength=2000),
        "header": _text("Signature's header", "İmza başlığı", "Заголовок подписи") | _HEADER,
        "encoding": _text("Signature is", "İmza yazımı", "Запись подписи", enum=["hex", "base64"], default="hex"),
        "prefix": _text("Before the signature", "İmzadan önce", "Перед подписью", maxLength=40),
        "timestamp_header": _text("Timestamp's header", "Zaman başlığı", "Заголовок времени") | _HEADER,
        "tolerance_s": {
            "type": "integer",
            "title": "Age that is still taken, seconds",
            "minimum": 10,
            "maximum": 900,
            "default": TOLERANCE_S,
        },
        "topic": _text("Topic, always this", "Konu, hep bu", "Тема, всегда эта", pattern="^[A-Za-z0-9_./:-]{1,200}$"),
        "topic_header": _text("Topic from header", "Konu başlıktan", "Тема из заголовка") | _HEADER,
        "topic_path": _text("Topic from body", "Konu gövdeden", "Тема из тела") | _PATH,
        "id_header": _text("Id from header", "Kimlik başlıktan", "Номер из заголовка") | _HEADER,
        "id_path": _text("Id from body", "Kimlik gövdeden", "Номер из тела") | _PATH,
        "key_path": _text("Key from body", "Anahtar gövdeden", "Ключ из тела") | _PATH,
    },
}  # fmt: skip


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {
        "title": {"en": "Webhooks", "tr": "Web kancaları", "ru": "Вебхуки"},
        "summary": {
            "en": "Takes signed news from other systems as events, and sends signed news to them.",
            "tr": "Başka sistemlerden imzalı haberleri olay olarak alır, onlara imzalı haber gönderir.",
            "ru": "Принимает подписанные новости других систем как события и отправляет им подписанные новости.",
        },
        "category": "connections",
        "version": "0.1.0",
        "permissions": {"effects": ["call"]},
        "settings": _SETTINGS,
        "accounts": True,
    }


@hookimpl
def vitrin_events() -> list[dict[str, Any]]:
    body = {"type": ["object", "array"], "title": "Body", "x-title": {"en": "Body", "tr": "Gövde", "ru": "Тело"}}
    return [
        {
            "name": EVENT,
            "title": {"en": "A webhook came", "tr": "Web kancası geldi", "ru": "Пришёл вебхук"},
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["account", "topic", "body"],
                "properties": {
                    "account": _text("Account", "Hesap", "Подключение"),
                    "topic": _text("Topic", "Konu", "Тема", examples=["orders/create", "payment.succeeded"]),
                    "body": body,
                },
            },
            "sample": {"account": "my-shop", "topic": "orders/create", "body": {"id": 1001, "total_price": "24990.00"}},
        }
    ]


@hookimpl
def vitrin_webhooks() -> list[dict[str, Any]]:
    title = {"en": "News from another system", "tr": "Başka sistemden haber", "ru": "Новость другой системы"}
    return [{"path": "in", "title": title, "methods": ["POST"], "verify": verify, "run": run}]


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    body = {"type": "object", "title": "Body", "x-title": {"en": "Body", "tr": "Gövde", "ru": "Тело"}}
    return [
        {
            "name": "webhooks.send",
            "title": {"en": "Send a webhook", "tr": "Web kancası gönder", "ru": "Отправить вебхук"},
            "effect": "call",
            "scope": "outside",
            "takes_key": True,
            "params": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type", "body"],
                "properties": {
                    "url": _text("Address", "Adres", "Адрес", maxLength=2000, description="Left out: the account's."),
                    "type": _text("What happened", "Ne oldu", "Что произошло", pattern="^[A-Za-z0-9_.]{1,200}$"),
                    "body": body,
                },
            },
            "run": send,
            "preview": preview,
        }
    ]


@hookimpl
def vitrin_check(ctx: Any) -> dict[str, Any]:
    secrets = read_secrets(ctx.settings)
    if ctx.settings.get("scheme", "standard_webhooks") == "standard_webhooks":
        for secret in secrets:
            read_key(secret)
    address = f"{ctx.shop_settings.get('base_url', '')}/hooks/webhooks/{ctx.account}/in"
    return {
        "account": ctx.account,
        "next": {
            "en": f"Enter this address on the other side: {address}",
            "tr": f"Karşı tarafa bu adresi girin: {address}",
            "ru": f"Укажите на другой стороне этот адрес: {address}",
        },
    }
