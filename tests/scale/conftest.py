"""Farms of real processes on PostgreSQL, with a real broker: made for one test, and gone after it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import Broker, RabbitMQ, Redis

from benchmarks.farm import Farm
from plugins import BUILTINS


@pytest.fixture(scope="session")
def rabbit() -> Iterator[Broker]:
    """One RabbitMQ for all tests: its start takes longer than most of them."""
    broker = RabbitMQ()
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


@pytest.fixture
def redis() -> Iterator[Broker]:
    broker = Redis()
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


@pytest.fixture
def make_farm(tmp_path: Path, postgres_database: str) -> Iterator[Callable[..., Farm]]:
    """Make a farm on an empty PostgreSQL database; what its processes logged is shown where the test fails."""
    made: list[Farm] = []

    def make(broker: Broker | None = None) -> Farm:
        farm = Farm(tmp_path, postgres_database, builtins=BUILTINS, broker=broker.url if broker else "")
        made.append(farm)
        return farm

    yield make
    for farm in made:
        farm.close()
        sys.stdout.write(farm.logs())
