"""Migrations: whole or not at all, on both databases, and never backwards."""

import importlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from databases import POSTGRESQL, SQLITE, databases
from sqlalchemy import Column, ForeignKey, Index, MetaData, String, Table, Text, inspect, text

from core import db as core_db
from core.db import Database, Json, Moment
from core.errors import PluginError, StorageError, UserError, VitrinError
from core.migrations import make
from core.schema_version import CORE, Branch, backups, check, current, differences, plugin_branch, upgrade

ROOT = Path(core_db.__file__).parents[1]

FIRST = """
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
    op.create_table(
        "parts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("thing", sa.Integer, sa.ForeignKey("things.id"), nullable=False),
    )
"""
FILL = """
    op.execute("INSERT INTO things (id, name) VALUES (1, 'kettle'), (2, NULL)")
    op.execute("INSERT INTO parts (id, thing) VALUES (10, 1)")
"""
# SQLite can only do this by making the table anew, while `parts` points to it.
TIGHTEN = """
    op.execute("UPDATE things SET name = '?' WHERE name IS NULL")
    with op.batch_alter_table("things") as things:
        things.alter_column("name", nullable=False)
        things.add_column(sa.Column("colour", sa.Text, server_default="white", nullable=False))
"""
BREAK = """
    op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO nowhere VALUES (1)")
"""
LOSE = """
    op.execute("DELETE FROM things")
"""


