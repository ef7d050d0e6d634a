"""Secrets: what lies on the disk tells nothing, and a wrong or missing key is said in words."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from databases import databases
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from core.clock import VirtualClock
from core.db import Database, metadata
from core.errors import InvalidInput, NotFound, SignInError, StorageError
from core.secrets import Secrets
from core.tables import secrets as table
from core.writer import Writer

SENTINEL = "Zx9-sentinel/ß+of a secret?42"


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def writer(db: Database) -> Writer:
    return Writer(db)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "secret.key"


def opened(key_file: Path, db: Database, clock: VirtualClock) -> Secrets:
    secrets = Secrets(key_file, clock)
    with db.read() as conn:
        secrets.open(conn)
    return secrets


@pytest.fixture
def secrets(key_file: Path, db: Database, clock: VirtualClock) -> Secrets:
    return opened(key_file, db, clock)


def read(secrets: Secrets, db: Database, name: str = "api_key", scope: str = "mail") -> str:
    with db.read() as conn:
        return secrets.get(conn, scope, name)


def test_key_file_is_for_owner_only(secrets: Secrets, key_file: Path) -> None:
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in key_file.parent.iterdir()] == ["secret.key"]


def test_secret_comes_back(secrets: Secrets, db: Database, writer: Writer) -> None:
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", "first"))
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", SENTINEL))

    assert read(secrets, db) == SENTINEL


def test_disk_shows_secret_in_no_form(secrets: Secrets, db: Database, writer: Writer, tmp_path: Path) -> None:
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", SENTINEL))
    writer.do(lambda tx: secrets.put(tx, "mail", "other", "short"))
    on_disk = databases.content(tmp_path)
    plain = SENTINEL.encode()
    forms = [plain, plain.hex().encode(), base64.b64encode(plain)[:36], base64.urlsafe_b64encode(plain)[:36]]
    forms += [quote(SENTINEL).encode(), quote(SENTINEL, safe="").encode(), SENTINEL.encode("utf-16-le"), plain[:12]]

    assert b"api_key" in on_disk  # the search does look at the database
    assert [form for form in forms if form in on_disk] == []


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("0123456789ab", "89ab"),  # twelve characters: the last four may be shown
        ("0123456789a", ""),  # eleven: they would be too much of it
    ],
)
def test_hint_needs_long_secret(secrets: Secrets, db: Database, writer: Writer, value: str, hint: str) -> None:
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", value))

    with db.read() as conn:
        assert secrets.names(conn, "mail") == {"api_key": hint}
        assert secrets.names(conn, "files") == {}


def test_deleted_secret_is_not_found(secrets: Secrets, db: Database, writer: Writer) -> None:
    for name in ("a", "b", "c"):
        writer.do(lambda tx, name=name: secrets.put(tx, "mail", name, "value"))

    assert writer.do(lambda tx: secrets.delete(tx, "mail", "a")) == 1
    with pytest.raises(NotFound, match="no secret 'a' is stored for mail"):
        read(secrets, db, "a")
    assert writer.do(lambda tx: secrets.delete(tx, "mail")) == 2


@pytest.mark.parametrize(
    "value",
    [
        "",  # nothing
        "x" * 70_000,  # longer than any secret
        "half a pair \ud83d",  # no text
    ],
)
def test_unfit_value_is_refused_unshown(secrets: Secrets, writer: Writer, value: str) -> None:
    with pytest.raises(InvalidInput, match=r"mail\.api_key") as caught:
        writer.do(lambda tx: secrets.put(tx, "mail", "api_key", value))
    assert not value or value[:5] not in str(caught.value)


def test_missing_key_refuses_to_start(
    secrets: Secrets, db: Database, writer: Writer, key_file: Path, clock: VirtualClock
) -> None:
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", SENTINEL))
    key_file.unlink()

    with pytest.raises(StorageError, match=r"is missing, and 1 stored secrets.*put your copy of it back"):
        opened(key_file, db, clock)
    assert not key_file.exists()


def test_wrong_key_asks_for_sign_in(
    secrets: Secrets, db: Database, writer: Writer, tmp_path: Path, clock: VirtualClock
) -> None:
    other_home = Database(databases.url(tmp_path / "other.db"))
    metadata.create_all(other_home.engine)
    other = opened(tmp_path / "other.key", other_home, clock)
    other_home.close()
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", SENTINEL))

    with pytest.raises(SignInError, match="put the right key file back") as caught:
        read(other, db)
    assert SENTINEL not in str(caught.value)
    with pytest.raises(SignInError):
        opened(tmp_path / "other.key", db, clock)


def test_readable_key_file_is_refused(secrets: Secrets, db: Database, key_file: Path, clock: VirtualClock) -> None:
    key_file.chmod(0o640)

    with pytest.raises(StorageError, match=f"run chmod 600 {key_file}"):
        opened(key_file, db, clock)


@pytest.mark.parametrize(
    "content",
    [
        b"",  # cut off at once
        b"# only a comment\n",  # no key in it
        b"c2hvcnQ=\n",  # a key too short
        b"\xff\xfe\x00key",  # no text
    ],
)
def test_damaged_key_file_is_refused(db: Database, key_file: Path, clock: VirtualClock, content: bytes) -> None:
    key_file.parent.mkdir()
    key_file.write_bytes(content)
    key_file.chmod(0o600)

    with pytest.raises(StorageError, match="key file") as caught:
        opened(key_file, db, clock)
    assert "c2hvcnQ" not in str(caught.value)


def test_row_moved_to_other_scope_is_refused(secrets: Secrets, db: Database, writer: Writer) -> None:
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", SENTINEL))
    writer.do(lambda tx: secrets.put(tx, "evil", "api_key", "mine"))
    with db.write() as conn:
        stolen = conn.scalar(select(table.c.value).where(table.c.scope == "mail"))
        conn.execute(update(table).where(table.c.scope == "evil").values(value=stolen))

    with pytest.raises(SignInError):
        read(secrets, db, scope="evil")


def test_rotation_leaves_secrets_readable(
    secrets: Secrets, db: Database, writer: Writer, key_file: Path, clock: VirtualClock
) -> None:
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", SENTINEL))
    other_process = opened(key_file, db, clock)
    old_key = key_file.read_text().splitlines()[-1]
    old_signing = secrets.signing_keys("session")

    assert writer.do(secrets.rotate) == 1
    assert read(other_process, db) == SENTINEL
    assert secrets.signing_keys("session")[1:] == old_signing
    with db.read() as conn:
        secrets.forget_old_keys(conn)
    assert old_key not in key_file.read_text()
    assert read(opened(key_file, db, clock), db) == SENTINEL


def test_old_key_in_use_is_kept(secrets: Secrets, db: Database, writer: Writer, key_file: Path) -> None:
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", SENTINEL))

    def undone(tx: object) -> None:
        secrets.rotate(tx)  # type: ignore[arg-type]
        raise NotFound("undo")

    with pytest.raises(NotFound):
        writer.do(undone)
    with db.read() as conn, pytest.raises(StorageError, match="rotate first"):
        secrets.forget_old_keys(conn)
    assert read(secrets, db) == SENTINEL


_ROTATE = """
import sys
from pathlib import Path
from core.clock import SystemClock
from core.db import Database
from core.secrets import Secrets
from core.writer import Writer
db = Database(sys.argv[1])
secrets = Secrets(Path(sys.argv[2]), SystemClock())
with db.read() as conn:
    secrets.open(conn)
