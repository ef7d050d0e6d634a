"""The guards of the tests themselves: they must refuse, and must let this machine through."""

import os
import socket

import psycopg
import pytest


def test_outside_address_is_refused(network_guard):
    with socket.socket() as sock, pytest.raises(OSError, match=r"may not reach 192\.0\.2\.1"):
        sock.connect(("192.0.2.1", 80))
    with socket.socket() as sock, pytest.raises(OSError, match=r"may not reach 192\.0\.2\.2"):
        sock.connect_ex(("192.0.2.2", 80))
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(OSError, match=r"may not reach 192\.0\.2\.3"):
        sock.sendto(b"x", ("192.0.2.3", 53))
    assert network_guard.refused == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    network_guard.refused.clear()


def test_outside_name_is_refused(network_guard):
    with pytest.raises(OSError, match=r"may not reach shop\.example"):
        socket.create_connection(("shop.example", 443))
    assert network_guard.refused == ["shop.example"]
    network_guard.refused.clear()


def test_reserved_name_does_not_resolve():
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nothing.invalid", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
def test_this_machine_is_reached(host, network_guard):
    network_guard.check(host)


def test_loopback_connection_works():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_environment_is_clean():
    assert [name for name in os.environ if name.startswith(("VITRIN_", "PG"))] == []
    assert os.environ["NO_COLOR"] == "1"


def test_clock_stands_still(clock):
    assert clock.now() == clock.now()


def test_database_is_empty_and_new(postgres_database, postgres_url, request):
    assert request.node.get_closest_marker("db")
    with psycopg.connect(postgres_database.replace("+psycopg", "")) as connection:
        assert connection.info.server_version >= 150000
        assert connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone() == (0,)
    assert postgres_database != postgres_url
