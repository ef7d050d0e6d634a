"""The page of what the built-in plugins bring: events, actions, facts, pollers, webhooks, settings."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from commands.reference.markdown import as_json, code, codes, fenced, page, property_rows, table
from core.capabilities import Action, Fact
from core.collect import Brought, collect
from core.events import EventType
from core.host import Builtin
from rules.triggers import own_event_types

_ABOUT = """\
Events are what rules listen to; actions are what they do; facts are what conditions may ask beyond the event.
Plugins bring them; here are those that ship with Vitrin. `./vitrin plugins info NAME` names what an installed
plugin brings. The data of an event may hold more than its schema names: other systems may tell more."""
_DEPTH = 4
#: How a record reads among the fields of an event, and among those of all records.
Records = dict[str, Mapping[str, Any]]


def load_builtins(builtins: Mapping[str, Builtin]) -> list[Brought]:
    """Return what each built-in plugin brings, without switching anything on."""
    found = []
    for name, builtin in builtins.items():
        module = import_module(builtin.module)
        found.append(collect(name, lambda hook, module=module: getattr(module, hook, lambda: None)()))
    return found


def make_events(builtins: Mapping[str, Builtin]) -> str:
    """Return the page of events, actions and facts."""
    plugins = load_builtins(builtins)
    events = [*own_event_types(), *(event for plugin in plugins for event in plugin.events)]
    records = find_records(events)
    return page(
        "Events, actions and facts",
        _ABOUT,
        "## Plugins",
        table(("plugin", "at the first start", "what it does"), (_plugin(plugin, builtins) for plugin in plugins)),
        "## Events",
        table(
            ("event", "title", "plugin", "key", "customer"),
            ((_to(one.name), one.title["en"], one.plugin, code(one.key), code(one.customer)) for one in events),
        ),
        *(part for event in events for part in _event(event, records)),
        "## Records",
        "The records that several events carry, as far as each event tells them. Money is `{amount, currency}`.",
        *(part for name in sorted(records) for part in _record(name, records[name])),
        "## Actions",
        *(part for plugin in plugins for action in plugin.actions for part in _action(action)),
        "## Facts",
        *(part for plugin in plugins for fact in plugin.facts for part in _fact(fact)),
        *_connections(plugins),
    )


def _to(name: str) -> str:
    return f"[{code(name)}](#{name.replace('.', '')})"


def _plugin(plugin: Brought, builtins: Mapping[str, Builtin]) -> Sequence[str]:
    builtin = builtins[plugin.name]
    start = "in demo mode only" if builtin.demo else "on" if builtin.on else "off"
    return code(plugin.name), start, plugin.manifest["summary"]["en"]


def find_records(events: Sequence[EventType]) -> Records:
    """Return the objects that more than one event carries under one name and with one schema: they are told once."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        for name, part in event.schema.get("properties", {}).items():
            if "properties" in part:
                found.setdefault(name, []).append(part)
    return {name: parts[0] for name, parts in found.items() if len(parts) > 1 and all(one == parts[0] for one in parts)}


def _event(event: EventType, records: Records) -> Iterator[str]:
    yield f"### {event.name}"
    titles = ", ".join(event.title[language] for language in ("tr", "ru") if language in event.title)
    yield f"{event.title['en']} ({titles}). Brought by `{event.plugin}`."
    known = {name: part for name, part in event.schema.get("properties", {}).items() if part == records.get(name)}
    others = {name: part for name, part in event.schema.get("properties", {}).items() if name not in known}
    needed = event.schema.get("required", ())
    rows: list[tuple[str, ...]] = [
        (code(name), f"[record](#record-{name})", "yes" if name in needed else "", part["title"])
        for name, part in known.items()
    ]
    rows += property_rows({"properties": others, "required": needed}, depth=_DEPTH)
    yield table(("field", "kind", "needed", "label"), rows) or "Its data are free."
    yield "Sample:"
    yield fenced(as_json(dict(event.sample)), "json")


def _record(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### record {name}"
    yield table(("field", "kind", "needed", "label"), property_rows(schema, depth=_DEPTH, prefix=f"{name}."))


def _action(action: Action) -> Iterator[str]:
    yield f"### {action.name}"
    where = "Changes only our database" if action.scope == "local" else "Reaches another system"
    told = [f"{action.title['en']}. {where}; its effects are of the kind `{action.effect}`."]
    if action.scope == "outside":
        told.append("The other side takes our idempotency key." if action.takes_key else "The other side takes no key.")
        told.append("After an unclear crash a person decides." if action.repeat == "never" else "")
    told.append("It can be undone." if action.undo else "")
    told.append(f"May set off {codes(action.emits)}." if action.emits else "")
    yield " ".join(part for part in told if part)
    yield table(("parameter", "kind", "needed", "meaning"), property_rows(action.params, depth=2))


def _fact(fact: Fact) -> Iterator[str]:
    yield f"### {fact.name}"
    yield f"{fact.title['en']}. Asked about `{fact.subject}`; brought by `{fact.plugin}`."
    yield table(("parameter", "kind", "needed", "meaning"), property_rows(fact.params)) or "It takes no parameters."


def _connections(plugins: Sequence[Brought]) -> Iterator[str]:
    pollers = [
        (code(f"{one.plugin}.{one.name}"), one.title["en"], code(one.schedule)) for p in plugins for one in p.pollers
    ]
    hooks = [
        (code(f"/hooks/{plugin.name}/ACCOUNT/{hook.path}"), ", ".join(hook.methods))
        for plugin in plugins
        for hook in plugin.webhooks
    ]
    if pollers:
        yield "## Pollers"
        yield table(("poller", "title", "schedule"), pollers)
    if hooks:
        yield "## Webhooks"
        yield table(("address", "methods"), hooks)
    yield "## Settings of plugins"
    yield "Set with `./vitrin plugins config NAME`; one set for each account."
    for plugin in plugins:
        schema = plugin.manifest.get("settings") or {}
        rows: list[tuple[str, ...]] = [
            (name, kind, needed, f"{words} Secret: kept encrypted, never shown." if _is_secret(schema, name) else words)
            for name, kind, needed, words in property_rows(schema)
        ]
        if rows:
            yield f"### Settings of {plugin.name}"
            yield table(("setting", "kind", "needed", "meaning"), rows)


def _is_secret(schema: Mapping[str, Any], name: str) -> bool:
    return bool(schema["properties"][name.strip("`")].get("writeOnly"))
