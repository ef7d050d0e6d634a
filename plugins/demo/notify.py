"""The demo's one outside action: a message to the staff's chat, which is played by a stand-in on this machine."""

from ipaddress import ip_address
from typing import Any

from core.http import parse_url

_TIMEOUT_S = 5.0


def send(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Post one message; the chat's refusals become what they mean for the queue."""
    answer = ctx.http.post(
        _url(ctx),
        json={"room": params["room"], "text": params["text"]},
        headers={"Authorization": f"Bearer {ctx.settings['token']}"},
        idempotency_key=ctx.idempotency_key,
        timeout_s=_TIMEOUT_S,
        follow_redirects=False,
    )
    told = answer.raise_for_status().json()
    if not isinstance(told, dict) or "id" not in told:
        ctx.retry_later(f"{answer.where} answered without the message's id")
    return {"object": f"chat:{told['id']}", "message": str(told["id"])}


def preview(_ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Say what would be posted where."""
    room, text = params.get("room", ""), params.get("text", "")
    return {
        "text": {
            "en": f"Write in the chat room {room}: {text}",
            "tr": f"{room} sohbet odasına yaz: {text}",
            "ru": f"Написать в чат {room}: {text}",
        }
    }


def check(ctx: Any) -> dict[str, Any]:
    """Ask the stand-in whether it is there."""
    health = _url(ctx).removesuffix("/messages") + "/health"
    told = ctx.http.get(health, timeout_s=_TIMEOUT_S).raise_for_status().json()
    if not isinstance(told, dict) or "name" not in told:
        ctx.retry_later("the chat answered without its name")
    return {"account": str(told["name"])}


def _url(ctx: Any) -> str:
    """Return the chat's address; the demo's messages never go beyond this machine."""
    url = ctx.settings["url"]
    try:
        is_here = ip_address(parse_url(url).host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        ctx.reject("the demo's chat is on this machine only: its address must begin with http://127.0.0.1")
    return url
