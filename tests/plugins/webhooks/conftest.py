"""An engine with the webhooks plugin on."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from engines import make_engine
from webhook_desk import Desk

from core.clock import VirtualClock

#: The moment of the table of forgeries.
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk at the moment of the tables of forgeries."""
    clock = VirtualClock(NOW)
    engine = make_engine(tmp_path, clock=clock, plugins_on=("webhooks",))
    yield Desk(engine=engine, clock=clock)
    engine.close()
