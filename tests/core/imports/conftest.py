"""A shop with imports over each database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from import_node import ImportNode


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.db)])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImportNode]:
    on_server = request.param == "postgresql"
    url = request.getfixturevalue("postgres_database") if on_server else f"sqlite:///{tmp_path}/shop.db"
    made = ImportNode(url, tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[ImportNode]:
    """The same on SQLite only, where the database makes no difference."""
    made = ImportNode(f"sqlite:///{tmp_path}/shop.db", tmp_path)
    yield made
    made.db.close()
