"""The factory of the web application: the UI, the API, incoming webhooks and the endpoints for machines."""

from collections.abc import Callable, Mapping

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestURITooLarge
from werkzeug.routing import BaseConverter

from core.errors import NotAllowed, VitrinError
from core.ids import new_id
from core.people import People
from core.sessions import Sessions
from core.tokens import Tokens
from rules.engine import Engine
from web.api.tables import BASE, ROUTES
from web.auth import Gate
from web.dispatch import Dispatcher, write_reply
from web.hooks import Hooks
from web.hosts import Hosts
from web.limits import LIMITS, Limits
from web.machine import Machine
from web.openapi import make_document
from web.problems import from_error, pick_language
from web.routes import OPEN, Reply, Services, View
from web.site import HEADERS as PAGE_HEADERS
from web.site import PAGE_ACCESS, STATIC_ACCESS, Site, wants_page

log = structlog.get_logger("vitrin.web")

#: Endpoint -> what it asks of the caller; nothing is answered that does not stand here.
ACCESS = "vitrin_access"

#: On every answer. The API is no page: nothing may load, frame or keep it.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LONGEST_PATH = 4096
_HSTS = "max-age=31536000"


class Part(BaseConverter):
    """One part of an address, of any characters but the slash."""

    regex = "[^/]+"


def create_app(
    engine: Engine,
    *,
    tokens: Tokens | None = None,
    people: People | None = None,
    limits: Mapping[str, int] = LIMITS,
    checks: Mapping[str, Callable[[], None]] | None = None,
) -> Flask:
    """Return the WSGI application over an open engine; `checks` are asked by /readyz and raise when not ready."""
    app = Flask(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=engine.settings.max_body_kb * 1024,
        MAX_FORM_MEMORY_SIZE=64 * 1024,
        MAX_FORM_PARTS=100,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.url_map.converters["part"] = Part
    app.url_map.merge_slashes = False
    tokens = tokens or Tokens(engine.db, engine.writer, engine.clock)
    services = Services(
        engine=engine,
        tokens=tokens,
        people=people or People(engine.db, engine.writer, engine.clock, on_change=tokens.forget),
        sessions=Sessions(engine.db, engine.writer, engine.clock),
    )
    counted, hosts = Limits(limits), Hosts(engine.settings)
    gate = Gate(services.tokens, counted)
    app.extensions[ACCESS] = {}
    site = Site(services, counted, hosts)
    _guard(app, engine, hosts, site)
    _add_api(app, Dispatcher(services, gate, counted, hosts))
    for part in (site, Machine(services, gate, hosts, checks or {}), Hooks(services, counted, hosts)):
        for view in part.views():
            add_view(app, view)
    return app


def add_view(app: Flask, view: View) -> None:
    """Add a view together with what it asks of the caller."""
    app.extensions[ACCESS][view.endpoint] = view.access
    methods = list(view.methods)
    app.add_url_rule(view.address, view.endpoint, view.run, methods=methods, provide_automatic_options=False)


def _add_api(app: Flask, dispatcher: Dispatcher) -> None:
    document = make_document(ROUTES)
    for route in ROUTES:
        address = BASE + route.path.replace("{", "<part:").replace("}", ">")
        add_view(app, View(f"api.{route.name}", address, (route.method,), route.scope, dispatcher.view(route)))
    answer = lambda: write_reply(Reply(body=document))  # noqa: E731 - a view of one expression
    add_view(app, View("api.openapi", f"{BASE}/openapi.json", ("GET",), OPEN, answer))


def _guard(app: Flask, engine: Engine, hosts: Hosts, site: Site) -> None:
    secure = engine.settings.base_url.startswith("https:")

    @app.before_request
    def begin() -> None:
        g.request_id = new_id()
        if len(request.path) > _LONGEST_PATH:
            raise RequestURITooLarge(f"the address has more than {_LONGEST_PATH} characters")
        endpoint = request.endpoint
        access = app.extensions[ACCESS].get(endpoint, "")
        # Probes ask under the machine's own address, and nothing in their answer depends on it.
        if access != "probe" and not hosts.is_ours(request.environ.get("HTTP_HOST", "")):
            raise BadRequest("Host: this is not an address of this shop; see the setting 'base_url'")
        if endpoint is not None and not access:
            raise NotAllowed("this address does not say who may call it, so nobody may")

    @app.after_request
    def finish(response: Response) -> Response:
        access = app.extensions[ACCESS].get(request.endpoint, "")
        page = access == PAGE_ACCESS or g.get("is_page", False)
        response.headers.update({**HEADERS, **(PAGE_HEADERS if page else {}), **_kept(response, access)})
        response.headers.update(g.get("limit_headers", {}))
        response.headers["X-Request-Id"] = g.request_id
        if secure:
            response.headers["Strict-Transport-Security"] = _HSTS
        return response

    @app.errorhandler(Exception)
    def refuse(exc: Exception) -> Response:
        return _refusal(exc, site)


def _kept(response: Response, access: str) -> dict[str, str]:
    """Static files may be kept by the browser; everything else may not."""
    return (
        {"Cache-Control": response.headers["Cache-Control"]}
        if access == STATIC_ACCESS and response.status_code < 400
        else {}
    )


def _refusal(exc: Exception, site: Site) -> Response:
    if "request_id" not in g:
        g.request_id = new_id()
    reply = from_error(exc, pick_language(request.headers.get("Accept-Language", "")))
    if reply.status >= 500:
        known = isinstance(exc, VitrinError | HTTPException)
        log.error(
            "a request failed",
            request_id=g.request_id,
            method=request.method,
            endpoint=request.endpoint,
            error=str(exc) if known else type(exc).__name__,
            exc_info=None if known else exc,
        )
    if g.get("is_page", wants_page(request.path, request.headers.get("Accept", ""))):
        g.is_page = True
        return site.refusal(exc)
    return write_reply(reply)
