"""A throw-away PostgreSQL cluster for the tests marked `db`, started from the installed server programs."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from core.ids import new_id

OLDEST = 15
OWNER = "postgres"  # the account that runs the server where the tests run as root, whom PostgreSQL refuses
USER = "vitrin"
# Nothing here outlives the session, so the disk need not be waited for; no TCP port, so sessions cannot meet.
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "max_connections": "100",
    "listen_addresses": "",
}


def _find_programs() -> Path:
    """Return the folder of the newest server programs, or skip; under CI, fail."""
    folders = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "pg_ctl").exists()]
    newest = max(folders, key=lambda folder: int(folder.parent.name), default=None)
    if newest and int(newest.parent.name) >= OLDEST:
        return newest
    on_path = shutil.which("pg_ctl")
    if on_path:
        return Path(on_path).resolve().parent
    reason = f"no PostgreSQL {OLDEST}+ server programs found: on Debian and Ubuntu, apt install postgresql"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Cluster:
    """One server with its data and its socket in a folder of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._as_owner = ["runuser", "-u", OWNER, "--"] if os.geteuid() == 0 else []
        if self._as_owner:
            owner = pwd.getpwnam(OWNER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_owner, str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        # To a file, not a pipe: the server inherits it and would hold a pipe open for ever.
        log = self._folder / "programs.log"
        with log.open("ab") as out:
            done = subprocess.run(command, cwd=self._folder, stdout=out, stderr=out, timeout=60, check=False)
        if done.returncode:
            server = self._folder / "server.log"
            text = "".join(file.read_text(errors="replace") for file in (log, server) if file.exists())
            raise RuntimeError(f"PostgreSQL's {program} failed:\n{text[-3000:]}")

    def start(self) -> None:
        self._run("initdb", "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        options = {**OPTIONS, "unix_socket_directories": str(self._folder)}
        flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        self._run("pg_ctl", "-w", "-l", str(self._folder / "server.log"), "-o", flags, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        """Return the address of one database, as SQLAlchemy writes it."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self._folder}"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start a PostgreSQL server for this session; hand out the address of its maintenance database."""
    programs = _find_programs()
    # Not tmp_path: a socket's path may have about 100 letters, and the server's account must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="vitrin-pg-", dir="/tmp"))
    cluster = Cluster(programs, folder)
    try:
        cluster.start()
        yield cluster.url("postgres")
        cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """Make an empty database for one test; hand out its address and drop it afterwards."""
    name = f"test_{new_id().replace('-', '')}"
    admin = postgres_url.replace("+psycopg", "")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres_url.replace("/postgres?", f"/{name}?")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
