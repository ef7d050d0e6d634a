import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_files import vectors

from core.masking import MASK, mask_headers, mask_json, mask_text, mask_url


def test_log_samples_show_nothing_private() -> None:
    for row in vectors("pii_log_samples")["rows"]:
        for shown in (mask_text(row["text"]), mask_text(row["text"], one_line=False), mask_json(row["text"])):
            assert not [value for value in row["must_not_appear"] if value in shown or quote(value) in shown], row["id"]
            assert not [value for value in row["may_stay"] if value not in shown], row["id"]


def test_one_line_stays_one_line() -> None:
    for row in vectors("pii_log_samples")["rows"]:
        assert len(mask_text(row["text"]).splitlines()) <= 1, row["id"]


@given(st.text())
def test_any_text_becomes_one_line(text: str) -> None:
    assert len(mask_text(text).splitlines()) <= 1


@given(st.text(), st.text(alphabet="abcXYZ089/+=& \"'", min_size=6))
def test_known_secret_never_appears(text: str, secret: str) -> None:
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")
    line = f"{text} {secret} {quote(secret, safe='')} {coded} {json.dumps(secret)}"
    shown = mask_text(line, [secret], one_line=False)
    assert secret not in shown.replace(MASK, "")
    assert coded not in shown


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('{"password":"hunter2","user":"x"}', "hunter2"),  # JSON
        (r"{\"api_key\":\"AKX1234\"}", "AKX1234"),  # JSON inside a JSON string
        ("User(password='x y', name='z')", "x y"),  # repr of an object
        ("<client_secret>qq77</client_secret>", "qq77"),  # XML
        ("user[password]=hunter2", "hunter2"),  # form field of a form
        ("token%3Dabc123%26x", "abc123"),  # encoded once more
        ("Set-Cookie: session=abc123; Path=/", "abc123"),  # a header line
        ("curl -H 'Authorization: Bearer abc.def' x", "abc.def"),  # a quoted header
        ('Authorization: Digest username="u", response="6629fae4"', "6629fae4"),  # a scheme of many parts
        ("https://user:pa55@host.example/p", "pa55"),  # user info
        ("https://host.example/p?x=1&code=oauth-77", "oauth-77"),  # a query name that is harmless elsewhere
        ("https://b24.example/rest/1/abcd1234efgh5678/crm.lead.add", "abcd1234efgh5678"),  # a key in the path
        ("a=1 4111 1111 1111 1111 12", "1111 1111 1111"),  # a card beside other digits
        ("card 4111-1111-1111-1111", "4111-1111"),  # another gap
        ("x=ayse%40example.com", "ayse%40example.com"),  # encoded mail address
        ("0532 123 45 67", "123 45 67"),  # Turkish mobile
        ("TR33 0006 1005 1978 6457 8413 26", "6457"),  # account number
        ('{"phone": "5321234567"}', "5321234567"),  # bare digits under a telling name
        ("doğum tarihi ve adres: Bağdat Cad. No:5", "Bağdat"),  # free text under a telling name
        ("kimlik 10000000146", "10000000146"),  # identity number with valid check digits
    ],
)
def test_secret_is_hidden(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in mask_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "order 0192f3a0-7b6d-7c3e-8a1b-2c3d4e5f6a7b at 2026-01-02T10:00:00+03:00 total 5000.00 TRY",  # our own ids
        "EAN 4607034170011 IMEI 356938035643809",  # long numbers of the trade
        "expires_in: 3600 token_type: bearer",  # about a secret, not the secret
        "sessions: 5 passed: 3 compass: north key=order.id",  # words that only contain one
        "GET /orders/insurance-day-3/sendOrderStatusNotification 200",  # slugs and method names
        '{"token": null, "secret": false}',  # nothing to hide
        "rule insurance-day-3: acted 17 of 212",  # plain talk
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert mask_text(text) == text


def test_json_keeps_shape_and_plain_values() -> None:
    given = {"id": 7, "token": {"a": 1}, "lines": [{"phone": "905321234567", "sku": "A-1"}], "paid": None, "ok": True}
    shown = mask_json(given)
    assert shown == {"id": 7, "token": MASK, "lines": [{"phone": MASK, "sku": "A-1"}], "paid": None, "ok": True}


def test_json_hides_card_written_as_number() -> None:
    assert mask_json({"n": 4111111111111111, "order": 4111111111111112}) == {"n": MASK, "order": 4111111111111112}


def test_deep_json_does_not_recurse_forever() -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    assert MASK in str(mask_json(deep))


def test_secret_headers_are_emptied() -> None:
    shown = mask_headers({"X-API-Key": "k", "Authorization": "Bearer x", "Cookie": "a=b", "Accept": "text/html"})
    assert shown == {"X-API-Key": MASK, "Authorization": MASK, "Cookie": MASK, "Accept": "text/html"}


def test_shown_url_has_no_query_or_user() -> None:
    assert mask_url("https:\\\\u:p77@host.example/") == "https:\\\\host.example/"
    assert mask_url("u:p77@host.example/@a") == "host.example/@a"
    assert mask_url("https://u:p@host.example:8443/a/b?token=x#y") == "https://host.example:8443/a/b"


@pytest.mark.timeout(20)
def test_hostile_text_costs_little_time() -> None:
    for piece in (
        "%40",
        "a@",
        "sk_.",
        "1 ",
        "/",
        '"',
        "\\",
        "token:[",
        "eyJa.",
        "+1 ",
        "Basic ",
        "://",
        "<a>",
        "AA11 ",
    ):
        assert mask_text(piece * (250_000 // len(piece)))
