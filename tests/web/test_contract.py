"""The OpenAPI document is true: generated calls against the running application, every answer held to the document."""

import re
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from rules.rule import rule_schema
from web.api.tables import ROUTES
from web.openapi import make_document

EXAMPLES = 15
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
RULE = "rule: x\nwhen: {event: order.created}\nthen: [{do: tasks.create, with: {title: call}}]\n"


@pytest.fixture
def filled(api: Any, engine: Any) -> Any:
    """Something of each kind, under names that generated calls may hit."""
    api.yaml("POST", "/rules", RULE)
    api.post("/rules/x/publish", {"state": "on"})
    api.post("/events", {"type": "order.created", "data": {"order": {"id": "1"}}}, status=202)
    engine.drain()
    return api


def test_document_is_openapi(api: Any):
    document = api.get("/openapi.json")
    assert document["openapi"] == "3.1.0"
    assert document == make_document(ROUTES)


def test_each_schema_of_the_document_is_sound():
    document = make_document(ROUTES)
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        for target in _references(schema):
            assert target in document["components"]["schemas"], (name, target)


def test_rule_component_is_the_rule_schema():
    document = make_document(ROUTES)
    whole = {**document["components"]["schemas"]["rule"], "components": document["components"]}
    checker = jsonschema.Draft202012Validator(whole)
    good = {"rule": "a", "when": {"event": "order.paid"}, "then": [{"wait": {"for": "1 day"}}]}
    own = jsonschema.Draft202012Validator(rule_schema())
    for case in (good, {**good, "when": {}}, {**good, "then": []}, {**good, "more": 1}):
        assert checker.is_valid(case) == own.is_valid(case)


def _references(value: Any) -> set[str]:
    text = str(value)
    return set(re.findall(r"#/components/schemas/(\w+)", text))


@pytest.mark.filterwarnings("ignore")  # of the generator, about its own dependencies
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_answers_hold_to_the_document(route: Any, app: Any, filled: Any):
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    schema.config.generation.update(modes=list(schemathesis.GenerationMode))
    operation = schema[route.path][route.method]
    headers = {"Authorization": f"Bearer {filled.token}"}

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @schemathesis.hook if False else _plain
    def nothing() -> None: ...

    @operation_test(operation)
    def call_it(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    call_it()
