from typing import Any

import pytest
from http_fakes import FakeNetwork, FakeResolver, Sent, answer

from core.errors import RejectedError
from core.http import HttpClient, Response

NAMES = {
    "shop.example": [["93.184.216.34"]],
    "cdn.example": [["93.184.216.35"]],
    "evil.example": [["93.184.216.36"]],
}


def serve(pages: dict[str, bytes]) -> FakeNetwork:
    """Serve pages by host and path; everything else is plain success."""
    return FakeNetwork(lambda sent: pages.get(sent.headers["host"] + sent.line.split(" ")[1], answer()))


def ask(network: FakeNetwork, method: str = "GET", url: str = "https://shop.example/a", **options: Any) -> Response:
    client = HttpClient(resolver=FakeResolver(NAMES), connector=network)
    return client.session("probe").request(method, url, **options)


def redirect(status: int, location: str) -> FakeNetwork:
    return serve({"shop.example/a": answer(status, location=location)})


# Each row: method, status, method of the next request, whether the body goes along (RFC 9110, 15.4).
@pytest.mark.parametrize(
    ("method", "status", "then", "kept"),
    [
        ("POST", 301, "GET", False),
        ("POST", 302, "GET", False),
        ("POST", 303, "GET", False),
        ("PUT", 303, "GET", False),
        ("PUT", 302, "PUT", True),
        ("POST", 307, "POST", True),
        ("POST", 308, "POST", True),
    ],
)
def test_redirect_keeps_or_drops_method(method: str, status: int, then: str, kept: bool) -> None:
    network = redirect(status, "/b")
    ask(network, method, json={"a": 1})
    last = network.sent[-1]
    assert last.line == f"{then} /b HTTP/1.1"
    assert (last.body == b'{"a":1}', "content-type" in last.headers) == (kept, kept)


def test_head_stays_head() -> None:
    empty = {"shop.example/a": answer(303, b"", location="/b"), "shop.example/b": answer(200, b"")}
    network = serve(empty)
    ask(network, "HEAD")
    assert network.sent[-1].line == "HEAD /b HTTP/1.1"


def test_same_origin_keeps_credentials() -> None:
    network = redirect(302, "https://SHOP.example:443/b")
    ask(network, headers={"X-Api-Key": "k1"}, auth=("u", "p"))
    assert network.sent[-1].headers["x-api-key"] == "k1"
    assert network.sent[-1].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("location", ["https://cdn.example/b", "//cdn.example/b", "https://shop.example:8443/b"])
def test_another_origin_gets_no_credentials(location: str) -> None:
    network = redirect(302, location)
    headers = {
        "X-Api-Key": "k1",
        "Cookie": "a=b",
        "Client-Id": "7",
        "Accept-Language": "tr",
        "Authorization": "Bearer x",
    }
    ask(network, headers=headers)
    shown = network.sent[-1].headers
    assert set(shown) == {"host", "accept", "accept-encoding", "accept-language", "user-agent"}


def test_credentials_do_not_come_back_with_the_host() -> None:
    pages = {
        "shop.example/a": answer(302, location="https://cdn.example/b"),
        "cdn.example/b": answer(302, location="https://shop.example/c"),
    }
    network = serve(pages)
    ask(network, headers={"Authorization": "Bearer x"})
    assert [("authorization" in sent.headers) for sent in network.sent] == [True, False, False]


# Each row: where a redirect leads that must not be followed.
@pytest.mark.parametrize(
    "location",
    [
        "http://shop.example/a",  # from https to http
        "https://user:x@cdn.example/",  # credentials chosen by the other side
        "\\\\evil.example/",  # backslashes
        "/\\evil.example/",  # one backslash
        "https:///evil.example/",  # three slashes
        "https:evil.example",  # no slashes
        "javascript:alert(1)",  # no web address
        "file:///etc/passwd",
    ],
)
def test_unsafe_redirect_is_refused(location: str) -> None:
    network = redirect(302, location)
    with pytest.raises(RejectedError, match="redirect that is not allowed"):
        ask(network)
    assert len(network.sent) == 1


def test_body_is_not_sent_to_another_host() -> None:
    network = redirect(307, "https://cdn.example/b")
    with pytest.raises(RejectedError, match="would send the body to another host"):
        ask(network, "POST", data={"client_secret": "s"})
    assert len(network.sent) == 1


def test_five_redirects_pass_and_six_do_not() -> None:
    pages = {f"shop.example/{step}": answer(302, location=f"/{step + 1}") for step in range(6)}
    assert ask(serve(pages), url="https://shop.example/1").status == 200
    network = serve(pages)
    with pytest.raises(RejectedError, match="more than 5 redirects"):
        ask(network, url="https://shop.example/0")
    assert len(network.sent) == 6


def test_redirect_without_a_place_is_an_answer() -> None:
    assert ask(serve({"shop.example/a": answer(302)})).status == 302


def test_redirect_is_an_answer_when_not_followed() -> None:
    network = redirect(302, "/b")
    assert ask(network, follow_redirects=False).status == 302
    assert len(network.sent) == 1


def test_redirect_leaves_declared_hosts() -> None:
    network = redirect(302, "https://cdn.example/b")
    client = HttpClient(resolver=FakeResolver(NAMES), connector=network)
    with pytest.raises(RejectedError, match=r"may not connect to cdn\.example"):
        client.session("probe", hosts=["shop.example"]).get("https://shop.example/a")


def test_redirect_cannot_use_a_permission() -> None:
    network = redirect(302, "http://10.0.0.5:8080/")
    client = HttpClient(resolver=FakeResolver(NAMES), connector=network)
    with pytest.raises(RejectedError):
        client.session("probe", allow=["10.0.0.5:8080"]).get("http://shop.example/a")
    assert "10.0.0.5" not in network.connected


def test_permitted_host_may_redirect_within_itself() -> None:
    def serve_twice(sent: Sent) -> bytes:
        return answer(302, location="/b") if sent.line.startswith("GET /a") else answer()

    network = FakeNetwork(serve_twice)
    client = HttpClient(resolver=FakeResolver(), connector=network)
    assert client.session("erp", allow=["10.0.0.5:8080"]).get("http://10.0.0.5:8080/a").status == 200
