"""The API's services, called by a signed-in person instead of a token: one way to do each thing."""

from collections.abc import Mapping
from typing import Any

from core.tokens import Token
from web.routes import Call
from web.visits import Visit


class PersonCall(Call):
    """A call that a person made in the browser; what it changes is audited under their name."""

    __slots__ = ()

    @property
    def actor(self) -> str:
        return f"user:{self.token.user}"


def call_of(visit: Visit, names: Mapping[str, str], body: Any = None) -> PersonCall:
    """Return a call of the API for this visit; whether the person may make it was decided by the page's roles."""
    person = visit.person
    token = Token(id=person.id, name=person.name, scopes=frozenset(), user=person.id, expires_at=None)
    return PersonCall(services=visit.services, token=token, names=names, body=body, now=visit.now)
