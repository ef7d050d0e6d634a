"""PostgreSQL's part of backup and restore: pg_dump's custom format, read back in one transaction of ours.

`pg_restore` only translates: it never meets the database. So the restored rows and the mark that mutes them are
committed together, and of the dump nothing but tables, their rows and their indexes is ever run.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from core.crash import crash_point
from core.errors import Conflict, InvalidInput, StorageError

_ENTRIES = frozenset(
    {
        "TABLE",
        "TABLE DATA",
        "CONSTRAINT",
        "FK CONSTRAINT",
        "INDEX",
        "DEFAULT",
        "SEQUENCE",
        "SEQUENCE SET",
        "SEQUENCE OWNED BY",
    }
)
_ENTRY = re.compile(r"\d+; \d+ \d+ ([A-Z]+(?: [A-Z]+)*) ")
_COPY = re.compile(rb"COPY public\.[^;]+ FROM stdin;\r?\n")
#: What a line of the script that begins a statement may be; others are refused.
_ALLOWED = re.compile(
    rb"(CREATE TABLE |ALTER TABLE |ALTER INDEX |CREATE (UNIQUE )?INDEX |CREATE SEQUENCE |ALTER SEQUENCE "
    rb"|SELECT pg_catalog\.setval\(|\);?\r?\n|\(\r?\n)"
)
_SKIPPED = re.compile(rb"(--|SET |SELECT pg_catalog\.set_config\(|\\(un)?restrict |\r?\n)")
_CHUNK = 1 << 20
#: What the server says when a table stays in use until lock_timeout.
_LOCKED = "55P03"


def dump(url: URL, snapshot: str, target: Path) -> None:
    """Write what one snapshot sees to a file, in pg_dump's custom format, and prove that `load` would take it."""
    options = ["--format=custom", "--no-owner", "--no-privileges", "--no-comments", f"--snapshot={snapshot}"]
    _run("pg_dump", *options, f"--file={target}", f"--dbname={_address(url)}", password=str(url.password or ""))
    with _translate(target, target.parent, "--schema-only").open("rb") as lines:
        for _ in _statements(lines):
            pass


def load(conn: Connection, source: Path, folder: Path) -> None:
    """Fill the database of an open transaction from a dump, dropping the tables that are there first."""
    script = _translate(source, folder)
    conn.execute(text("SET LOCAL lock_timeout = '10s'"))
    quote = conn.dialect.identifier_preparer.quote_identifier
    for name in inspect(conn).get_table_names(schema="public"):
        try:
            conn.execute(text(f"DROP TABLE public.{quote(name)} CASCADE"))
        except OperationalError as exc:
            if getattr(exc.orig, "sqlstate", None) == _LOCKED:
                raise Conflict("the database is in use: stop the engine, then restore again") from exc
            raise
    driver: Any = conn.connection.driver_connection
    with script.open("rb") as lines, driver.cursor() as cursor:
        for statement in _statements(lines):
            if _COPY.fullmatch(statement):
                _copy_rows(cursor, statement, lines)
            else:
                cursor.execute(statement)
            crash_point("restore.statement")


def _statements(lines: IO[bytes]) -> Iterator[bytes]:
    """Read the script statement by statement; pg_dump begins each at the start of a line and ends it with one."""
    pending = b""
    for line in lines:
        if _COPY.fullmatch(line) and not pending:
            yield line
            continue
        if not pending and _SKIPPED.match(line):
            continue
        if not line.startswith(b" ") and not _ALLOWED.match(line):
            raise InvalidInput("backup", f"its dump would run {line[:60]!r}, which no backup of Vitrin holds")
        if b";" in line.rstrip()[:-1]:
            raise InvalidInput("backup", "its dump has two statements in one line, which no backup of Vitrin has")
        pending += line
        if line.rstrip().endswith(b";"):
            yield pending
            pending = b""


def _copy_rows(cursor: Any, statement: bytes, lines: IO[bytes]) -> None:
    with cursor.copy(statement) as copy:
        held: list[bytes] = []
        size = 0
        for line in iter(lines.readline, b""):
            if line in (b"\\.\n", b"\\.\r\n"):
                break
            held.append(line)
            size += len(line)
            if size > _CHUNK:
                copy.write(b"".join(held))
                held, size = [], 0
        copy.write(b"".join(held))


def _translate(source: Path, folder: Path, *options: str) -> Path:
    """Turn a dump into a script of its tables, rows and indexes; everything else in it is left out."""
    listed = _run("pg_restore", "--list", str(source))
    kept = [line for line in listed.splitlines() if (found := _ENTRY.match(line)) and found[1] in _ENTRIES]
    contents = folder / "contents.txt"
    contents.write_text("\n".join(kept) + "\n", encoding="utf-8")
    script = folder / "script.sql"
    plain = ["--no-owner", "--no-privileges", "--no-comments", f"--use-list={contents}", f"--file={script}"]
    _run("pg_restore", *plain, *options, str(source))
    return script


def _run(program: str, *arguments: str, password: str = "") -> str:
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    command = [str(_find(program)), "--no-password"] if program == "pg_dump" else [str(_find(program))]
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise StorageError(f"{program} failed: {said[0][:300]}")
    return done.stdout.decode("utf-8", "replace")


def _find(program: str) -> Path:
    """Return the newest of the installed programs: it must not be older than the server."""
    folders = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / program).exists()]
    if folders:
        return max(folders, key=lambda path: float(path.parent.name)) / program
    found = shutil.which(program)
    if found is None:
        raise StorageError(f"{program} is not installed: on Debian and Ubuntu, apt install postgresql-client")
    return Path(found)


def _address(url: URL) -> str:
    """Return the database's address without its password, as PostgreSQL's programs take it."""
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
