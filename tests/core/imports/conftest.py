"""A shop with imports."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from import_node import ImportNode


@pytest.fixture
def node(database_url: str, tmp_path: Path) -> Iterator[ImportNode]:
    made = ImportNode(database_url, tmp_path)
    yield made
    made.db.close()
