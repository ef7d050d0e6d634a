"""Decide which network addresses the engine may connect to."""

import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from core.errors import InvalidInput
from core.http.urls import canonical_host

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(word) for word in text.split())


#: Never reached through a public name or address. An explicit list: `is_private` and `is_global` have holes
#: (shared address space, multicast, NAT64, 6to4, a cloud's wire server) that differ between Python releases.
BLOCKED_NETWORKS = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 "
    "168.63.129.16/32 ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 "
    "2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8"
)
#: What the owner may allow by host and port: a local network and this machine. Metadata services, link-local,
#: multicast and translated addresses stay closed even then.
LOCAL_NETWORKS = _networks("10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.168.0.0/16 ::1/128 fc00::/7")
#: Metadata services that sit inside a local network.
METADATA_NETWORKS = _networks("100.100.100.200/32 fd00:ec2::254/128 fd20:ce::254/128")

_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback")


class Resolver(Protocol):
    """Turn a host name into the addresses it has now."""

    def resolve(self, host: str, port: int, timeout_s: float) -> Sequence[str]:
        """Return addresses as text, best first; none where the name is unknown; raise TimeoutError when late."""
        ...


class SystemResolver:
    """Ask the operating system, and stop waiting after the given time (which the system itself cannot)."""

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolver")

    def resolve(self, host: str, port: int, timeout_s: float) -> Sequence[str]:
        asked = self._threads.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            answers = asked.result(timeout_s)
        except TimeoutError:
            asked.cancel()
            raise
        except (OSError, UnicodeError):
            return ()
        return tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def is_loopback_name(host: str) -> bool:
    """Tell names that mean this machine whatever a resolver answers."""
    return host in _LOOPBACK_NAMES or host.endswith(".localhost")


def is_public(address: Address) -> bool:
    return not _is_in(address, BLOCKED_NETWORKS)


def is_allowable(address: Address) -> bool:
    """Tell whether the owner may open this address by naming its host and port."""
    if _is_in(address, METADATA_NETWORKS):
        return False
    return _is_in(address, LOCAL_NETWORKS) or is_public(address)


def literal(host: str) -> Address | None:
    """Return the address that `host` spells, or None where it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def parse_allowed(entries: Sequence[str]) -> frozenset[tuple[str, int]]:
    """Read the owner's list of exact `host:port` (`[address]:port` for IPv6)."""
    return frozenset(_parse_entry(entry) for entry in entries)


def _parse_entry(entry: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidInput("allow", f"{entry!r} must be a host and a port, such as erp.shop.lan:8080")
    return canonical_host(host), int(port)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
