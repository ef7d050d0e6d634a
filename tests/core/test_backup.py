"""Backup and restore: of a running engine, whole or not at all, and nothing that a stranger's file could do."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from databases import databases
from homes import RESTORE, ROOT, Home, Load, entries_of, note, python
from sqlalchemy import select, text

from core.backup import backup, restore
from core.clock import VirtualClock
from core.errors import Conflict, InvalidInput, StorageError
from core.policy.pause import find_pause
from core.secrets import Secrets
from core.sqlite_copy import copy_database, remove_database
from core.tables import plugin_store


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Callable[..., Home]]:
    made: list[Home] = []

    def make(name: str, database: str | None = None) -> Home:
        made.append(Home(tmp_path / name, database))
        return made[-1]

    yield make
    for home in made:
        home.db.close()


@pytest.fixture
def home(homes: Callable[..., Home]) -> Home:
    return homes("home").fill()


@pytest.fixture
def packed(home: Home, tmp_path: Path, clock: VirtualClock) -> Path:
    backup(home.db, home.settings, tmp_path / "shop.vitrin", clock=clock)
    return tmp_path / "shop.vitrin"


def test_restored_copy_is_whole_and_muted(home: Home, homes: Any, packed: Path, clock: VirtualClock) -> None:
    other = homes("other")
    manifest = restore(packed, other.settings, clock=clock)

    assert other.rows() == 5
    assert other.is_muted()
    assert not home.is_muted()
    assert (manifest.database, manifest.counts["plugin_store"], manifest.audit[0]) == (databases.kind, 5, 5)
    assert manifest.made_at == clock.now()
    with other.db.read() as conn:
        assert "restored from the backup of 2026-01-15 12:00 UTC" in str(find_pause(conn))


@pytest.mark.sqlite("its file is looked at")
def test_only_owner_may_read(packed: Path, homes: Any) -> None:
    other = homes("other")
    restore(packed, other.settings)

    assert packed.stat().st_mode & 0o777 == 0o600
    assert other.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.sqlite("its file is looked at")
def test_nothing_is_left_beside(packed: Path, home: Home, homes: Any, tmp_path: Path) -> None:
    other = homes("other")
    restore(packed, other.settings)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "other", "shop.vitrin"]
    assert [path.name for path in other.settings.home.iterdir()] == ["vitrin.db"]


def test_folder_as_target_gets_dated_name(home: Home, tmp_path: Path, clock: VirtualClock) -> None:
    backup(home.db, home.settings, tmp_path, clock=clock)

    assert (tmp_path / "vitrin-20260115-120000.vitrin").exists()


def test_backup_while_many_write(home: Home, homes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.sqlite_copy._PAGES", 1)  # as many steps as the database has pages
    with Load(home):
        made = [backup(home.db, home.settings, tmp_path / f"{step}.vitrin") for step in range(5)]

    assert made[-1].audit[0] > made[0].audit[0] > 5
    for step, manifest in enumerate(made):
        other = homes(f"other{step}")
        restore(tmp_path / f"{step}.vitrin", other.settings)
        # Document and audit line were written together: one picture holds as many of both.
        assert other.rows() == manifest.audit[0] == manifest.counts["audit"]
        assert other.is_muted()


@pytest.mark.sqlite("its file is looked at")
def test_copy_does_not_begin_anew_at_every_write(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.sqlite_copy._PAGES", 1)
    steps: list[int] = []

    def write(_done: int, total: int) -> None:
        steps.append(total)
        assert len(steps) <= total, "it began anew"
        home.writer.do(lambda tx: note(tx, 1000 + len(steps)))

    copy_database(home.file, tmp_path / "copy.db", write)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM plugin_store").fetchone() == (5,)


def test_progress_ends_where_it_should(home: Home, homes: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    backup(home.db, home.settings, tmp_path / "a.vitrin", progress=lambda *step: told.append(step))
    restore(tmp_path / "a.vitrin", homes("other").settings, progress=lambda *step: told.append(step))

    assert told.count((1000, 1000)) >= 2
    assert all(0 <= done <= total == 1000 for done, total in told)


def test_database_in_place_is_not_overwritten(home: Home, packed: Path) -> None:
    home.writer.do(lambda tx: note(tx, 99))

    with pytest.raises(Conflict, match="replace it with --force"):
        restore(packed, home.settings)
    assert home.rows() == 6


@pytest.mark.sqlite("its file is looked at")
def test_force_keeps_the_old_one_beside(home: Home, packed: Path) -> None:
    home.writer.do(lambda tx: note(tx, 99))
    home.db.close()
    restore(packed, home.settings, force=True)

    assert home.rows() == 5
    assert home.is_muted()
    with closing(sqlite3.connect(f"{home.file}.before-restore")) as old:
        assert old.execute("SELECT count(*) FROM plugin_store").fetchone() == (6,)


def test_running_engine_is_not_replaced(home: Home, packed: Path) -> None:
    with home.db.read() as conn:
        conn.execute(select(plugin_store)).all()
        with pytest.raises(Conflict, match="stop the engine"):
            restore(packed, home.settings, force=True)
    assert home.rows() == 5
    assert not home.is_muted()


_DIE_WRITING = """
import os, sys
from core.db import Database
db = Database(f"sqlite:///{sys.argv[1]}")
with db.write() as conn:
    conn.exec_driver_sql("UPDATE plugin_store SET value = '{}'")
    conn.exec_driver_sql("DELETE FROM audit WHERE number > 2")
