"""SQLite's part of backup and restore: a copy of the running database, and the exchange of one file for another."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from core.crash import crash_point
from core.db import Database
from core.durable import sync_file, sync_folder
from core.errors import Conflict, StorageError
from core.sqlite_copy import open_plain, remove_database

SET_ASIDE = "before-restore"
#: What SQLite says of a file that holds no database any more.
_DAMAGE = ("malformed", "not a database")


def settle(copy: Path) -> None:
    """Bring a copy that was opened back to one file, on disk."""
    with closing(open_plain(copy)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    sync_file(copy)


def open_copy(copy: Path) -> Database:
    """Open a copy for a last change before it is used."""
    return Database(f"sqlite:///{copy}", synchronous="off")


def need_room(folder: Path, size: int) -> None:
    """Raise StorageError where the disk cannot take so many bytes more."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise StorageError(f"{folder} needs {size >> 20} MiB for this and has {free >> 20} MiB free: make room first")


def exchange(new: Path, database: Path) -> None:
    """Put a new database in the place of the old one, which is kept beside it, in one step."""
    if not database.exists():
        # What is left of a database that is gone would be taken for a part of the new one.
        remove_database(database)
        _replace(new, database)
        return
    try:
        with closing(open_plain(database, wait_s=1.0)) as old:
            # Succeeds for the only one who has it open, and leaves one file without its write-ahead log.
            mode = old.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
            if mode != "delete":
                raise sqlite3.OperationalError("database is locked")
            old.execute("BEGIN EXCLUSIVE")
            _set_aside(database)
            _replace(new, database)
    except sqlite3.DatabaseError as exc:
        if "locked" in str(exc) or "busy" in str(exc):
            raise Conflict("the database is in use: stop the engine, then restore again") from exc
        if not any(word in str(exc) for word in _DAMAGE):
            raise StorageError(f"the old database {database} cannot be set aside: {exc}") from exc
        _exchange_damaged(new, database)


def _exchange_damaged(new: Path, database: Path) -> None:
    """Replace a file that is no whole database; its log goes aside first, for it must not meet the new one."""
    for tail in ("-wal", "-shm", "-journal"):
        part = database.with_name(database.name + tail)
        if part.exists():
            part.replace(database.with_name(f"{database.name}.{SET_ASIDE}{tail}"))
    _set_aside(database)
    _replace(new, database)


def _set_aside(database: Path) -> None:
    aside = database.with_name(f"{database.name}.{SET_ASIDE}")
    aside.unlink(missing_ok=True)
    aside.hardlink_to(database)


def _replace(new: Path, database: Path) -> None:
    crash_point("restore.before_swap")
    new.replace(database)
    crash_point("restore.after_swap")
    sync_folder(database.parent)
