"""Secrets: encrypted in the database under a key that lies in a file outside it.

The file holds one key a line; the first encrypts, all decrypt. The ciphertext is bound to scope and name: a row that
was copied over another is refused.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, Table, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.clock import Clock
from core.crash import crash_point
from core.durable import sync_folder
from core.errors import InvalidInput, NotFound, SignInError, StorageError
from core.tables import secrets as table
from core.writer import Tx

LONGEST = 64 * 1024
_HINT_FROM = 12
_HEADER = "# The key of the secrets stored by Vitrin. Keep a copy apart from the backups; without it they are lost.\n"


class Secrets:
    """Puts, gets and re-encrypts secrets; `open` comes first."""

    def __init__(self, key_file: Path, clock: Clock) -> None:
        self._file = key_file
        self._clock = clock
        self._keys: tuple[str, ...] = ()
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Secrets({self._file})"

    def open(self, conn: Connection) -> None:
        """Load the keys, make the first one on a new installation, and prove that they fit what is stored."""
        stored = conn.scalar(select(func.count()).select_from(table)) or 0
        if not self._file.exists():
            if stored:
                raise StorageError(
                    f"the key file {self._file} is missing, and {stored} stored secrets cannot be read without it:"
                    " put your copy of it back, or name its place with the setting 'key_file'"
                )
            _create(self._file, Fernet.generate_key().decode())
        self._load()
        first = conn.execute(select(table.c.scope, table.c.name, table.c.value).limit(1)).one_or_none()
        if first is not None:
            self._open_value(first.scope, first.name, first.value)

    def put(self, tx: Tx, scope: str, name: str, value: str) -> None:
        """Store or replace a secret; raise InvalidInput where the value is empty, too long or no text."""
        path = f"{scope}.{name}"
        try:
            plain = orjson.dumps([scope, name, value])
        except orjson.JSONEncodeError:
            raise InvalidInput(path, "is not a text that can be stored") from None
        if not value or len(plain) > LONGEST:
            raise InvalidInput(path, f"must have 1 to {LONGEST} bytes")
        self._seen.add(value)
        row = {
            "scope": scope,
            "name": name,
            "value": self._fernet().encrypt(plain),
            "hint": value[-4:] if len(value) >= _HINT_FROM else "",
            "changed_at": self._clock.now(),
        }
        _upsert(tx.conn, table, row)

    def get(self, conn: Connection, scope: str, name: str) -> str:
        """Return a secret; raise NotFound, or SignInError where the key does not fit."""
        row = _where(select(table.c.value), scope, name)
        value = conn.execute(row).scalar_one_or_none()
        if value is None:
            raise NotFound(f"no secret {name!r} is stored for {scope}")
        return self._open_value(scope, name, value)

    def known(self) -> frozenset[str]:
        """Return the values that this process has held, so that logs and stored answers can be cleaned of them."""
        return frozenset(self._seen)

    def names(self, conn: Connection, scope: str) -> dict[str, str]:
        """Return the names of a scope's secrets, each with its hint (its last characters, or nothing)."""
        rows = conn.execute(select(table.c.name, table.c.hint).where(table.c.scope == scope).order_by(table.c.name))
        return {row.name: row.hint for row in rows}

    def delete(self, tx: Tx, scope: str, name: str | None = None) -> int:
        """Forget one secret, or all of a scope; return how many there were."""
        return tx.conn.execute(_where(delete(table), scope, name)).rowcount

    def rotate(self, tx: Tx) -> int:
        """Make a new first key and encrypt everything anew with it; return how many secrets.

        The old keys stay in the file, because backups and other processes still need them: see `forget_old_keys`.
        """
        with self._lock:
            keys = (Fernet.generate_key().decode(), *_read(self._file))
            # The file first: a crash now leaves a key too many, the other way round it would leave one too few.
            _replace(self._file, keys)
            self._keys = keys
        crash_point("secrets.rotate")
        fernet = self._fernet()
        rows = tx.conn.execute(select(table.c.scope, table.c.name, table.c.value)).all()
        for row in rows:
            plain = orjson.dumps([row.scope, row.name, self._open_value(row.scope, row.name, row.value)])
            tx.conn.execute(_where(update(table), row.scope, row.name).values(value=fernet.encrypt(plain)))
        return len(rows)

    def forget_old_keys(self, conn: Connection) -> None:
        """Drop all keys but the first, once everything opens with it; backups from before need the old file then."""
        first = MultiFernet([Fernet(self._keys[0])])
        for row in conn.execute(select(table.c.scope, table.c.name, table.c.value)):
            if _decrypt(first, row.value) is None:
                raise StorageError(f"the secret {row.name!r} of {row.scope} still needs an old key: rotate first")
        with self._lock:
            _replace(self._file, self._keys[:1])
            self._keys = self._keys[:1]

    def signing_keys(self, purpose: str) -> tuple[bytes, ...]:
        """Derive keys for signatures (sessions, links): the first signs, all are believed; new on every install."""
        self._fernet()
        info = f"vitrin {purpose}".encode()
        return tuple(
            HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key.encode()) for key in self._keys
        )

    def _load(self) -> None:
        with self._lock:
            self._keys = _read(self._file)

    def _fernet(self) -> MultiFernet:
        if not self._keys:
            raise StorageError("the secrets are not open yet: open them with the database first")
        return MultiFernet([Fernet(key) for key in self._keys])

    def _open_value(self, scope: str, name: str, value: bytes) -> str:
        plain = _decrypt(self._fernet(), value)
        if plain is None:
            self._load()  # another process may have rotated
            plain = _decrypt(self._fernet(), value)
        if plain is None or plain[:2] != [scope, name]:
            words = f"the stored secret {name!r} does not open with the key in {self._file}"
            raise SignInError(scope, f"{words}: put the right key file back, or enter the secret again")
        self._seen.add(plain[2])
        return plain[2]


