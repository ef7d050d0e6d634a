"""Backup and restore: a running engine in one file, and back. A restored copy starts muted.

Kill either at any time: the target holds what it held before, or the new whole, never a mix.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata as packages
from pathlib import Path

from sqlalchemy import Connection, column, func, inspect, select, table, text

from core import audit, backup_postgres, backup_sqlite
from core.backup_archive import KEY, POSTGRES, SQLITE, ArchiveReader, ArchiveWriter, Manifest, Moved, open_archive
from core.clock import Clock, SystemClock
from core.crash import crash_point
from core.db import Database, sqlite_path
from core.durable import sync_folder
from core.errors import Conflict, InvalidInput, StorageError
from core.marks import write_mark
from core.schema_version import CORE, Branch
from core.secrets import merge_keys
from core.settings import Settings
from core.sqlite_copy import Progress, check_database, copy_database, quiet

MUTED = "muted"
ENDING = ".vitrin"
_STALE_S = 24 * 3600


def backup(
    db: Database,
    settings: Settings,
    target: Path,
    *,
    with_key: bool = False,
    progress: Progress = quiet,
    clock: Clock | None = None,
) -> Manifest:
    """Write one file with everything in the database, while others go on working; `progress` counts to 1000.

    Without `with_key` the stored secrets can only be read with a copy of the key file kept elsewhere.
    """
    now = (clock or SystemClock()).now()
    target = target / f"vitrin-{now:%Y%m%d-%H%M%S}{ENDING}" if target.is_dir() else target
    if with_key and not settings.key_file.exists():
        raise InvalidInput("key_file", f"{settings.key_file} does not exist, so it cannot be put into the backup")
    with _staging(target) as folder:
        name = SQLITE if db.is_sqlite else POSTGRES
        copy = folder / name
        facts = _take(db, copy, progress)
        crash_point("backup.copied")
        archive = ArchiveWriter(folder / "archive")
        try:
            archive.add(name, copy, _meter(progress, 500, copy.stat().st_size))
            if with_key:
                archive.add(KEY, settings.key_file, lambda _: None)
            kind = "sqlite" if db.is_sqlite else "postgresql"
            manifest = Manifest(made_at=now, version=_version(), database=kind, files=archive.parts, **facts)
            archive.finish(manifest)
        finally:
            archive.close()
        crash_point("backup.before_rename")
        (folder / "archive").replace(target)
        sync_folder(target.parent)
    progress(1000, 1000)
    return manifest


def restore(
    path: Path,
    settings: Settings,
    *,
    force: bool = False,
    branches: Sequence[Branch] = (CORE,),
    progress: Progress = quiet,
    clock: Clock | None = None,
) -> Manifest:
    """Put a backup in the place of the database; everything about it is checked before anything is touched.

    Refuses to overwrite without `force` (SQLite's old file is then kept as `*.before-restore`). The copy is muted:
    nothing goes out until a person resumes. The engine must not run.
    """
    now = (clock or SystemClock()).now()
    db = Database(settings.database, synchronous=settings.synchronous)
    try:
        with open_archive(path) as archive:
            manifest = archive.manifest
            _check_fits(manifest, db, branches)
            _check_free(db, force=force)
            home = sqlite_path(db.url).parent if db.is_sqlite else settings.home
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _staging(home / "restore") as folder:
                task = _Task(archive=archive, db=db, settings=settings, folder=folder, now=now, progress=progress)
                (_restore_sqlite if db.is_sqlite else _restore_postgres)(task)
    finally:
        db.close()
    progress(1000, 1000)
    return manifest


def _take(db: Database, copy: Path, progress: Progress) -> dict:
    """Write the database's copy and return what the manifest says about it."""
    if db.is_sqlite:
        copy_database(sqlite_path(db.url), copy, lambda done, total: progress(500 * done // max(total, 1), 1000))
        check_database(copy)
        opened = backup_sqlite.open_copy(copy)
        try:
            with opened.read() as conn:
                facts = _facts(conn)
        finally:
            opened.close()
        backup_sqlite.settle(copy)
        return facts
    with db.read() as conn:
        # This transaction only holds the picture open for pg_dump, however long that takes.
        conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        snapshot = conn.scalar(text("SELECT pg_export_snapshot()"))
        facts = _facts(conn)
        backup_postgres.dump(db.url, str(snapshot), copy)
        return facts


def _facts(conn: Connection) -> dict:
    names = sorted(inspect(conn).get_table_names())
    if "marks" not in names or "audit" not in names:
        raise StorageError("this database holds no tables of Vitrin: check the setting 'database'")
    counts = {name: conn.scalar(select(func.count()).select_from(table(name))) or 0 for name in names}
    schema = {}
    for name in names:
        if name.startswith("alembic_version"):
            owner = name.removeprefix("alembic_version").lstrip("_") or CORE.name
            schema[owner] = conn.scalar(select(column("version_num")).select_from(table(name))) or ""
    return {"counts": counts, "schema": schema, "audit": audit.head(conn)}


def _check_fits(manifest: Manifest, db: Database, branches: Sequence[Branch]) -> None:
    wanted = "sqlite" if db.is_sqlite else "postgresql"
    if manifest.database != wanted:
        words = f"was made of a database in {manifest.database}, and the setting 'database' names one in {wanted}"
        raise InvalidInput("backup", words)
    for branch in branches:
        step = manifest.schema.get(branch.name)
        if step and not branch.knows(step):
            raise InvalidInput(
                "backup", f"was made by a newer version ({branch.name} {step}): install that one, then restore"
            )


def _check_free(db: Database, *, force: bool) -> None:
    if force:
        return
    if db.is_sqlite:
        taken = sqlite_path(db.url).exists()
    else:
        with db.read() as conn:
            taken = bool(inspect(conn).get_table_names())
    if taken:
        where = db.url.render_as_string(hide_password=True)
        raise Conflict(f"there is a database at {where}: restore to an empty home, or replace it with --force")


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One restore under way."""

    archive: ArchiveReader
    db: Database
    settings: Settings
    folder: Path
    now: datetime
    progress: Progress

    def unpack(self, name: str, room: int) -> Path:
        """Unpack the database's part, once there is room for so many times its size."""
        size = self.archive.manifest.files[name].size
        backup_sqlite.need_room(self.folder, size * room + (16 << 20))
        self.archive.unpack(name, self.folder / name, _meter(self.progress, 0, size))
        return self.folder / name


def _restore_sqlite(task: _Task) -> None:
    copy = task.unpack(SQLITE, 1)
    check_database(copy)
    crash_point("restore.unpacked")
    opened = backup_sqlite.open_copy(copy)
    try:
        with opened.write() as conn:
            _accept(conn, task.archive.manifest, task.now)
    finally:
        opened.close()
    backup_sqlite.settle(copy)
    _restore_key(task)
    backup_sqlite.exchange(copy, sqlite_path(task.db.url))


def _restore_postgres(task: _Task) -> None:
    dumped = task.unpack(POSTGRES, 10)  # packed ten to one at most, as a rule; it becomes plain text
    crash_point("restore.unpacked")
    _restore_key(task)
    with task.db.write() as conn:
        backup_postgres.load(conn, dumped, task.folder)
        _accept(conn, task.archive.manifest, task.now)
        crash_point("restore.before_swap")
    crash_point("restore.after_swap")


def _accept(conn: Connection, manifest: Manifest, now: datetime) -> None:
    """Compare what was restored with the manifest, and mute it."""
    facts = _facts(conn)
    wrong = [name for name in ("counts", "schema", "audit") if facts[name] != getattr(manifest, name)]
    if wrong:
        raise InvalidInput("backup", f"its database and its manifest differ in {wrong[0]}: use another one")
    reason = f"restored from the backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC: resume when you have checked it"
    write_mark(conn, MUTED, {"reason": reason}, now, by="restore")


def _restore_key(task: _Task) -> None:
    """Add the backup's keys to those that are here: whichever database a crash leaves, its key is in the file."""
    if task.archive.has(KEY):
        task.archive.unpack(KEY, task.folder / KEY, lambda _: None)
        merge_keys(task.settings.key_file, task.folder / KEY)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Make a folder beside the target, on the same disk, and clear away what killed ones left."""
    folder = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        for left in target.parent.glob(f".{target.name}.*.partial"):
            if left == folder or time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left)
        folder.mkdir(mode=0o700)
    except OSError as exc:
        raise StorageError(f"{target.parent} cannot be written to: {exc.strerror}") from exc
    try:
        yield folder
    except OSError as exc:
        raise StorageError(f"{target} could not be written: {exc.strerror}; nothing was changed") from exc
    except sqlite3.Error as exc:
        raise StorageError(f"{target} could not be written: {exc}; nothing was changed") from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _meter(progress: Progress, start: int, size: int) -> Moved:
    done = 0

    def moved(count: int) -> None:
        nonlocal done
        done += count
        progress(start + (1000 - start) * done // max(size, 1), 1000)

    return moved


def _version() -> str:
    try:
        return packages.version("vitrin")
    except packages.PackageNotFoundError:
        return "from source"
