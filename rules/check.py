"""Checks at save time: what can never work, what refers to something missing, what may chase its own tail."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from core.errors import InvalidInput, RuleError
from core.events import EventType
from core.tables import events
from core.text import fold
from rules.conditions import Condition, Group, Row
from rules.rule import OWN_EVENTS, Rule, compile_rule
from rules.steps import Await, Branch, Do, Each, RunRule, Sleep, templates_in
from rules.store import find_rule
from rules.values import read_number
from rules.yaml_text import read_rule_text

if TYPE_CHECKING:
    from rules.engine import Engine

#: Names that every picture has, whatever the event.
_ALWAYS = ("event", "now", "steps", "facts", "changes", "rule", "shop", "params")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before switching on; an error means that the rule cannot work as it is."""

    severity: str
    path: str
    message: str


def check_rule(engine: "Engine", document: Mapping[str, Any], *, draft: bool = False) -> list[dict[str, Any]]:
    """Return what is wrong or odd with a rule document, errors first; an empty list is a clean bill.

    A `draft` may listen to events that nothing brings yet; a rule that is published may not.
    """
    try:
        rule = compile_rule(document, scope=engine.book.scope)
    except RuleError as exc:
        return [asdict(Finding("error", exc.path, exc.reason))]
    with engine.db.read() as conn:
        found = [*_triggers(engine, conn, rule, draft=draft), *_actions(engine, rule), *_steps(rule)]
        found += [
            *_called(conn, rule),
            *_fields(engine, rule),
            *_conditions(engine, rule),
            *_loops(engine, rule),
            *_writers(engine, rule),
        ]
    return [asdict(finding) for finding in sorted(found, key=lambda finding: finding.severity)]


def check_text(engine: "Engine", text: str, *, draft: bool = True) -> list[dict[str, Any]]:
    """Return what is wrong or odd with a rule's text, where it cannot even be read too."""
    try:
        return check_rule(engine, read_rule_text(text), draft=draft)
    except RuleError as exc:
        return [asdict(Finding("error", exc.path, exc.reason))]


def ensure_ready(engine: "Engine", document: Mapping[str, Any]) -> None:
    """Raise RuleError for the first error of a rule that is about to go live."""
    for finding in check_rule(engine, document):
        if finding["severity"] == "error":
            raise RuleError(finding["path"], finding["message"])


def ensure_heard(engine: "Engine", document: Mapping[str, Any]) -> None:
    """Raise RuleError where a rule listens to what nothing brings; it may go live later, and would never start."""
    rule = compile_rule(document, scope=engine.book.scope)
    with engine.db.read() as conn:
        for finding in _triggers(engine, conn, rule, draft=False):
            if finding.severity == "error":
                raise RuleError(finding.path, finding.message)


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _triggers(engine: "Engine", conn: Connection, rule: Rule, *, draft: bool) -> Iterator[Finding]:
    known = [kind.name for kind in engine.host.catalogue]
    heard = [("when", name) for name in rule.trigger.types if rule.trigger.kind not in OWN_EVENTS]
    if rule.trigger.kind == "silence":
        heard = [("when.absence", rule.trigger.document["absence"])]
    for path, name in [*heard, *((step.path, step.event_type) for step in rule.waits)]:
        if name in known:
            continue
        message = f"no plugin that is on brings the event {name}{_near(name, known)}"
        if draft or _has_come(conn, name):
            yield Finding("warning", path, message)
            continue
        todo = "correct the name, or switch on the plugin that brings it (./vitrin plugins list)"
        yield Finding("error", path, f"{message}, and none has ever come: {todo}")


def _has_come(conn: Connection, event_type: str) -> bool:
    return conn.execute(select(events.c.id).where(events.c.type == event_type).limit(1)).first() is not None


def _actions(engine: "Engine", rule: Rule) -> Iterator[Finding]:
    for step in rule.program:
        if not isinstance(step, Do):
            continue
        action = engine.host.find_action(step.action)
        if action is None:
            names = list(engine.host.actions)
            yield Finding("error", f"{step.path}.do", f"no action {step.action}{_near(step.action, names)}")
            continue
        if action.checker is not None and not templates_in(step.params):
            try:
                action.checker.check(step.params, path=f"{step.path}.with")
            except InvalidInput as exc:
                yield Finding("error", exc.path, exc.reason)
        else:
            yield from _params(step, action.params)


