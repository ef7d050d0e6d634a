"""Plugins and their accounts: secrets go in and never come out, whoever asks, whatever fails."""

from typing import Any

import pytest
from api_client import ApiClient
from hooked_plugin import SECRET

from core.audit import read
from rules.engine import Engine

HERE = "/plugins/hooked/accounts/default"


def save(api: ApiClient, **settings: Any) -> Any:
    return api.call("PUT", HERE, json={"settings": settings})


def test_secret_is_stored_and_never_shown(api: ApiClient, engine: Engine):
    save(api, secret=SECRET, label="Shop")
    told = api.get(HERE)
    assert told["settings"] == {"label": "Shop"}
    assert told["secrets"] == {"secret": {"stored": True, "hint": SECRET[-4:]}}
    everywhere = [api.call("GET", place).get_data(as_text=True) for place in (HERE, "/plugins/hooked", "/plugins")]
    assert not any(SECRET in text for text in everywhere)
    with engine.db.read() as conn:
        rows = [
            conn.exec_driver_sql(f"SELECT * FROM {name}").all() for name in ("accounts", "audit", "answers", "secrets")
        ]
    assert SECRET not in str(rows)


def test_left_out_secret_stays(api: ApiClient):
    save(api, secret=SECRET)
    assert save(api, label="Other").status_code == 200
    assert api.get(HERE)["secrets"]["secret"]["stored"]


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({}, "/settings/secret"),
        ({"secret": ""}, "/settings/secret"),
        ({"secret": SECRET, "labell": "x"}, "/settings/labell"),
        ({"secret": SECRET, "label": 5}, "/settings/label"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], pointer: str, api: ApiClient):
    answer = save(api, **settings)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)


def test_stored_secret_never_follows_to_a_new_address(api: ApiClient):
    save(api, secret=SECRET, base_url="https://shop.example")
    for answer in (
        save(api, base_url="https://evil.example"),
        api.call("POST", "/plugins/hooked/test", json={"settings": {"base_url": "https://evil.example"}}),
    ):
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/settings/secret")
    assert save(api, base_url="https://new.example", secret="typed-again").status_code == 200


def test_connection_is_tried_with_unsaved_values(api: ApiClient):
    told = api.post("/plugins/hooked/test", {"settings": {"secret": "unsaved-secret"}})
    assert (told["ok"], told["account"]) == (True, "shop 1")
    assert "unsaved-secret" not in str(told)
    assert api.call("GET", HERE).status_code == 404


def test_refused_connection_is_an_answer(api: ApiClient):
    told = api.post("/plugins/hooked/test", {"settings": {"secret": SECRET, "label": "refuse"}})
    assert (told["ok"], "refused" in told["problem"]["detail"]) == (False, True)


@pytest.mark.parametrize("name", ["Upper", "a b", "-x", "a" * 61, "ä"])
def test_odd_account_names_are_refused(name: str, api: ApiClient):
    answer = api.call("PUT", f"/plugins/hooked/accounts/{name}", json={"settings": {"secret": SECRET}})
    assert answer.status_code == 422


def test_account_can_be_forgotten(api: ApiClient):
    save(api, secret=SECRET)
    api.delete(HERE)
    assert (api.call("GET", HERE).status_code, api.call("DELETE", HERE).status_code) == (404, 404)


def test_plugin_is_switched_off_and_on(api: ApiClient):
    assert api.post("/plugins/hooked/disable")["enabled"] is False
    assert "hooked.received" not in str(api.get("/schemas/events"))
    assert api.call("GET", "/plugins/hooked/schema").status_code == 409
    assert api.post("/plugins/hooked/enable")["enabled"] is True
    assert "hooked.received" in str(api.get("/schemas/events"))
    assert api.get("/plugins/hooked/schema")["required"] == ["secret"]


def test_plugin_without_settings_has_no_account(api: ApiClient):
    assert api.call("PUT", "/plugins/history/accounts/default", json={"settings": {}}).status_code == 409


def test_new_token_may_not_do_more_than_its_maker(client_with: Any):
    maker = client_with("tokens:write", "tokens:read", "rules:read")
    body = {"name": "child", "scopes": ["rules:read"], "days": 30}
    made = maker.post("/tokens", body, status=201)
    assert made["token"].startswith("vt_")
    assert maker.call("POST", "/tokens", json={**body, "scopes": ["rules:publish"]}).status_code == 403
    assert maker.call("POST", "/tokens", json={**body, "days": 3000}).status_code == 422
    assert made["token"] not in maker.call("GET", "/tokens").get_data(as_text=True)


MAIL = "/plugins/mail/accounts/default"


def test_stored_secret_is_cleared_by_null(api: ApiClient, engine: Engine):
    api.post("/plugins/mail/enable")
    settings = {"host": "mail.example", "sender_address": "shop@shop.example"}
    api.put(MAIL, {"settings": {**settings, "password": SECRET, "imap_password": "other-sesame"}})
    told = api.put(MAIL, {"settings": {**settings, "password": None}})
    stored = {name: one["stored"] for name, one in told["secrets"].items()}
    assert stored == {"password": False, "imap_password": True}
    assert "password" not in told["settings"]
    with engine.db.read() as conn:
        (name,) = engine.secrets.names(conn, "plugin:mail:default")
        last = read(conn, about="plugin:mail")[0]
    assert name == "imap_password"
    assert SECRET not in str(last)
    # nothing to clear is no mistake
    api.put(MAIL, {"settings": {**settings, "password": None}})


def test_secret_that_is_needed_cannot_be_cleared(api: ApiClient):
    save(api, secret=SECRET)
    answer = save(api, secret=None)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/settings/secret")
    assert api.get(HERE)["secrets"]["secret"]["stored"]
