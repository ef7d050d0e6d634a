"""Webhooks that go out, signed as Standard Webhooks ask: one id over all tries, a fresh timestamp for each."""

import hashlib
from typing import Any

from standardwebhooks import Webhook

from core.http import parse_url
from core.jsontext import dumps
from plugins.webhooks.schemes import read_key, read_secrets

#: The receiver should store and answer; what takes longer is tried again under the same id.
TIMEOUT_S = 20.0


def send(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Deliver one message; anything but 2xx raises what it means for the queue."""
    url = _url(ctx, params)
    ident = message_id(ctx.idempotency_key)
    body = dumps({"type": params["type"], "data": params["body"]}, path="with.body")
    answer = ctx.http.post(
        url,
        content=body,
        headers={
            "Content-Type": "application/json",
            "Webhook-Id": ident,
            "Webhook-Timestamp": str(int(ctx.now.timestamp())),
            "Webhook-Signature": _signatures(ctx, ident, body),
        },
        timeout_s=TIMEOUT_S,
        follow_redirects=False,
    )
    if answer.status == 410:
        ctx.reject(f"{answer.where} answered 410: the receiver wants no more of these; take the step out of the rule")
    if 300 <= answer.status < 400:
        ctx.reject(f"{answer.where} answered {answer.status}: webhooks follow no redirect; enter the final address")
    answer.raise_for_status()
    return {"object": f"webhook:{ident}", "status": answer.status}


def preview(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Say what would be sent where."""
    place = parse_url(_url(ctx, params)).authority
    return {
        "text": {
            "en": f"Sends {params['type']} to {place}",
            "tr": f"{params['type']} olayını {place} adresine gönderir",
            "ru": f"Отправляет {params['type']} на {place}",
        }
    }


def message_id(key: str) -> str:
    """Return the webhook-id of an effect: the same for every try, without the dots that end it in the signed text."""
    return f"msg_{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _url(ctx: Any, params: dict[str, Any]) -> str:
    own, given = ctx.settings.get("url") or "", params.get("url") or ""
    if not own and not given:
        ctx.invalid("with.url", "is missing: give the address here, or in the account's settings")
    if own and given and parse_url(own).origin != parse_url(given).origin:
        # Whom the secret is meant for may be told what it signs, nobody else.
        ctx.invalid("with.url", f"must be on {parse_url(own).authority}, for which this account's secret is meant")
    return given or own


def _signatures(ctx: Any, ident: str, body: bytes) -> str:
    if ctx.settings.get("scheme", "standard_webhooks") != "standard_webhooks":
        ctx.invalid("settings.scheme", "must be standard_webhooks on an account that sends")
    keys = [read_key(secret) for secret in read_secrets(ctx.settings)]
    return " ".join(Webhook(key).sign(ident, ctx.now, body.decode()) for key in keys)
