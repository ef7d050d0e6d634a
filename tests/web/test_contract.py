"""The OpenAPI document is true: generated calls against the running application, every answer held to the document."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from api_client import ApiClient, make_token
from hooked_plugin import SECRET
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from web_engine import PLENTY, open_engine

from core.tokens import SCOPES
from rules.engine import Engine
from rules.rule import rule_schema
from web.api.tables import ROUTES
from web.app import create_app
from web.dispatch import query_of
from web.openapi import make_document
from web.routes import JSON

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
RULE = "rule: x\nwhen: {event: order.created}\nthen: [{do: tasks.create, with: {title: call}}]\n"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiClient]:
    """An application with something of each kind in it."""
    engine = open_engine(tmp_path_factory.mktemp("contract"))
    api = ApiClient(create_app(engine, limits=PLENTY), make_token(engine, list(SCOPES)))
    api.yaml("POST", "/rules", RULE)
    api.post("/rules/x/publish", {"state": "on"})
    api.put("/plugins/hooked/accounts/default", {"settings": {"secret": SECRET}})
    api.put("/caps/x", {"kind": "task", "per": "shop", "most": 999, "period": "1 day", "above": "hold"}, status=201)
    api.post("/events", {"type": "order.created", "data": {"order": {"id": "1"}}}, status=202)
    engine.drain()
    add_import(api, engine)
    yield api
    engine.close()


def add_import(api: ApiClient, engine: Engine) -> None:
    """Leave an import that was checked, with a row that needs a look."""
    content = b"No;Telefon\nc1;+905321112233\nc2;none\n"
    told = api.call("POST", "/imports?kind=customers", data=content, content_type="text/csv").json
    api.put(f"/imports/{told['id']}/mapping", {"mapping": ["external_id", "phone"]})
    api.post(f"/imports/{told['id']}/check", status=202)
    engine.queue.drain()
    assert api.get(f"/imports/{told['id']}/rows")["data"]


def known_names(api: ApiClient, path: str) -> dict[str, str]:
    """Return names that exist, for the parts of an address."""
    noun = path.split("/")[1]
    found = {"name": "hooked" if noun == "plugins" else "x", "version": "1", "account": "default"}
    if noun in ("events", "runs", "imports", "jobs"):
        found["id"] = api.get(f"/{noun}")["data"][-1]["id"]
    return {name: found[name] for name in re.findall(r"\{(\w+)\}", path) if name in found}


def test_document_is_what_is_served(filled: ApiClient):
    document = filled.get("/openapi.json")
    assert document["openapi"] == "3.1.0"
    assert document == make_document(ROUTES)


def test_every_part_of_the_document_is_sound():
    document = make_document(ROUTES)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert set(re.findall(r"#/components/schemas/(\w+)", str(document))) <= set(schemas)
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


def test_rule_component_judges_like_the_rule_schema():
    document = make_document(ROUTES)
    theirs = jsonschema.Draft202012Validator({**document["components"]["schemas"]["rule"], **document})
    ours = jsonschema.Draft202012Validator(rule_schema())
    good = {"rule": "a", "when": {"event": "order.paid"}, "then": [{"wait": {"for": "1 day"}}]}
    for case in (good, {**good, "when": {}}, {**good, "then": []}, {**good, "more": 1}, {**good, "rule": "A B"}):
        assert theirs.is_valid(case) == ours.is_valid(case)


def cases() -> Iterator[Any]:
    """Yield each route with right input, and with wrong input where there can be any: any text may be YAML."""
    for route in ROUTES:
        yield pytest.param(route, GenerationMode.POSITIVE, id=f"{route.method} {route.path} right")
        if JSON in route.media and (query_of(route) or route.takes_body):
            yield pytest.param(route, GenerationMode.NEGATIVE, id=f"{route.method} {route.path} wrong")


def closed(schema: Any) -> Any:
    """Return the schema without room for anything that it does not name, and with nothing left out but what may be."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {name: closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        whole["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        whole |= {"additionalProperties": False, "required": sorted(set(schema["properties"]) - MAY_LACK)}
    return whole


MAY_LACK = {"condition", "run", "errors"}


def test_answers_have_exactly_the_documented_fields(filled: ApiClient):
    event, batch = {"type": "order.created", "data": {"order": {"id": "1"}}}, [{"type": "no.such"}]
    taken = next(route for route in ROUTES if route.run.__name__ == "take_events")
    one, many = (taken.answers[202] or {})["anyOf"]
    seen = [
        (one, filled.post("/events", event, status=202)),
        (many, filled.post("/events", [event, *batch], status=202)),
    ]
    for route in ROUTES:
        if route.method != "GET" or route.answer_media != JSON:
            continue
        path = route.path.format(**known_names(filled, route.path))
        query = f"?rule=x&event={filled.get('/events')['data'][-1]['id']}" if path == "/why" else ""
        query = "?from=1&to=1" if path.endswith("/diff") else query
        seen.append((route.answers[200], filled.get(path + query)))
    for schema, answer in seen:
        jsonschema.Draft202012Validator(closed(dict(schema))).validate(answer)
    assert len(seen) > 20


@pytest.mark.filterwarnings("ignore")  # of the generator, about its own dependencies
@pytest.mark.parametrize(("route", "mode"), list(cases()))
def test_answers_hold_to_the_document(route: Any, mode: GenerationMode, filled: ApiClient):
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", filled.app)
    names = known_names(filled, route.path) if mode is GenerationMode.POSITIVE else {}
    headers = {"Authorization": f"Bearer {filled.token}"}
    schema.config.generation.update(with_security_parameters=False)
    operation = schema[route.path][route.method]

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
    @given(operation.as_strategy(generation_mode=mode, path_parameters=names or None))
    def call_it(case: Any) -> None:
        answer = case.call(headers=headers)
        # A refusal too, though not on the generator's list: no address is that long.
        checks = [check for check in CHECKS if answer.status_code != 414 or check is not negative_data_rejection]
        case.validate_response(answer, checks=checks)

    call_it()
