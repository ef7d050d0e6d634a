"""Names, addresses and headers: no forged Host, no borrowed address, the same safe headers on every answer."""

from typing import Any

import pytest
from api_client import ApiClient
from shared_files import vectors

from core.settings import load_settings
from web.app import HEADERS
from web.hosts import Hosts, is_loopback

HOOK = "/hooks/nobody/default/in"


def hosts(**flags: Any) -> Hosts:
    return Hosts(load_settings({"base_url": "https://shop.example", **flags}, {}))


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("shop.example", True),
        ("SHOP.example:443", True),
        ("shop.example.", True),
        ("localhost:8480", True),
        ("127.0.0.1", True),
        ("[::1]:8480", True),
        ("evil.example", False),
        ("shop.example.evil.example", False),
        ("shop.example:evil", False),
        ("shop.example, evil.example", False),
        ("shop.example@evil.example", False),
        ("shop.example/evil", False),
        ("shop.example\r\nX: 1", False),
        ("", False),
    ],
)
def test_only_our_names_are_answered(host: str, ours: bool):
    assert hosts().is_ours(host) is ours


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["10.9.9.9"], "203.0.113.9"),  # not from our proxy: not believed
        ("10.0.0.2", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.2", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),  # the first hop is whatever the caller wrote
        ("10.0.0.2", ["1.1.1.1", "198.51.100.7, 10.0.0.3"], "198.51.100.7"),
        ("10.0.0.2", ["evil"], "10.0.0.2"),
        ("10.0.0.2", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("::ffff:10.0.0.2", ["198.51.100.7:1234"], "198.51.100.7"),
        (None, [], "unknown"),
    ],
)
def test_address_is_the_last_hop_not_ours(peer: str | None, forwarded: list[str], client: str):
    assert hosts(trusted_proxies="10.0.0.0/24").client(peer, forwarded) == client


def test_loopback_is_this_machine_only():
    assert [is_loopback(text) for text in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "", "x")] == [
        *(True, True, True),
        *(False, False, False),
    ]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/rules"), ("GET", "/nope"), ("POST", "/events"), ("GET", "/healthz"), ("POST", HOOK)]
)
def test_every_answer_has_the_safe_headers(method: str, path: str, api: ApiClient):
    answer = api.call(method, path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "Set-Cookie" not in answer.headers
    assert "Strict-Transport-Security" not in answer.headers  # plain http on this machine


class TestBehindHttps:
    """An installation with a public name."""

    @pytest.fixture
    def flags(self) -> dict[str, Any]:
        return {"base_url": "https://shop.example"}

    def test_https_is_remembered(self, api: ApiClient):
        answer = api.call("GET", "/rules", headers={"Host": "shop.example"})
        assert (answer.status_code, answer.headers["Strict-Transport-Security"]) == (200, "max-age=31536000")

    def test_foreign_host_is_refused_but_probes_answer(self, api: ApiClient):
        answers = [api.call("GET", path, headers={"Host": "10.1.2.3"}) for path in ("/rules", "/healthz", "/readyz")]
        assert [answer.status_code for answer in answers] == [400, 200, 200]

    def test_header_tricks_get_no_server_error(self, api: ApiClient):
        for row in vectors("header_forgeries")["rows"]:
            if row["class"] not in ("web", "content_type"):
                continue
            headers = [(name, value) for name, value in row["headers"] if "\r" not in value and "\n" not in value]
            for path in ("/rules", "/events", HOOK, "/nope"):
                answer = api.call(row["method"], path, headers=dict(headers), data=row["body"].encode())
                assert answer.status_code < 500 or (path == HOOK and answer.status_code == 503), (row["id"], path)
                assert "evil.example" not in answer.get_data(as_text=True)
                assert not [name for name, _ in answer.headers if name.startswith("Access-Control")], row["id"]


def test_no_foreign_origin_gets_in(api: ApiClient):
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for origin in (preflight, {"Origin": "null"}):
        for method in ("OPTIONS", "GET"):
            answer = api.call(method, "/rules", headers=origin)
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
