"""Incoming webhooks: verified before anything, answered after the commit, closed until set up."""

import json
import time
from typing import Any

import pytest
from api_client import ApiClient
from engines import put_rule
from hooked_plugin import SECRET
from sqlalchemy import inspect, select

from core.tables import events
from rules.engine import Engine

ADDRESS = "/hooks/hooked/default/in"
RULE = "rule: heard\nwhen: {webhook: heard}\nif: [{field: body.kind, is: equal, value: sale}]\nthen: [{stop: true}]\n"


@pytest.fixture
def ready(api: ApiClient) -> None:
    api.put("/plugins/hooked/accounts/default", {"settings": {"secret": SECRET}})


@pytest.fixture(params=[True, False], ids=["built-in", "foreign"])
def kind(request: pytest.FixtureRequest, engine: Engine) -> bool:
    """Run the test with the plugin as a built-in one and as a foreign one."""
    engine.host.get("hooked").builtin = request.param
    return request.param


def knock(api: ApiClient, body: Any, *, token: str | None = SECRET, address: str = ADDRESS) -> Any:
    headers = {} if token is None else {"X-Token": token}
    return api.call("POST", address, data=json.dumps(body).encode(), headers=headers)


def said(api: ApiClient) -> list[Any]:
    return [api.get(f"/events/{row['id']}")["data"]["said"] for row in api.get("/events?type=hooked.received")["data"]]


def test_delivery_is_verified_and_taken(kind: bool, api: ApiClient, ready: None, engine: Engine):
    assert knock(api, {"said": "hello"}).status_code == 200
    assert said(api) == ["hello"]
    with engine.db.read() as conn:
        assert conn.exec_driver_sql("SELECT key FROM plugin_store").scalars().all() == ["last"]


@pytest.mark.parametrize("token", [None, "", "wrong", SECRET + "x", SECRET[:-1], SECRET.upper(), "é"])
def test_forged_delivery_leaves_nothing(token: str | None, kind: bool, api: ApiClient, ready: None):
    answer = knock(api, {"said": "hello"}, token=token)
    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
    assert SECRET not in answer.get_data(as_text=True)
    assert said(api) == []


def test_repeated_delivery_is_taken_once(kind: bool, api: ApiClient, ready: None):
    for _ in range(3):
        assert knock(api, {"said": "hello", "id": "d-1"}).status_code == 200
    assert said(api) == ["hello"]


