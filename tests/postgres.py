"""Throw-away PostgreSQL clusters for the tests, started from the installed server programs."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

OLDEST = 15
OWNER = "postgres"  # the account that runs the server where the tests run as root, whom PostgreSQL refuses
USER = "vitrin"
# Nothing here outlives the session, so the disk need not be waited for; no TCP port, so sessions cannot meet.
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "300",
    "listen_addresses": "",
}
PREFIX = "vitrin-pg-"
MEMORY = Path("/dev/shm")
ROOM = 2 << 30  # bytes: the cluster, its log and the databases of the tests that run at the same time


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


def _roomy_folder() -> Path:
    """Return where a cluster goes: into memory where there is plenty, which makes databases three times quicker."""
    in_memory = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    # Not tmp_path: a socket's path may have about 100 letters, and the server's account must be able to reach it.
    return MEMORY if in_memory else Path("/tmp")


def _clear_leftovers(room: Path, programs: Path) -> None:
    """Stop and remove the clusters of test sessions that were killed."""
    for folder in room.glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            command = [*_as_owner(), str(programs / "pg_ctl"), "-D", str(folder / "data"), "-m", "immediate", "stop"]
            subprocess.run(command, capture_output=True, timeout=60, check=False)
            shutil.rmtree(folder, ignore_errors=True)


def _as_owner() -> list[str]:
    return ["runuser", "-u", OWNER, "--"] if os.geteuid() == 0 else []


class Cluster:
    """One server with its data and its socket in a folder of its own."""

    def __init__(self, **options: str) -> None:
        self._programs = _find_programs()
        self._options = {**OPTIONS, **options}
        room = _roomy_folder()
        _clear_leftovers(room, self._programs)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=room))
        if _as_owner():
            owner = pwd.getpwnam(OWNER)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_owner(), str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        # To a file, not a pipe: the server inherits it and would hold a pipe open for ever.
        log = self._folder / "programs.log"
        with log.open("ab") as out:
            done = subprocess.run(command, cwd=self._folder, stdout=out, stderr=out, timeout=60, check=False)
        if done.returncode:
            server = self._folder / "server.log"
            text = "".join(file.read_text(errors="replace") for file in (log, server) if file.exists())
            raise RuntimeError(f"PostgreSQL's {program} failed:\n{text[-3000:]}")

    def start(self) -> None:
        options = {**self._options, "unix_socket_directories": str(self._folder)}
        flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        self._run("pg_ctl", "-w", "-l", str(self._folder / "server.log"), "-o", flags, "start")

    def stop(self) -> None:
        """Stop at once, as when the power goes: the next start recovers."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return the address of one database, as SQLAlchemy writes it."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self._folder}"

    def create(self, name: str, *, like: str | None = None) -> None:
        """Make a database: an empty one, or a copy of another that nobody is connected to."""
        words = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._ask(words.format(sql.Identifier(name), sql.Identifier(like or "template1")))

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self._ask(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def rows(self, name: str) -> bytes:
        """Return the rows of all tables of a database as text."""
        found: list[bytes] = []
        with psycopg.connect(self.url(name).replace("+psycopg", "")) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
                    found += map(bytes, copy)
        return b"".join(found)

    def _ask(self, question: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(question)


class Server:
    """The cluster that all tests of a session share, started when the first one needs it."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            cluster = Cluster()
            cluster.start()
            self._cluster = cluster
        return self._cluster

    def close(self) -> None:
        if self._cluster is not None:
            try:
                self._cluster.stop()
            finally:
                self._cluster.remove()
                self._cluster = None


server = Server()
