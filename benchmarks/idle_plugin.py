"""A plugin for benches: actions that do nothing, so that what is measured is the engine."""

from typing import Any

import pluggy

from core.host import Builtin

hookimpl = pluggy.HookimplMarker("vitrin")
IDLE = Builtin(name="idle", module="benchmarks.idle_plugin", summary="Does nothing", on=True)


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    """Say what this is."""
    return {"title": {"en": "Idle"}, "summary": {"en": "Does nothing."}, "category": "bench", "version": "1"}


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    """Bring an action that changes nothing."""
    shape = {"title": {"en": "Nothing"}, "params": {"type": "object"}, "effect": "note", "scope": "local"}
    return [{"name": "idle.do_nothing", "run": _do_nothing, **shape}]


def _do_nothing(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    return {}
