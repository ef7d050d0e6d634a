"""Build a request from what a plugin gives, and the next one from a redirect."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlencode

import httpx

from core.errors import InvalidInput
from core.http.urls import Target, follow_location

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: Set by the client alone: they decide where a request goes and where it ends.
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "proxy-authorization"}
)
#: All that another host may see after a redirect; any unknown header could be a key.
_HARMLESS_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "user-agent", "range", "if-none-match", "if-modified-since"}
)
_BODY_HEADERS = frozenset(
    {"content-type", "content-length", "transfer-encoding", "content-encoding", "content-language", "digest"}
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~\-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_SECRET_HEADER = re.compile(r"auth|cookie|token|key|secret|session|sign|pass|credential", re.IGNORECASE)

_DEFAULTS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": "Vitrin"}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The body of a request and how it is signed, as a plugin says it."""

    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    json: Any = None
    content: bytes | str | None = None
    data: Mapping[str, Any] | None = None
    files: Any = None
    auth: tuple[str, str] | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One request, whole, ready to be sent and sent again."""

    method: str
    target: Target
    #: Path and query as they go over the wire.
    path: bytes
    headers: tuple[tuple[str, bytes], ...]
    body: bytes

    @property
    def content_type(self) -> str:
        return next((value.decode("latin-1") for name, value in self.headers if name == "content-type"), "")

    def secrets(self) -> tuple[str, ...]:
        """Return the values that must not come back in a message or a log, because this request carries them."""
        values = [value.decode("latin-1") for name, value in self.headers if _SECRET_HEADER.search(name)]
        # "Bearer x" and "Basic x": what follows the scheme is the secret.
        words = [word for value in values for word in value.split() if len(word) > 7]
        return tuple(dict.fromkeys([*values, *words, *_basic_parts(values)]))


def build(method: str, target: Target, parts: Parts) -> Outgoing:
    """Encode a request; raise InvalidInput where it cannot be one."""
    method = method.upper()
    if method not in METHODS:
        raise InvalidInput("method", f"must be one of {', '.join(sorted(METHODS))}")
    target = _with_params(target, parts.params)
    try:
        made = httpx.Request(
            method,
            target.url,
            headers=_headers(target, parts),
            json=parts.json,
            content=parts.content,
            data=parts.data,
            files=parts.files,
        )
        made.read()
    except (TypeError, ValueError, AttributeError, OSError, RuntimeError, httpx.InvalidURL) as exc:
        # The exception's own text and chain hold the values, which may be secret.
        raise InvalidInput("request", f"could not be encoded ({type(exc).__name__})") from None
    headers = tuple((name.decode("latin-1").lower(), value) for name, value in made.headers.raw)
    return Outgoing(
        method=method,
        target=replace(target, userinfo=None),
        path=made.url.raw_path,
        headers=tuple(header for header in headers if header[0] != "host"),
        body=made.content,
    )


def redirected(sent: Outgoing, status: int, location: str) -> Outgoing:
    """Return the request that a redirect asks for (RFC 9110, 15.4), or raise InvalidInput where it is unsafe."""
    target = follow_location(sent.target, location)
    if target.userinfo is not None:
        raise InvalidInput("location", "carries a user name")
    if sent.target.scheme == "https" and target.scheme == "http":
        raise InvalidInput("location", "leads from https to http")
    method, body, headers = sent.method, sent.body, sent.headers
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", b""
        headers = tuple(header for header in headers if header[0] not in _BODY_HEADERS)
    if target.origin != sent.target.origin:
        if body:
            raise InvalidInput("location", f"would send the body to another host, {target.authority}")
        headers = tuple(header for header in headers if header[0] in _HARMLESS_HEADERS)
    return Outgoing(method=method, target=target, path=httpx.URL(target.url).raw_path, headers=headers, body=body)


def _with_params(target: Target, params: Mapping[str, Any] | None) -> Target:
    if not params:
        return target
    pairs = [(name, _plain(value)) for name, given in params.items() for value in _each(given)]
    more = urlencode(pairs)
    mark = "&" if "?" in target.path else "?"
    return replace(target, path=f"{target.path}{mark}{more}") if more else target


def _each(value: Any) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        return value
    return () if value is None else (value,)


def _plain(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _headers(target: Target, parts: Parts) -> dict[str, str]:
    headers = dict(_DEFAULTS)
    given = dict(parts.headers or {})
    if parts.idempotency_key is not None:
        given["Idempotency-Key"] = parts.idempotency_key
    for spelled, value in given.items():
        name = spelled.title()
        if name.lower() in _OWN_HEADERS:
            raise InvalidInput("headers", f"{name} is set by the client alone")
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidInput("headers", "a name is not a header name")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidInput("headers", f"{name} must be plain text on one line")
        headers[name] = value.strip()
    if parts.auth is not None:
        headers["Authorization"] = _basic(*parts.auth)
    elif target.userinfo is not None and "Authorization" not in headers:
        user, _, password = target.userinfo.partition(":")
        headers["Authorization"] = _basic(unquote(user), unquote(password))
    return headers


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _basic_parts(values: Sequence[str]) -> list[str]:
    coded = [value[6:] for value in values if value.startswith("Basic ")]
    try:
        return [part for code in coded for part in base64.b64decode(code).decode().split(":", 1)]
    except ValueError:
        return []
