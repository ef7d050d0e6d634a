"""The network under the client: connects only to checked addresses and never past a request's deadline."""

import ipaddress
import ssl
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore

from core.clock import Clock
from core.errors import RejectedError, TemporaryError
from core.http.addresses import Address, Resolver, is_loopback_name, literal

#: One stuck address must not use up the time of the next ones.
CONNECT_S = 10.0
#: Small enough that one send fits the socket's free buffer, so that a slow reader meets the deadline in between.
WRITE_PIECE = 16_384


@dataclass(frozen=True, kw_only=True)
class Trip:
    """One request on its way: who asked, and until when everything must be done."""

    plugin: str
    timeout_s: float
    clock: Clock
    #: The clock's `monotonic` reading at the start.
    started: float

    @property
    def elapsed_s(self) -> float:
        return self.clock.monotonic() - self.started

    def remaining_s(self) -> float:
        return self.timeout_s - self.elapsed_s


#: The request that the current thread carries; httpcore does all its input and output on the caller's thread.
current_trip: ContextVar[Trip] = ContextVar("current_trip")


class GuardedBackend(httpcore.NetworkBackend):
    """Resolve, check every address, connect to exactly one that was checked."""

    def __init__(
        self,
        resolver: Resolver,
        permits: Callable[[Address], bool],
        *,
        loopback_names: bool = False,
        connector: httpcore.NetworkBackend | None = None,
    ) -> None:
        self._resolver = resolver
        self._permits = permits
        self._loopback_names = loopback_names
        self._connector = connector or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        trip = current_trip.get()
        addresses = self._addresses(trip, host, port)
        failure: Exception = httpcore.ConnectTimeout("no time left to connect")
        for place, address in enumerate(addresses):
            wait_s = min(CONNECT_S, trip.remaining_s() / (len(addresses) - place))
            if wait_s <= 0:
                break
            try:
                stream = self._connector.connect_tcp(address, port, timeout=wait_s, socket_options=socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
            else:
                return DeadlineStream(stream, trip.plugin, host)
        raise failure

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> Any:
        raise RejectedError(current_trip.get().plugin, "address not allowed: a socket file")

    def _addresses(self, trip: Trip, host: str, port: int) -> list[str]:
        spelled = literal(host)
        if spelled is not None:
            self._check(trip, host, spelled)
            return [str(spelled)]
        if is_loopback_name(host) and not self._loopback_names:
            raise _refused(trip, host)
        found = [ipaddress.ip_address(text) for text in self._resolve(trip, host, port)]
        if not found:
            raise TemporaryError(trip.plugin, f"{host} was not found: check the name, or the name server")
        # One closed address among several is a trap (or a mistake); taking only the others would hide it.
        for address in found:
            self._check(trip, host, address)
        return [str(address) for address in found]

    def _resolve(self, trip: Trip, host: str, port: int) -> list[str]:
        try:
            return list(self._resolver.resolve(host, port, max(trip.remaining_s(), 0.0)))
        except TimeoutError as exc:
            raise TemporaryError(trip.plugin, f"looking up {host} took longer than {trip.timeout_s:g} s") from exc

    def _check(self, trip: Trip, host: str, address: Address) -> None:
        if not self._permits(address):
            raise _refused(trip, host)


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose every step is bounded by the deadline of the request that uses it now."""

    def __init__(self, stream: httpcore.NetworkStream, plugin: str, host: str) -> None:
        self._stream = stream
        self._plugin = plugin
        self._host = host

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout=_left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITE_PIECE):
            self._stream.write(buffer[start : start + WRITE_PIECE], timeout=_left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(httpcore.ConnectTimeout)
        try:
            secured = self._stream.start_tls(ssl_context, server_hostname, timeout=left)
        except httpcore.ConnectError as exc:
            if isinstance(exc.__cause__, ssl.SSLCertVerificationError):
                why = exc.__cause__.verify_message
                raise RejectedError(self._plugin, f"the certificate of {self._host} is not valid: {why}") from exc
            raise
        return DeadlineStream(secured, self._plugin, self._host)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(late: type[httpcore.TimeoutException]) -> float:
    left = current_trip.get().remaining_s()
    if left <= 0:
        raise late("deadline passed")
    return left


def _refused(trip: Trip, host: str) -> RejectedError:
    # The address itself stays unsaid: the answer must not map the network behind us.
    advice = "the owner may allow one host and port of a local network"
    return RejectedError(trip.plugin, f"address not allowed: {host} is not a public address; {advice}")
