"""Mail: messages to customers through the shop's own mail server, and news of those that came back."""

from typing import Any

import pluggy

from plugins.mail.client import MOST_S, PORT, TIMEOUT_S
from plugins.mail.inbox import EVENT, poll_bounces
from plugins.mail.inbox import PORT as IMAP_PORT
from plugins.mail.sending import check, preview, send_message

hookimpl = pluggy.HookimplMarker("vitrin")


def _labels(en: str, tr: str, ru: str) -> dict[str, Any]:
    return {"title": en, "x-title": {"en": en, "tr": tr, "ru": ru}}


def _text(en: str, tr: str, ru: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", **_labels(en, tr, ru), **more}


def _port(en: str, tr: str, ru: str, default: int) -> dict[str, Any]:
    return {"type": "integer", **_labels(en, tr, ru), "minimum": 1, "maximum": 65_535, "default": default}


_SETTINGS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host", "sender_address"],
    "properties": {
        "host": _text("Mail server", "Posta sunucusu", "Почтовый сервер", minLength=1, maxLength=253),
        "port": _port("Port", "Bağlantı noktası", "Порт", PORT),
        "security": _text(
            "Encryption", "Şifreleme", "Шифрование", enum=["starttls", "tls", "none"], default="starttls"
        ),
        "user": _text("User", "Kullanıcı", "Пользователь", maxLength=320),
        "password": _text("Password", "Parola", "Пароль", maxLength=1000, writeOnly=True),
        "sender_address": _text("Sender's address", "Gönderen adresi", "Адрес отправителя", maxLength=320),
        "sender_name": _text("Sender's name", "Gönderen adı", "Имя отправителя", maxLength=200),
        "bounce_address": _text("Address for returns", "İade adresi", "Адрес для возвратов", maxLength=320),
        "timeout_s": {
            "type": "integer",
            **_labels("Time for one message, seconds", "Bir mesaj için süre, saniye", "Время на сообщение, секунд"),
            "minimum": 1,
            "maximum": int(MOST_S),
            "default": int(TIMEOUT_S),
        },
        "authority": _text(
            "Own certificate authority (PEM)", "Kendi sertifika makamı (PEM)", "Свой центр сертификации (PEM)",
            maxLength=20_000,
        ),
        "imap_host": _text("Mailbox server (IMAP)", "Posta kutusu (IMAP)", "Сервер ящика (IMAP)", maxLength=253),
        "imap_port": _port("Mailbox port", "Posta kutusu bağlantı noktası", "Порт ящика", IMAP_PORT),
        "imap_user": _text("Mailbox user", "Posta kutusu kullanıcısı", "Пользователь ящика", maxLength=320),
        "imap_password": _text(
            "Mailbox password", "Posta kutusu parolası", "Пароль ящика", maxLength=1000, writeOnly=True
        ),
        "imap_folder": _text("Mailbox folder", "Posta kutusu klasörü", "Папка ящика", default="INBOX", maxLength=200),
    },
}  # fmt: skip

_PARAMS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["subject", "text"],
    "properties": {
        "to": _text("To", "Kime", "Кому", maxLength=500, description="Left out: the event's customer."),
        "subject": _text("Subject", "Konu", "Тема", minLength=1, maxLength=900),
        "text": _text("Text", "Metin", "Текст", minLength=1, maxLength=64_000),
        # What a template writes into it is escaped as HTML.
        "html": _text("Text as HTML", "HTML metin", "Текст в HTML", maxLength=256_000) | {"x-channel": "html"},
        "reply_to": _text("Answers go to", "Yanıt adresi", "Ответы на адрес", maxLength=500),
        "unsubscribe": _text(
            "Link to unsubscribe", "Abonelikten çıkma bağlantısı", "Ссылка для отписки", maxLength=900
        ),
    },
}


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {
        "title": {"en": "E-mail", "tr": "E-posta", "ru": "Электронная почта"},
        "summary": {
            "en": "Sends messages through your own mail server and tells which ones came back.",
            "tr": "Mesajları kendi posta sunucunuzdan gönderir, geri dönenleri bildirir.",
            "ru": "Отправляет письма через ваш почтовый сервер и сообщает, какие вернулись.",
        },
        "category": "messages",
        "version": "0.1.0",
        "permissions": {"effects": ["message"]},
        "settings": _SETTINGS,
        "accounts": True,
    }


@hookimpl
def vitrin_events() -> list[dict[str, Any]]:
    return [
        {
            "name": EVENT,
            "key": "message_id",
            "title": {"en": "An e-mail came back", "tr": "E-posta geri döndü", "ru": "Письмо вернулось"},
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["message_id", "recipient", "status", "permanent", "reason"],
                "properties": {
                    "message_id": _text("Message-ID", "Message-ID", "Message-ID"),
                    "recipient": _text("Recipient", "Alıcı", "Получатель"),
                    "status": _text("Status code", "Durum kodu", "Код состояния", examples=["5.1.1", "4.2.2"]),
                    "permanent": {"type": "boolean", **_labels("For good", "Kalıcı", "Окончательно")},
                    "reason": _text("Reason", "Neden", "Причина"),
                },
            },
            "sample": {
                "message_id": f"<{'0f3a' * 10}@shop.example>",
                "recipient": "name@customer.example",
                "status": "5.1.1",
                "permanent": True,
                "reason": "550 5.1.1 no such mailbox",
            },
        }
    ]


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    return [
        {
            "name": "mail.send_message",
            "title": {"en": "Send an e-mail", "tr": "E-posta gönder", "ru": "Отправить письмо"},
            "effect": "message",
            "scope": "outside",
            "takes_key": False,
            "repeat": "safe",
            "params": _PARAMS,
            "run": send_message,
            "preview": preview,
        }
    ]


@hookimpl
def vitrin_pollers() -> list[dict[str, Any]]:
    title = {"en": "Look for returned e-mail", "tr": "Geri dönen e-postalara bak", "ru": "Искать вернувшиеся письма"}
    return [{"name": "poll_bounces", "title": title, "schedule": "every 10 minutes", "run": poll_bounces}]


@hookimpl
def vitrin_check(ctx: Any) -> dict[str, Any]:
    return check(ctx)
