"""The shop on both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shop_records import Records, open_records, sqlite_url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.db)])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    """An empty shop."""
    url: Any = request.getfixturevalue("postgres_database") if request.param == "postgres" else sqlite_url(tmp_path)
    with open_records(url) as shop:
        yield shop


@pytest.fixture
def one_records(tmp_path: Path) -> Iterator[Records]:
    """An empty shop on SQLite alone: for laws that do not depend on the database."""
    with open_records(sqlite_url(tmp_path)) as shop:
        yield shop
