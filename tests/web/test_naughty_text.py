"""Odd texts in every text field of the API: kept exactly as they came, or refused with a reason, never an error."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_client import ApiClient
from hooked_plugin import SECRET
from shared_files import vectors

Send = Callable[[ApiClient, str, int], tuple[Any, Callable[[], Any] | None]]


def texts() -> Iterator[tuple[str, str]]:
    for row in vectors("naughty_strings")["rows"]:
        yield row["id"], row["value"] if "value" in row else row["repeat"][0] * row["repeat"][1]


def as_json(text: str) -> bytes:
    """Write a JSON string as any client might: half characters as escapes."""
    return ('"' + "".join(c if 32 < ord(c) < 127 and c not in '"\\' else _escape(c) for c in text) + '"').encode()


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def post(api: ApiClient, path: str, template: bytes, text: str, method: str = "POST") -> Any:
    body = template.replace(b'"TEXT"', as_json(text))
    return api.call(method, path, data=body, content_type="application/json")


def event_data(api: ApiClient, text: str, number: int) -> Any:
    body = b'{"type":"order.created","data":{"order":{"id":"1","comment":"TEXT"}}}'
    answer = post(api, "/events", body, text)
    read = lambda: api.get(f"/events/{answer.json['id']}")["data"]["order"]["comment"]  # noqa: E731
    return answer, read


def event_key(api: ApiClient, text: str, number: int) -> Any:
    answer = post(api, "/events", b'{"type":"order.created","key":"TEXT","data":{"order":{"id":"1"}}}', text)
    read = lambda: api.get(f"/events/{answer.json['id']}")["key"]  # noqa: E731
    return answer, read


def event_id(api: ApiClient, text: str, number: int) -> Any:
    answer = post(api, "/events", b'{"type":"order.created","id":"TEXT","data":{"order":{"id":"1"}}}', text)
    read = lambda: api.get(f"/events/{answer.json['id']}")["external_id"]  # noqa: E731
    return answer, read


def event_type(api: ApiClient, text: str, number: int) -> Any:
    return post(api, "/events", b'{"type":"TEXT","data":{}}', text), None


def event_field_name(api: ApiClient, text: str, number: int) -> Any:
    return post(api, "/events", b'{"type":"order.created","data":{"order":{"id":"1","TEXT":1}}}', text), None


def rule_title(api: ApiClient, text: str, number: int) -> Any:
    _have_rule(api, number)
    body = b'{"rule":"odd","title":"TEXT","when":{"event":"order.created"},"then":[{"stop":true}]}'
    answer = post(api, "/rules/odd/draft", body, text, "PUT")
    return answer, lambda: api.get("/rules/odd")["title"]


def _have_rule(api: ApiClient, number: int) -> None:
    if number == 0:
        rule = {"rule": "odd", "when": {"event": "order.created"}, "then": [{"stop": True}]}
        api.post("/rules", rule, status=201)


def rule_name(api: ApiClient, text: str, number: int) -> Any:
    return post(api, "/rules", b'{"rule":"TEXT","when":{"event":"order.created"},"then":[]}', text), None


def switch_reason(api: ApiClient, text: str, number: int) -> Any:
    _have_rule(api, number)
    answer = post(api, "/rules/odd/disable", b'{"reason":"TEXT"}', text)
    return answer, (lambda: api.get("/rules/odd")["state_reason"]) if text else None


def pause_reason(api: ApiClient, text: str, number: int) -> Any:
    answer = post(api, "/pause", b'{"reason":"TEXT"}', text)
    return answer, lambda: api.get("/pause")["reason"]


def pause_kind(api: ApiClient, text: str, number: int) -> Any:
    answer = post(api, "/pause", b'{"reason":"x","still":["TEXT"]}', text)
    return answer, lambda: api.get("/pause")["still"][0]


def setting(api: ApiClient, text: str, number: int) -> Any:
    body = b'{"settings":{"secret":"%s","label":"TEXT"}}' % SECRET.encode()
    answer = post(api, "/plugins/hooked/accounts/default", body, text, "PUT")
    return answer, lambda: api.get("/plugins/hooked/accounts/default")["settings"]["label"]


def secret_setting(api: ApiClient, text: str, number: int) -> Any:
    return post(api, "/plugins/hooked/accounts/default", b'{"settings":{"secret":"TEXT"}}', text, "PUT"), None


def token_name(api: ApiClient, text: str, number: int) -> Any:
    answer = post(api, "/tokens", b'{"name":"TEXT","scopes":["rules:read"]}', text)
    read = lambda: next(row["name"] for row in api.get("/tokens")["data"] if row["name"] != "the test's own")  # noqa: E731
    return answer, None if answer.status_code != 201 or text != text.strip() else read


def bulk_name(api: ApiClient, text: str, number: int) -> Any:
    return post(api, "/rules/bulk", b'{"names":["TEXT"],"state":"off"}', text), None


def tried_event(api: ApiClient, text: str, number: int) -> Any:
    _have_rule(api, number)
    body = b'{"event":{"type":"order.created","key":"TEXT","data":{"order":{"id":"TEXT","note":"TEXT"}}}}'
    return post(api, "/rules/odd/test", body, text), None


def header_of_key(api: ApiClient, text: str, number: int) -> Any:
    if not text.isascii() or not text.isprintable():
        text = "key"  # no client can send it as a header
    headers = {"Idempotency-Key": f"{number}{text}"}
    return api.call("POST", "/pause", json={"reason": "x"}, headers=headers), None


FIELDS: tuple[Send, ...] = (
    event_data,
    event_key,
    event_id,
    event_type,
    event_field_name,
    rule_title,
    rule_name,
    switch_reason,
    pause_reason,
    pause_kind,
    setting,
    secret_setting,
    token_name,
    bulk_name,
    tried_event,
    header_of_key,
)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.__name__)
def test_odd_text_is_kept_or_refused(field: Send, api: ApiClient):
    wrong = []
    for number, (row, text) in enumerate(texts()):
        answer, read = field(api, text, number)
        if answer.status_code >= 500:
            wrong.append((row, "server error", answer.status_code, answer.get_data(as_text=True)[:200]))
        elif answer.status_code < 300 and read is not None and (kept := read()) != text:
            wrong.append((row, "changed", text[:60], kept))
        elif answer.status_code >= 400 and not answer.json["detail"]:
            wrong.append((row, "refused without a reason", answer.status_code, ""))
    assert wrong == []


def test_odd_texts_live_in_a_published_rule(api: ApiClient):
    # Liquid in a value is a template, which is checked: that is another table's matter.
    plain = (text for _, text in texts() if "{{" not in text and "{%" not in text and len(text) < 2_000)
    kept = [text for text in plain if text.strip() and text.isprintable()]
    rows = [{"field": "order.city", "is": "equal", "value": text} for text in kept]
    groups = [{"any": rows[start : start + 40]} for start in range(0, len(rows), 40)]
    rule = {"rule": "odd", "when": {"event": "order.created"}, "if": groups, "then": [{"stop": True}]}
    api.post("/rules", rule, status=201)
    told = api.post("/rules/odd/publish", {"note": kept[-1][:500]})
    assert told["version"] == 1
    assert len(kept) > 100
    assert api.get("/rules/odd/versions/1")["document"] == rule
    again = api.call("GET", "/rules/odd/export").get_data(as_text=True)
    assert api.yaml("PUT", "/rules/odd/draft", again).json["draft"] == told["text"]
