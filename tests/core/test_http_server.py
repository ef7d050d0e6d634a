"""The client against real servers on this machine, reached through the owner's list."""

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from http_fakes import FakeNetwork, FakeResolver, answer, raw_server
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from core.clock import VirtualClock
from core.errors import RejectedError, TemporaryError, UnclearError
from core.http import HttpClient, Session
from core.http.body import BodyTooLarge, read_body


@pytest.fixture
def client() -> Iterator[HttpClient]:
    with HttpClient() as made:
        yield made


@pytest.fixture
def session(client: HttpClient, httpserver: HTTPServer) -> Session:
    return client.session("probe", allow=[f"{httpserver.host}:{httpserver.port}"])


def local(client: HttpClient, port: int) -> Session:
    return client.session("probe", allow=[f"127.0.0.1:{port}"])


def test_request_reaches_the_server_whole(session: Session, httpserver: HTTPServer) -> None:
    seen: list[Request] = []

    def keep(request: Request) -> Response:
        request.get_data()
        seen.append(request)
        return Response('{"total": 10.10}', 201, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])

    httpserver.expect_request("/orders").respond_with_handler(keep)
    response = session.post(
        httpserver.url_for("/orders?x=1"),
        params={"tag": ["a b", "ç"], "paid": True, "none": None},
        json={"sku": "A-1"},
        auth=("user", "пароль"),
        idempotency_key="run-1",
    )
    assert (response.status, response.headers.all("set-cookie")) == (201, ["a=1", "b=2"])
    request = seen[0]
    assert dict(request.args.lists()) == {"x": ["1"], "tag": ["a b", "ç"], "paid": ["true"]}
    assert (request.json, request.headers["Idempotency-Key"]) == ({"sku": "A-1"}, "run-1")
    assert request.authorization is not None
    assert (request.authorization.username, request.authorization.password) == ("user", "пароль")


def test_form_and_file_are_sent(session: Session, httpserver: HTTPServer) -> None:
    def tell(request: Request) -> Response:
        return Response(f"{request.form['a']} {request.files['doc'].read().decode()}")

    httpserver.expect_request("/").respond_with_handler(tell)
    response = session.post(httpserver.url_for("/"), data={"a": "1"}, files={"doc": ("x.txt", b"hello")})
    assert response.text == "1 hello"


def test_cookies_of_one_request_stay_out_of_the_next(session: Session, httpserver: HTTPServer) -> None:
    def tell(request: Request) -> Response:
        return Response(request.headers.get("Cookie", "none"), headers={"Set-Cookie": "sid=1"})

    httpserver.expect_request("/").respond_with_handler(tell)
    assert [session.get(httpserver.url_for("/")).text for _ in range(2)] == ["none", "none"]


def test_connection_is_kept_open(client: HttpClient) -> None:
    connections = []

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connections.append(connection)
        for _ in range(3):
            connection.sendall(answer())
            connection.recv(65_536)

    with raw_server(talk) as port:
        session = local(client, port)
        assert [session.get(f"http://127.0.0.1:{port}/").status for _ in range(3)] == [200] * 3
        client.close()
    assert len(connections) == 1


def test_environment_proxy_is_ignored(
    session: Session, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    httpserver.expect_request("/").respond_with_data("ok")
    assert session.get(httpserver.url_for("/")).text == "ok"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "gzip, gzip", "members"])
def test_packed_body_is_unpacked(session: Session, httpserver: HTTPServer, coding: str) -> None:
    raw = zlib.compressobj(wbits=-15)
    bodies = {
        "gzip": gzip.compress(b"hello", mtime=0),
        "deflate": zlib.compress(b"hello"),
        "raw": raw.compress(b"hello") + raw.flush(),
        "gzip, gzip": gzip.compress(gzip.compress(b"hello"), mtime=0),
        "members": gzip.compress(b"hel", mtime=0) + gzip.compress(b"lo", mtime=0) + b"\0\0",
    }
    name = {"raw": "deflate", "members": "gzip"}.get(coding, coding)
    httpserver.expect_request("/").respond_with_data(bodies[coding], headers={"Content-Encoding": name})
    assert session.get(httpserver.url_for("/")).content == b"hello"


def test_packed_bomb_stops_at_the_limit(session: Session, httpserver: HTTPServer) -> None:
    bomb = gzip.compress(gzip.compress(bytes(300_000_000), 1, mtime=0), 9)
    httpserver.expect_request("/").respond_with_data(bomb, headers={"Content-Encoding": "gzip, gzip"})
    with pytest.raises(RejectedError, match="more than 10485760 bytes"):
        session.get(httpserver.url_for("/"))


def test_unpacking_never_holds_more_than_the_limit() -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        packer = zlib.compressobj(9, wbits=31)
        for _ in range(1_000):
            taken += 1
            yield packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)

    with pytest.raises(BodyTooLarge):
        read_body(chunks(), "gzip", 2_500_000)
    assert taken == 3


@pytest.mark.parametrize("size", [999, 1_000, 1_001])
def test_body_limit_is_exact(session: Session, httpserver: HTTPServer, size: int) -> None:
    httpserver.expect_request("/").respond_with_data(b"x" * size)
    if size <= 1_000:
        assert len(session.get(httpserver.url_for("/"), max_bytes=1_000).content) == size
        return
    with pytest.raises(RejectedError, match="more than 1000 bytes"):
        session.get(httpserver.url_for("/"), max_bytes=1_000)


