"""A plugin for fault tests: sends to a counting provider, with and without the provider honouring our key."""

from typing import Any

import pluggy

hookimpl = pluggy.HookimplMarker("vitrin")

_PARAMS = {
    "type": "object",
    "required": ["url", "number"],
    "properties": {"url": {"type": "string"}, "number": {"type": "integer"}},
}


def _title(text: str) -> dict[str, str]:
    return dict.fromkeys(("en", "tr", "ru"), text)


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {"title": _title("Provider"), "summary": _title("Counts"), "category": "test", "version": "1"}


@hookimpl
def vitrin_events() -> list[dict[str, Any]]:
    order = {"type": "object", "properties": {"id": {"type": "string"}}}
    schema = {"type": "object", "properties": {"order": order}}
    return [{"name": "order.packed", "title": _title("Packed"), "schema": schema, "sample": {"order": {"id": "A"}}}]


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    def action(name: str, *, takes_key: bool) -> dict[str, Any]:
        return {
            "name": f"provider.{name}",
            "title": _title(name),
            "params": _PARAMS,
            "effect": "message",
            "scope": "outside",
            "takes_key": takes_key,
            "run": lambda ctx, params: _send(ctx, params, name),
        }

    return [action("send_keyed", takes_key=True), action("send_plain", takes_key=False)]


def _send(ctx: Any, params: dict[str, Any], name: str) -> dict[str, Any]:
    body = {"number": params["number"], "key": ctx.idempotency_key}
    ctx.http.post(f"{params['url']}/{name}", json=body).raise_for_status()
    return {"object": f"sent:{params['number']}"}
