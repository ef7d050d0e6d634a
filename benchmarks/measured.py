"""Engines to measure: on a fresh database, with everything durable and an action that does nothing."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import orjson

from benchmarks.figures import Task
from benchmarks.idle_plugin import IDLE
from core.writer import Tx
from rules.engine import Engine
from rules.store import publish

_numbers = count(1)


@contextmanager
def measured_engine(task: Task, *, database: str | None = None) -> Iterator[Engine]:
    """Open an engine in a folder of its own; nothing runs by itself."""
    home = task.settings.home / f"engine-{next(_numbers)}"
    own = {"home": home, "database": database or f"sqlite:///{home / 'vitrin.db'}", "key_file": home / "secret.key"}
    engine = Engine(replace(task.settings, **own), {**task.builtins, IDLE.name: IDLE})
    engine.open()
    try:
        yield engine
    finally:
        engine.close()


def put_rules(engine: Engine, documents: Iterable[dict]) -> None:
    """Publish rules and switch them on."""

    def work(tx: Tx) -> None:
        for document in documents:
            text = orjson.dumps(document).decode()  # JSON is YAML, too
            publish(tx, text, engine.book.scope, actor="bench", now=engine.clock.now(), state="on")

    engine.writer.do(work)
    engine.sync()
