"""What a page of the UI is: its address, who may open it, and one visit of it by a signed-in person."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from core.people import User
from core.sessions import Session
from core.writer import Tx
from rules.engine import Engine
from web.routes import Services
from web.texts import gettext, ngettext

ADMIN, MANAGER, STAFF, DEVELOPER = "admin", "manager", "staff", "developer"
EVERYBODY = (ADMIN, MANAGER, STAFF, DEVELOPER)
#: Who composes and switches automations.
EDITORS = (ADMIN, MANAGER)
#: A page without roles says so with this: it is open before sign-in.
OPEN_PAGE: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file of a form, read whole."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a page answers, before it is written: HTML, a redirect, or a file."""

    body: str | bytes = ""
    status: int = 200
    #: Where to go instead.
    location: str | None = None
    media: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Name -> value (None: delete it), how long it lives in seconds (None: with the browser).
    cookies: Sequence[tuple[str, str | None, int | None]] = ()


class Look(Protocol):
    """Makes HTML from a template and values."""

    def __call__(self, visit: "Visit", template: str, values: Mapping[str, Any]) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One call of a page, checked: the person's role may open it, and a form brought its key."""

    services: Services
    look: Look
    #: None before sign-in.
    session: Session | None
    endpoint: str
    method: str
    #: The address, with its parameters.
    address: str
    #: The parts of the address that are in angle brackets.
    names: Mapping[str, str]
    #: Parameters of the address; the last of a name that came several times.
    query: Mapping[str, str]
    #: Fields of the form, all values of each.
    form: Mapping[str, Sequence[str]]
    files: Mapping[str, Upload]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    #: The address that the call came from.
    source: str
    language: str
    theme: str
    now: datetime

    @property
    def engine(self) -> Engine:
        return self.services.engine

    @property
    def person(self) -> User:
        """Return who is signed in; only open pages have nobody."""
        assert self.session is not None
        return self.session.user

    @property
    def actor(self) -> str:
        return f"user:{self.person.id}"

    @property
    def is_fragment(self) -> bool:
        """Tell whether htmx asked for a part of the page."""
        return self.headers.get("hx-request") == "true" and self.headers.get("hx-boosted") != "true"

    def may(self, *roles: str) -> bool:
        return self.session is not None and self.session.user.role in roles

    def field(self, name: str, default: str = "") -> str:
        """Return one field of the form, without the blanks around it."""
        values = self.form.get(name)
        return values[-1].strip() if values else default

    def fields(self, name: str) -> list[str]:
        return [value.strip() for value in self.form.get(name, ())]

    def write(self, work: Callable[[Tx], Any]) -> Any:
        """Run work in one transaction and return its result after the commit."""
        return self.engine.writer.do(work)

    def render(self, template: str, *, status: int = 200, **values: Any) -> Answer:
        """Return the page made from a template of `web/templates` and these values."""
        return Answer(body=self.look(self, template, values), status=status)

    def go(self, address: str, note: str = "", *, kind: str = "ok", undo: Mapping[str, Any] | None = None) -> Answer:
        """Go to another page of ours, which shows `note` once; `undo` is {address, fields} of a form that undoes it."""
        if note and self.session is not None:
            told = {"text": note, "kind": kind, **({"undo": dict(undo)} if undo else {})}
            session = self.session
            self.write(lambda tx: self.services.sessions.leave_note(tx, session, told))
        if self.is_fragment:
            return Answer(status=204, headers={"HX-Redirect": address})
        return Answer(status=303, location=address)

    def say(self, message: str, **given: object) -> str:
        """Return a message in the visitor's language; named values stand in it as %(name)s."""
        return gettext(self.language, message, **given)

    def say_many(self, one: str, many: str, number: int, **given: object) -> str:
        """Return the form of a message for a number, which stands in it as %(num)s."""
        return ngettext(self.language, one, many, number, **given)

    def linked(self, **changed: str | None) -> str:
        """Return this page's address with some parameters changed; None takes one out."""
        kept = {name: value for name, value in {**self.query, **changed}.items() if value}
        path = self.address.partition("?")[0]
        return f"{path}?{urlencode(kept)}" if kept else path


View = Callable[[Visit], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoute:
    """One row of the table of pages."""

    method: str
    address: str
    #: Who may; OPEN_PAGE where nobody needs to be signed in.
    roles: tuple[str, ...]
    run: View
    #: Which row of `limits.LIMITS` counts its calls.
    limit: str = ""
    #: The form carries files.
    takes_files: bool = False


class Page:
    """Collects the routes of one menu item; the name stands before each endpoint."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.routes: list[PageRoute] = []

    def get(self, address: str, roles: tuple[str, ...], **more: Any) -> Callable[[View], View]:
        """Show something; must change nothing."""
        return self._route("GET", address, roles, more)

    def post(self, address: str, roles: tuple[str, ...], **more: Any) -> Callable[[View], View]:
        """Take a form; it brought the session's form key."""
        return self._route("POST", address, roles, more)

    def _route(self, method: str, address: str, roles: tuple[str, ...], more: dict[str, Any]) -> Callable[[View], View]:
        def keep(run: View) -> View:
            self.routes.append(PageRoute(method=method, address=address, roles=roles, run=run, **more))
            return run

        return keep
