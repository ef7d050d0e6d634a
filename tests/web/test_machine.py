"""Endpoints for machines, and the server itself."""

import socket
import threading
from typing import Any

import pytest
from api_client import ApiClient
from engines import make_event, put_rule

from core.errors import NotAllowed, StorageError
from core.people import People
from core.settings import load_settings
from rules.engine import Engine
from web.app import create_app
from web.server import Server, check_claimed

RULE = "rule: a\nwhen: {event: order.created}\nthen: [{do: tasks.create, with: {title: Call}}]\n"


def test_figures_tell_what_happened(api: ApiClient, engine: Engine):
    put_rule(engine, RULE)
    engine.take([make_event(engine, "order.created", {"order": {"id": "1"}})])
    engine.drain()
    text = api.call("GET", "/metrics").get_data(as_text=True)
    for line in (
        'vitrin_runs{outcome="acted"} 1.0',
        'vitrin_effects{kind="task",state="done"} 1.0',
        "vitrin_runs_due 0.0",
        "vitrin_writer_waiting 0.0",
    ):
        assert line in text
    assert "vitrin_events " in text


def test_figures_need_a_token_from_elsewhere(app: Any, client_with: Any):
    far = {"REMOTE_ADDR": "203.0.113.9"}
    nobody, reader, other = ApiClient(app, None), client_with("metrics"), client_with("rules:read")
    assert nobody.call("GET", "/metrics").status_code == 200
    assert nobody.call("GET", "/metrics", environ_base=far).status_code == 401
    assert reader.call("GET", "/metrics", environ_base=far).status_code == 200
    assert other.call("GET", "/metrics", environ_base=far).status_code == 403


def test_proxy_on_this_machine_does_not_open_figures(app: Any):
    answer = ApiClient(app, None).call("GET", "/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.status_code == 401


def test_readiness_follows_its_checks(engine: Engine):
    state: list[str] = []

    def check() -> None:
        if state:
            raise StorageError("the tables are older than this program: SECRET")

    client = ApiClient(create_app(engine, checks={"tables": check}), None)
    assert client.call("GET", "/readyz").status_code == 200
    state.append("old")
    answer = client.call("GET", "/readyz")
    assert (answer.status_code, "tables" in answer.json["detail"], "SECRET" in answer.json["detail"]) == (
        503,
        True,
        False,
    )
    assert client.call("GET", "/healthz").status_code == 200


def test_lost_database_is_not_ready(engine: Engine, app: Any):
    def lost() -> Any:
        raise StorageError("the database server does not answer")

    engine.db.read = lost  # type: ignore[method-assign]
    client = ApiClient(app, None)
    assert [client.call("GET", path).status_code for path in ("/healthz", "/readyz")] == [200, 503]


@pytest.mark.parametrize(
    ("host", "open_"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_unclaimed_engine_listens_on_this_machine_only(host: str, open_: bool, engine: Engine):
    people = People(engine.db, engine.writer, engine.clock)
    object.__setattr__(engine.settings, "host", host)
    if open_:
        check_claimed(engine, people)
        return
    with pytest.raises(NotAllowed, match="no admin has a password yet"):
        check_claimed(engine, people)
    user = engine.writer.do(lambda tx: people.add(tx, "a@shop.example", role="admin", actor="test"))
    engine.writer.do(lambda tx: people.set_password(tx, user.id, "correct horse battery 7", actor="test"))
    check_claimed(engine, people)


@pytest.fixture
def server(app: Any, tmp_path: Any) -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(app, load_settings({"home": tmp_path, "port": port}, {}), threads=2)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


def raw(server: Any, text: bytes) -> bytes:
    """Send these bytes and return what comes back."""
    with socket.create_connection(server.address, timeout=5) as peer:
        parts = []
        try:
            peer.sendall(text)
            peer.shutdown(socket.SHUT_WR)
            while part := peer.recv(65536):
                parts.append(part)
        except OSError:
            return b"".join(parts)  # refused before everything was read
    return b"".join(parts)


def test_server_answers_and_hides_its_kind(server: Any):
    answer = raw(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"waitress" not in answer.lower()


@pytest.mark.parametrize(
    "head",
    [
        b"Host: shop.example\r\nHost: evil.example",
        b"Host: localhost\r\nContent-Length: -1",
        b"Host: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"Host: localhost\r\nTransfer-Encoding: xchunked",
        b"Host: localhost\r\nX-Big: " + b"a" * 100_000,
        b"Host: localhost\r\nContent-Length: 99999999999",
        b"Host: localhost\nX: 1\r\r\n",
        b"\x00: 1",
    ],
)
def test_broken_requests_get_4xx_over_the_wire(head: bytes, server: Any):
    answer = raw(server, b"POST /api/v1/events HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n\r\n{}")
    status = int(answer.split()[1]) if answer else 400
    assert 400 <= status < 500 or status == 501, answer[:300]


def test_long_odd_method_is_refused(server: Any):
    answer = raw(server, b"A" * 5000 + b" /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert not answer or 400 <= int(answer.split()[1]) < 500
