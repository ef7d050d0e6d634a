"""What a plugin gets as `ctx.http`: requests in its own name, only where it may go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from core.errors import InvalidInput, RejectedError
from core.http.limits import Rate
from core.http.requests import Outgoing, Parts, build
from core.http.response import Response
from core.http.urls import Target, canonical_host, is_inside, parse_url
from core.masking import mask_url

MAX_BYTES = 10 * 1024 * 1024
TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Who may go where, and how fast."""

    plugin: str
    account: str | None
    #: Declared hosts (`api.example.com`, `*.example.com`); None means any public host.
    hosts: tuple[str, ...] | None
    #: Local `host:port` that the owner opened for this account.
    allowed: frozenset[tuple[str, int]]
    rates: tuple[Rate, ...]
    #: Values that must never be shown.
    secrets: tuple[str, ...] = ()
    #: Requests stay under this address.
    base: Target | None = None

    def show(self, url: str) -> str:
        """Return a URL as messages may show it."""
        return mask_url(url, self.secrets)

    def is_allowed(self, target: Target) -> bool:
        return (target.host, target.port) in self.allowed

    def check(self, target: Target) -> None:
        """Raise RejectedError where this plugin has no business; the network address is checked when connecting."""
        if self.base is not None and not is_inside(target, self.base):
            raise RejectedError(self.plugin, f"{self.show(target.url)} is outside {self.show(self.base.url)}")
        if self.hosts is None or self.is_allowed(target):
            return
        if not any(_matches(target.host, pattern) for pattern in self.hosts):
            raise RejectedError(
                self.plugin, f"may not connect to {target.host}: its manifest does not declare this host"
            )


@dataclass(frozen=True, kw_only=True)
class Options:
    """How one request is carried out."""

    timeout_s: float = TIMEOUT_S
    max_bytes: int = MAX_BYTES
    follow_redirects: bool = True


class Sender(Protocol):
    """The part of the client that a session needs."""

    def send(self, grant: Grant, outgoing: Outgoing, options: Options) -> Response: ...


class Session:
    """The client, bound to one plugin and account; cheap, and safe to use from several threads."""

    def __init__(self, sender: Sender, grant: Grant) -> None:
        self._sender = sender
        self._grant = grant

    def under(self, base_url: str) -> Self:
        """Return a session that refuses every address outside `base_url`: for links that came in a message."""
        return type(self)(self._sender, replace(self._grant, base=self._parse(base_url)))

    def request(  # noqa: PLR0913 - the words that every HTTP client uses
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | str | None = None,
        data: Mapping[str, Any] | None = None,
        files: Any = None,
        auth: tuple[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        idempotency_key: str | None = None,
        max_bytes: int = MAX_BYTES,
        follow_redirects: bool = True,
    ) -> Response:
        """Send one request and return its answer, whatever its status; raise RemoteError where there is none."""
        parts = Parts(
            params=params,
            headers=headers,
            json=json,
            content=content,
            data=data,
            files=files,
            auth=auth,
            idempotency_key=idempotency_key,
        )
        target = self._parse(url)
        self._grant.check(target)
        try:
            outgoing = build(method, target, parts)
        except InvalidInput as exc:
            message = f"request to {self._grant.show(target.url)} was not sent: {exc}"
            raise RejectedError(self._grant.plugin, message) from None
        options = Options(timeout_s=timeout_s, max_bytes=max_bytes, follow_redirects=follow_redirects)
        return self._sender.send(self._grant, outgoing, options)

    def get(self, url: str, **options: Any) -> Response:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Response:
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> Response:
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> Response:
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> Response:
        return self.request("DELETE", url, **options)

    def _parse(self, url: str) -> Target:
        try:
            return parse_url(url)
        except InvalidInput as exc:
            message = f"address not allowed: {self._grant.show(str(url))!r} {exc.reason}"
            raise RejectedError(self._grant.plugin, message) from exc


def parse_hosts(hosts: Sequence[str] | None) -> tuple[str, ...] | None:
    """Read the hosts that a plugin declares; raise InvalidInput naming the entry that is wrong."""
    return None if hosts is None else tuple(_pattern(host) for host in hosts)


def _pattern(host: str) -> str:
    stem = host.removeprefix("*.")
    try:
        canonical = canonical_host(stem)
    except InvalidInput as exc:
        raise InvalidInput("hosts", f"{host!r} must be a host name or *.name") from exc
    return canonical if stem == host else f"*.{canonical}"


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