os.kill(os.getpid(), 9)
"""


@pytest.mark.sqlite("its file is looked at")
def test_log_of_killed_engine_meets_no_other_database(home: Home, packed: Path) -> None:
    home.db.close()
    assert python(_DIE_WRITING, str(home.file)) == -9
    assert home.file.with_name("vitrin.db-wal").stat().st_size > 0
    restore(packed, home.settings, force=True)

    assert home.rows() == home.trail() == 5
    assert home.is_muted()


@pytest.mark.sqlite("its file is looked at")
def test_log_without_its_database_is_no_obstacle(home: Home, packed: Path) -> None:
    home.db.close()
    assert python(_DIE_WRITING, str(home.file)) == -9
    home.file.unlink()
    restore(packed, home.settings)

    assert home.rows() == home.trail() == 5
    assert home.is_muted()


@pytest.mark.sqlite("its file is looked at")
def test_damaged_database_can_be_replaced(home: Home, packed: Path) -> None:
    home.db.close()
    remove_database(home.file)
    home.file.write_bytes(b"no database at all" * 1000)
    home.file.with_name("vitrin.db-wal").write_bytes(b"rubbish" * 1000)
    restore(packed, home.settings, force=True)

    assert home.is_muted()
    assert home.file.with_name("vitrin.db.before-restore").read_bytes().startswith(b"no database")


_BACKUP = """
import sys
from pathlib import Path
from core.backup import backup
from core.db import Database
from core.settings import load_settings
settings = load_settings({"home": sys.argv[1], "database": sys.argv[3]}, {})
backup(Database(settings.database), settings, Path(sys.argv[2]))
"""


_OF_A_FILE = [
    pytest.param(place, marks=pytest.mark.sqlite("its file is copied"))
    for place in ("copy.begun", "copy.before_rename")
]
COPYING = [*_OF_A_FILE, "backup.copied", "backup.before_rename"]


@pytest.mark.parametrize("place", COPYING)
@pytest.mark.parametrize("earlier", [False, True])
def test_kill_during_backup_leaves_old_or_none(
    home: Home, homes: Any, tmp_path: Path, place: str, earlier: bool
) -> None:
    target = tmp_path / "shop.vitrin"
    if earlier:
        backup(home.db, home.settings, target)
    home.writer.do(lambda tx: note(tx, 99))

    assert python(_BACKUP, str(home.settings.home), str(target), home.settings.database, crash_at=place) == -9
    assert target.exists() == earlier
    if earlier:
        restore(target, homes("other").settings)
        assert homes("other").rows() == 5
    backup(home.db, home.settings, target)
    restore(target, homes("third").settings)
    assert homes("third").rows() == 6


KILLS = [
    ("restore.unpacked", 6),  # nothing touched yet
    ("secrets.rotate", None),  # never passed: the restore ends well
    ("restore.before_swap", 6),  # the old one is set aside, and still in place
    ("restore.after_swap", 5),  # the new one is in place
]


@pytest.mark.sqlite("its file is looked at")
@pytest.mark.parametrize(("place", "expected"), KILLS)
def test_kill_during_restore_leaves_old_or_new(home: Home, packed: Path, place: str, expected: int | None) -> None:
    home.writer.do(lambda tx: note(tx, 99))
    home.db.close()
    code = python(RESTORE, str(home.settings.home), str(packed), crash_at=place)

    assert code == (0 if expected is None else -9)
    assert home.rows() == (expected or 5)
    assert home.is_muted() == (expected != 6)
    assert home.file.exists()
    home.db.close()
    assert python(RESTORE, str(home.settings.home), str(packed)) == 0
    assert home.rows() == 5


@pytest.mark.sqlite("its file is looked at")
def test_kill_at_any_time_leaves_old_or_new(home: Home, packed: Path) -> None:
    home.writer.do(lambda tx: note(tx, 99))
    home.db.close()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RESTORE, str(home.settings.home), str(packed)]
    for step in range(6):
        process = subprocess.Popen(command, env=environment)
        try:
            process.wait(timeout=0.35 + step * 0.05)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        rows = home.rows()
        assert (rows, home.is_muted()) in [(6, False), (5, True)]
        home.db.close()


# Keys


def opened(home: Home, clock: VirtualClock) -> Secrets:
    secrets = Secrets(home.settings.key_file, clock)
    with home.db.read() as conn:
        secrets.open(conn)
    return secrets


@pytest.mark.sqlite("the copy of its file is plain text")
def test_key_stays_at_home_unless_asked(home: Home, homes: Any, tmp_path: Path, clock: VirtualClock) -> None:
    secrets = opened(home, clock)
    home.writer.do(lambda tx: secrets.put(tx, "mail", "api_key", "sentinel-4711-value"))
    backup(home.db, home.settings, tmp_path / "a.vitrin")

    unpacked = b"".join(entries_of(tmp_path / "a.vitrin").values())
    key = home.settings.key_file.read_text().splitlines()[-1].encode()
    assert b"api_key" in unpacked
    assert key not in unpacked
    assert b"4711" not in unpacked
    other = homes("other")
    restore(tmp_path / "a.vitrin", other.settings)
    with pytest.raises(StorageError, match="put your copy of it back"):
        opened(other, clock)


@pytest.mark.sqlite("its file is looked at")
def test_key_travels_when_asked(home: Home, homes: Any, tmp_path: Path, clock: VirtualClock) -> None:
    secrets = opened(home, clock)
    home.writer.do(lambda tx: secrets.put(tx, "mail", "api_key", "sentinel-4711-value"))
    backup(home.db, home.settings, tmp_path / "a.vitrin", with_key=True)
    other = homes("other").fill(2)
    others = opened(other, clock)
    other.writer.do(lambda tx: others.put(tx, "mail", "own", "another value"))
    other.db.close()

    restore(tmp_path / "a.vitrin", other.settings, force=True)
    with other.db.read() as conn:
        assert opened(other, clock).get(conn, "mail", "api_key") == "sentinel-4711-value"
    # The database that was set aside keeps its key, too: a crash between the two files leaves nothing unreadable.
    Path(f"{other.file}.before-restore").replace(other.file)
    other.db.close()
    with other.db.read() as conn:
        assert opened(other, clock).get(conn, "mail", "own") == "another value"


def test_absent_key_is_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"secret.key does not exist"):
        backup(home.db, home.settings, tmp_path / "a.vitrin", with_key=True)


# What goes wrong


def test_unwritable_target_is_said_in_words(home: Home) -> None:
    with pytest.raises(StorageError, match="cannot be written to"):
        backup(home.db, home.settings, Path("/proc/nowhere/a.vitrin"))


def test_full_disk_is_said_in_words(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5))
    backup(home.db, home.settings, tmp_path / "a.vitrin")
    home.db.close()

    with pytest.raises(StorageError, match="make room first"):
        restore(tmp_path / "a.vitrin", home.settings, force=True)


def test_foreign_database_is_not_backed_up(homes: Any, tmp_path: Path) -> None:
    other = homes("other")
    with other.db.write() as conn:
        conn.execute(text("CREATE TABLE cats (name TEXT)"))

    with pytest.raises(StorageError, match="no tables of Vitrin"):
        backup(other.db, other.settings, tmp_path / "a.vitrin")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
