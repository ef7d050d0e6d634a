"""Odd, huge and broken requests: a clear refusal, never a server error, nothing stored."""

import pytest
from api_client import ApiClient
from payload_shapes import body_of
from shared_files import vectors

TABLE = "payload_shapes"
#: Every kind of body that the API reads: events, a rule, a form of fields, a webhook.
PLACES = ("/events", "/rules", "/pause", "/rules/bulk", "/hooks/rule/listener")
WEBHOOK_RULE = "rule: listener\nwhen: {webhook: listener}\nthen: [{stop: true}]\n"


@pytest.fixture
def open_hook(api: ApiClient) -> dict[str, str]:
    api.yaml("POST", "/rules", WEBHOOK_RULE)
    api.post("/rules/listener/publish", {"state": "on"})
    return {"X-Vitrin-Token": api.post("/rules/listener/webhook", status=201)["token"]}


@pytest.mark.parametrize("place", PLACES)
def test_payload_shapes_get_an_expected_status(place: str, api: ApiClient, open_hook: dict[str, str]):
    wrong = []
    for row in vectors(TABLE)["rows"]:
        body, media, more = body_of(row)
        headers = {**({"Content-Type": media} if media else {}), **(open_hook if "hooks" in place else {})}
        answer = api.call(row["method"], place + more, data=body, headers=headers)
        allowed = set(row["expect_status"])
        if place != "/events":
            # What is right as JSON may be wrong for the route; a rule's webhook takes any JSON.
            allowed |= {404, 405, 422} | ({202} if "hooks" in place and 422 in allowed else set())
        if answer.status_code not in allowed:
            wrong.append((row["id"], row["note"], answer.status_code, answer.get_data(as_text=True)[:200]))
    assert wrong == []


def test_refused_events_leave_nothing(api: ApiClient):
    for row in vectors(TABLE)["rows"]:
        body, media, more = body_of(row)
        api.call(row["method"], "/events" + more, data=body, headers={"Content-Type": media} if media else {})
    assert api.get("/events")["data"] == []


def test_body_above_the_limit_is_refused_unread(api: ApiClient):
    answer = api.call("POST", "/events", data=b" " * (1024 * 1024 + 1), content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 422),  # read, and found to be no event
        ("application/json; charset=utf-8", 422),
        ("text/plain", 415),
        ("text/xml", 415),
        ("image/png", 415),
        ("application/octet-stream", 415),
        ("application/json; charset=utf-7", 415),
        ("application/cloudevents+xml", 415),
        ("multipart/form-data", 400),
        ("application/x-www-form-urlencoded", 400),
        ("", 400),
    ],
)
def test_media_types_are_strict(media: str, status: int, api: ApiClient):
    for place in ("/events", "/rules"):
        answer = api.call("POST", place, data=b"{}", headers={"Content-Type": media} if media else {})
        assert (place, answer.status_code) == (place, status)


@pytest.mark.parametrize("query", ["nope=1", "limit=0", "limit=501", "limit=x", "limit=1&limit=2", "limit=%D9%A1"])
def test_odd_parameters_are_refused(query: str, api: ApiClient):
    assert api.call("GET", f"/events?{query}").status_code == 400


@pytest.mark.parametrize(
    "cursor",
    ["x", "!!!!", "bnVsbA", "WyJydWxlcyIsIngiXQ", "WyJldmVudHMiLDFd", "WyJldmVudHMiXQ", "%00", "A" * 600, "W10"],
)
def test_foreign_cursors_are_refused(cursor: str, api: ApiClient):
    for place in ("/events", "/runs", "/effects", "/plugins", "/tokens", "/rules/x/versions"):
        assert api.call("GET", f"{place}?cursor={cursor}").status_code == 400


@pytest.mark.parametrize(
    "name", ["%00", "..", "%2e%2e", "a%0d%0ab", "x" * 600, "%F0%9F%A6%84", "';DROP TABLE rules;--", "%5c%5c"]
)
def test_odd_names_are_nothing(name: str, api: ApiClient):
    for place in ("/rules/{}", "/events/{}", "/runs/{}", "/plugins/{}", "/rules/{}/versions/1", "/plugins/{}/schema"):
        assert api.call("GET", place.format(name)).status_code in (404, 400)


def test_sql_in_filters_is_only_text(api: ApiClient):
    for row in vectors("naughty_strings")["rows"]:
        value = row.get("value", "")
        if "\0" in value or not value or len(value) > 500 or not value.isprintable():
            continue
        for place, name in (("/events", "type"), ("/runs", "rule"), ("/effects", "object")):
            answer = api.call("GET", place, query_string={name: value.encode("utf-8", "replace").decode()})
            assert (row["id"], answer.status_code, answer.json["data"]) == (row["id"], 200, [])
