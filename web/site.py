"""The UI: its pages behind sessions, roles and form keys; static files; errors as pages with a way on."""

import gzip
import hmac
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Response, g, request
from werkzeug.exceptions import Forbidden, NotFound

from core.errors import NotAllowed
from core.sessions import Session
from web.hosts import Hosts
from web.limits import Limits
from web.look import STATIC, Pages
from web.pages import PAGES
from web.problems import from_error, pick_language
from web.routes import Services, View
from web.texts import LANGUAGES
from web.visits import OPEN_PAGE, Answer, PageRoute, Upload, Visit

#: On every page: scripts, styles, fonts and pictures from here alone, no frames, nothing inline.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}
STATIC_ACCESS, PAGE_ACCESS = "static", "page"
FORM_KEY = "form_key"
_THEMES = ("light", "dark")
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_EVER = "public, max-age=31536000, immutable"
#: What the fields beside a file may take.
_FORM_WITH_FILE = 1024 * 1024
_CONVERTED = re.compile(r"\{(\w+)\}")


class Site:
    """The views of the UI."""

    def __init__(self, services: Services, limits: Limits, hosts: Hosts) -> None:
        self._services = services
        self._limits = limits
        self._hosts = hosts
        self._pages = Pages()
        secure = services.engine.settings.base_url.startswith("https:")
        # The prefix makes browsers refuse such a cookie from a sister domain; it needs https.
        self._cookie = "__Host-vitrin" if secure else "vitrin"
        self._secure = secure

    def views(self) -> Iterator[View]:
        yield View("static", "/static/<path:name>", ("GET",), STATIC_ACCESS, self._static)
        for page in PAGES:
            for route in page.routes:
                endpoint = f"{page.name}.{route.run.__name__.strip('_')}"
                address = _CONVERTED.sub(r"<part:\1>", route.address)
                yield View(endpoint, address, (route.method,), PAGE_ACCESS, self._view(endpoint, route))

    # One visit

    def _view(self, endpoint: str, route: PageRoute) -> Any:
        def view(**names: str) -> Response:
            g.is_page = True
            if route.takes_files:
                request.max_content_length = self._services.engine.settings.max_upload_mb * 1024 * 1024
                request.max_form_memory_size = _FORM_WITH_FILE
            visit = self._visit(endpoint, names)
            g.visit = visit
            refused = self._gate(route, visit)
            return self._write(refused or route.run(visit))

        return view

    def _visit(self, endpoint: str, names: Mapping[str, str]) -> Visit:
        secret = request.cookies.get(self._cookie)
        session = self._services.sessions.find(secret) if secret else None
        return Visit(
            services=self._services,
            look=self._pages,
            session=session,
            endpoint=endpoint,
            method=request.method,
            address=request.full_path.rstrip("?"),
            names=names,
            query=_clean(request.args.to_dict()),
            form={name: [_without_nul(value) for value in values] for name, values in request.form.lists()},
            files={name: _upload(file) for name, file in request.files.items() if file.filename},
            headers={name.lower(): value for name, value in request.headers.items()},
            cookies=request.cookies,
            source=self._hosts.client(request.remote_addr, request.headers.getlist("X-Forwarded-For")),
            language=_language(session),
            theme=_theme(),
            now=self._services.engine.clock.now(),
        )

    def _gate(self, route: PageRoute, visit: Visit) -> Answer | None:
        """Return where to go instead; raise what forbids the visit."""
        who = visit.session.user.id if visit.session else visit.source
        self._limits.count(route.limit or ("read" if route.method == "GET" else "write"), who)
        if route.method != "GET":
            self._check_origin(visit)
        if route.roles == OPEN_PAGE:
            if route.method != "GET" and visit.session is not None:
                _check_form_key(visit, visit.session)
            return None
        if visit.session is None:
            return _to_sign_in(visit)
        if visit.session.user.role not in route.roles:
            raise NotAllowed(visit.say("this page is not for the role you have; an admin can change that"))
        if route.method != "GET":
            _check_form_key(visit, visit.session)
        return None

    def _check_origin(self, visit: Visit) -> None:
        """Refuse forms that another site sent: browsers say where a form comes from."""
        site, origin = visit.headers.get("sec-fetch-site"), visit.headers.get("origin")
        if site is not None:
            # Our pages send no referrer, for which browsers say "null" as the origin even of our own forms.
            ours = site in ("same-origin", "none")
        else:
            ours = origin is None or self._hosts.is_ours(urlsplit(origin).netloc)
        if not ours:
            raise Forbidden(visit.say("this form came from another site"))

    # Writing answers

    def _write(self, answer: Answer) -> Response:
        response = Response(answer.body, status=answer.status)
        response.headers.update(answer.headers)
        response.headers["Content-Type"] = answer.media
        if answer.location is not None:
            response.headers["Location"] = answer.location
        for name, value, lives_s in answer.cookies:
            self._set_cookie(response, self._cookie if name == "session" else name, value, lives_s)
        return response

    def _set_cookie(self, response: Response, name: str, value: str | None, lives_s: int | None) -> None:
        shared: dict[str, Any] = {"path": "/", "secure": self._secure, "httponly": True, "samesite": "Lax"}
        if value is None:
            response.delete_cookie(name, **shared)
        else:
            response.set_cookie(name, value, max_age=lives_s, **shared)

    def refusal(self, exc: Exception) -> Response:
        """Return an error as a page in the visitor's language, with a way on and the id of the request."""
        visit = g.get("visit")
        language = visit.language if visit else _language(None)
        reply = from_error(exc, language)
        if reply.status >= 500:
            # The menu reads the database, which may be what failed.
            visit = _bare_visit(self._services, self._pages, language)
        elif visit is None:
            # A form that could not be read is not read again.
            readable = request.method == "GET"
            visit = self._visit("error", {}) if readable else _bare_visit(self._services, self._pages, language)
        body = dict(reply.body)
        values = {"status": reply.status, "problem": body, "request_id": g.request_id}
        if visit.is_fragment:
            html = self._pages(visit, "error_fragment.html", values)
        else:
            html = self._pages(visit, "error.html", values)
        return self._write(Answer(body=html, status=reply.status, headers=reply.headers))

    def _static(self, name: str) -> Response:
        body, packed, media = _static_file(name)
        accepts = "gzip" in request.headers.get("Accept-Encoding", "")
        response = Response(packed if packed and accepts else body)
        response.headers["Content-Type"] = media
        response.headers["Cache-Control"] = _FOR_EVER if "v" in request.args else "no-cache"
        if packed:
            response.headers["Vary"] = "Accept-Encoding"
            if accepts:
                response.headers["Content-Encoding"] = "gzip"
        return response


