"""The people who work with the shop: their roles, their passwords, their way in."""

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import Connection, delete, exists, func, select, update

from core import audit
from core.attempts import Attempts
from core.clock import Clock
from core.db import Database, from_micros, to_micros
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.ids import new_id
from core.passwords import Passwords
from core.tables import marks, users
from core.writer import Tx, Writer

ROLES = ("admin", "manager", "staff", "developer")
LANGUAGES = ("en", "tr", "ru")
_LINK = "login_link:"
_LINK_LIVES = timedelta(hours=1)
_EMAIL = re.compile(r"""[^@\s<>()\[\],;:\\"]{1,64}@[^@\s<>()\[\],;:\\".]+(\.[^@\s<>()\[\],;:\\".]+)*""")
_REFUSED = "the e-mail address or the password is wrong"
_BAD_LINK = "this login link was used already or has expired: make a new one with 'vitrin users link'"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A person as everybody may see them: no password."""

    id: str
    email: str
    name: str
    role: str
    language: str
    active: bool
    has_password: bool
    #: Sessions carry it: one with an older generation is over.
    generation: int
    created_at: datetime


class People:
    """Adds people, changes them (each change audited) and lets them in."""

    def __init__(
        self,
        db: Database,
        writer: Writer,
        clock: Clock,
        *,
        hasher: PasswordHasher | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = db
        self._writer = writer
        self._clock = clock
        self._passwords = Passwords(hasher)
        self._attempts = Attempts(clock)
        # Called after a password, role or activity changed: caches of tokens and sessions are emptied.
        self._on_change = on_change

    def add(self, tx: Tx, email: str, *, role: str, actor: str, name: str = "", language: str = "en") -> User:
        """Add a person without a password; they come in by a login link and choose one."""
        address = normal_email(email)
        _one_of("role", role, ROLES)
        _one_of("language", language, LANGUAGES)
        _check_name(name)
        if self.find_by_email(tx.conn, address):
            raise Conflict(f"{address} is a user already")
        now = self._clock.now()
        row = {"id": new_id(), "email": address, "name": name.strip() or address, "role": role, "language": language}
        tx.conn.execute(users.insert().values(**row, active=True, generation=1, created_at=now))
        entry = audit.Entry(actor=actor, action="user.added", object=f"user:{row['id']}", after={"role": role})
        audit.record(tx, entry, now)
        return self.get(tx.conn, row["id"])

    def set_password(self, tx: Tx, user_id: str, password: str, *, actor: str) -> None:
        """Set a password that is long enough and not easily guessed; ends the person's sessions."""
        user = self.get(tx.conn, user_id)
        hashed = self._passwords.hash(password, email=user.email)
        self._change(tx, user, actor, "user.password_changed", {"password": hashed})

    def set_profile(self, tx: Tx, user_id: str, *, name: str, language: str, actor: str) -> None:
        """Change how a person is called and which language they read; their sessions go on."""
        _one_of("language", language, LANGUAGES)
        _check_name(name)
        user = self.get(tx.conn, user_id)
        values = {"name": name.strip() or user.email, "language": language}
        tx.conn.execute(update(users).where(users.c.id == user.id).values(values))
        before = {"name": user.name, "language": user.language}
        entry = audit.Entry(
            actor=actor, action="user.profile_changed", object=f"user:{user.id}", before=before, after=values
        )
        audit.record(tx, entry, self._clock.now())

    def set_role(self, tx: Tx, user_id: str, role: str, *, actor: str) -> None:
        """Give another role; ends the person's sessions."""
        _one_of("role", role, ROLES)
        user = self.get(tx.conn, user_id)
        if role != "admin":
            self._keep_an_admin(tx.conn, user)
        self._change(tx, user, actor, "user.role_changed", {"role": role}, shown="role")

    def set_active(self, tx: Tx, user_id: str, active: bool, *, actor: str) -> None:
        """Let a person in again, or no longer; ends their sessions and stops their API tokens."""
        user = self.get(tx.conn, user_id)
        if not active:
            self._keep_an_admin(tx.conn, user)
        self._change(tx, user, actor, "user.activity_changed", {"active": active}, shown="active")

    def get(self, conn: Connection, user_id: str) -> User:
        row = conn.execute(_USERS.where(users.c.id == user_id)).one_or_none()
        if row is None:
            raise NotFound(f"no user {user_id}")
        return User(**row._asdict())

    def find_by_email(self, conn: Connection, email: str) -> User | None:
        row = conn.execute(_USERS.where(users.c.email == _folded(email))).one_or_none()
        return None if row is None else User(**row._asdict())

    def list_people(self, conn: Connection) -> list[User]:
        return [User(**row._asdict()) for row in conn.execute(_USERS.order_by(users.c.email))]

    def is_claimed(self, conn: Connection) -> bool:
        """Say whether an admin with a password exists; until then the engine listens on this machine only."""
        ready = select(users.c.id).where(users.c.role == "admin", users.c.active, users.c.password.is_not(None))
        return bool(conn.scalar(select(exists(ready))))

    def authenticate(self, email: str, password: str, *, source: str) -> User:
        """Return who may come in; raise NotAllowed, or Busy after too many failures, alike for unknown addresses."""
        address = _folded(email)
        self._attempts.enter(address, source)
        with self._db.read() as conn:
            row = conn.execute(select(users).where(users.c.email == address)).one_or_none()
        fits = self._passwords.verify(row.password if row else None, password)
        if row is None or not fits or not row.active:
            raise NotAllowed(_REFUSED)
        self._attempts.clear(address, source)
        if self._passwords.is_outdated(row.password):
            self._renew(row.id, row.password, self._passwords.renew(password))
        with self._db.read() as conn:
            return self.get(conn, row.id)

    def make_login_link(self, tx: Tx, user_id: str, *, actor: str) -> str:
        """Return the secret of a link that lets this person in once within an hour; older ones end."""
        user, now = self.get(tx.conn, user_id), self._clock.now()
        if not user.active:
            raise Conflict("this person is switched off: switch them on first")
        _end_links(tx.conn, user.id)
        text = secrets.token_urlsafe(32)
        value = {"user": user.id, "generation": user.generation, "expires_at": to_micros(now + _LINK_LIVES)}
        tx.conn.execute(marks.insert().values(name=_link_name(text), value=value, at=now, by=user.id))
        audit.record(tx, audit.Entry(actor=actor, action="user.link_made", object=f"user:{user.id}"), now)
        return text

    def use_login_link(self, tx: Tx, text: str) -> User:
        """Return whom the link lets in, and end it; raise NotAllowed for one that is used, old or made up."""
        value = tx.conn.scalar(delete(marks).where(marks.c.name == _link_name(text)).returning(marks.c.value))
        now = self._clock.now()
        if value is None or from_micros(value["expires_at"]) <= now:
            raise NotAllowed(_BAD_LINK)
        user = self.get(tx.conn, value["user"])
        if not user.active or user.generation != value["generation"]:
            raise NotAllowed(_BAD_LINK)
        audit.record(tx, audit.Entry(actor=f"user:{user.id}", action="user.link_used", object=f"user:{user.id}"), now)
        return user

    def _change(self, tx: Tx, user: User, actor: str, action: str, values: dict[str, Any], *, shown: str = "") -> None:
        raised = {**values, "generation": users.c.generation + 1}
        tx.conn.execute(update(users).where(users.c.id == user.id).values(raised))
        _end_links(tx.conn, user.id)
        before = {shown: getattr(user, shown)} if shown else None
        after = {shown: values[shown]} if shown else None
        entry = audit.Entry(actor=actor, action=action, object=f"user:{user.id}", before=before, after=after)
        audit.record(tx, entry, self._clock.now())
        tx.after_commit(self._on_change)

    def _keep_an_admin(self, conn: Connection, user: User) -> None:
        others = select(func.count()).where(users.c.role == "admin", users.c.active, users.c.id != user.id)
        if user.role == "admin" and user.active and not conn.scalar(others):
            raise Conflict("this is the last active admin: make somebody else admin first")

    def _renew(self, user_id: str, old: str, new: str) -> None:
        """Store a hash at today's cost, unless the password was changed meanwhile."""
        same = (users.c.id == user_id) & (users.c.password == old)
        self._writer.do(lambda tx: tx.conn.execute(update(users).where(same).values(password=new)) and None)


_USERS = select(
    *(users.c[name] for name in ("id", "email", "name", "role", "language", "active", "generation", "created_at")),
    users.c.password.is_not(None).label("has_password"),
)


def normal_email(email: str) -> str:
    """Return an address in the form that is stored; raise InvalidInput where it cannot be one."""
    address = _folded(email)
    if len(address) > 254 or not address.isprintable() or "\ufffd" in address or not _EMAIL.fullmatch(address):
        raise InvalidInput("email", "is not an e-mail address")
    return address


def _folded(email: str) -> str:
    text = unicodedata.normalize("NFKC", email.strip()).lower()
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _check_name(name: str) -> None:
    if len(name) > 200 or not name.isprintable():
        raise InvalidInput("name", "must be a text in one line of at most 200 characters")


def _one_of(path: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidInput(path, f"{value!r} is none of {', '.join(allowed)}")


def _link_name(text: str) -> str:
    return _LINK + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _end_links(conn: Connection, user_id: str) -> None:
    conn.execute(delete(marks).where(marks.c.name.startswith(_LINK, autoescape=True), marks.c.by == user_id))
