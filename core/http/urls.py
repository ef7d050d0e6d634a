"""Read a URL once, strictly, into the one form that everything after it uses."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote, urljoin

import idna

from core.errors import InvalidInput

MAX_URL = 16_384
PORTS = {"http": 80, "https": 443}

_SHAPE = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"[a-z0-9_\-]+(?:\.[a-z0-9_\-]+)*")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+)\]")
_USERINFO = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:%]*")
_HOST_LIKE = re.compile(r"[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+(?::\d*)?|\[.*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a request goes: the host is canonical (lower case, ASCII, numbers as addresses, no trailing dot)."""

    scheme: str
    host: str
    port: int
    #: Path and query as they were given, never empty.
    path: str
    #: User name and password that stood in the URL; they are not in `url`.
    userinfo: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_url(url: str) -> Target:
    """Return the one meaning of `url`, or raise InvalidInput where two readers could see two hosts in it."""
    if not isinstance(url, str):
        raise InvalidInput("url", "must be text")
    url = url.strip(" ")
    if len(url) > MAX_URL:
        raise InvalidInput("url", f"is longer than {MAX_URL} characters")
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", url):
        raise InvalidInput("url", "contains control characters")
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise InvalidInput("url", "must begin with http:// or https://")
    scheme, authority, path = shape[1].lower(), shape[2], shape[3]
    if "\\" in authority + path.partition("?")[0]:
        raise InvalidInput("url", "contains a backslash")
    userinfo, at, place = authority.rpartition("@")
    host, port = _split_port(place)
    return Target(
        scheme=scheme,
        host=canonical_host(host),
        port=_port(port, PORTS[scheme]),
        path=path if path.startswith("/") else f"/{path}",
        userinfo=_check_userinfo(userinfo) if at else None,
    )


def follow_location(current: Target, location: str) -> Target:
    """Read a Location header against the URL that answered it, by the same strict rules."""
    if "\\" in location.partition("?")[0]:
        raise InvalidInput("location", "contains a backslash")
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", location):
        return parse_url(location)
    if location.startswith("//"):
        return parse_url(f"{current.scheme}:{location}")
    return parse_url(urljoin(current.url, location))


def is_inside(target: Target, base: Target) -> bool:
    """Tell whether `target` is the same origin as `base` and stays under its path, however it is encoded."""
    if target.origin != base.origin or target.userinfo is not None:
        return False
    path, decoded = target.path.partition("?")[0], ""
    for _ in range(4):
        path, decoded = unquote(path), path
    if path != decoded or "\\" in path or {".", ".."} & set(path.split("/")):
        return False
    root = unquote(base.path.partition("?")[0])
    return path == root.rstrip("/") or path.startswith(root if root.endswith("/") else f"{root}/")


def canonical_host(host: str) -> str:
    """Return the name or address that `host` means: case, IDNA, octal, hex and short numbers undone."""
    if not host:
        raise InvalidInput("url", "has no host")
    if host.startswith("["):
        return _ipv6(host)
    try:
        name = unquote(host, errors="strict") if "%" in host else host
        name = _to_ascii(name)
    except UnicodeError as exc:
        raise InvalidInput("url", "has a host name that is not allowed") from exc
    name = name.lower().removesuffix(".")
    if not _HOST.fullmatch(name):
        raise InvalidInput("url", "has a host name that is not allowed")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(labels)
    if len(name) > 253 or max(map(len, labels)) > 63:
        raise InvalidInput("url", "has a host name that is too long")
    return name


def _to_ascii(name: str) -> str:
    if name.isascii():
        return name
    # Full-width letters, circled letters and ideographic dots become what a browser makes of them.
    mapped = idna.uts46_remap(name, std3_rules=False)
    if mapped.isascii():
        return mapped
    # Digits of other scripts mean 127 to Python and nothing to a resolver.
    if any(label.isdecimal() and not label.isascii() for label in mapped.split(".")):
        raise InvalidInput("url", "has a host written in digits of another script")
    return idna.encode(mapped).decode("ascii")


def _ipv6(host: str) -> str:
    match = _IPV6.fullmatch(host)
    if match is None:
        raise InvalidInput("url", "has a malformed address in brackets (zone names are not allowed)")
    try:
        return ipaddress.IPv6Address(match[1]).compressed
    except ValueError as exc:
        raise InvalidInput("url", "has a malformed address in brackets") from exc


def _ipv4(labels: list[str]) -> str:
    """Read numbers as every C library does: 1 to 4 parts, decimal, 0octal or 0xhex, the last one fills the rest."""
    numbers = [_number(label) for label in labels]
    *heads, tail = numbers
    if len(numbers) > 4 or any(head > 255 for head in heads) or tail >= 256 ** (5 - len(numbers)):
        raise InvalidInput("url", "has a malformed numeric address")
    value = tail + sum(head << (24 - 8 * place) for place, head in enumerate(heads))
    return str(ipaddress.IPv4Address(value))


def _number(label: str) -> int:
    try:
        if label.startswith("0x"):
            return int(label[2:] or "0", 16)
        return int(label, 8 if label.startswith("0") else 10)
    except ValueError as exc:
        raise InvalidInput("url", "has a malformed numeric address") from exc


def _split_port(place: str) -> tuple[str, str]:
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        return place, ""
    return host, port


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise InvalidInput("url", "has a port that is not a number from 1 to 65535")
    return int(text)


def _check_userinfo(userinfo: str) -> str:
    decoded = unquote(userinfo)
    if not _USERINFO.fullmatch(userinfo) or re.search(r"[/\\?#\x00-\x20\x7f]", decoded):
        raise InvalidInput("url", "has a user name or password with characters that belong to other parts of a URL")
    if _HOST_LIKE.fullmatch(decoded):
        raise InvalidInput("url", "has a user name that looks like a host")
    return userinfo
