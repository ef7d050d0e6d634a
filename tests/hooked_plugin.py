"""A plugin for tests: one secret, an address, a webhook that does what its body says."""

import json
import time
from typing import Any

import pluggy

hookimpl = pluggy.HookimplMarker("vitrin")

SECRET = "sesame-open-1234"


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {
        "title": {"en": "Hooked"},
        "summary": {"en": "Listens."},
        "category": "test",
        "version": "1.0",
        "accounts": True,
        "settings": {
            "type": "object",
            "additionalProperties": False,
            "required": ["secret"],
            "properties": {
                "secret": {"type": "string", "writeOnly": True, "minLength": 1},
                "base_url": {"type": "string"},
                "label": {"type": "string"},
            },
        },
    }


@hookimpl
def vitrin_events() -> list[dict[str, Any]]:
    schema = {"type": "object", "required": ["said"], "properties": {"said": {"type": "string"}}}
    return [{"name": "hooked.received", "title": {"en": "Received"}, "schema": schema, "sample": {"said": "hello"}}]


@hookimpl
def vitrin_webhooks() -> list[dict[str, Any]]:
    return [{"path": "in", "verify": verify, "run": run, "methods": ["GET", "POST"]}]


@hookimpl
def vitrin_check(ctx: Any) -> dict[str, Any]:
    if ctx.settings.get("label") == "refuse":
        ctx.reject("the other side refused")
    return {"account": "shop 1", "next": f"signed in with {ctx.settings['secret']}"}


def verify(ctx: Any, request: dict[str, Any]) -> None:
    if request["method"] != "GET" and request["headers"].get("x-token") != ctx.settings["secret"]:
        ctx.reject("wrong token")
    if b"hang_in_verify" in request["body"]:
        time.sleep(30)


def run(ctx: Any, request: dict[str, Any]) -> dict[str, Any] | None:
    if request["method"] == "GET":
        headers = {"Content-Type": "text/html", "Set-Cookie": "a=b", "Location": "https://evil.example"}
        return {"status": 200, "body": request["query"].get("challenge", ""), "headers": headers}
    told = json.loads(request["body"])
    if told.get("do") == "raise":
        raise ZeroDivisionError("a mistake in the plugin")
    if told.get("do") == "hang":
        time.sleep(30)
    ctx.store.put("last", told)
    ctx.emit("hooked.received", {"said": told["said"]}, id=told.get("id"))
    if told.get("do") == "fail_late":
        raise ZeroDivisionError("after writing")
    return None
