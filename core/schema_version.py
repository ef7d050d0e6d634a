"""The schema's version: brings the tables up to date, and refuses a database that is newer than this program.

The core (with the rules' tables) and each plugin have a branch of their own: a folder of numbered Alembic scripts and
a version table. An upgrade is one transaction on both databases: it is done whole, or the database is as before.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.exc import DBAPIError

from core.crash import crash_point
from core.db import Database, sqlite_path, storage_error
from core.errors import PluginError, StorageError
from core.sqlite_copy import copy_database

log = structlog.get_logger("vitrin.schema")

FOLDER = Path(__file__).parent / "migrations"
KEEP = 3
_LOCK = 0x7669_7472_6D69  # any number that nothing else locks on this database


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One owner of tables and its numbered steps."""

    name: str
    #: Where the numbered scripts lie.
    folder: Path
    #: Empty for the core; a plugin's tables all begin with it.
    prefix: str = ""

    @property
    def version_table(self) -> str:
        return f"alembic_version_{self.name}" if self.prefix else "alembic_version"

    def script(self) -> ScriptDirectory:
        return ScriptDirectory(str(FOLDER), version_locations=[str(self.folder)])

    def head(self) -> str | None:
        """Return the newest step, or None while there is none."""
        try:
            return self.script().get_current_head()
        except CommandError as exc:
            raise StorageError(f"the migrations of {self.name} have two ends: merge them ({exc})") from exc

    def knows(self, step: str) -> bool:
        """Say whether this program has the step."""
        return any(script.revision == step for script in self.script().walk_revisions())


CORE = Branch(name="core", folder=FOLDER / "versions")


def plugin_branch(name: str, folder: Path, metadata: MetaData) -> Branch:
    """Return a plugin's branch; raise PluginError where one of its tables is not named after it."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name == CORE.name:
        raise PluginError(name, "a plugin with tables needs a name of small letters, digits and _ (not 'core')")
    strangers = [table for table in metadata.tables if not table.startswith(f"{name}_")]
    if strangers:
        raise PluginError(name, f"its table {strangers[0]} must be called {name}_{strangers[0]}")
    if not folder.is_dir():
        raise PluginError(name, f"brings tables, but its folder of migrations {folder} is missing")
    return Branch(name=name, folder=folder, prefix=f"{name}_")


def current(conn: Connection, branch: Branch = CORE) -> str | None:
    """Return the step at which the database is, or None where it has none."""
    heads = migration_context(conn, branch).get_current_heads()
    if len(heads) > 1:
        raise StorageError(f"the table {branch.version_table} holds {len(heads)} versions: restore the last backup")
    return heads[0] if heads else None


def check(conn: Connection, branch: Branch = CORE) -> bool:
    """Return whether the database is up to date; raise StorageError where it is newer than this program."""
    at, head = current(conn, branch), branch.head()
    if at is not None and not branch.knows(at):
        whose = "Vitrin" if not branch.prefix else f"the plugin {branch.name}"
        known = f"knows it up to {head}" if head else "knows none"
        raise StorageError(
            f"the database was written by a newer version of {whose} (schema {at}; this one {known}):"
            " start that version or a later one, or restore a backup from before the upgrade"
        )
    return at == head


def upgrade(db: Database, branch: Branch = CORE, *, target: str | None = None) -> str | None:
    """Bring a branch to its newest step (or to `target`) in one transaction, and return where it is then.

    An SQLite database is copied first, to a file beside it with the old step in its name; the last three are kept.
    """
    with db.read() as conn:
        check(conn, branch)
        at = current(conn, branch)
    wanted = target or branch.head()
    if at == wanted or wanted is None:
        return at
    if db.is_sqlite and at is not None:
        _back_up(sqlite_path(db.url), branch, at)
    log.info("upgrading the tables", owner=branch.name, step=wanted, before=at)
    with _transaction(db) as conn:
        names = set(inspect(conn).get_table_names())
        _run(conn, branch, wanted)
        _check_manners(conn, branch, names)
        if db.is_sqlite:
            _check_references(conn)
        crash_point("migration.before_commit")
    crash_point("migration.after_commit")
    return wanted


def differences(conn: Connection, metadata: MetaData, branch: Branch = CORE) -> list[Any]:
    """Return what differs between the database, holding this branch only, and the tables in the code."""
    return list(compare_metadata(migration_context(conn, branch), metadata))


def backups(database: Path) -> list[Path]:
    """Return the copies made before upgrades, the newest first."""
    found = database.parent.glob(f"{database.name}.*.before-upgrade")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def migration_context(conn: Connection, branch: Branch) -> MigrationContext:
    """Return Alembic's view of a branch in this database."""
    options = {
        "version_table": branch.version_table,
        "transactional_ddl": True,
        "render_as_batch": True,
        "compare_type": True,
        "compare_server_default": True,
    }
    return MigrationContext.configure(conn, opts=options)