def test_account_without_secret_is_closed(kind: bool, api: ApiClient):
    answer = knock(api, {"said": "hello"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert said(api) == []


@pytest.mark.parametrize(
    "address",
    [
        "/hooks/hooked/default/other",
        "/hooks/none/default/in",
        "/hooks/hooked/Default/in",
        "/hooks/..%2f/default/in",
        "/hooks/hooked/default",
        "/hooks/hooked/default/in/more",
        "/hooks/hooked/%00/in",
    ],
)
def test_other_addresses_are_nothing(address: str, api: ApiClient, ready: None):
    assert knock(api, {"said": "x"}, address=address).status_code in (404, 405)


def test_switched_off_plugin_hears_nothing(api: ApiClient, ready: None):
    api.post("/plugins/hooked/disable")
    assert knock(api, {"said": "x"}).status_code == 404


@pytest.mark.parametrize("body", [{"do": "raise"}, {"do": "fail_late", "said": "half"}, {"said": 5}, {}, [], "x"])
def test_failing_plugin_takes_nothing_by_halves(body: Any, kind: bool, api: ApiClient, ready: None, engine: Engine):
    answer = knock(api, body)
    assert answer.status_code in (400, 503)
    assert said(api) == []
    with engine.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM plugin_store").scalar_one() == 0


@pytest.mark.parametrize("where", ["hang", "hang_in_verify"])
def test_hanging_foreign_plugin_stops_only_itself(
    where: str, api: ApiClient, ready: None, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    engine.host.get("hooked").builtin = False
    monkeypatch.setattr("core.invoke.LOCAL_S", 0.2)
    begun = time.monotonic()
    assert knock(api, {"do": where}).status_code == 503
    assert time.monotonic() - begun < 5
    api.post("/events", {"type": "order.created", "data": {"order": {"id": "1"}}}, status=202)
    assert "did not come back" in api.get("/plugins/hooked")["quarantine"]


def test_forged_deliveries_do_not_quarantine_a_plugin(api: ApiClient, ready: None, engine: Engine):
    engine.host.get("hooked").builtin = False
    for _ in range(10):
        assert knock(api, {"said": "x"}, token="wrong").status_code == 401
    assert api.get("/plugins/hooked")["quarantine"] is None
    assert knock(api, {"said": "hello"}).status_code == 200


def test_handshake_is_never_a_page(api: ApiClient, ready: None):
    answer = api.call("GET", f"{ADDRESS}?challenge=<script>1</script>")
    assert (answer.status_code, answer.content_type) == (200, "text/plain; charset=utf-8")
    assert answer.get_data(as_text=True) == "<script>1</script>"
    assert not {"Location", "Set-Cookie"} & set(answer.headers.keys())


def test_huge_delivery_is_refused_unread(api: ApiClient, ready: None):
    assert knock(api, {"said": "x" * 2_000_000}).status_code == 413


# Webhooks of rules


@pytest.fixture
def token(api: ApiClient, engine: Engine) -> str:
    put_rule(engine, RULE)
    told = api.post("/rules/heard/webhook", status=201)
    assert told["address"].endswith("/hooks/rule/heard")
    return told["token"]


def call(app: Any, body: Any = None, address: str = "/hooks/rule/heard", **headers: str) -> Any:
    return app.test_client().post(address, json={"kind": "sale"} if body is None else body, headers=headers)


def test_webhook_tells_its_address_and_never_its_token(api: ApiClient, token: str):
    told = api.get("/rules/heard/webhook")
    assert (told["address"].endswith("/hooks/rule/heard"), told["has_token"], token in str(told)) == (True, True, False)
    other = api.post("/rules/heard/webhook", status=201)
    assert (other["address"], other["token"] != token) == (told["address"], True)
    assert [call(api.app, **{"X-Vitrin-Token": text}).status_code for text in (token, other["token"])] == [401, 202]
    api.delete("/rules/heard/webhook")
    assert api.get("/rules/heard/webhook")["has_token"] is False


def test_rule_is_started_by_a_call(api: ApiClient, token: str):
    answers = [
        call(api.app, **{"X-Vitrin-Token": token}),
        call(api.app, Authorization=f"Bearer {token}"),
        call(api.app, address=f"/hooks/rule/heard?token={token}"),
    ]
    assert [(answer.status_code, answer.json["rules"]) for answer in answers] == [(202, ["heard"])] * 3
    other = call(api.app, {"kind": "return"}, **{"X-Vitrin-Token": token})
    assert (other.status_code, other.json["rules"]) == (202, [])


@pytest.mark.parametrize("wrong", ["", "x", "vh_", "\xe9"])
def test_wrong_token_starts_nothing(wrong: str, api: ApiClient, token: str):
    answer = call(api.app, **{"X-Vitrin-Token": wrong})
    assert (answer.status_code, api.get("/runs")["data"]) == (401, [])


def test_credentials_are_not_stored_with_the_call(api: ApiClient, token: str, engine: Engine):
    secret = {"Authorization": "Bearer SENTINEL-1", "Cookie": "a=SENTINEL-2", "X-Api-Key": "SENTINEL-3"}
    call(api.app, **{"X-Vitrin-Token": token, "X-Event": "sale", **secret})
    with engine.db.read() as conn:
        (stored,) = conn.execute(select(events.c.data).where(events.c.type == "rule.webhook")).scalars()
        names = inspect(conn).get_table_names()
        whole = str([conn.exec_driver_sql(f"SELECT * FROM {name}").all() for name in names])
    assert stored["headers"]["x-event"] == "sale"
    assert "SENTINEL" not in whole
    assert token not in whole


def test_named_delivery_starts_the_rule_once(api: ApiClient, token: str):
    answers = [call(api.app, **{"X-Vitrin-Token": token, "Webhook-Id": "m-1"}) for _ in range(2)]
    assert [answer.json["status"] for answer in answers] == ["accepted", "duplicate"]
    assert len(api.get("/runs")["data"]) == 1


def test_webhook_without_token_is_closed(api: ApiClient, engine: Engine):
    put_rule(engine, RULE)
    assert call(api.app).status_code == 503


def test_new_token_ends_the_old_one(api: ApiClient, token: str):
    new = api.post("/rules/heard/webhook", status=201)["token"]
    assert [call(api.app, **{"X-Vitrin-Token": text}).status_code for text in (token, new)] == [401, 202]
    api.delete("/rules/heard/webhook")
    assert call(api.app, **{"X-Vitrin-Token": new}).status_code == 503


@pytest.mark.parametrize("state", ["off", "archived"])
def test_sleeping_rule_is_not_there(state: str, api: ApiClient, token: str):
    if state == "off":
        api.post("/rules/heard/disable")
    else:
        api.delete("/rules/heard")
    assert call(api.app, **{"X-Vitrin-Token": token}).status_code == 404
    assert call(api.app, address="/hooks/rule/never").status_code == 404
