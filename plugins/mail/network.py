"""The way to a mail server: resolved once, every address checked by the rules of the HTTP client, TLS verified.

Connections go to exactly the address that was checked, under the server's name.
"""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import certifi
import structlog

from core.errors import InvalidInput, RejectedError, TemporaryError
from core.http.addresses import (
    Resolver,
    SystemResolver,
    is_allowable,
    is_loopback_name,
    is_public,
    literal,
    parse_allowed,
)
from core.http.urls import canonical_host

log = structlog.get_logger("vitrin.plugin.mail")

PLUGIN = "mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One server as the account names it."""

    host: str
    port: int
    #: True where the owner opened this host and port in the setting allow_hosts.
    allowed: bool
    #: For everything together, from the look-up to the goodbye.
    timeout_s: float
    #: An own certificate authority as PEM text, besides those that everybody trusts.
    authority: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_place(ctx: Any, *, prefix: str, port: int, timeout_s: float) -> Place:
    """Return the server that the settings name; raise InvalidInput where they do not."""
    name = str(ctx.settings.get(f"{prefix}host") or "").strip()
    if not name:
        raise InvalidInput(f"settings.{prefix}host", "is missing: enter your mail provider's server")
    try:
        host = canonical_host(name)
    except InvalidInput as exc:
        raise InvalidInput(f"settings.{prefix}host", "must be the name of a server, such as smtp.shop.example") from exc
    port = int(ctx.settings.get(f"{prefix}port") or port)
    return Place(
        host=host,
        port=port,
        allowed=(host, port) in parse_allowed(ctx.shop_settings.get("allow_hosts", ())),
        timeout_s=timeout_s,
        authority=str(ctx.settings.get("authority") or ""),
    )


def open_socket(place: Place, end: float) -> socket.socket:
    """Connect to the first checked address that answers before `end` (a reading of `monotonic`)."""
    resolver = SystemResolver(threads=1)
    try:
        addresses = find_addresses(place, resolver, end - monotonic())
    finally:
        resolver.close()
    return _connect(place, addresses, end)


def find_addresses(place: Place, resolver: Resolver, wait_s: float) -> list[str]:
    """Return the addresses that may be connected to; one closed address among several closes them all."""
    spelled = literal(place.host)
    if spelled is None and is_loopback_name(place.host) and not place.allowed:
        raise _closed(place)
    try:
        texts = [str(spelled)] if spelled else resolver.resolve(place.host, place.port, wait_s)
    except TimeoutError as exc:
        raise TemporaryError(PLUGIN, f"looking up {place.host} took longer than {wait_s:.0f} s") from exc
    if not texts:
        raise TemporaryError(PLUGIN, f"{place.host} was not found: check the name in the settings, or the name server")
    permits = is_allowable if place.allowed else is_public
    if not all(permits(ipaddress.ip_address(text)) for text in texts):
        raise _closed(place)
    return list(texts)


def tls_context(place: Place) -> ssl.SSLContext:
    """Return a context that verifies certificate and name."""
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    if place.authority:
        try:
            context.load_verify_locations(cadata=place.authority)
        except (ssl.SSLError, ValueError) as exc:
            raise InvalidInput("settings.authority", "must be a certificate as PEM text") from exc
    return context


@contextmanager
def deadline(sock: socket.socket, end: float) -> Iterator[None]:
    """Cut the connection at `end`: a server that drips one byte after another meets no other limit."""
    # A second handle on the same connection: the first one changes hands when TLS begins.
    handle = sock.dup()
    timer = threading.Timer(max(end - monotonic(), 0.0), _cut, (handle,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        handle.close()


def _cut(handle: socket.socket) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError as exc:
        log.debug("the other side had hung up already", error=str(exc))


def _connect(place: Place, addresses: Sequence[str], end: float) -> socket.socket:
    failure: OSError = TimeoutError("no time left")
    for number, address in enumerate(addresses):
        wait_s = (end - monotonic()) / (len(addresses) - number)
        if wait_s <= 0:
            break
        try:
            sock = socket.create_connection((address, place.port), timeout=wait_s)
        except OSError as exc:
            failure = exc
        else:
            sock.settimeout(place.timeout_s)
            return sock
    words = "check host and port in the settings, and the firewall"
    raise TemporaryError(PLUGIN, f"could not connect to {place}: {failure.strerror or failure}; {words}") from failure


def _closed(place: Place) -> RejectedError:
    # The address itself stays unsaid: the answer must not map the network behind us.
    advice = f"the owner may open it by adding {place} to the setting allow_hosts"
    return RejectedError(PLUGIN, f"address not allowed: {place.host} is not a public address; {advice}")
