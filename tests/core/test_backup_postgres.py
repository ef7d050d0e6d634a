"""Backup and restore on PostgreSQL: one transaction, and nothing of the dump is run but tables and rows."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from homes import NOON, RESTORE, Home, Load, note, python
from sqlalchemy import insert, select, text

from core import backup_postgres
from core.backup import backup, restore
from core.clock import VirtualClock
from core.db import metadata
from core.errors import Conflict, InvalidInput
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
def home(homes: Callable[..., Home], tmp_path: Path) -> Home:
    return homes("home", f"sqlite:///{tmp_path}/home/vitrin.db").fill()


@pytest.fixture
def packed(home: Home, tmp_path: Path, clock: VirtualClock) -> Path:
    backup(home.db, home.settings, tmp_path / "shop.vitrin", clock=clock)
    return tmp_path / "shop.vitrin"


@pytest.fixture
def server(homes: Any, postgres_database: str) -> Home:
    return homes("server", postgres_database).fill()


@pytest.fixture
def server_backup(server: Home, tmp_path: Path) -> Path:
    odd = {"n": "line\nbreak \\. tab\t; DROP TABLE x; --", "z": "COPY public.x FROM stdin;\n\\.\n"}
    server.writer.do(
        lambda tx: tx.conn.execute(
            insert(plugin_store).values(plugin="\\.", account="\\N", key="\n\\.\n", value=odd, changed_at=NOON)
        )
    )
    backup(server.db, server.settings, tmp_path / "server.vitrin")
    return tmp_path / "server.vitrin"


def test_server_comes_back_whole_and_muted(server: Home, server_backup: Path) -> None:
    with server.db.read() as conn:
        before = conn.execute(select(plugin_store).order_by(plugin_store.c.key)).all()
    server.writer.do(lambda tx: note(tx, 99))
    with server.db.write() as conn:
        conn.execute(text("CREATE TABLE newer (id integer)"))

    with pytest.raises(Conflict, match="replace it with --force"):
        restore(server_backup, server.settings)
    restore(server_backup, server.settings, force=True)
    assert server.is_muted()
    with server.db.read() as conn:
        assert conn.execute(select(plugin_store).order_by(plugin_store.c.key)).all() == before
        assert conn.scalar(text("SELECT to_regclass('newer')")) is None
    server.writer.do(lambda tx: note(tx, 100))
    metadata.create_all(server.db.engine)


def test_code_in_server_database_is_left_out(server: Home, tmp_path: Path) -> None:
    with server.db.write() as conn:
        conn.execute(text("CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"))
        conn.execute(text("CREATE TRIGGER evil BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION evil()"))
        conn.execute(text("CREATE VIEW strange AS SELECT 1 AS one"))
    backup(server.db, server.settings, tmp_path / "a.vitrin")
    restore(tmp_path / "a.vitrin", server.settings, force=True)

    with server.db.read() as conn:
        assert conn.scalar(text("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal")) == 0
    server.writer.do(lambda tx: note(tx, 100))


SERVER_KILLS = [
    ("restore.unpacked", False),  # nothing touched yet
    ("restore.statement:5", False),  # tables dropped, some made anew
    ("restore.statement:60", False),  # rows are coming in
    ("restore.before_swap", False),  # nothing but the commit is left
    ("restore.after_swap", True),  # it is on disk
]


@pytest.mark.parametrize(("place", "done"), SERVER_KILLS)
def test_kill_during_server_restore_leaves_old_or_new(
    server: Home, server_backup: Path, place: str, done: bool
) -> None:
    server.writer.do(lambda tx: note(tx, 99))
    url = server.db.url.render_as_string(hide_password=False)
    server.db.close()
    assert python(RESTORE, str(server.settings.home), str(server_backup), url, crash_at=place) == -9

    assert server.rows() == (6 if done else 7)
    assert server.is_muted() == done


def test_server_backup_is_one_picture(server: Home, tmp_path: Path) -> None:
    with Load(server):
        manifest = backup(server.db, server.settings, tmp_path / "a.vitrin")
    restore(tmp_path / "a.vitrin", server.settings, force=True)

    assert server.rows() == manifest.audit[0] == manifest.counts["audit"] > 5


def test_backup_of_other_engine_is_refused(server: Home, home: Home, packed: Path, server_backup: Path) -> None:
    with pytest.raises(InvalidInput, match=r"made of a database in sqlite.*names one in postgresql"):
        restore(packed, server.settings, force=True)
    home.db.close()
    with pytest.raises(InvalidInput, match="made of a database in postgresql"):
        restore(server_backup, home.settings, force=True)


EVIL = [
    b"DROP TABLE public.audit;\n",  # not in any backup
    b"COPY public.audit FROM PROGRAM 'id';\n",  # runs a program
    b"COPY public.audit FROM '/etc/passwd';\n",  # reads a file
    b"CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS '';\n",  # code
    b"CREATE TRIGGER t;\n",  # code
    b"SELECT pg_read_file('/etc/passwd');\n",  # reads a file
    b"\\! id\n",  # a command of psql
    b"CREATE TABLE public.x (id integer); DROP TABLE public.audit;\n",  # two in one line
    b"CREATE TABLE public.x (\n    id integer); DROP TABLE public.audit;\n",  # hidden in the second line
    b"CREATE TABLE public.x (\nDROP TABLE public.audit;\n",  # hidden at the start of the second line
    b"DO $$ BEGIN END $$;\n",  # a block
    b"GRANT ALL ON public.audit TO public;\n",  # rights
]


@pytest.mark.parametrize("script", EVIL)
def test_script_runs_nothing_but_tables(script: bytes) -> None:
    with pytest.raises(InvalidInput, match="no backup of Vitrin"):
        list(backup_postgres._statements(io.BytesIO(script)))


def test_ordinary_script_is_read_in_statements() -> None:
    script = (
        b"-- comment\nSET x = 1;\n\nCREATE TABLE public.x (\n    id integer\n);\n\nCOPY public.x (id) FROM stdin;\n"
    )

    assert list(backup_postgres._statements(io.BytesIO(script))) == [
        b"CREATE TABLE public.x (\n    id integer\n);\n",
        b"COPY public.x (id) FROM stdin;\n",
    ]
