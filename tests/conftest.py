"""What every test runs under: a clean environment, no way out to the network, and a clock that stands still."""

import ipaddress
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hypothesis import settings

from core.clock import VirtualClock

pytest_plugins = ("database_fixtures",)

# A developer's own settings, proxies and database must not reach the tests; TZ stays, the tests hold in every zone.
for name in list(os.environ):
    if name.upper().startswith(("VITRIN_", "PG")) or name.upper().endswith("_PROXY"):
        del os.environ[name]
os.environ["NO_COLOR"] = "1"

settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")
# Laws are searched in full on SQLite; on PostgreSQL, where a row costs more, for what differs between the two.
settings.register_profile("again", settings.get_profile("ci"), max_examples=25)

_LOGS = structlog.get_config()


@pytest.fixture(autouse=True)
def _usual_logs() -> None:
    """Undo what a command set up for its process, which is the next test's, too: how much is logged, and where to."""
    structlog.configure(**_LOGS)


NEVER_RESOLVE = (".invalid", ".test")  # reserved by RFC 6761


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--database") == "postgresql":
        settings.load_profile("again")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=200, help="how many processes the fault test kills")


class NetworkRefused(OSError):
    """A test tried to leave this machine."""


class NetworkGuard:
    """Refuse connections and look-ups beyond this machine, and remember them: a caught refusal still fails the test."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def check(self, host: Any) -> None:
        """Raise NetworkRefused unless `host` is this machine."""
        text = host.decode() if isinstance(host, bytes) else host
        if text in (None, "", "localhost") or _is_local(str(text)):
            return
        if str(text).rstrip(".").endswith(NEVER_RESOLVE):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self.refused.append(str(text))
        raise NetworkRefused(f"tests may not reach {text}: use a fake, or a server on 127.0.0.1")

    def check_address(self, sock: socket.socket, address: Any) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            self.check(address[0])


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


@pytest.fixture(scope="session", autouse=True)
def network_guard() -> Iterator[NetworkGuard]:
    """Keep every socket of this process on this machine."""
    guard = NetworkGuard()
    connect, connect_ex, sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
    getaddrinfo = socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        guard.check_address(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        guard.check_address(self, address)
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        guard.check_address(self, rest[-1])
        return sendto(self, data, *rest)

    def guarded_getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        guard.check(host)
        return getaddrinfo(host, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket.socket, "sendto", guarded_sendto)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield guard


@pytest.fixture(autouse=True)
def no_outside_calls(network_guard: NetworkGuard) -> Iterator[None]:
    """Fail the test that tried to leave this machine, even where the code under test swallowed the refusal."""
    network_guard.refused.clear()
    yield
    assert network_guard.refused == [], "the test tried to reach addresses outside this machine"


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that stands at noon of an ordinary Thursday until the test moves it."""
    return VirtualClock(datetime(2026, 1, 15, 12, 0, tzinfo=UTC))
