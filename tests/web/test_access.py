"""Who may call what: every address of the application against one written-out table."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from api_client import ApiClient

from core.tokens import SCOPES
from web.api.tables import ROUTES
from web.app import ACCESS, create_app
from web.routes import OPEN
from web.site import PAGE_ACCESS

#: Method and address -> what is asked of the caller. A new route is added here by hand, on purpose.
GOLDEN = {
    "GET /api/v1/caps": "runs:read",
    "GET /api/v1/caps/<name>": "runs:read",
    "PUT /api/v1/caps/<name>": "pause",
    "DELETE /api/v1/caps/<name>": "pause",
    "GET /api/v1/effects": "runs:read",
    "GET /api/v1/events": "events:read",
    "POST /api/v1/events": "events:write",
    "GET /api/v1/events/<id>": "events:read",
    "GET /api/v1/events/<id>/verdicts": "events:read",
    "GET /api/v1/exports/rules": "rules:read",
    "GET /api/v1/imports": "imports:read",
    "POST /api/v1/imports": "imports:write",
    "GET /api/v1/imports/<id>": "imports:read",
    "POST /api/v1/imports/<id>/cancel": "imports:write",
    "POST /api/v1/imports/<id>/check": "imports:write",
    "GET /api/v1/imports/<id>/errors.csv": "imports:read",
    "POST /api/v1/imports/<id>/fixes": "imports:write",
    "PUT /api/v1/imports/<id>/mapping": "imports:write",
    "POST /api/v1/imports/<id>/pause": "imports:write",
    "POST /api/v1/imports/<id>/resume": "imports:write",
    "GET /api/v1/imports/<id>/rows": "imports:read",
    "POST /api/v1/imports/<id>/run": "imports:write",
    "GET /api/v1/imports/<id>/samples": "imports:read",
    "POST /api/v1/imports/<id>/undo": "imports:write",
    "GET /api/v1/jobs": "jobs:read",
    "GET /api/v1/jobs/<id>": "jobs:read",
    "POST /api/v1/jobs/<id>/cancel": "jobs:write",
    "POST /api/v1/jobs/<id>/retry": "jobs:write",
    "GET /api/v1/openapi.json": "open",
    "GET /api/v1/pause": "runs:read",
    "POST /api/v1/pause": "pause",
    "GET /api/v1/plugins": "plugins:read",
    "GET /api/v1/plugins/<name>": "plugins:read",
    "GET /api/v1/plugins/<name>/accounts/<account>": "plugins:read",
    "PUT /api/v1/plugins/<name>/accounts/<account>": "plugins:write",
    "DELETE /api/v1/plugins/<name>/accounts/<account>": "plugins:write",
    "POST /api/v1/plugins/<name>/disable": "plugins:write",
    "POST /api/v1/plugins/<name>/enable": "plugins:write",
    "GET /api/v1/plugins/<name>/schema": "plugins:read",
    "POST /api/v1/plugins/<name>/test": "plugins:write",
    "POST /api/v1/resume": "pause",
    "GET /api/v1/recipes": "rules:read",
    "POST /api/v1/recipes/<name>/test": "rules:read",
    "POST /api/v1/recipes/<name>/use": "rules:write",
    "GET /api/v1/rules": "rules:read",
    "POST /api/v1/rules": "rules:write",
    "POST /api/v1/rules/bulk": "rules:publish",
    "POST /api/v1/rules/import": "rules:write",
    "GET /api/v1/rules/<name>": "rules:read",
    "DELETE /api/v1/rules/<name>": "rules:publish",
    "GET /api/v1/rules/<name>/diff": "rules:read",
    "POST /api/v1/rules/<name>/disable": "rules:publish",
    "PUT /api/v1/rules/<name>/draft": "rules:write",
    "POST /api/v1/rules/<name>/enable": "rules:publish",
    "GET /api/v1/rules/<name>/export": "rules:read",
    "POST /api/v1/rules/<name>/publish": "rules:publish",
    "POST /api/v1/rules/<name>/restore": "rules:write",
    "POST /api/v1/rules/<name>/start": "events:write",
    "POST /api/v1/rules/<name>/test": "rules:read",
    "GET /api/v1/rules/<name>/versions": "rules:read",
    "GET /api/v1/rules/<name>/versions/<version>": "rules:read",
    "POST /api/v1/rules/<name>/watch": "rules:publish",
    "GET /api/v1/rules/<name>/webhook": "rules:read",
    "POST /api/v1/rules/<name>/webhook": "rules:publish",
    "DELETE /api/v1/rules/<name>/webhook": "rules:publish",
    "GET /api/v1/runs": "runs:read",
    "POST /api/v1/runs/retry": "runs:retry",
    "GET /api/v1/runs/<id>": "runs:read",
    "POST /api/v1/runs/<id>/approve": "approvals:write",
    "POST /api/v1/runs/<id>/cancel": "runs:retry",
    "POST /api/v1/runs/<id>/reject": "approvals:write",
    "POST /api/v1/runs/<id>/retry": "runs:retry",
    "GET /api/v1/schemas/actions": "rules:read",
    "GET /api/v1/schemas/events": "rules:read",
    "GET /api/v1/schemas/facts": "rules:read",
    "GET /api/v1/schemas/imports": "imports:read",
    "GET /api/v1/schemas/operators": "rules:read",
    "GET /api/v1/schemas/rule": "rules:read",
    "GET /api/v1/tokens": "tokens:read",
    "POST /api/v1/tokens": "tokens:write",
    "DELETE /api/v1/tokens/<id>": "tokens:write",
    "GET /api/v1/why": "runs:read",
    "GET /healthz": "probe",
    "GET /hooks/<plugin>/<account>/<path>": "signed",
    "POST /hooks/<plugin>/<account>/<path>": "signed",
    "PUT /hooks/<plugin>/<account>/<path>": "signed",
    "POST /hooks/rule/<name>": "signed",
    "GET /metrics": "metrics",
    "GET /readyz": "probe",
    "GET /static/<path:name>": "static",
}


def test_every_address_stands_in_the_table(app: Any):
    found = {
        f"{method} {re.sub('<part:', '<', rule.rule)}": app.extensions[ACCESS].get(rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
        # Pages have a table of their own: pages/test_page_access.py.
        if app.extensions[ACCESS].get(rule.endpoint) != PAGE_ACCESS
    }
    assert found == GOLDEN


def test_scopes_of_routes_exist():
    assert {route.scope for route in ROUTES} - {OPEN} <= set(SCOPES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_route_opens_without_its_scope(route: Any, app: Any, client_with: Callable[..., ApiClient]):
    address = re.sub(r"\{\w+\}", "x", route.path)
    nobody, stranger = ApiClient(app, None), ApiClient(app, "vt_00000000000000000000000000000000_wrong")
    others = client_with(*(set(SCOPES) - {route.scope}))
    assert [client.call(route.method, address).status_code for client in (nobody, stranger, others)] == [401, 401, 403]


def test_unlisted_address_is_closed(engine: Any):
    app = create_app(engine)
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    response = app.test_client().get("/forgotten")
    assert (response.status_code, b"secret" in response.data) == (403, False)


def test_wrong_tokens_all_get_the_same_words(app: Any):
    texts = ["vt_x_y", "vt_" + "0" * 32 + "_" + "a" * 52, "\x7f", "vt__", "a" * 250]
    answers = [ApiClient(app, text).call("GET", "/rules") for text in texts]
    known = {answer.json["detail"] for answer in answers if answer.json["detail"].startswith("this API token")}
    assert {answer.status_code for answer in answers} == {401}
    assert len(known) == 1
    assert all(answer.headers["WWW-Authenticate"].startswith("Bearer") for answer in answers)


def test_cookie_is_no_token(app: Any, api: ApiClient):
    response = app.test_client().get("/api/v1/rules", headers={"Cookie": f"session={api.token}; token={api.token}"})
    assert response.status_code == 401


def test_revoked_token_is_refused_at_once(api: ApiClient):
    made = api.post("/tokens", {"name": "short", "scopes": ["rules:read"]}, status=201)
    other = ApiClient(api.app, made["token"])
    other.get("/rules")
    token_id = next(row["id"] for row in api.get("/tokens")["data"] if row["name"] == "short")
    api.delete(f"/tokens/{token_id}")
    assert other.call("GET", "/rules").status_code == 401


def test_guessing_is_slowed_down(engine: Any):
    app = create_app(engine, limits={"failed": 3})
    guesser = ApiClient(app, "vt_00000000000000000000000000000000_guess")
    codes = [guesser.call("GET", "/rules").status_code for _ in range(5)]
    assert codes == [401, 401, 401, 429, 429]
    assert int(guesser.call("GET", "/rules").headers["Retry-After"]) >= 1


def test_right_token_passes_beside_a_guesser(engine: Any, api: ApiClient):
    app = create_app(engine, limits={"failed": 1})
    for _ in range(3):
        ApiClient(app, None).call("GET", "/rules")
    assert ApiClient(app, api.token).call("GET", "/rules").status_code == 200


def test_calls_above_the_limit_are_told_when_to_return(engine: Any, api: ApiClient):
    client = ApiClient(create_app(engine, limits={"read": 2}), api.token)
    answers = [client.call("GET", "/rules") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers.get("RateLimit-Remaining") for answer in answers[:2]] == ["1", "0"]
    assert int(answers[2].headers["Retry-After"]) >= 1
    assert answers[2].json["code"] == "busy"
