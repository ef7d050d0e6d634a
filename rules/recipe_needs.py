"""What a rule document needs of a shop: event types, actions, facts, operators, custom fields, other rules."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from core.errors import RuleError
from rules.date_fields import WITH_FIELDS, read_date_field
from rules.dates import TABLES, value_of
from rules.operators import OPERATORS
from rules.rule import compile_rule
from rules.store import find_rule

if TYPE_CHECKING:
    from rules.engine import Engine

_FIELD = re.compile(rf"\b((?:{'|'.join(WITH_FIELDS)})\.fields(?:\.[^\W\d][\w-]*)+)")
#: A field that the newest so many records do not have counts as one that the shop does not have.
_LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that must be there."""

    #: event, action, fact, operator, field, rule, or engine: the document cannot be read by this engine
    kind: str
    name: str
    #: The plugin that brings it; None for what no plugin brings, and where it is not known.
    plugin: str | None = None
    #: What is missing and what to do, in words; None where nothing is.
    missing: str | None = None


def find_needs(engine: "Engine", conn: Connection, document: Mapping[str, Any]) -> list[Need]:
    """Return what the document needs, each thing once, with what is missing here."""
    found = [_check(engine, conn, kind, name) for kind, name in dict.fromkeys(_named(document))]
    if not any(need.missing for need in found):
        try:
            compile_rule(document, scope=engine.book.scope)
        except RuleError as exc:
            found.append(Need(kind="engine", name="rule format", missing=f"this engine does not take it: {exc}"))
    return found


def _named(document: Any) -> Iterator[tuple[str, str]]:
    """Yield every (kind, name) that the document reads, does or waits for."""
    for part in _objects(document):
        for name in _events(part):
            yield "event", name
        if isinstance(part.get("do"), str):
            yield "action", part["do"]
        if isinstance(part.get("run"), str) and "do" not in part and "key" not in part:
            yield "rule", part["run"]
        if isinstance(part.get("fact"), str):
            yield "fact", part["fact"]
        if isinstance(part.get("is"), str) and part["is"] not in OPERATORS:
            yield "operator", part["is"]
    for text in _texts(document):
        for name in _FIELD.findall(text):
            yield "field", name


def _events(part: Mapping[str, Any]) -> list[str]:
    """Return the event types that a trigger or a wait names."""
    if not ({"when", "wait"} & part.keys()):
        return []
    inner = part.get("when") or part.get("wait")
    if not isinstance(inner, Mapping):
        return []
    named = [inner.get(word) for word in ("event", "after", "absence")]
    return [name for one in named for name in (one if isinstance(one, list) else [one]) if isinstance(name, str)]


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object of the document but those inside parameters: what they say is the action's own."""
    if isinstance(value, Mapping):
        yield value
        value = [item for name, item in value.items() if name != "with"]
    for item in value if isinstance(value, list) else ():
        yield from _objects(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _texts(item)


def _check(engine: "Engine", conn: Connection, kind: str, name: str) -> Need:
    if kind == "field":
        there = has_field(conn, name)
        noun = name.partition(".")[0]
        return Need(kind=kind, name=name, missing=None if there else f"no {noun} has the field {name} yet: fill it in")
    if kind == "rule":
        there = find_rule(conn, name) is not None
        return Need(kind=kind, name=name, missing=None if there else f"there is no rule {name} yet: make it first")
    host = engine.host
    brought = {"event": host.catalogue.find, "action": host.find_action, "fact": host.find_fact}
    found = host.operators.get(name) if kind == "operator" else brought[kind](name)
    if found is not None:
        return Need(kind=kind, name=name, plugin=found.plugin)
    return Need(kind=kind, name=name, plugin=_guess(engine, name), missing=_advice(engine, kind, name))


def _guess(engine: "Engine", name: str) -> str | None:
    """Return the plugin that the name sounds like: what plugins bring bears their name."""
    head = name.partition(".")[0]
    return next((plugin.name for plugin in engine.host if plugin.name == head), None)


def _advice(engine: "Engine", kind: str, name: str) -> str:
    plugin = _guess(engine, name)
    if plugin is not None and engine.host.get(plugin).brought is None:
        return f"the {kind} {name}: switch on the plugin {plugin}"
    return f"the {kind} {name}: no plugin that is on brings it"


def has_field(conn: Connection, path: str) -> bool:
    """Tell whether any of the newest records has this custom field."""
    field = read_date_field(path)
    table = TABLES[field.noun]
    newest = select(table.c.fields).order_by(table.c.id.desc()).limit(_LOOKED_AT).subquery()
    there = select(newest.c.fields).where(value_of(field, newest, conn.dialect.name).is_not(None)).limit(1)
    return conn.execute(there).first() is not None
