"""The database that a test stands on: SQLite in a file, or one of a PostgreSQL server of our own (`--database`)."""

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

from postgres import server

SQLITE, POSTGRESQL = "sqlite", "postgresql"
FILE, SETTINGS = "vitrin.db", "vitrin.toml"


class Databases:
    """Makes the databases of one test session, each under the name of the file that it is on SQLite."""

    def __init__(self, kind: str = SQLITE) -> None:
        self.kind = kind
        self._made: dict[Path, str] = {}
        self._open: list[tuple[Path, Callable[[], None]]] = []

    def url(self, file: Path, *, like: str | None = None) -> str:
        """Return the address of the database that stands for this file: the same each time, empty at first."""
        if self.kind == SQLITE:
            return f"sqlite:///{file}"
        if file not in self._made:
            self._made[file] = name = f"t_{sha256(str(file).encode()).hexdigest()[:24]}"
            server.cluster.create(name, like=like)
        return server.cluster.url(self._made[file])

    def name_in(self, home: Path, *, like: str | None = None) -> None:
        """Let a home's settings file name its database, which is new; SQLite's file is found without."""
        home.mkdir(parents=True, exist_ok=True)
        if self.kind != SQLITE:
            named = f'database = "{self.url(home / FILE, like=like)}"\n'
            (home / SETTINGS).write_text(named, encoding="utf-8")

    def content(self, folder: Path) -> bytes:
        """Return all that is stored under a folder: its files, and the rows of the databases that stand for files."""
        files = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        names = [name for file, name in self._made.items() if file.is_relative_to(folder)]
        return files + b"".join(server.cluster.rows(name) for name in names)

    def keep(self, home: Path, let_go: Callable[[], None]) -> None:
        """Call this before the home's database is dropped: a test may leave its connections open."""
        self._open.append((home, let_go))

    def forget(self, folder: Path) -> None:
        """Drop the databases that stand for files in this folder."""
        for _, let_go in [row for row in self._open if row[0].is_relative_to(folder)]:
            let_go()
        self._open = [row for row in self._open if not row[0].is_relative_to(folder)]
        for file in [file for file in self._made if file.is_relative_to(folder)]:
            server.cluster.drop(self._made.pop(file))


#: What this process makes; a process that a test starts is told where its database is by the home's vitrin.toml.
databases = Databases()


def place_database(home: Path, make: Callable[[str], None]) -> None:
    """Give a home that has no database a copy of the one that `make` fills; that one is made once."""
    if (home / FILE).exists() or (home / SETTINGS).exists():
        return
    databases.name_in(home, like=_filled_on_server(make) if databases.kind == POSTGRESQL else None)
    if databases.kind == SQLITE:
        shutil.copy(_filled_file(make), home / FILE)


@cache
def _filled_file(make: Callable[[str], None]) -> Path:
    path = Path(tempfile.mkdtemp()) / FILE
    make(f"sqlite:///{path}")
    return path


@cache
def _filled_on_server(make: Callable[[str], None]) -> str:
    name = f"like_{make.__module__}_{make.__name__}".lower()
    server.cluster.create(name)
    make(server.cluster.url(name))
    return name
