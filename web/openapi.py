"""The OpenAPI 3.1 document: made from the table of routes, so it cannot tell anything else than what is served."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rules.rule import rule_schema
from web.dispatch import query_of
from web.idempotency import HEADER
from web.routes import JSON, MULTIPART, OPEN, YAML, Route
from web.routes import PROBLEM as PROBLEM_TYPE
from web.shapes import PROBLEM

VERSION = "1.0.0"
_PART = re.compile(r"\{([a-z_]+)\}")
_ABOUT = (
    "Vitrin's HTTP API. Times are RFC 3339 in UTC, money is {amount, currency} with the amount as text, ids are texts."
    " Lists answer {data, next}; give `next` back as `cursor`. Unknown fields and parameters are refused."
    " POST honours Idempotency-Key for 24 hours. Errors are application/problem+json (RFC 9457)."
)
_RATE_HEADERS = {
    name: {"schema": {"type": "integer"}, "description": words}
    for name, words in {
        "RateLimit-Limit": "Calls in this window.",
        "RateLimit-Remaining": "Calls left in it.",
        "RateLimit-Reset": "Seconds until it begins anew.",
    }.items()
}


def make_document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document for these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vitrin", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "An API token: vt_..."}},
            "schemas": {"problem": dict(PROBLEM), **_rule_components()},
            "responses": {"problem": _problem()},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.path.split("/")[1]],
        "parameters": [*_parameters(route)],
        "responses": {**{str(status): _answer(route, schema) for status, schema in route.answers.items()}, **_errors()},
        "x-scope": route.scope,
    }
    if route.scope == OPEN:
        operation["security"] = []
    if route.takes_body:
        operation["requestBody"] = _body(route)
    return operation


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in _PART.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for name, schema in query_of(route).items():
        yield {"name": name, "in": "query", "required": False, "schema": dict(schema)}
    for name in route.headers:
        yield {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
    if route.takes_key:
        schema = {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"}
        yield {"name": HEADER.title(), "in": "header", "required": False, "schema": schema}


def _body(route: Route) -> dict[str, Any]:
    content = {media: {"schema": _body_schema(route, media)} for media in route.media}
    return {"required": route.body_required, "content": content}


def _body_schema(route: Route, media: str) -> Mapping[str, Any]:
    if media == YAML:
        return {"type": "string", "description": "YAML, comments kept."}
    if route.upload:
        return _FORM_FILE if media == MULTIPART else {}
    if route.raw:
        return _EVENT_BODIES[media]
    return route.body or {}


def _answer(route: Route, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    headers = {"headers": _RATE_HEADERS} if route.scope != OPEN else {}
    if schema is None:
        return {"description": "Done.", **headers}
    content = {route.answer_media: {"schema": dict(schema)} if schema else {}}
    return {"description": "Done.", "content": content, **headers}


def _errors() -> dict[str, Any]:
    return {status: {"$ref": "#/components/responses/problem"} for status in ("4XX", "5XX")}


def _problem() -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/problem"}}}
    return {"description": "What is wrong, for people and for programs.", "content": content}


def _rule_components() -> dict[str, Any]:
    """Return the rule document's schema and its parts, as components of this document."""
    schema = {name: value for name, value in rule_schema().items() if name not in ("$schema", "$id", "$defs")}
    parts = {f"rule_{name}": part for name, part in rule_schema().get("$defs", {}).items()}
    return {name: _moved(part) for name, part in {"rule": schema, **parts}.items()}


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: item.replace("#/$defs/", "#/components/schemas/rule_") if key == "$ref" else _moved(item)
            for key, item in value.items()
        }
    return [_moved(item) for item in value] if isinstance(value, list) else value


_FORM_FILE = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}},
}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
_SHORT = {
    "type": "object",
    "required": ["type"],
    "additionalProperties": False,
    "properties": {
        "type": {**_TEXT, "examples": ["order.paid"]},
        "source": {**_TEXT, "format": "uri-reference", "default": "/api"},
        "id": _TEXT,
        "time": {"type": "string", "format": "date-time"},
        "key": _TEXT,
        "data": {"type": "object"},
    },
}
_CLOUD = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": {**_TEXT, "format": "uri-reference"},
        "type": _TEXT,
        "time": {"type": "string", "format": "date-time"},
        "subject": _TEXT,
        "data": {},
    },
}
_EVENT_BODIES: dict[str, dict[str, Any]] = {
    JSON: {"anyOf": [_SHORT, {"type": "array", "items": _SHORT, "minItems": 1, "maxItems": 500}]},
    "application/cloudevents+json": _CLOUD,
    "application/cloudevents-batch+json": {"type": "array", "items": _CLOUD, "maxItems": 500},
}
