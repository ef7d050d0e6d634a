"""The backup's file: nothing that a stranger put into one is believed, unpacked or run."""

import json
import sqlite3
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from homes import Home, entries_of
from hypothesis import given
from hypothesis import strategies as st
from shared_files import vector_file, vectors

from core.backup import backup, restore
from core.backup_archive import KEY, MANIFEST, SQLITE, Manifest, open_archive
from core.clock import VirtualClock
from core.errors import InvalidInput, StorageError
from core.schema_version import Branch

pytestmark = pytest.mark.sqlite("the archives that are forged hold its file")


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


def forge(packed: Path, target: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """Write the archive anew with its manifest and entries changed."""
    entries = entries_of(packed)
    manifest = json.loads(entries.pop(MANIFEST))
    change(manifest, entries)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(MANIFEST, json.dumps(manifest))
        for name, content in entries.items():
            out.writestr(name, content)
    return target


def picture(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(path: Path, home: Home, words: str = ".") -> None:
    """Prove that a restore is refused in words and touches nothing."""
    home.db.close()
    folder = home.settings.home.parent
    before = picture(folder)
    with pytest.raises((InvalidInput, StorageError), match=words):
        restore(path, home.settings, force=True)
    assert picture(folder) == before


def test_archives_of_strangers_are_refused(home: Home) -> None:
    rows = [row for row in vectors("path_traversal_names")["rows"] if "file" in row]
    assert rows
    for row in rows:
        assert_refused(vector_file(row["file"]), home)


def test_hostile_names_are_refused(home: Home, packed: Path, tmp_path: Path) -> None:
    for number, row in enumerate(row for row in vectors("path_traversal_names")["rows"] if "name" in row):
        path = tmp_path / f"{number}.zip"
        entries = entries_of(packed)
        with zipfile.ZipFile(path, "w") as out:
            for name, content in entries.items():
                out.writestr(name, content)
            out.writestr(zipfile.ZipInfo(row["name"]), b"x")
        assert_refused(path, home)
        path.unlink()


def _swap(key: str, value: Any) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    return lambda manifest, _entries: manifest.__setitem__(key, value)


def _with_entry(name: str, content: bytes) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    return lambda _manifest, entries: entries.__setitem__(name, content)


def _with_database(change: Callable[[sqlite3.Connection], Any]) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    """Change the database inside, with a manifest that agrees."""

    def apply(manifest: dict[str, Any], entries: dict[str, bytes]) -> None:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(entries[SQLITE])
            change(connection)
            connection.commit()
            entries[SQLITE] = connection.serialize()
        _seal(manifest, entries)

    return apply


def _seal(manifest: dict[str, Any], entries: dict[str, bytes]) -> None:
    content = entries[SQLITE]
    manifest["files"][SQLITE] = {"size": len(content), "sha256": sha256(content).hexdigest()}


def _rubbish(manifest: dict[str, Any], entries: dict[str, bytes]) -> None:
    entries[SQLITE] = b"SQLite format 3\0" + b"\xff" * 5000
    _seal(manifest, entries)


def _shorter(manifest: dict[str, Any], entries: dict[str, bytes]) -> None:
    manifest["files"][SQLITE]["size"] -= 1


def _flipped(_manifest: dict[str, Any], entries: dict[str, bytes]) -> None:
    entries[SQLITE] = entries[SQLITE][:-1] + bytes([entries[SQLITE][-1] ^ 1])


FORGED: list[tuple[str, Callable[[dict[str, Any], dict[str, bytes]], None], str]] = [
    ("not ours", _swap("format", "somebody's backup"), "no version of Vitrin wrote"),
    ("newer format", _swap("format_version", 99), "newer version"),
    ("no date", _swap("made_at", "yesterday"), "manifest"),
    ("date without zone", _swap("made_at", "2026-01-15T12:00:00"), "manifest"),
    ("other engine", _swap("database", "postgresql"), "holds no database"),
    ("unknown engine", _swap("database", "dbase"), "holds no database"),
    ("counts as text", _swap("counts", {"audit": "5"}), "manifest"),
    ("counts wrong", _swap("counts", {"audit": 5}), "differ in counts"),
    ("newer schema", _swap("schema", {"core": "9999"}), "newer version"),
    ("other trail", _swap("audit", [5, "0" * 64]), "differ in audit"),
    ("file not listed", _with_entry(KEY, b"x"), "manifest lists"),
    ("file too many", _with_entry("plugins/evil/plugin.py", b"x"), "no backup of Vitrin holds"),
    ("other content", _with_entry(SQLITE, b"x"), "manifest lists"),
    ("size a byte less", _shorter, "manifest lists"),
    ("a bit changed", _flipped, "checksum differs"),
    ("no database", _rubbish, "damaged"),
    ("a trigger", _with_database(lambda c: c.execute("CREATE TRIGGER t DELETE ON audit BEGIN SELECT 1; END")), "code"),
    ("a view", _with_database(lambda c: c.execute("CREATE VIEW v AS SELECT 1")), "code"),
    ("rows removed", _with_database(lambda c: c.execute("DELETE FROM plugin_store")), "differ in counts"),
    ("rows of the trail cut off", _with_database(lambda c: c.execute("DELETE FROM audit WHERE number > 3")), "differ"),
    ("no tables of ours", _with_database(lambda c: c.execute("DROP TABLE marks")), "no tables of Vitrin"),
]


@pytest.mark.parametrize(("what", "change", "words"), FORGED, ids=[row[0] for row in FORGED])
def test_forged_backup_is_refused(
    home: Home, packed: Path, tmp_path: Path, what: str, change: Callable, words: str
) -> None:
    assert_refused(forge(packed, tmp_path / "forged.zip", change), home, words)


def test_bomb_is_refused_unpacked_nothing(home: Home, packed: Path, tmp_path: Path) -> None:
    def swell(manifest: dict[str, Any], entries: dict[str, bytes]) -> None:
        entries[SQLITE] = bytes(300 << 20)
        _seal(manifest, entries)

    assert_refused(forge(packed, tmp_path / "bomb.zip", swell), home, "too many")


def test_bomb_that_lies_about_its_size_is_refused(home: Home, packed: Path, tmp_path: Path) -> None:
    real = (tmp_path / "bomb.zip").absolute()
    with zipfile.ZipFile(real, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(MANIFEST, entries_of(packed)[MANIFEST])
        out.writestr(SQLITE, bytes(50 << 20))
    size = json.loads(entries_of(packed)[MANIFEST])["files"][SQLITE]["size"]
    content = real.read_bytes().replace((50 << 20).to_bytes(4, "little"), size.to_bytes(4, "little"))
    real.write_bytes(content)

    assert_refused(real, home, "damaged")


def test_big_manifest_is_not_read(home: Home, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "big.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(MANIFEST, b" " * (5 << 20))

    assert_refused(tmp_path / "big.zip", home, "too many")


ENTRY_KINDS = [
    (stat.S_IFLNK | 0o777, "a link"),  # a symbolic link to somewhere
    (stat.S_IFDIR | 0o755, "a link"),  # a folder
    (stat.S_IFIFO | 0o600, "a link"),  # a pipe
]


@pytest.mark.parametrize(("mode", "words"), ENTRY_KINDS)
def test_links_are_refused(home: Home, packed: Path, tmp_path: Path, mode: int, words: str) -> None:
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as out:
        for name, content in entries_of(packed).items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16 if name == SQLITE else 0
            out.writestr(entry, content)

    assert_refused(tmp_path / "link.zip", home, words)


def test_doubled_names_are_refused(home: Home, packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as out:
        for name, content in entries_of(packed).items():
            out.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate"):
            out.writestr(SQLITE, b"second")

    assert_refused(tmp_path / "two.zip", home, "twice")


def test_locked_archive_is_refused(home: Home, packed: Path, tmp_path: Path) -> None:
    content = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        start = archive.start_dir
    content[start + 8] |= 1  # the flag in the first central entry
    (tmp_path / "locked.zip").write_bytes(content)

    assert_refused(tmp_path / "locked.zip", home, "password")


def test_cut_off_archive_is_refused(home: Home, packed: Path, tmp_path: Path) -> None:
    content = packed.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 23)):
        (tmp_path / "cut.zip").write_bytes(content[:length])
        assert_refused(tmp_path / "cut.zip", home, "not a backup of Vitrin|cut off")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ready")
    home = Home(folder / "home").fill()
    backup(home.db, home.settings, folder / "shop.vitrin")
    home.db.close()
    return folder / "shop.vitrin"


@given(data=st.data())
def test_changed_bytes_never_restore_something_else(ready: Path, data: st.DataObject) -> None:
    content = bytearray(ready.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    changed = ready.with_name("changed.vitrin")
    changed.write_bytes(content)
    unpacked = ready.with_name("unpacked")
    unpacked.unlink(missing_ok=True)
    try:
        with open_archive(changed) as archive:
            archive.unpack(SQLITE, unpacked, lambda _: None)
    except InvalidInput:
        return
    assert unpacked.read_bytes() == entries_of(ready)[SQLITE]


def test_missing_file_is_said_in_words(home: Home, tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.vitrin", home, "does not exist")
    assert_refused(tmp_path, home, "cannot be read")


def test_unknown_plugin_step_is_refused(home: Home, packed: Path, tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    forged = forge(packed, tmp_path / "forged.zip", _swap("schema", {"mail": "0007"}))
    home.db.close()

    with pytest.raises(InvalidInput, match=r"mail 0007"):
        restore(
            forged, home.settings, force=True, branches=[Branch(name="mail", folder=tmp_path / "steps", prefix="mail_")]
        )


def test_manifest_comes_back_as_written(packed: Path) -> None:
    with open_archive(packed) as archive:
        again = json.loads(archive.manifest.to_json())
    assert isinstance(archive.manifest, Manifest)
    assert again == json.loads(entries_of(packed)[MANIFEST])
