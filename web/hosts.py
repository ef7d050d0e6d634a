"""Under which names the engine answers, and from which address a call really comes."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from core.settings import Settings

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?")
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
#: More hops than any real chain of proxies has.
_MOST_HOPS = 20


class Hosts:
    """Names that are ours: links and decisions never follow a Host header that is not."""

    def __init__(self, settings: Settings) -> None:
        own = urlsplit(settings.base_url).netloc.rpartition("@")[2]
        self._names = {_plain(name) for name in (own, settings.host, *_LOCAL)} - {None}
        self._proxies = tuple(ip_network(text, strict=False) for text in settings.trusted_proxies)

    def is_ours(self, host: str) -> bool:
        """Tell whether a Host header names us; two of them, or anything odd, do not."""
        return _plain(host) in self._names

    def client(self, peer: str | None, forwarded: Iterable[str]) -> str:
        """Return the address a call comes from: the last hop that is none of our trusted proxies."""
        address = _read(peer)
        if address is None:
            return "unknown"
        hops = [hop.strip() for line in forwarded for hop in line.split(",")][-_MOST_HOPS:]
        while hops and self._is_proxy(address):
            hop = _read(hops.pop())
            if hop is None:
                break
            address = hop
        return str(address)

    def _is_proxy(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._proxies if network.version == address.version)


def is_loopback(address: str) -> bool:
    found = _read(address)
    return found is not None and found.is_loopback


def _plain(host: str) -> str | None:
    match = _HOST.fullmatch(host) or _HOST.fullmatch(f"[{host}]")
    return match["name"].lower().rstrip(".") if match else None


def _read(text: Any) -> IPv4Address | IPv6Address | None:
    """Read an address, with or without a port; an IPv4 address in IPv6 clothes is the IPv4 address."""
    text = str(text or "").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