def test_body_without_length_is_limited_too(client: HttpClient) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not over.is_set():
            connection.sendall(b"x" * 10_000)

    with raw_server(talk) as port, pytest.raises(RejectedError, match="more than 50000 bytes"):
        local(client, port).get(f"http://127.0.0.1:{port}/", max_bytes=50_000)


# Each row: what the server sends drop by drop, never ending.
@pytest.mark.parametrize(
    "start",
    [
        b"",  # nothing at all
        b"HTTP/1.1 200 OK\r\nX-Drip: ",  # a header that never ends
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",  # a body that never ends
    ],
)
def test_dripping_answer_ends_at_the_deadline(client: HttpClient, start: bytes) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(0.02):
            if start:
                connection.sendall(b"x")

    with raw_server(talk) as port, pytest.raises(TemporaryError, match=r"took longer than 0\.2 s"):
        local(client, port).get(f"http://127.0.0.1:{port}/", timeout_s=0.2)


def test_deadline_covers_connect_redirects_and_body() -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    network = FakeNetwork(lambda _: answer(302, location="/next"), on_read=lambda: clock.advance(4))
    client = HttpClient(resolver=FakeResolver({"a.example": [["93.184.216.34"]]}), connector=network, clock=clock)
    with pytest.raises(TemporaryError, match=r"GET https://a\.example/next took longer than 10 s"):
        client.session("probe").get("https://a.example/", timeout_s=10)
    assert len(network.sent) == 3


@pytest.mark.parametrize(("method", "unclear"), [("POST", True), ("PUT", True), ("DELETE", True), ("GET", False)])
def test_no_answer_leaves_open_whether_it_was_done(client: HttpClient, method: str, *, unclear: bool) -> None:
    with raw_server(lambda _, over: over.wait(10)) as port, pytest.raises(TemporaryError) as raised:
        local(client, port).request(method, f"http://127.0.0.1:{port}/", timeout_s=0.2)
    assert isinstance(raised.value, UnclearError) is unclear


def test_connection_that_never_came_about_did_nothing(client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(TemporaryError) as raised:
        local(client, port).post(f"http://127.0.0.1:{port}/", content=b"x")
    assert not isinstance(raised.value, UnclearError)


def test_server_that_does_not_read_ends_at_the_deadline(client: HttpClient) -> None:
    with (
        raw_server(lambda _, over: over.wait(10)) as port,
        pytest.raises(TemporaryError, match=r"took longer than 0\.2 s"),
    ):
        local(client, port).post(f"http://127.0.0.1:{port}/", content=bytes(30_000_000), timeout_s=0.2)


# Each row: what the server sends before it hangs up.
@pytest.mark.parametrize(
    "sent",
    [
        b"",  # hangs up without a word
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",  # cuts the body
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",  # cuts a chunk
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
        + gzip.compress(b"hello", mtime=0)[:-6],  # cuts the packing
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip",  # lies about the packing
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nx",  # packs as nobody asked
        b"SSH-2.0-OpenSSH\r\n",  # is no web server
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",  # headers without measure
    ],
)
def test_broken_answer_is_temporary(client: HttpClient, sent: bytes) -> None:
    with (
        raw_server(lambda connection, _: connection.sendall(sent)) as port,
        pytest.raises(TemporaryError, match="probe: "),
    ):
        local(client, port).get(f"http://127.0.0.1:{port}/")


def test_closed_port_is_temporary(client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TemporaryError, match="could not connect"):
        local(client, port).get(f"http://127.0.0.1:{port}/")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serve_tls(authority: trustme.CA, name: str) -> HTTPServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    server = HTTPServer(ssl_context=context)
    server.expect_request("/").respond_with_data("ok")
    return server


def test_trusted_certificate_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serve_tls(authority, "localhost") as server, HttpClient(ca_files=[tmp_path / "ca.pem"]) as client:
        session = client.session("probe", allow=[f"localhost:{server.port}"])
        assert session.get(f"https://localhost:{server.port}/").text == "ok"


def test_unknown_authority_is_rejected(authority: trustme.CA) -> None:
    with serve_tls(authority, "localhost") as server, HttpClient() as client:
        session = client.session("probe", allow=[f"localhost:{server.port}"])
        with pytest.raises(RejectedError, match="the certificate of localhost is not valid"):
            session.get(f"https://localhost:{server.port}/")


def test_certificate_of_another_name_is_rejected(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serve_tls(authority, "other.example") as server, HttpClient(ca_files=[tmp_path / "ca.pem"]) as client:
        session = client.session("probe", allow=[f"localhost:{server.port}"])
        with pytest.raises(RejectedError, match="the certificate of localhost is not valid: Hostname mismatch"):
            session.get(f"https://localhost:{server.port}/")


def test_pool_uses_the_guard(client: HttpClient, httpserver: HTTPServer) -> None:
    """Hold httpcore to its public word: every connection goes through the backend that it was given."""
    httpserver.expect_request("/").respond_with_data("ok")
    with pytest.raises(RejectedError, match="address not allowed"):
        client.session("probe").get(f"http://127.0.0.1:{httpserver.port}/")
    with pytest.raises(RejectedError, match="address not allowed"):
        client.session("probe").get(f"http://localhost:{httpserver.port}/")
    assert httpserver.log == []
