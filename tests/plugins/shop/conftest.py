"""An empty shop of its own for every test."""

from collections.abc import Iterator

import pytest
from shop_records import Records, open_records


@pytest.fixture
def records(database_url: str) -> Iterator[Records]:
    """An empty shop."""
    with open_records(database_url) as shop:
        yield shop
