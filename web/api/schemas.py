"""What rules can be made of, right now: events, actions, operators, facts, and the rule document itself."""

from typing import Any

from rules.rule import rule_schema
from web.routes import Call, Reply, Route
from web.shapes import ANY, FLAG, OBJECT, TEXT, WORDS, list_of, shape


def list_event_types(call: Call) -> Reply:
    """List the event types of the plugins that are on."""
    rows = [
        {
            "name": kind.name,
            "title": dict(kind.title),
            "plugin": kind.plugin,
            "schema": kind.schema,
            "sample": kind.sample,
            "key": kind.key,
            "customer": kind.customer,
        }
        for kind in call.engine.host.catalogue
    ]
    return _data(rows)


def list_actions(call: Call) -> Reply:
    """List what rules can do."""
    rows = [
        {
            "name": action.name,
            "title": dict(action.title),
            "plugin": action.plugin,
            "params": action.params,
            "effect": action.effect,
            "scope": action.scope,
            "undoable": action.undo is not None,
        }
        for action in call.engine.host.actions.values()
    ]
    return _data(rows)


def list_facts(call: Call) -> Reply:
    """List what conditions can ask beyond the event."""
    rows = [
        {
            "name": fact.name,
            "title": dict(fact.title),
            "plugin": fact.plugin,
            "schema": fact.schema,
            "with": fact.params,
            "subject": fact.subject,
        }
        for fact in call.engine.host.facts.values()
    ]
    return _data(rows)


def list_operators(call: Call) -> Reply:
    """List how conditions can compare."""
    rows = [
        {"name": row.name, "types": list(row.types), "wants": row.wants, "whole_list": row.whole}
        for row in call.engine.book.scope.operators.values()
    ]
    return _data(rows)


def show_rule_schema(call: Call) -> Reply:
    """Return the JSON Schema of the rule document, for editors."""
    return Reply(body=rule_schema())


def _data(rows: list[dict[str, Any]]) -> Reply:
    return Reply(body={"data": sorted(rows, key=lambda row: row["name"])})


def _rows(**fields: Any) -> dict[str, Any]:
    """Return the schema of an answer with such rows, each with its name."""
    return shape(data=list_of(shape(name=TEXT, **fields)))


ROUTES = (
    Route(
        method="GET",
        path="/schemas/events",
        scope="rules:read",
        run=list_event_types,
        summary="Event types, with the JSON Schema of their data",
        answers={200: _rows(title=WORDS, plugin=TEXT, schema=OBJECT, sample=OBJECT, key=TEXT, customer=TEXT)},
    ),
    Route(
        method="GET",
        path="/schemas/actions",
        scope="rules:read",
        run=list_actions,
        summary="What rules can do",
        answers={200: _rows(title=WORDS, plugin=TEXT, params=OBJECT, effect=TEXT, scope=TEXT, undoable=FLAG)},
    ),
    Route(
        method="GET",
        path="/schemas/facts",
        scope="rules:read",
        run=list_facts,
        summary="What conditions can ask beyond the event",
        answers={200: _rows(title=WORDS, plugin=TEXT, schema=OBJECT, subject=TEXT, **{"with": ANY})},
    ),
    Route(
        method="GET",
        path="/schemas/operators",
        scope="rules:read",
        run=list_operators,
        summary="How conditions can compare",
        answers={200: _rows(types=list_of(TEXT), wants=TEXT, whole_list=FLAG)},
    ),
    Route(
        method="GET",
        path="/schemas/rule",
        scope="rules:read",
        run=show_rule_schema,
        summary="The JSON Schema of the rule document, for editors",
        answers={200: OBJECT},
    ),
)
