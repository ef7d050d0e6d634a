"""Who calls: the bearer token of a request. No token, no call; cookies are never looked at here."""

import re

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from core.errors import NotAllowed
from core.tokens import Token, Tokens
from web.limits import Limits

_BEARER = re.compile(r"[Bb]earer +([\x21-\x7e]{1,300})")
_CHALLENGE = WWWAuthenticate("bearer", {"realm": "vitrin"})


class Gate:
    """Lets tokens in and slows down who guesses; the same words for every wrong one."""

    def __init__(self, tokens: Tokens, limits: Limits) -> None:
        self._tokens = tokens
        self._limits = limits

    def enter(self, authorization: str | None, address: str) -> Token:
        """Return the token of an Authorization header; raise Unauthorized, or Busy after too many failures."""
        match = _BEARER.fullmatch(authorization or "")
        if match is None:
            self._limits.count("failed", address)
            raise Unauthorized("send an API token: 'Authorization: Bearer vt_...'", www_authenticate=_CHALLENGE)
        try:
            return self._tokens.check(match[1])
        except NotAllowed as exc:
            self._limits.count("failed", address)
            raise Unauthorized(exc.message, www_authenticate=_CHALLENGE) from exc