Writer(db).do(secrets.rotate)
"""


@pytest.mark.parametrize("place", ["secrets.rotate", "writer.before_commit", "writer.after_commit"])
def test_kill_during_rotation_loses_nothing(
    secrets: Secrets, db: Database, writer: Writer, key_file: Path, clock: VirtualClock, place: str
) -> None:
    writer.do(lambda tx: secrets.put(tx, "mail", "api_key", SENTINEL))
    environment = {**os.environ, "VITRIN_CRASH_AT": place}
    done = subprocess.run(
        [sys.executable, "-c", _ROTATE, db.url.render_as_string(hide_password=False), str(key_file)],
        env=environment,
        check=False,
    )

    assert done.returncode == -9
    assert read(opened(key_file, db, clock), db) == SENTINEL


def test_signing_keys_differ_by_purpose_and_install(
    secrets: Secrets, db: Database, tmp_path: Path, clock: VirtualClock
) -> None:
    other = opened(tmp_path / "other.key", db, clock)

    keys = {secrets.signing_keys("session"), secrets.signing_keys("link"), other.signing_keys("session")}
    assert len(keys) == 3


def test_repr_shows_no_key(secrets: Secrets, key_file: Path) -> None:
    assert key_file.read_text().splitlines()[-1] not in repr(secrets)


def test_unopened_secrets_refuse(key_file: Path, clock: VirtualClock) -> None:
    with pytest.raises(StorageError, match="not open yet"):
        Secrets(key_file, clock).signing_keys("session")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_any_text_comes_back(home: tuple[Database, Secrets], value: str) -> None:
    db, secrets = home
    Writer(db).do(lambda tx: secrets.put(tx, "s", "n", value))

    assert read(secrets, db, "n", "s") == value


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Secrets]]:
    folder = tmp_path_factory.mktemp("home")
    db = Database(databases.url(folder / "vitrin.db"), synchronous="off")
    metadata.create_all(db.engine)
    yield db, opened(folder / "secret.key", db, VirtualClock(datetime(2026, 1, 15, tzinfo=UTC)))
    db.close()
