"""API tokens: shown once, kept as a hash, limited by scopes and time."""

import base64
import hashlib
import secrets
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from types import MappingProxyType
from uuid import UUID

import structlog
from sqlalchemy import Row, Select, select, update

from core import audit
from core.clock import Clock
from core.db import Database
from core.errors import Busy, InvalidInput, NotAllowed, NotFound
from core.ids import new_id
from core.tables import tokens, users
from core.writer import Tx, Writer

log = structlog.get_logger("vitrin.tokens")

#: What a token may be allowed; the text is shown where tokens are made.
SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "events:write": "hand in events",
        "events:read": "read events and their verdicts",
        "rules:read": "read and test rules",
        "rules:write": "change drafts of rules",
        "rules:publish": "publish rules, switch them on, watching or off",
        "runs:read": "read runs, traces and why something happened",
        "runs:retry": "retry and cancel runs",
        "approvals:write": "approve or reject held effects",
        "imports:read": "read imports and what was wrong with their rows",
        "imports:write": "upload files, map, check, run and undo imports",
        "jobs:read": "read long work and how far it is",
        "jobs:write": "retry and cancel long work",
        "plugins:read": "read plugins and their settings, never their secrets",
        "plugins:write": "switch plugins on and off, change their settings",
        "pause": "pause and resume everything",
        "pii:read": "see personal data that is masked otherwise",
        "metrics": "read metrics",
        "tokens:read": "list API tokens",
        "tokens:write": "make and revoke API tokens",
    }
)

_CACHED_S = 5.0
_CACHE_SIZE = 10_000
_USED_EVERY = timedelta(minutes=1)
_REFUSED = "this API token is not known, has expired or was revoked: make a new one with 'vitrin tokens create'"
_NOT_NOTED = "the last use of an API token was not noted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token as it is known after its check; never the secret itself."""

    id: str
    name: str
    scopes: frozenset[str]
    user: str | None
    expires_at: datetime | None

    def need(self, scope: str) -> None:
        """Raise NotAllowed unless the token has the scope."""
        if scope not in self.scopes:
            raise NotAllowed(f"the API token {self.name!r} lacks the scope {scope}: {SCOPES[scope]}")


