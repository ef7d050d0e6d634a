"""Installations for the tests of backup and restore: settings, a database with something in it, a writer."""

import os
import subprocess
import sys
import threading
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from databases import FILE, databases
from sqlalchemy import func, insert, select, text

from core import audit
from core import db as core_db
from core.db import Database, metadata
from core.marks import read_mark
from core.policy.pause import find_pause
from core.settings import Settings, load_settings
from core.tables import plugin_store
from core.writer import Tx, Writer

ROOT = Path(core_db.__file__).parents[1]
NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
#: Restores in a process of its own: home, backup and perhaps the database.
RESTORE = """
import sys
from pathlib import Path
from core.backup import restore
from core.settings import load_settings
flags = {"home": sys.argv[1], "database": sys.argv[3] if len(sys.argv) > 3 else None}
restore(Path(sys.argv[2]), load_settings(flags, {}), force=True)
"""


class Home:
    """One installation: settings, database and writer."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.settings: Settings = load_settings(
            {"home": folder, "database": database or databases.url(folder / FILE)}, {}
        )
        folder.mkdir(parents=True, exist_ok=True)
        self.db = Database(self.settings.database)
        self.writer = Writer(self.db)

    def fill(self, rows: int = 5) -> "Home":
        metadata.create_all(self.db.engine)
        for number in range(rows):
            self.writer.do(lambda tx, number=number: note(tx, number))
        return self

    @property
    def file(self) -> Path:
        return self.settings.home / "vitrin.db"

    def rows(self) -> int:
        with self.db.read() as conn:
            return conn.scalar(select(func.count()).select_from(plugin_store)) or 0

    def trail(self) -> int:
        with self.db.read() as conn:
            assert conn.scalar(text("PRAGMA integrity_check")) == "ok"
            return audit.head(conn)[0]

    def is_muted(self) -> bool:
        with self.db.read() as conn:
            assert audit.verify(conn) is None
            return read_mark(conn, "muted") is not None and find_pause(conn) is not None


def note(tx: Tx, number: int) -> None:
    """Write two things that belong together: a document and its line in the audit trail."""
    row = {"plugin": "p", "account": "a", "key": str(number), "value": {"n": number}, "changed_at": NOON}
    tx.conn.execute(insert(plugin_store).values(row))
    audit.record(tx, audit.Entry(actor="a", action="b", object="c", after={"n": number}), NOON)


class Load:
    """Somebody who writes all the time."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._home.writer.start()
        self._thread.start()
        assert self._begun.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._home.writer.stop()

    def _work(self) -> None:
        number = 100
        while not self._stop.is_set():
            self._home.writer.do(lambda tx, number=number: note(tx, number))
            number += 1
            self._begun.set()


def python(code: str, *arguments: str, crash_at: str = "") -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VITRIN_CRASH_AT": crash_at}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=False).returncode


def entries_of(packed: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
