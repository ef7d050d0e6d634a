"""What a plugin's hooks answered, checked and turned into capabilities; the first wrong place is named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.capabilities import Action, Comparison, Fact, Poller, Webhook
from core.errors import InvalidInput, PluginError
from core.events import EventType
from core.schemas import compile_schema
from core.timetable import parse_schedule

_TITLE = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {language: {"type": "string", "maxLength": 300} for language in ("en", "tr", "ru")},
    "required": ["en"],
}
_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)+$", "maxLength": 80}
_SCHEMA = {"type": "object"}


def _shape(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


#: Callables are checked apart; here they are taken out before the rest is compared.
SHAPES: dict[str, dict[str, Any]] = {
    "vitrin_manifest": _shape(
        {"title": _TITLE, "summary": _TITLE, "category": {"type": "string"}, "version": {"type": "string"}},
        {
            "needs": _shape(
                {}, {"plugins": {"type": "array", "items": {"type": "string"}}, "engine": {"type": "string"}}
            ),
            "permissions": _shape(
                {},
                {
                    "hosts": {"type": "array", "items": {"type": "string"}},
                    "effects": {"type": "array", "items": {"type": "string"}},
                },
            ),
            "settings": _SCHEMA,
            "accounts": {"type": "boolean"},
        },
    ),
    "vitrin_events": _shape(
        {"name": _NAME, "title": _TITLE, "schema": _SCHEMA, "sample": {"type": "object"}},
        {"key": {"type": "string"}, "customer": {"type": "string"}},
    ),
    "vitrin_facts": _shape(
        {"name": _NAME, "title": _TITLE, "schema": _SCHEMA, "subject": {"type": "string"}}, {"with": _SCHEMA}
    ),
    "vitrin_operators": _shape(
        {"name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{1,40}$"}, "title": _TITLE},
        {"types": {"type": "array", "items": {"type": "string"}}},
    ),
    "vitrin_actions": _shape(
        {
            "name": _NAME,
            "title": _TITLE,
            "params": _SCHEMA,
            "effect": {"type": "string"},
            "scope": {"enum": ["local", "outside"]},
        },
        {
            "result": _SCHEMA,
            "takes_key": {"type": "boolean"},
            "repeat": {"enum": ["safe", "never"]},
            "emits": {"type": "array", "items": {"type": "string"}},
            "writes": {"type": "array", "items": {"type": "string"}},
        },
    ),
    "vitrin_pollers": _shape(
        {"name": {"type": "string", "pattern": "^poll_[a-z0-9_]+$"}, "title": _TITLE, "schedule": {}}
    ),
    "vitrin_webhooks": _shape(
        {"path": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"}},
        {"methods": {"type": "array", "items": {"enum": ["GET", "POST", "PUT"]}}, "title": _TITLE},
    ),
}


@dataclass(slots=True, kw_only=True)
class Brought:
    """Everything that one plugin brings."""

    name: str
    manifest: dict[str, Any]
    events: list[EventType] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    operators: list[Comparison] = field(default_factory=list)
    pollers: list[Poller] = field(default_factory=list)
    webhooks: list[Webhook] = field(default_factory=list)
    recipes: list[str] = field(default_factory=list)
    tables: dict[str, Any] | None = None


def collect(name: str, ask: Callable[[str], Any]) -> Brought:
    """Ask every listing hook and check the answers; `ask` returns None where the plugin has no such hook."""
    manifest = ask("vitrin_manifest")
    if manifest is None:
        raise PluginError(name, "has no vitrin_manifest hook")
    _check(name, "vitrin_manifest", manifest, "manifest")
    if "settings" in manifest:
        _schema(name, manifest["settings"], "manifest.settings")
    brought = Brought(name=name, manifest=manifest)
    for hook, read in _READERS.items():
        answers = ask(hook)
        if answers is None:
            continue
        if not isinstance(answers, (list, tuple)):
            raise PluginError(name, f"{hook} must answer a list, not {type(answers).__name__}")
        for number, answer in enumerate(answers):
            read(brought, answer, f"{hook}[{number}]")
    brought.tables = ask("vitrin_tables")
    _unique(name, [action.name for action in brought.actions], "action")
    _unique(name, [fact.name for fact in brought.facts], "fact")
    return brought


def _unique(plugin: str, names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PluginError(plugin, f"brings the {what} {twice[0]} twice")


def _check(plugin: str, hook: str, answer: Any, where: str) -> None:
    if not isinstance(answer, dict):
        raise PluginError(plugin, f"{where} must be a dict, not {type(answer).__name__}")
    plain = {key: value for key, value in answer.items() if not callable(value)}
    try:
        compile_schema(SHAPES[hook], own=True).check(plain, path=where)
    except InvalidInput as exc:
        raise PluginError(plugin, exc.message) from exc


def _schema(plugin: str, schema: dict[str, Any], where: str) -> None:
    try:
        compile_schema(schema)  # kept: a plugin that is switched on again is not checked anew
    except InvalidInput as exc:
        raise PluginError(plugin, f"{where}: {exc.message}") from exc


def _callable(plugin: str, answer: dict[str, Any], key: str, where: str) -> Callable[..., Any]:
    value = answer.get(key)
    if not callable(value):
        raise PluginError(plugin, f"{where}.{key} must be a function")
    return value


def _optional(plugin: str, answer: dict[str, Any], key: str, where: str) -> Callable[..., Any] | None:
    return None if answer.get(key) is None else _callable(plugin, answer, key, where)


def _event(brought: Brought, answer: Any, where: str) -> None:
    _check(brought.name, "vitrin_events", answer, where)
    _schema(brought.name, answer["schema"], f"{where}.schema")
    checker = compile_schema(answer["schema"])
    try:
        checker.check(answer["sample"], path=f"{where}.sample")
    except InvalidInput as exc:
        raise PluginError(brought.name, exc.message) from exc
    brought.events.append(
        EventType(
            name=answer["name"],
            title=answer["title"],
            schema=answer["schema"],
            sample=answer["sample"],
            plugin=brought.name,
            key=answer.get("key", ""),
            customer=answer.get("customer", ""),
            checker=checker,
        )
    )


def _action(brought: Brought, answer: Any, where: str) -> None:
    _check(brought.name, "vitrin_actions", answer, where)
    _schema(brought.name, answer["params"], f"{where}.params")
    name = brought.name
    brought.actions.append(
        Action(
            name=answer["name"],
            plugin=name,
            title=answer["title"],
            params=answer["params"],
            effect=answer["effect"],
            scope=answer["scope"],
            run=_callable(name, answer, "run", where),
            preview=_optional(name, answer, "preview", where),
            undo=_optional(name, answer, "undo", where),
            takes_key=answer.get("takes_key", False),
            repeat=answer.get("repeat", "safe"),
            emits=tuple(answer.get("emits", ())),
            writes=tuple(answer.get("writes", ())),
            checker=compile_schema(answer["params"]),
        )
    )


def _fact(brought: Brought, answer: Any, where: str) -> None:
    _check(brought.name, "vitrin_facts", answer, where)
    _schema(brought.name, answer["schema"], f"{where}.schema")
    _schema(brought.name, answer.get("with", {"type": "object"}), f"{where}.with")
    brought.facts.append(
        Fact(
            name=answer["name"],
            plugin=brought.name,
            title=answer["title"],
            schema=answer["schema"],
            params=answer.get("with", {"type": "object"}),
            subject=answer["subject"],
            load=_callable(brought.name, answer, "load", where),
        )
    )


def _operator(brought: Brought, answer: Any, where: str) -> None:
    _check(brought.name, "vitrin_operators", answer, where)
    test = _callable(brought.name, answer, "test", where)
    types = tuple(answer.get("types", ("text",)))
    brought.operators.append(
        Comparison(name=answer["name"], plugin=brought.name, title=answer["title"], types=types, test=test)
    )


def _poller(brought: Brought, answer: Any, where: str) -> None:
    _check(brought.name, "vitrin_pollers", answer, where)
    try:
        parse_schedule(answer["schedule"], "UTC")
    except InvalidInput as exc:
        raise PluginError(brought.name, f"{where}.schedule: {exc.reason}") from exc
    run = _callable(brought.name, answer, "run", where)
    brought.pollers.append(
        Poller(name=answer["name"], plugin=brought.name, title=answer["title"], schedule=answer["schedule"], run=run)
    )


def _webhook(brought: Brought, answer: Any, where: str) -> None:
    _check(brought.name, "vitrin_webhooks", answer, where)
    brought.webhooks.append(
        Webhook(
            path=answer["path"],
            plugin=brought.name,
            verify=_callable(brought.name, answer, "verify", where),
            run=_callable(brought.name, answer, "run", where),
            methods=tuple(answer.get("methods", ("POST",))),
        )
    )


def _recipe(brought: Brought, answer: Any, where: str) -> None:
    if not isinstance(answer, str):
        raise PluginError(brought.name, f"{where} must be a YAML text")
    brought.recipes.append(answer)


_READERS: dict[str, Callable[[Brought, Any, str], None]] = {
    "vitrin_events": _event,
    "vitrin_actions": _action,
    "vitrin_facts": _fact,
    "vitrin_operators": _operator,
    "vitrin_pollers": _poller,
    "vitrin_webhooks": _webhook,
    "vitrin_recipes": _recipe,
}