class Tokens:
    """Makes, checks and revokes tokens; a checked one is remembered for some seconds."""

    def __init__(self, db: Database, writer: Writer, clock: Clock) -> None:
        self._db = db
        self._writer = writer
        self._clock = clock
        #: By hash: the token and until when it is believed without looking.
        self._known: dict[str, tuple[Token, float]] = {}
        self._forgotten = 0
        self._lock = threading.Lock()

    def make(
        self, tx: Tx, *, name: str, scopes: Iterable[str], actor: str, user: str | None = None, days: int | None = 365
    ) -> str:
        """Store a new token and return its text, which is shown only this once; `days` None never expires."""
        allowed = _check_scopes(scopes)
        if not name.strip() or len(name) > 100 or not name.isprintable():
            raise InvalidInput("name", "needs 1 to 100 characters that say what the token is for")
        if days is not None and not 1 <= days <= 3650:
            raise InvalidInput("days", "must be from 1 to 3650")
        now, token_id = self._clock.now(), new_id()
        secret = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=").lower()
        text = f"vt_{token_id.replace('-', '')}_{secret}"
        row = {
            "id": token_id,
            "name": name.strip(),
            "hash": _hash(text),
            "hint": secret[-4:],
            "scopes": allowed,
            "user": user,
            "created_at": now,
            "expires_at": None if days is None else now + timedelta(days=days),
        }
        tx.conn.execute(tokens.insert().values(row))
        after = {"name": row["name"], "scopes": allowed, "user": user, "expires_at": row["expires_at"]}
        entry = audit.Entry(actor=actor, action="token.created", object=f"token:{token_id}", after=after)
        audit.record(tx, entry, now)
        return text

    def revoke(self, tx: Tx, token_id: str, *, actor: str) -> None:
        """End a token: in this process with the commit, in others within five seconds."""
        now = self._clock.now()
        still = (tokens.c.id == token_id) & tokens.c.revoked_at.is_(None)
        if not tx.conn.execute(update(tokens).where(still).values(revoked_at=now)).rowcount:
            raise NotFound(f"no API token {token_id} that could be revoked")
        audit.record(tx, audit.Entry(actor=actor, action="token.revoked", object=f"token:{token_id}"), now)
        tx.after_commit(self.forget)

    def check(self, text: str) -> Token:
        """Return the token of a request, or raise NotAllowed: the same words whatever is wrong with it."""
        digest = _hash(text)
        now = self._clock.monotonic()
        known = self._known.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        with self._lock:
            forgotten = self._forgotten
        token, until = self._load(text, digest)
        with self._lock:
            # Revoked while we were reading: believed for this call, not for the next ones.
            if forgotten == self._forgotten:
                if len(self._known) >= _CACHE_SIZE:
                    self._known.clear()
                self._known[digest] = token, now + until
        return token

    def forget(self) -> None:
        """Look every token up again; called when one was revoked, or a person deactivated."""
        with self._lock:
            self._forgotten += 1
            self._known = {}

    def list_tokens(self, *, user: str | None = None) -> list[Row]:
        """Return all tokens (of one person), the newest first, without their hashes."""
        names = ("id", "name", "hint", "scopes", "user", "created_at", "expires_at", "used_at", "revoked_at")
        rows = select(*(tokens.c[name] for name in names)).order_by(tokens.c.id.desc())
        with self._db.read() as conn:
            return list(conn.execute(rows if user is None else rows.where(tokens.c.user == user)))

    def _load(self, text: str, digest: str) -> tuple[Token, float]:
        with self._db.read() as conn:
            row = conn.execute(_find(text)).one_or_none()
        now = self._clock.now()
        if row is None or not compare_digest(row.hash.encode(), digest.encode()):
            raise NotAllowed(_REFUSED)
        ended = row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now)
        if ended or row.active is False:
            raise NotAllowed(_REFUSED)
        if row.used_at is None or now - row.used_at >= _USED_EVERY:
            self._note_use(row.id, now)
        names = ("id", "name", "user", "expires_at")
        token = Token(scopes=frozenset(row.scopes), **{name: getattr(row, name) for name in names})
        left = (row.expires_at - now).total_seconds() if row.expires_at else _CACHED_S
        return token, min(left, _CACHED_S)

    def _note_use(self, token_id: str, now: datetime) -> None:
        def write(tx: Tx) -> None:
            stale = tokens.c.used_at.is_(None) | (tokens.c.used_at <= now - _USED_EVERY)
            tx.conn.execute(update(tokens).where(tokens.c.id == token_id, stale).values(used_at=now))

        try:
            self._writer.submit(write).add_done_callback(_report)
        except Busy as exc:
            log.info(_NOT_NOTED, error=str(exc))


def _report(noted: Future[None]) -> None:
    if error := noted.exception():
        log.warning(_NOT_NOTED, error=str(error))


def _check_scopes(scopes: Iterable[str]) -> list[str]:
    wanted = sorted(set(scopes))
    for scope in wanted:
        if scope not in SCOPES:
            raise InvalidInput("scopes", f"{scope!r} is none of {', '.join(SCOPES)}")
    if not wanted:
        raise InvalidInput("scopes", f"needs at least one of {', '.join(SCOPES)}")
    return wanted


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _find(text: str) -> Select:
    try:
        prefix, token_id, _secret = text.split("_")
        if prefix != "vt" or len(text) > 200:
            raise ValueError
        key = str(UUID(token_id))
    except ValueError:
        raise NotAllowed(_REFUSED) from None
    names = ("id", "name", "hash", "scopes", "user", "expires_at", "used_at", "revoked_at")
    columns = [tokens.c[name] for name in names]
    joined = tokens.outerjoin(users, users.c.id == tokens.c.user)
    return select(*columns, users.c.active).select_from(joined).where(tokens.c.id == key)
