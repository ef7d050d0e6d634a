"""For developers: a test event, the schemas of what automations are made of, the routes of the API."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import orjson

from core.cloudevents import Incoming
from core.errors import InvalidInput, NotFound
from core.events import EventType
from core.ids import new_id
from rules.labels import Labels, fields_of
from web.api.events import make_event
from web.api.tables import BASE, ROUTES
from web.visits import ADMIN, DEVELOPER, Answer, Page, Visit

PAGE = Page("dev")
_WHO = (ADMIN, DEVELOPER)
#: What test events say they come from.
_SOURCE = "test"
_NOUNS = ("events", "actions", "facts")


@PAGE.get("/dev", _WHO)
def event_form(visit: Visit) -> Answer:
    """Show a form that is filled with the sample of the chosen type."""
    kinds = _sendable(visit)
    wanted = visit.query.get("type")
    kind = next((one for one in kinds if one.name == wanted), kinds[0] if kinds else None)
    return _form(visit, kind, _pretty(kind.sample) if kind else "{}")


def _form(visit: Visit, kind: EventType | None, text: str, error: str = "", status: int = 200) -> Answer:
    return visit.render(
        "dev/event.html",
        status=status,
        active="dev",
        kinds=_sendable(visit),
        kind=kind,
        text=text,
        error=error,
        curl=_curl(visit, kind) if kind else "",
        labels=Labels(visit.engine, visit.language),
    )


def _sendable(visit: Visit) -> list[EventType]:
    """Return the types that a sender may tell: those of the engine are told by itself."""
    return [kind for kind in visit.engine.host.catalogue if kind.plugin != "engine"]


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _curl(visit: Visit, kind: EventType) -> str:
    body = orjson.dumps({"type": kind.name, "source": _SOURCE, "data": kind.sample}).decode().replace("'", "'\\''")
    parts = (
        f"curl -X POST {visit.engine.settings.base_url}{BASE}/events",
        '-H "Authorization: Bearer $TOKEN"',
        "-H 'Content-Type: application/json'",
        f"-d '{body}'",
    )
    return " \\\n  ".join(parts)


@PAGE.post("/dev/events", _WHO)
def send_event(visit: Visit) -> Answer:
    """Take in a test event as if it came from outside; automations that are on act on it."""
    text, name = visit.field("data"), visit.field("type")
    kind = next((one for one in _sendable(visit) if one.name == name), None)
    if kind is None:
        return _form(visit, None, text, visit.say("Choose a kind of event that a plugin brings."), 422)
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _form(visit, kind, text, visit.say("This is not JSON: check brackets, commas and quotes."), 422)
    try:
        item = Incoming(source=_SOURCE, id=new_id(), type=name, data=data)
        event = make_event(visit.engine.host.catalogue, item, visit.now)
    except (InvalidInput, NotFound) as exc:
        return _form(visit, kind, text, exc.message, 422)
    taken = visit.write(lambda tx: visit.engine.intake.take(tx, [event]))[0]
    words = visit.say_many("Sent: %(num)s automation started.", "Sent: %(num)s automations started.", len(taken.rules))
    return visit.go(f"/events/{event.id}", words)


@PAGE.get("/dev/schemas", _WHO)
def schemas(visit: Visit) -> Answer:
    """Show the fields of every event, action or fact, with the plugin that brings it."""
    noun = visit.query.get("what")
    noun = noun if noun in _NOUNS else _NOUNS[0]
    labels = Labels(visit.engine, visit.language)
    return visit.render(
        "dev/schemas.html", active="dev", noun=noun, things=list(_things(visit, noun, labels)), labels=labels
    )


def _things(visit: Visit, noun: str, labels: Labels) -> Iterable[Mapping[str, Any]]:
    host = visit.engine.host
    if noun == "events":
        for kind in host.catalogue:
            yield _thing(kind, labels.event(kind.name), kind.schema, labels.language, sample=kind.sample)
        return
    found = host.actions if noun == "actions" else host.facts
    for name, thing in sorted(found.items()):
        title = labels.action(name) if noun == "actions" else labels.fact(name)
        yield _thing(thing, title, thing.params, labels.language, answer=getattr(thing, "schema", None))


def _thing(thing: Any, title: str, schema: Mapping[str, Any], language: str, **more: Any) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    fields = [
        {
            "path": field.path,
            "label": " › ".join(field.labels),
            "type": _type_of(field.schema),
            "required": field.path in required,
        }
        for field in fields_of(schema, language)
    ]
    return {
        "name": thing.name,
        "plugin": thing.plugin,
        "title": title,
        "fields": fields,
        "schema": schema,
        "sample": more.get("sample"),
        "answer": more.get("answer"),
        "effect": getattr(thing, "effect", None),
        "outside": getattr(thing, "scope", None) == "outside",
    }


def _type_of(schema: Mapping[str, Any]) -> str:
    told = schema.get("format") or schema.get("type") or ("enum" if "enum" in schema else "")
    return ", ".join(told) if isinstance(told, list) else str(told)


@PAGE.get("/dev/api", _WHO)
def api(visit: Visit) -> Answer:
    """List the routes of the API, from the table that also makes the OpenAPI document."""
    ordered = sorted(ROUTES, key=lambda route: _noun_of(route.path))
    groups = [(noun, list(routes)) for noun, routes in groupby(ordered, key=lambda route: _noun_of(route.path))]
    return visit.render("dev/api.html", active="dev", groups=groups, base=BASE, base_url=visit.engine.settings.base_url)


def _noun_of(path: str) -> str:
    return path.strip("/").partition("/")[0]
