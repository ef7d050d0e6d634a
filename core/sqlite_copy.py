"""Copies of a running SQLite database: one picture of it, while others read and write."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from core.crash import crash_point
from core.durable import sync_file, sync_folder
from core.errors import StorageError

#: Told after every step: pages (or bytes) done and to do.
Progress = Callable[[int, int], None]

_PAGES = 2000


def quiet(done: int, total: int) -> None:
    """Tell nobody."""


def copy_database(source: Path, target: Path, progress: Progress = quiet) -> None:
    """Copy a database to a new file, in steps; `target` stands there whole and on disk, or not at all."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        remove_database(draft)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(source, draft, progress)
        crash_point("copy.before_rename")
        sync_file(draft)
        draft.replace(target)
        sync_folder(target.parent)
    except sqlite3.Error as exc:
        raise StorageError(f"the database {source} could not be copied to {target.parent}: {exc}") from exc
    except OSError as exc:
        raise StorageError(f"the copy {target} could not be written: {exc.strerror}; free some space") from exc
    finally:
        remove_database(draft)


def check_database(path: Path) -> None:
    """Raise StorageError unless the file is a whole SQLite database without code in it (triggers, views)."""
    try:
        with closing(open_plain(path)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            code = "SELECT type || ' ' || name FROM sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1"
            foreign = connection.execute(code).fetchone()
    except sqlite3.Error as exc:
        raise StorageError(f"the database {path.name} is damaged: {exc}") from exc
    if found != "ok":
        raise StorageError(f"the database {path.name} is damaged: {found}")
    if foreign:
        raise StorageError(f"the database {path.name} holds code ({foreign[0]}), which Vitrin never stores: not used")


def open_plain(path: Path, *, wait_s: float = 10.0) -> sqlite3.Connection:
    """Open an existing database file without trusting what its schema says."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=wait_s)
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def remove_database(path: Path) -> None:
    """Remove a database file and what SQLite keeps beside it."""
    for tail in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + tail).unlink(missing_ok=True)


def _copy(source: Path, draft: Path, progress: Progress) -> None:
    with closing(open_plain(source)) as live, closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        # An open read holds one picture; without it every write of others would start the copy anew.
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()
        crash_point("copy.begun")
        copy.execute("PRAGMA synchronous=OFF")

        def tell(_status: int, remaining: int, total: int) -> None:
            crash_point("copy.step")
            progress(total - remaining, total)

        live.backup(copy, pages=_PAGES, progress=tell)
        live.execute("ROLLBACK")
        # The copy inherits "write-ahead log" in its header: one file is easier to carry.
        copy.execute("PRAGMA journal_mode=DELETE")
