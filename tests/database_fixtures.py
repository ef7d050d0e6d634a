"""The databases of the tests as pytest has them: the option `--database`, the fixtures, and who runs on what."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from database_use import uses_database
from databases import POSTGRESQL, SQLITE, databases
from postgres import server
from sqlalchemy import Pool, event

from core.ids import new_id


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "what the tests stand on; with postgresql only those that use a database are run"
    parser.addoption("--database", choices=(SQLITE, POSTGRESQL), default=SQLITE, help=words)


def pytest_configure(config: pytest.Config) -> None:
    databases.kind = str(config.getoption("--database"))


def pytest_unconfigure() -> None:
    server.close()


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """Return the address of the maintenance database of the session's PostgreSQL server, which is started if needed."""
    return server.cluster.url("postgres")


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """Make an empty database for one test; hand out its address and drop it afterwards."""
    name = f"test_{new_id().replace('-', '')}"
    server.cluster.create(name)
    yield server.cluster.url(name)
    server.cluster.drop(name)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The address of an empty database of the kind that the tests stand on."""
    return databases.url(tmp_path / "vitrin.db")


@pytest.fixture(autouse=True)
def dropped_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drop the databases of a test with its folder."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        databases.forget(folder)


@pytest.fixture(scope="session")
def opened_databases() -> Iterator[list[Any]]:
    """Keep every connection that this process opens to a database."""
    opened: list[Any] = []

    def note(connection: Any, _record: Any) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", note)
    yield opened
    event.remove(Pool, "connect", note)


@pytest.fixture(autouse=True)
def seen_databases(request: pytest.FixtureRequest, opened_databases: list[Any]) -> Iterator[None]:
    """Fail the test that opens a database and was not seen to when they were collected: it would run on one only."""
    opened_databases.clear()
    yield
    seen = request.node.get_closest_marker("db") or not opened_databases
    opened_databases.clear()
    assert seen, "the test opens a database in a way that tests/database_use.py does not see"


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses a database; on PostgreSQL leave out the rest, and what is of SQLite's own."""
    for item in items:
        if isinstance(item, pytest.Function) and uses_database(item):
            item.add_marker("db")
    if databases.kind == SQLITE:
        return
    left_out = [item for item in items if not item.get_closest_marker("db")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.get_closest_marker("db")]
    for item in items:
        own = item.get_closest_marker("sqlite")
        if own is not None:
            item.add_marker(pytest.mark.skip(reason=f"SQLite's own: {own.args[0]}"))
