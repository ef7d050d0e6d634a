"""A browser of a signed-in person, as tests of pages use it: it keeps cookies and sends form keys."""

import re
from html import unescape
from typing import Any

from argon2 import PasswordHasher

from core.people import People, User
from core.sessions import Sessions
from rules.engine import Engine

_KEY = re.compile(r'name="form_key" value="([^"]+)"')
#: As cheap as hashes get: these tests are not about passwords.
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class PageClient:
    """Opens pages and sends their forms."""

    def __init__(self, app: Any, secret: str | None, form_key: str) -> None:
        self._client = app.test_client()
        self.form_key = form_key
        if secret:
            self._client.set_cookie("vitrin", secret)

    def get(self, address: str, *, status: int = 200, **more: Any) -> str:
        return self._text(self.open("GET", address, **more), status)

    def post(self, address: str, fields: dict[str, Any] | None = None, *, status: int = 303, **more: Any) -> Any:
        """Send a form with the session's key; return the response."""
        given = {"form_key": self.form_key, **(fields or {})}
        response = self.open("POST", address, data=given, **more)
        assert response.status_code == status, response.get_data(as_text=True)[:2000]
        return response

    def open(self, method: str, address: str, **more: Any) -> Any:
        headers = {"Accept": "text/html", **more.pop("headers", {})}
        return self._client.open(address, method=method, headers=headers, **more)

    def fragment(self, method: str, address: str, fields: dict[str, Any] | None = None, *, status: int = 200) -> str:
        """Ask for a part of a page, as htmx does."""
        headers = {"HX-Request": "true", "X-Form-Key": self.form_key}
        return self._text(self.open(method, address, headers=headers, data=fields), status)

    @staticmethod
    def _text(response: Any, status: int) -> str:
        text = response.get_data(as_text=True)
        assert response.status_code == status, text[:2000]
        return text


def add_person(engine: Engine, role: str, *, language: str = "en", name: str = "Elif Kaya") -> User:
    people = People(engine.db, engine.writer, engine.clock, hasher=QUICK)
    with engine.db.read() as conn:
        number = len(people.list_people(conn))
    email = f"{role}{number}@shop.example"
    return engine.writer.do(lambda tx: people.add(tx, email, role=role, actor="test", name=name, language=language))


def sign_in(app: Any, engine: Engine, role: str = "admin", *, language: str = "en") -> PageClient:
    """Return the browser of a new person with this role, signed in."""
    user = add_person(engine, role, language=language)
    sessions = Sessions(engine.db, engine.writer, engine.clock)
    secret = engine.writer.do(lambda tx: sessions.open(tx, user, agent="test"))
    found = sessions.find(secret)
    assert found is not None
    return PageClient(app, secret, found.form_key)


def plain(html: str) -> str:
    """Return the words of a page without its tags, blanks joined."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
