"""The servers that a bench needs: PostgreSQL and brokers, started from the installed programs as tests do."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import NotFound

_TESTS = Path(__file__).resolve().parents[1] / "tests"
#: The tests' servers do not wait for the disk; what is measured here does.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
BROKERS = {"rabbitmq": "RabbitMQ", "redis": "Redis"}


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a PostgreSQL server on the disk; yield the address of an empty database."""
    module = _of_tests("postgres")
    # Where the tests put their data into memory, an fsync would cost nothing.
    module.MEMORY = Path("/nonexistent")
    cluster = _made(module.Cluster, **_DURABLE)
    try:
        cluster.start()
        cluster.create("bench")
        yield cluster.url("bench")
        cluster.stop()
    finally:
        cluster.remove()


@contextmanager
def broker(name: str) -> Iterator[Any]:
    """Start a broker (`rabbitmq` or `redis`); yields it."""
    server = _made(getattr(_of_tests("brokers"), BROKERS[name]))
    try:
        server.start()
        yield server
    finally:
        server.remove()


def free_port() -> int:
    return _of_tests("brokers").free_port()


def _of_tests(name: str) -> Any:
    if str(_TESTS) not in sys.path:
        sys.path.append(str(_TESTS))
    return import_module(name)


def _made(kind: Any, **options: str) -> Any:
    """Make a server; raise NotFound where its programs are not installed (the tests are skipped there)."""
    skipped = import_module("pytest").skip.Exception
    try:
        return kind(**options)
    except skipped as exc:
        raise NotFound(str(exc)) from exc