@cache
def _static_names() -> frozenset[str]:
    return frozenset(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())


@cache
def _static_file(name: str) -> tuple[bytes, bytes | None, str]:
    """Return a file of ours, as it is and packed; only names that were there at the start are looked at."""
    suffix = name[name.rfind(".") :]
    if name not in _static_names() or suffix not in _KINDS:
        raise NotFound(f"there is no file {name[:80]!r}")
    body = (STATIC / name).read_bytes()
    packs = suffix in (".css", ".js", ".svg", ".txt")
    return body, gzip.compress(body, 9, mtime=0) if packs else None, _KINDS[suffix]


def wants_page(path: str, accept: str) -> bool:
    """Tell whether an unknown address was asked for by somebody with a browser."""
    machine = path.startswith(("/api/", "/hooks/")) or path in ("/healthz", "/readyz", "/metrics")
    return not machine and "text/html" in accept


def _to_sign_in(visit: Visit) -> Answer:
    address = f"/sign-in?next={quote(visit.address, safe='')}" if visit.method == "GET" else "/sign-in"
    if visit.is_fragment:
        return Answer(status=401, headers={"HX-Redirect": "/sign-in"})
    return Answer(status=303, location=address)


def _check_form_key(visit: Visit, session: Session) -> None:
    given = visit.field(FORM_KEY) or visit.headers.get("x-form-key", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), session.form_key.encode()):
        raise Forbidden(visit.say("this form is too old: open the page again and send it once more"))


def _language(session: Session | None) -> str:
    chosen = request.cookies.get("language", "")
    if session is not None:
        return session.user.language
    return chosen if chosen in LANGUAGES else pick_language(request.headers.get("Accept-Language", ""))


def _theme() -> str:
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in _THEMES else ""


def _clean(values: Mapping[str, str]) -> dict[str, str]:
    return {name: _without_nul(value) for name, value in values.items()}


def _without_nul(text: str) -> str:
    # No text of ours holds NUL, and databases refuse it.
    return text.replace("\0", "")


def _upload(file: Any) -> Upload:
    return Upload(name=file.filename or "", body=file.read())


def _bare_visit(services: Services, pages: Pages, language: str) -> Visit:
    """Return a visit for errors that happened before one was made."""
    return Visit(
        services=services,
        look=pages,
        session=None,
        endpoint="error",
        method=request.method,
        address="/",
        names={},
        query={},
        form={},
        files={},
        headers={name.lower(): value for name, value in request.headers.items()},
        cookies={},
        source="unknown",
        language=language,
        theme=_theme(),
        now=services.engine.clock.now(),
    )