def merge_keys(file: Path, other: Path) -> None:
    """Put another file's keys before those of `file`, which is made where it is missing."""
    keys = _read(other)
    if not file.exists():
        _create(file, *keys)
        return
    _replace(file, tuple(dict.fromkeys((*keys, *_read(file)))))


def _where(statement: Any, scope: str, name: str | None) -> Any:
    statement = statement.where(table.c.scope == scope)
    return statement if name is None else statement.where(table.c.name == name)


def _upsert(conn: Connection, into: Table, row: dict[str, Any]) -> None:
    insert = (sqlite if conn.dialect.name == "sqlite" else postgresql).insert(into).values(row)
    changed = {name: insert.excluded[name] for name in ("value", "hint", "changed_at")}
    conn.execute(insert.on_conflict_do_update(index_elements=["scope", "name"], set_=changed))


def _decrypt(fernet: MultiFernet, value: bytes) -> list[str] | None:
    try:
        return orjson.loads(fernet.decrypt(value))
    except InvalidToken:
        return None


def _read(file: Path) -> tuple[str, ...]:
    try:
        mode = file.stat().st_mode
        lines = file.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise StorageError(f"the key file {file} cannot be read: {exc}") from exc
    if mode & 0o077:
        raise StorageError(f"the key file {file} can be read by others on this machine: run chmod 600 {file}")
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    try:
        MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        # Without the cause, which could show a part of the key.
        words = "holds no key, or a damaged one: put your copy of it back"
        raise StorageError(f"the key file {file} {words}") from None
    return keys


def _write(file: Path, keys: Sequence[str]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(_HEADER + "".join(f"{key}\n" for key in keys))
        out.flush()
        os.fsync(out.fileno())


def _create(file: Path, *keys: str) -> None:
    """Make the file whole or not at all; where another process was faster, its key counts."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.unlink(missing_ok=True)
        _write(draft, keys)
        crash_point("secrets.key_written")
        os.link(draft, file)  # unlike a rename it never replaces a file
    except FileExistsError:
        return
    except OSError as exc:
        raise StorageError(f"the key file {file} cannot be made: {exc.strerror}; see the setting 'key_file'") from exc
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(file.parent)


def _replace(file: Path, keys: Sequence[str]) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        _write(draft, keys)
        draft.replace(file)
    except OSError as exc:
        raise StorageError(f"the key file {file} cannot be replaced: {exc.strerror}") from exc
    sync_folder(file.parent)
