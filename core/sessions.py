"""Signed-in browsers: a random secret in the cookie, its hash and what belongs to it in the database."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, update

from core.clock import Clock
from core.db import Database
from core.people import User
from core.tables import sessions, users
from core.writer import Tx, Writer

#: A session ends after this long without a call, and after `_LONGEST` in any case.
IDLE = timedelta(hours=12)
_LONGEST = timedelta(days=30)
#: A call is noted at most this often, so that reading pages writes next to nothing.
_NOTED = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A browser that is signed in."""

    hash: str
    user: User
    #: What its forms must send back.
    form_key: str
    agent: str
    created_at: datetime
    seen_at: datetime
    #: Words to show on the next page, once.
    notes: tuple[Mapping[str, Any], ...]


class Sessions:
    """Opens sessions, finds them by the cookie's secret, ends them."""

    def __init__(self, db: Database, writer: Writer, clock: Clock) -> None:
        self._db = db
        self._writer = writer
        self._clock = clock

    def open(self, tx: Tx, user: User, *, agent: str) -> str:
        """Return the secret of a new session; what is long over is cleared away on the way."""
        now, secret = self._clock.now(), secrets.token_urlsafe(32)
        tx.conn.execute(delete(sessions).where(sessions.c.seen_at < now - IDLE))
        row = {
            "hash": _hash(secret),
            "user": user.id,
            "generation": user.generation,
            "form_key": secrets.token_urlsafe(24),
            "agent": agent[:200],
            "notes": [],
            "created_at": now,
            "seen_at": now,
        }
        tx.conn.execute(sessions.insert().values(row))
        return secret

    def find(self, secret: str) -> Session | None:
        """Return the session of a cookie's secret; None where it is over, or never was."""
        now = self._clock.now()
        with self._db.read() as conn:
            row = conn.execute(_FOUND.where(sessions.c.hash == _hash(secret))).one_or_none()
        if row is None or not row.active or row.generation != row.user_generation:
            return None
        if now - row.seen_at > IDLE or now - row.created_at > _LONGEST:
            return None
        if now - row.seen_at > _NOTED:
            seen = update(sessions).where(sessions.c.hash == row.hash).values(seen_at=now)
            self._writer.do(lambda tx: tx.conn.execute(seen) and None)
        return _read(row._asdict())

    def close(self, tx: Tx, session_hash: str) -> None:
        tx.conn.execute(delete(sessions).where(sessions.c.hash == session_hash))

    def list_open(self, conn: Connection, user_id: str) -> list[Session]:
        """Return the browsers in which a person is signed in, the last used first."""
        rows = conn.execute(_FOUND.where(sessions.c.user == user_id).order_by(sessions.c.seen_at.desc()))
        now = self._clock.now()
        alive = (row for row in rows if row.generation == row.user_generation and now - row.seen_at <= IDLE)
        return [_read(row._asdict()) for row in alive]

    def leave_note(self, tx: Tx, session: Session, note: Mapping[str, Any]) -> None:
        """Keep words that the next page shows once."""
        kept = [*session.notes, dict(note)][-5:]
        tx.conn.execute(update(sessions).where(sessions.c.hash == session.hash).values(notes=kept))

    def clear_notes(self, session: Session) -> None:
        """Forget the words that were shown."""
        cleared = update(sessions).where(sessions.c.hash == session.hash).values(notes=[])
        self._writer.do(lambda tx: tx.conn.execute(cleared) and None)


_FOUND = select(
    sessions,
    users.c.id,
    users.c.email,
    users.c.name,
    users.c.role,
    users.c.language,
    users.c.active,
    users.c.generation.label("user_generation"),
    users.c.created_at.label("user_created_at"),
    users.c.password.is_not(None).label("has_password"),
).join(users, users.c.id == sessions.c.user)


def _read(row: dict[str, Any]) -> Session:
    kept = ("id", "email", "name", "role", "language", "active", "has_password")
    user = User(
        **{name: row[name] for name in kept}, generation=row["user_generation"], created_at=row["user_created_at"]
    )
    told = {name: row[name] for name in ("hash", "form_key", "agent", "created_at", "seen_at")}
    return Session(**told, user=user, notes=tuple(row["notes"]))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
