"""Webhooks that come in: believed only when signed, taken once for ever, told to the rules as `webhook.received`."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidInput
from core.events import text_at
from core.jsontext import loads
from plugins.webhooks.schemes import Delivery, check, read_claim, read_secrets

EVENT = "webhook.received"

_TOPIC = re.compile(r"[A-Za-z0-9_./:-]{1,200}")
#: WooCommerce asks so, unsigned, whether the address answers at all.
_PING = re.compile(rb"webhook_id=[0-9]{1,12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Where a kind of sender writes what happened and the delivery's id, unless the account says otherwise."""

    id_header: str = ""
    id_path: str = ""
    topic_header: str = ""
    topic_path: str = ""
    #: The id is not under the signature, and every change shows in the body: the same body on the same topic is a
    #: delivery sent again, whatever id it carries.
    same_body_once: bool = False


_HABITS: dict[str, Habits] = {
    "standard_webhooks": Habits(id_header="webhook-id", topic_path="type"),
    "shopify": Habits(id_header="x-shopify-webhook-id", topic_header="x-shopify-topic", same_body_once=True),
    "woocommerce": Habits(id_header="x-wc-webhook-delivery-id", topic_header="x-wc-webhook-topic", same_body_once=True),
    "stripe_style": Habits(id_path="id", topic_path="type"),
}


def verify(ctx: Any, request: Mapping[str, Any]) -> None:
    """Raise RejectedError for a delivery that is not proven, SignInError where the account has no secret."""
    read_secrets(ctx.settings)
    if request["method"] != "POST":
        ctx.reject("webhooks come by POST")
    delivery = _delivery(ctx, request)
    if not _is_ping(delivery):
        check(read_claim(delivery))


def run(ctx: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Emit a verified delivery as an event; one that came before changes nothing."""
    delivery = _delivery(ctx, request)
    if _is_ping(delivery):
        return {"body": {"ignored": "ping"}}
    body = loads(delivery.body)
    if not isinstance(body, (dict, list)):
        ctx.invalid("body", "must be a JSON object or list")
    topic = _topic(delivery, body)
    ident = _ident(delivery, body)
    if _came_before(ctx, delivery, ident, topic):
        return {"body": {"id": ident, "duplicate": True}}
    data = {"account": ctx.account, "topic": topic, "body": body}
    ctx.emit(EVENT, data, key=_key(delivery, body), id=f"{ctx.account}:{ident}")
    return {"body": {"id": ident, "duplicate": False}}


def _delivery(ctx: Any, request: Mapping[str, Any]) -> Delivery:
    return Delivery(headers=request["headers"], body=request["body"], now=ctx.now, settings=ctx.settings)


def _is_ping(delivery: Delivery) -> bool:
    signed = "x-wc-webhook-signature" in delivery.headers
    woocommerce = delivery.settings.get("scheme") == "woocommerce"
    return woocommerce and not signed and _PING.fullmatch(delivery.body) is not None


def _habit(delivery: Delivery, name: str) -> str:
    usual = _HABITS.get(delivery.settings.get("scheme", "standard_webhooks"), Habits())
    return delivery.settings.get(name) or getattr(usual, name)


def _topic(delivery: Delivery, body: Any) -> str:
    """Return what happened in the sender's words: fixed, or from a header, or from the body."""
    if fixed := delivery.settings.get("topic"):
        return fixed
    header, path = _habit(delivery, "topic_header"), _habit(delivery, "topic_path")
    value = delivery.headers.get(header.lower(), "") if header else _text_at(body, path) or ""
    if value and not _TOPIC.fullmatch(value):
        raise InvalidInput(f"headers.{header}" if header else f"body.{path}", "must be one word that names the event")
    return value


def _ident(delivery: Delivery, body: Any) -> str:
    """Return the sender's id of this delivery; one without an id is known by what was signed."""
    header, path = _habit(delivery, "id_header"), _habit(delivery, "id_path")
    given = delivery.headers.get(header.lower()) if header else _text_at(body, path)
    if not given:
        return f"sha256:{_digest(read_claim(delivery).signed)}"
    return given if len(given) <= 255 else f"sha256:{_digest(given.encode('utf-8', 'replace'))}"


def _key(delivery: Delivery, body: Any) -> str | None:
    path = delivery.settings.get("key_path") or ""
    key = _text_at(body, path)
    if key is not None and len(key) > 255:
        raise InvalidInput(f"body.{path}", "is longer than 255 characters: too long for the key of an event")
    return key


def _text_at(body: Any, path: str) -> str | None:
    return text_at(body, path) if path and isinstance(body, dict) else None


def _came_before(ctx: Any, delivery: Delivery, ident: str, topic: str) -> bool:
    """Tell whether this delivery was taken earlier, and remember it for ever, also when its event is gone by then."""
    body = _digest(delivery.body)
    marks = [f"id:{_digest(ident.encode('utf-8', 'replace'))}"]
    usual = _HABITS.get(delivery.settings.get("scheme", "standard_webhooks"))
    if usual is not None and usual.same_body_once:
        marks.append(f"body:{_digest(topic.encode() + b' ' + delivery.body)}")
    for mark in marks:
        known = ctx.store.get(mark)
        if known is None:
            continue
        if known != body:
            ctx.log.warning("a webhook came again with another body; the first one counts", account=ctx.account)
        return True
    for mark in marks:
        ctx.store.put(mark, body)
    return False


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