class Steps:
    """A folder of migrations that grows step by step."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.count = 0

    def add(self, *bodies: str) -> "Steps":
        for body in bodies:
            before = f'"{self.count:04d}"' if self.count else None
            self.count += 1
            head = f'import sqlalchemy as sa\nfrom alembic import op\nrevision = "{self.count:04d}"\n'
            code = f"{head}down_revision = {before}\n\ndef upgrade():\n{body}"
            (self.folder / f"{self.count:04d}_step.py").write_text(code)
        return self

    def remove_last(self) -> None:
        (self.folder / f"{self.count:04d}_step.py").unlink()
        self.count -= 1

    @property
    def branch(self) -> Branch:
        return Branch(name="core", folder=self.folder)


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path / "steps")


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def ask(db: Database, question: str) -> list[tuple]:
    with db.read() as conn:
        return [tuple(row) for row in conn.execute(text(question))]


def tables(db: Database) -> set[str]:
    with db.read() as conn:
        return set(inspect(conn).get_table_names())


def at(db: Database, branch: Branch) -> str | None:
    with db.read() as conn:
        return current(conn, branch)


def test_empty_database_is_brought_to_the_end(db: Database, steps: Steps) -> None:
    branch = steps.add(FIRST, FILL, TIGHTEN).branch
    assert at(db, branch) is None

    assert upgrade(db, branch) == "0003"
    assert ask(db, "SELECT name, colour FROM things ORDER BY id") == [("kettle", "white"), ("?", "white")]
    assert upgrade(db, branch) == "0003"
    with db.read() as conn:
        assert check(conn, branch)


def test_upgrade_goes_on_from_any_step(db: Database, steps: Steps) -> None:
    branch = steps.add(FIRST, FILL, TIGHTEN).branch
    assert upgrade(db, branch, target="0002") == "0002"
    with db.read() as conn:
        assert not check(conn, branch)

    assert upgrade(db, branch) == "0003"
    assert ask(db, "SELECT count(*) FROM parts") == [(1,)]


def test_branch_without_steps_is_left_alone(db: Database, steps: Steps) -> None:
    assert upgrade(db, steps.branch) is None
    assert tables(db) == set()


def test_newer_database_is_refused_in_one_sentence(db: Database, steps: Steps) -> None:
    upgrade(db, steps.add(FIRST, FILL).branch)
    steps.remove_last()

    with pytest.raises(StorageError) as caught, db.read() as conn:
        check(conn, steps.branch)
    assert str(caught.value) == (
        "the database was written by a newer version of Vitrin (schema 0002; this one knows it up to 0001):"
        " start that version or a later one, or restore a backup from before the upgrade"
    )
    with pytest.raises(StorageError, match="newer version"):
        upgrade(db, steps.branch)


def test_failed_upgrade_is_undone_whole(db: Database, steps: Steps) -> None:
    upgrade(db, steps.add(FIRST, FILL).branch)
    steps.add(TIGHTEN, BREAK)

    with pytest.raises(StorageError, match="was undone, the database is as before"):
        upgrade(db, steps.branch)
    assert at(db, steps.branch) == "0002"
    assert tables(db) == {"things", "parts", "alembic_version"}
    assert ask(db, "SELECT * FROM things ORDER BY id") == [(1, "kettle"), (2, None)]


@pytest.mark.sqlite("its checks of references are off while a table is rebuilt")
def test_orphans_stop_the_upgrade(db: Database, steps: Steps) -> None:
    upgrade(db, steps.add(FIRST, FILL).branch)
    steps.add(LOSE)

    with pytest.raises(StorageError, match="rows of parts that point to nothing in things"):
        upgrade(db, steps.branch)
    assert ask(db, "SELECT count(*) FROM things") == [(2,)]


def test_references_are_enforced_after_upgrade(db: Database, steps: Steps) -> None:
    upgrade(db, steps.add(FIRST, FILL, TIGHTEN).branch)

    with pytest.raises(StorageError, match="(?i)foreign key"), db.write() as conn:
        conn.execute(text("DELETE FROM things"))


def test_upgrades_at_once_do_not_collide(db: Database, steps: Steps) -> None:
    branch = steps.add(FIRST, FILL, TIGHTEN).branch
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(upgrade(db, branch))
        except VitrinError as exc:
            outcomes.append(exc)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == ["0003"] * 4
    assert ask(db, "SELECT count(*) FROM things") == [(2,)]


@pytest.mark.sqlite("its file is copied first")
def test_copy_is_made_before_upgrade(db: Database, steps: Steps, tmp_path: Path) -> None:
    upgrade(db, steps.add(FIRST, FILL).branch)
    upgrade(db, steps.add(TIGHTEN).branch)

    copy = tmp_path / "vitrin.db.0002.before-upgrade"
    assert backups(tmp_path / "vitrin.db") == [copy]
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("SELECT * FROM things ORDER BY id").fetchall() == [(1, "kettle"), (2, None)]


@pytest.mark.sqlite("its file is copied first")
def test_last_three_copies_are_kept(db: Database, steps: Steps, tmp_path: Path) -> None:
    upgrade(db, steps.add(FIRST).branch)
    for number in range(5):
        upgrade(db, steps.add(f'    op.execute("INSERT INTO things (id) VALUES ({number})")').branch)

    kept = [path.name for path in backups(tmp_path / "vitrin.db")]
    assert kept == [f"vitrin.db.{step}.before-upgrade" for step in ("0005", "0004", "0003")]


_UPGRADE = """
import sys
from pathlib import Path
from core.db import Database
from core.schema_version import Branch, upgrade
upgrade(Database(sys.argv[1]), Branch(name="core", folder=Path(sys.argv[2])))
"""


def killed_upgrade(db: Database, steps: Steps, place: str) -> None:
    url = db.url.render_as_string(hide_password=False)
    environment = {**os.environ, "VITRIN_CRASH_AT": place, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _UPGRADE, url, str(steps.folder)], env=environment, cwd=steps.folder, check=False
    )
    assert done.returncode == -9, place


PLACES = [
    ("migration.step:1", "0002"),  # the first of two new steps is done
    ("migration.step:2", "0002"),  # both are done
    ("migration.before_commit", "0002"),  # nothing but the commit is left
    ("migration.after_commit", "0004"),  # it is on disk
]


@pytest.mark.parametrize(("place", "expected"), PLACES)
def test_kill_leaves_old_or_new(db: Database, steps: Steps, place: str, expected: str) -> None:
    upgrade(db, steps.add(FIRST, FILL).branch)
    steps.add(TIGHTEN, '    op.execute("INSERT INTO parts (id, thing) VALUES (11, 2)")')
    db.engine.dispose()
    killed_upgrade(db, steps, place)

    assert at(db, steps.branch) == expected
    assert ask(db, "SELECT count(*) FROM parts") == [(1 if expected == "0002" else 2,)]
    columns = {"id", "name"} if expected == "0002" else {"id", "name", "colour"}
    with db.read() as conn:
        assert {column["name"] for column in inspect(conn).get_columns("things")} == columns
    if db.is_sqlite:
        assert ask(db, "PRAGMA integrity_check") == [("ok",)]
    assert upgrade(db, steps.branch) == "0004"
    assert ask(db, "SELECT id FROM parts ORDER BY id") == [(10,), (11,)]


@pytest.mark.sqlite("its file is copied first")
@pytest.mark.parametrize("place", ["copy.begun", "copy.step", "copy.before_rename"])
def test_kill_during_copy_changes_nothing(db: Database, steps: Steps, tmp_path: Path, place: str) -> None:
    upgrade(db, steps.add(FIRST, FILL).branch)
    steps.add(TIGHTEN)
    db.engine.dispose()
    killed_upgrade(db, steps, place)

    assert at(db, steps.branch) == "0002"
    assert backups(tmp_path / "vitrin.db") == []
    assert upgrade(db, steps.branch) == "0003"


def plugin(tmp_path: Path, name: str, *bodies: str) -> Branch:
    steps = Steps(tmp_path / f"{name}_steps").add(*bodies)
    return plugin_branch(name, steps.folder, MetaData())


def test_plugins_have_branches_of_their_own(db: Database, steps: Steps, tmp_path: Path) -> None:
    own = '    op.create_table("{}_cards", sa.Column("id", sa.Integer, primary_key=True))'
    mail = plugin(tmp_path, "mail", own.replace("{}", "mail"))
    loyalty = plugin(tmp_path, "loyalty", own.replace("{}", "loyalty"), "    pass")
    for branch in (steps.add(FIRST).branch, mail, loyalty):
        upgrade(db, branch)

    assert [at(db, branch) for branch in (steps.branch, mail, loyalty)] == ["0001", "0001", "0002"]
    assert {"alembic_version", "alembic_version_mail", "alembic_version_loyalty", "mail_cards"} <= tables(db)


RUDE = [
    ('    op.create_table("cards", sa.Column("id", sa.Integer, primary_key=True))', "cards"),  # not named after it
    ('    op.create_table("mailing", sa.Column("id", sa.Integer, primary_key=True))', "mailing"),  # only nearly
    ('    op.drop_table("parts")', "parts"),  # not its own
    ('    op.rename_table("parts", "mail_parts")', "parts"),  # taken over
]


@pytest.mark.parametrize(("body", "named"), RUDE)
def test_plugin_keeps_to_its_own_tables(db: Database, steps: Steps, tmp_path: Path, body: str, named: str) -> None:
    upgrade(db, steps.add(FIRST).branch)

    with pytest.raises(PluginError, match=f"may not make or remove {named}"):
        upgrade(db, plugin(tmp_path, "mail", body))
    assert tables(db) == {"things", "parts", "alembic_version"}


TRIGGERS = {
    SQLITE: 'op.execute("CREATE TRIGGER mail_t AFTER INSERT ON mail_a BEGIN DELETE FROM mail_a; END")',
    POSTGRESQL: """op.execute("CREATE FUNCTION mail_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
    op.execute("CREATE TRIGGER mail_t AFTER INSERT ON mail_a FOR EACH ROW EXECUTE FUNCTION mail_f()")""",
}
VIEWS = dict.fromkeys(TRIGGERS, 'op.execute("CREATE VIEW mail_v AS SELECT id FROM mail_a")')


@pytest.mark.parametrize("code", [TRIGGERS, VIEWS])
def test_plugin_leaves_no_code(db: Database, tmp_path: Path, code: dict[str, str]) -> None:
    body = f"""
    op.create_table("mail_a", sa.Column("id", sa.Integer, primary_key=True))
    {code[databases.kind]}
"""
    with pytest.raises(PluginError, match="may not leave triggers or views"):
        upgrade(db, plugin(tmp_path, "mail", body))
    assert tables(db) == set()


def test_plugin_tables_are_named_after_it(tmp_path: Path) -> None:
    metadata = MetaData()
    Table("cards", metadata, Column("id", Text))

    with pytest.raises(PluginError, match="must be called loyalty_cards"):
        plugin_branch("loyalty", tmp_path, metadata)
    with pytest.raises(PluginError, match=r"migrations .* is missing"):
        plugin_branch("loyalty", tmp_path / "none", MetaData())
    with pytest.raises(PluginError, match="needs a name"):
        plugin_branch("x; DROP", tmp_path, MetaData())


def sample(*, grown: bool) -> MetaData:
    metadata = MetaData(naming_convention=core_db.metadata.naming_convention)
    owners = Table("owners", metadata, Column("id", String(36), primary_key=True), Column("at", Moment, nullable=False))
    cards = Table(
        "cards",
        metadata,
        Column("id", String(36), primary_key=True),
        Column("owner", String(36), ForeignKey("owners.id"), nullable=False),
        Column("data", Json),
        Column("code", Text, nullable=False, unique=True),
        Index("ix_cards_owner", "owner", "code"),
    )
    if grown:
        cards.append_column(Column("ends_at", Moment))
        Index("ix_cards_ends", cards.c.ends_at)
        owners.append_column(Column("note", Text))
    return metadata


def test_written_migration_makes_the_tables(db: Database, steps: Steps) -> None:
    branch = steps.branch
    first = make.write(branch, sample(grown=False), "first tables")
    assert first.name == "0001_first_tables.py"
    assert "core" not in first.read_text(), "a migration must not change with the code"
    upgrade(db, branch)
    second = make.write(branch, sample(grown=True), "cards end")
    assert second.name == "0002_cards_end.py"

    assert upgrade(db, branch) == "0002"
    with db.read() as conn:
        assert differences(conn, sample(grown=True), branch) == []
        assert differences(conn, sample(grown=False), branch) != []
    with pytest.raises(UserError, match="are as the migrations make them"):
        make.write(branch, sample(grown=True), "nothing")


def load_tables() -> MetaData:
    for room in ("core", "rules"):
        for path in sorted((ROOT / room).rglob("tables.py")):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return core_db.metadata


def test_our_tables_can_be_migrated_to(db: Database, steps: Steps) -> None:
    make.write(steps.branch, load_tables(), "all tables of today")
    upgrade(db, steps.branch)

    with db.read() as conn:
        assert differences(conn, load_tables(), steps.branch) == []


@pytest.mark.skipif(CORE.head() is None, reason="the core has no migration yet")
def test_migrations_make_the_tables_in_the_code(db: Database) -> None:
    upgrade(db)

    with db.read() as conn:
        assert differences(conn, load_tables()) == [], 'run: python -m core.migrations.make "what changed"'


def test_command_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert make.main(["--plugin", "nobody", "first tables"]) == 1
    assert "there is no" in capsys.readouterr().err
