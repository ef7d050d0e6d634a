"""Incoming webhooks: /hooks/PLUGIN/ACCOUNT/PATH for plugins, /hooks/rule/NAME for rules; answered after the commit."""

import re
from collections.abc import Iterator
from typing import Any

from flask import Response, request
from werkzeug.exceptions import BadRequest, NotFound, RequestURITooLarge, ServiceUnavailable, Unauthorized

from core.capabilities import Webhook
from core.errors import Conflict, InvalidInput, NotAllowed, PluginError, RemoteError
from core.errors import NotFound as NoSuchThing
from core.jsontext import dumps, loads
from core.writer import Tx
from rules.plugin_hooks import check_account, deliver
from rules.rule_hooks import check_call, take_call
from web.dispatch import write_reply
from web.hosts import Hosts
from web.limits import Limits
from web.reading import check_media, read_headers
from web.routes import JSON, Reply, Services, View

#: Who may call: whoever can prove it to the plugin, or has the rule's token.
SIGNED = "signed"
#: In the environment of a call that came the short way first (`web.lean`): it has been counted against its limit, and
#: it was refused for this reason.
COUNTED, REFUSED = "vitrin.counted", "vitrin.refused"
_PLUGIN = re.compile(r"[a-z][a-z0-9_]{0,59}")
_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
_LONGEST_QUERY = 16 * 1024
_RETRY_S = 30
_NOTHING = "nothing listens here"
#: Headers that a plugin may set on its answer: none that names a place, a cookie or another site.
_ANSWER_HEADERS = ("content-type", "x-request-id", "retry-after")
_ANSWER_TYPES = ("text/plain", "application/json", "application/xml", "text/xml")


class Hooks:
    """The views for webhooks."""

    def __init__(self, services: Services, limits: Limits, hosts: Hosts) -> None:
        self._engine = services.engine
        #: Counted by the short way, too.
        self.limits = limits
        self._hosts = hosts
        self._max_bytes = services.engine.settings.max_body_kb * 1024

    def views(self) -> Iterator[View]:
        address = "/hooks/<part:plugin>/<part:account>/<part:path>"
        yield View("hooks.plugin", address, ("GET", "POST", "PUT"), SIGNED, self.call_plugin)
        yield View("hooks.rule", "/hooks/rule/<part:name>", ("POST",), SIGNED, self.call_rule)

    def call_plugin(self, plugin: str, account: str, path: str) -> Response:
        """Hand a delivery to the plugin that listens at this address."""
        self.limits.count("hook", self._address())
        hook = self._find(plugin, account, path)
        told = self._request()
        try:
            check_account(self._engine, plugin, account)
            answer = deliver(self._engine, hook, account, told)
        except NotAllowed as exc:
            raise Unauthorized(exc.message) from exc
        except (InvalidInput, NoSuchThing) as exc:
            raise BadRequest(exc.message) from exc
        except Conflict as exc:
            raise ServiceUnavailable(exc.message, retry_after=_RETRY_S) from exc
        except (PluginError, RemoteError) as exc:
            # The delivery was not taken: the sender tries again, and finds the plugin mended.
            raise ServiceUnavailable("the delivery was not taken; send it again", retry_after=_RETRY_S) from exc
        return write_reply(_reply(answer))

    def call_rule(self, name: str) -> Response:
        """Start the rule that listens under this name, with the body as it came."""
        if COUNTED not in request.environ:
            self.limits.count("hook", self._address())
        if REFUSED in request.environ:
            raise request.environ[REFUSED]
        _check_query()
        headers = read_headers(request)
        try:
            with self._engine.db.read() as conn:
                rule = check_call(self._engine, conn, name, _token(headers))
        except NoSuchThing as exc:
            raise NotFound(_NOTHING) from exc
        except Conflict as exc:
            raise ServiceUnavailable(exc.message, retry_after=_RETRY_S) from exc
        except NotAllowed as exc:
            self.limits.count("failed", self._address())
            raise Unauthorized(exc.message) from exc
        raw = request.get_data(cache=True)
        check_media(request, (JSON,))
        try:
            body = loads(raw, max_bytes=self._max_bytes)
        except InvalidInput as exc:
            raise BadRequest(exc.message) from exc

        def work(tx: Tx) -> dict[str, Any]:
            taken = take_call(self._engine, tx, rule, body, headers)
            return {"id": taken.event.id, "status": "accepted" if taken.new else "duplicate", "rules": taken.rules}

        return write_reply(Reply(status=202, body=self._engine.writer.do(work)))

    def _find(self, plugin: str, account: str, path: str) -> Webhook:
        known = _PLUGIN.fullmatch(plugin) and _ACCOUNT.fullmatch(account)
        hook = self._engine.host.find_webhook(plugin, path) if known else None
        if hook is None:
            raise NotFound(_NOTHING)
        if request.method not in hook.methods:
            raise NotFound(_NOTHING)
        return hook

    def _request(self) -> dict[str, Any]:
        _check_query()
        return {
            "method": request.method,
            "headers": read_headers(request),
            "query": request.args.to_dict(),
            "body": request.get_data(cache=True),
            "address": self._address(),
        }

    def _address(self) -> str:
        return self._hosts.client(request.remote_addr, request.headers.getlist("X-Forwarded-For"))


def _check_query() -> None:
    if len(request.query_string) > _LONGEST_QUERY:
        raise RequestURITooLarge(f"the parameters have more than {_LONGEST_QUERY} bytes")


def _token(headers: dict[str, str]) -> str | None:
    bearer = headers.get("authorization", "")
    given = bearer[7:].strip() if bearer[:7].lower() == "bearer " else None
    return headers.get("x-vitrin-token") or given or request.args.get("token")


def _reply(answer: dict[str, Any]) -> Reply:
    """Return what the plugin wants answered, within limits: a text or JSON, never a page."""
    status = answer.get("status", 200)
    fits = isinstance(status, int) and not isinstance(status, bool) and 200 <= status < 500 and status not in (204, 304)
    status = status if fits else 200
    wanted = answer.get("headers")
    headers = {
        str(name).lower(): str(value)
        for name, value in (wanted.items() if isinstance(wanted, dict) else ())
        if str(name).lower() in _ANSWER_HEADERS and str(value).isprintable() and str(value).isascii()
    }
    media = headers.pop("content-type", "")
    body = answer.get("body", {})
    if isinstance(body, str):
        plain = media if media.partition(";")[0].strip().lower() in _ANSWER_TYPES else "text/plain; charset=utf-8"
        return Reply(status=status, body=body, headers=headers, media=plain)
    return Reply(status=status, body=dumps(body).decode(), headers=headers, media=JSON)