def _steps(branch: Branch, at: str | None, wanted: str) -> Sequence[Script]:
    return list(branch.script().iterate_revisions(wanted, at or "base"))[::-1]


def _run(conn: Connection, branch: Branch, wanted: str) -> None:
    # Read again under the lock: another process may have been faster.
    at = current(conn, branch)
    context = migration_context(conn, branch)
    with Operations.context(context):
        for step in _steps(branch, at, wanted) if at != wanted else ():
            step.module.upgrade()
            context.stamp(branch.script(), step.revision)
            crash_point("migration.step")


@contextmanager
def _transaction(db: Database) -> Iterator[Connection]:
    """Open a transaction that covers changes of tables; what fails in it is undone whole."""
    undone = "the upgrade of the tables failed and was undone, the database is as before"
    try:
        with db.engine.connect() as conn:
            if db.is_sqlite:
                # A connection of its own: rebuilding a table needs the checks of references off, which no
                # transaction can switch; they are all checked at its end.
                driver: Any = conn.connection.driver_connection
                conn.detach()
                driver.execute("PRAGMA foreign_keys=OFF")
            with conn.begin():
                if not db.is_sqlite:
                    conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                yield conn
    except DBAPIError as exc:
        raise StorageError(f"{undone}: {storage_error(exc)}") from exc
    except CommandError as exc:
        raise StorageError(f"{undone}: {exc}") from exc


def _check_manners(conn: Connection, branch: Branch, before: set[str]) -> None:
    """Raise PluginError where a plugin's steps touched tables that are not its own, or left code in the database."""
    changed = before ^ set(inspect(conn).get_table_names())
    strange = sorted(name for name in changed if not name.startswith((branch.prefix, "alembic_version")))
    if strange:
        raise PluginError(
            branch.name, f"its migrations may not make or remove {strange[0]}: its own are {branch.prefix}*"
        )
    if name := conn.scalar(_CODE[conn.dialect.name]):
        raise PluginError(branch.name, f"its migrations may not leave triggers or views ({name}): backups refuse them")


#: The name of a trigger or view; PostgreSQL's extensions may bring their own.
_CODE = {
    "sqlite": text("SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1"),
    "postgresql": text(
        "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace"
        " UNION ALL SELECT c.relname FROM pg_class c"
        " WHERE c.relkind IN ('v', 'm') AND c.relnamespace = current_schema()::regnamespace"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LIMIT 1"
    ),
}


def _check_references(conn: Connection) -> None:
    broken = conn.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise StorageError(f"the upgrade would leave rows of {broken[0]} that point to nothing in {broken[2]}: undone")


def _back_up(database: Path, branch: Branch, at: str) -> None:
    label = f"{branch.name}-{at}" if branch.prefix else at
    copy_database(database, database.with_name(f"{database.name}.{label}.before-upgrade"))
    for old in backups(database)[KEEP:]:
        old.unlink(missing_ok=True)