def _params(step: Do, schema: Mapping[str, Any]) -> Iterator[Finding]:
    """What can be said of parameters that hold templates: names, and what is missing."""
    given = step.params if isinstance(step.params, Mapping) else {}
    known = list(schema.get("properties", {}))
    for name in given:
        if known and name not in known and schema.get("additionalProperties") is False:
            yield Finding("error", f"{step.path}.with.{name}", f"is no parameter of {step.action}{_near(name, known)}")
    for name in schema.get("required", []):
        if name not in given:
            yield Finding("error", f"{step.path}.with", f"{step.action} needs {name}")


def _steps(rule: Rule) -> Iterator[Finding]:
    """References to results of steps that do not exist."""
    names = {step.name for step in rule.program if isinstance(step, (Do, Sleep, Await))}
    for path, field in _all_fields(rule):
        parts = field.split(".")
        if parts[0] == "steps" and len(parts) > 1 and parts[1] not in names:
            yield Finding("error", path, f"no step is called {parts[1]!r}{_near(parts[1], sorted(names))}")


def _called(conn: Connection, rule: Rule) -> Iterator[Finding]:
    for step in rule.program:
        if isinstance(step, RunRule) and find_rule(conn, step.rule) is None:
            yield Finding("error", f"{step.path}.run", f"there is no rule {step.rule!r}")


def _fields(engine: "Engine", rule: Rule) -> Iterator[Finding]:
    """Fields that the event's schema does not know: likely a typing mistake."""
    kinds = [kind for name in rule.trigger.types if (kind := engine.host.catalogue.find(name)) is not None]
    if len(kinds) != len(rule.trigger.types) or rule.trigger.kind in OWN_EVENTS:
        return  # what own triggers carry (form, body, the record) is in no schema
    items = {step.name for step in rule.program if isinstance(step, Each)}
    for path, field in _all_fields(rule):
        head = field.split(".")[0]
        if head in _ALWAYS or head in items or any(_has(kind, field) for kind in kinds):
            continue
        known = sorted({name for kind in kinds for name in _known_fields(kind.schema)})
        yield Finding("warning", path, f"{field} is no field of {kinds[0].name}{_near(field, known)}")


def _has(kind: EventType, field: str) -> bool:
    node: Any = kind.schema
    for part in field.split("."):
        while isinstance(node, Mapping) and "items" in node and not part.isdigit():
            node = node["items"]
        properties = node.get("properties") if isinstance(node, Mapping) else None
        if not properties:
            return True  # the schema says nothing about what is inside
        if part not in properties:
            return node.get("additionalProperties", True) not in (False,) and not properties
        node = properties[part]
    return True


def _known_fields(schema: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[str]:
    while "items" in schema:
        schema = schema["items"]
    for name, part in schema.get("properties", {}).items():
        yield prefix + name
        if depth < 6 and isinstance(part, Mapping):
            yield from _known_fields(part, f"{prefix}{name}.", depth + 1)


def _all_fields(rule: Rule) -> Iterator[tuple[str, str]]:
    """Every field that conditions and templates of the rule read, with the place that reads it."""
    for field in rule.condition.fields:
        yield "if", field
    for step in rule.program:
        values: Any = None
        if isinstance(step, Branch):
            for condition, _ in step.arms:
                yield from ((step.path, field) for field in condition.fields)
        elif isinstance(step, (Do, RunRule)):
            values = step.params
        elif isinstance(step, Await):
            values = dict(step.where)
        for template in templates_in(values):
            yield from ((template.path, field) for field in template.fields)


def _conditions(engine: "Engine", rule: Rule) -> Iterator[Finding]:
    """Rows of one `all` that exclude each other."""
    kinds = [kind for name in rule.trigger.types if (kind := engine.host.catalogue.find(name)) is not None]
    kinds = kinds if len(kinds) == len(rule.trigger.types) else []
    for group, decides in _groups(rule.condition):
        rows = [part for part in group.parts if isinstance(part, Row) and part.over is None and part.fact is None]
        rows = [row for row in rows if row.also is None and not row.if_unknown]
        for number, row in enumerate(rows):
            for other in rows[number + 1 :]:
                if row.subject == other.subject and _exclude(row, other):
                    lists = {_crosses_list(kind.schema, row.subject) for kind in kinds}
                    if True in lists:
                        continue  # two items of one list may well differ
                    sure = decides and lists == {False}
                    ending = "the rule never acts" if sure else "this group does not hold, unless the field is a list"
                    message = f"{row.subject} can never be both this and {row.path}: {ending}"
                    yield Finding("error" if sure else "warning", other.path, message)


def _crosses_list(schema: Any, field: str) -> bool | None:
    """Tell whether a list stands on the path; None where the schema does not say."""
    node = schema
    for part in field.split("."):
        node = node.get("properties", {}).get(part) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping):
            return None
        if "items" in node or "array" in str(node.get("type", "")):
            return True
    return False


