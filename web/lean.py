"""The short way for calls of rules' webhooks, which come by the thousand: no routing, no request object.

It takes what is plainly right, and gives everything else, as it came, to the application, which says what is wrong.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

from flask import Flask

from core.errors import Busy, InvalidInput, VitrinError
from core.ids import new_id
from core.jsontext import dumps, loads
from rules.calls import DELIVERY, Call, Calls
from rules.engine import Engine
from rules.rule_hooks import KEPT_HEADERS
from web.app import HEADERS
from web.hooks import COUNTED, REFUSED, Hooks
from web.hosts import Hosts
from web.limits import Limits

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_PREFIX = "/hooks/rule/"
_TYPES = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})
#: Callers and names of ours that are remembered.
_ALIKE = 4096
_HSTS = "max-age=31536000"
_SENT = {
    name: f"HTTP_{name.upper().replace('-', '_')}" for name in (*KEPT_HEADERS, *DELIVERY) if name != "content-type"
}


def shorten(app: Flask, engine: Engine) -> None:
    """Put the short way before an application."""
    view: Any = app.view_functions["hooks.rule"]
    hooks: Hooks = view.__self__
    secure = {"Strict-Transport-Security": _HSTS} if engine.settings.base_url.startswith("https:") else {}
    app.wsgi_app = Lean(app.wsgi_app, engine, hooks.limits, {**HEADERS, **secure})  # type: ignore[method-assign]


class Lean:
    """The application with the short way before it."""

    def __init__(self, app: Wsgi, engine: Engine, limits: Limits, headers: Mapping[str, str]) -> None:
        """`limits` are those that the application counts with; `headers` stand on every answer."""
        self._app = app
        self._calls = Calls(engine)
        self._limits = limits
        self._max_bytes = engine.settings.max_body_kb * 1024
        self._headers = [("Content-Type", "application/json"), *headers.items()]
        hosts = Hosts(engine.settings)
        self._is_ours = lru_cache(_ALIKE)(hosts.is_ours)
        self._client = lru_cache(_ALIKE)(lambda peer, via: hosts.client(peer, [via] if via else []))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(_PREFIX) and self._is_plain(environ):
            answer = self._take(environ)
            if answer is not None:
                length, number = str(len(answer)), new_id()
                start_response("202 ACCEPTED", [*self._headers, ("X-Request-Id", number), ("Content-Length", length)])
                return [answer]
        return self._app(environ, start_response)

    def _is_plain(self, environ: Mapping[str, Any]) -> bool:
        """Tell whether a call is of the usual kind; nothing is read or counted yet."""
        length = environ.get("CONTENT_LENGTH", "")
        return (
            environ["REQUEST_METHOD"] == "POST"
            and not environ.get("QUERY_STRING")
            and environ.get("CONTENT_TYPE", "").lower() in _TYPES
            and length.isascii()
            and length.isdigit()
            and 0 < int(length[:10]) <= self._max_bytes
            and "HTTP_TRANSFER_ENCODING" not in environ
            and self._is_ours(environ.get("HTTP_HOST", ""))
            and environ["PATH_INFO"][len(_PREFIX) :].isascii()
            and environ["PATH_INFO"].isprintable()
            and "/" not in environ["PATH_INFO"][len(_PREFIX) :]
        )

    def _take(self, environ: dict[str, Any]) -> bytes | None:
        """Take the call and return the answer, or None: the application is to look at it."""
        raw = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(raw)
        try:
            self._limits.count("hook", self._client(environ.get("REMOTE_ADDR"), environ.get("HTTP_X_FORWARDED_FOR")))
        except Busy:
            return None
        environ[COUNTED] = True
        try:
            body = loads(raw, max_bytes=self._max_bytes)
        except InvalidInput:
            return None
        given = {name: environ[key] for name, key in _SENT.items() if key in environ}
        given["content-type"] = environ["CONTENT_TYPE"]
        waits = environ.get("HTTP_PREFER", "").startswith("wait")
        call = Call(
            address=environ["PATH_INFO"][len(_PREFIX) :], token=_token(environ), body=body, headers=given, waits=waits
        )
        try:
            taken = self._calls.take(call)
        except VitrinError as exc:
            # Said in words by the application; whether it was written may be unclear, so it is not tried again.
            environ[REFUSED] = exc
            return None
        if taken is None:
            return None
        status = "accepted" if taken.new else "duplicate"
        return dumps({"id": taken.event.id, "status": status, "rules": taken.rules})


def _token(environ: Mapping[str, Any]) -> str:
    bearer = environ.get("HTTP_AUTHORIZATION", "")
    given = bearer[7:].strip() if bearer[:7].lower() == "bearer " else ""
    return environ.get("HTTP_X_VITRIN_TOKEN") or given