def _groups(condition: Condition, decides: bool = True) -> Iterator[tuple[Group, bool]]:
    """Every `all`, with whether the whole condition fails when it does."""
    if isinstance(condition, Group):
        if condition.kind == "all":
            yield condition, decides
        for part in condition.parts:
            yield from _groups(part, decides and condition.kind == "all")


def _exclude(one: Row, other: Row) -> bool:
    if one.index is not None and other.index is not None:
        folded = [{fold(value) for value in row.index.values} for row in (one, other) if row.index]
        return not folded[0] & folded[1]
    low, high = _bounds(one), _bounds(other)
    if low is None or high is None:
        return False
    least, most = max(low[0], high[0]), min(low[1], high[1])
    strict = {row.operator.name for row in (one, other)} & {"above", "below"}
    return least > most or (least == most and bool(strict))


def _bounds(row: Row) -> tuple[Decimal, Decimal] | None:
    number = read_number(row.wanted) if not isinstance(row.wanted, (list, bool)) else None
    if number is None:
        return None
    least, most = Decimal("-Infinity"), Decimal("Infinity")
    exact = Decimal(number)
    return {
        "at_least": (exact, most),
        "above": (exact, most),
        "at_most": (least, exact),
        "below": (least, exact),
        "equal": (exact, exact),
    }.get(row.operator.name)


def _loops(engine: "Engine", rule: Rule) -> Iterator[Finding]:
    """Rules that may set themselves or each other off, as far as actions say which events they emit."""
    emitted = {other.name: _emits(engine, other) for other in engine.book if other.name != rule.name}
    listens = {other.name: set(other.trigger.types) for other in engine.book if other.name != rule.name}
    emitted[rule.name], listens[rule.name] = _emits(engine, rule), set(rule.trigger.types)
    called = {other.name: _calls(other) for other in engine.book if other.name != rule.name} | {rule.name: _calls(rule)}
    trail, todo = {rule.name: [rule.name]}, [rule.name]
    while todo:
        name = todo.pop()
        for following, types in listens.items():
            if not emitted[name] & types and following not in called[name]:
                continue
            if following == rule.name:
                chain = " → ".join([*trail[name], rule.name])
                yield Finding("warning", "then", f"may set itself off: {chain}; a chain is cut off at its limit")
                return
            if following not in trail:
                trail[following] = [*trail[name], following]
                todo.append(following)


def _calls(rule: Rule) -> set[str]:
    return {step.rule for step in rule.program if isinstance(step, RunRule)}


def _emits(engine: "Engine", rule: Rule) -> set[str]:
    actions = [engine.host.find_action(step.action) for step in rule.program if isinstance(step, Do)]
    return {name for action in actions if action is not None for name in action.emits}


def _writers(engine: "Engine", rule: Rule) -> Iterator[Finding]:
    """Two live rules that listen to one event and write one field."""
    mine = _writes(engine, rule)
    for other in engine.book:
        if other.name == rule.name or not set(other.trigger.types) & set(rule.trigger.types):
            continue
        for field in sorted(mine & _writes(engine, other)):
            yield Finding(
                "warning", "then", f"the rule {other.name} writes {field} on the same event; the last one wins"
            )


def _writes(engine: "Engine", rule: Rule) -> set[str]:
    actions = [engine.host.find_action(step.action) for step in rule.program if isinstance(step, Do)]
    return {name for action in actions if action is not None for name in action.writes}
