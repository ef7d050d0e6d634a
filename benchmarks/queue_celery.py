"""`queue.celery`: runs of an action that does nothing, through Celery, RabbitMQ, PostgreSQL and two workers.

`bench queue` calls `measure`. Runs lie in the database when the clock starts; it stops when all of them, with their
traces and effects, are on disk.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.farm import Farm
from benchmarks.figures import Figure, figure
from benchmarks.servers import broker, postgresql
from core.events import Event
from core.host import Builtin
from core.ids import new_id
from core.queues.carriers import make_carrier
from core.queues.port import RUNS
from core.settings import load_settings
from rules.engine import Engine

RULE = "rule: idle\nwhen: {event: order.paid}\nthen:\n  - do: idle.do_nothing"
WORKERS = 2
_CHUNK = 500
_PATIENCE_S = 300.0


def measure(folder: Path, builtins: Mapping[str, Builtin], *, count: int = 10_000, repeats: int = 3) -> Figure:
    """Return runs a second of the clock on the wall."""
    with ExitStack() as stack:
        url = stack.enter_context(postgresql())
        farm = Farm(folder, url, builtins=builtins, broker=stack.enter_context(broker("rabbitmq")).url, rules=(RULE,))
        stack.callback(farm.close)
        engine = Engine(load_settings({"home": str(farm.home)}, {}), farm.builtins)
        stack.callback(engine.close)
        engine.open()
        carrier = make_carrier(engine.settings, "bench")
        assert carrier is not None
        carrier.start()
        stack.callback(carrier.stop)
        for number in range(WORKERS):
            farm.start(f"work{number}", "work")
        rates = []
        for _ in range(repeats + 1):
            # Taken in by an engine that tells nobody: the workers hear of all of them at once.
            ready = _put(engine, count)
            started_s = time.perf_counter()
            carrier.tell(RUNS, "messages", ready)
            if not farm.wait_done(_PATIENCE_S):
                raise RuntimeError(f"runs are open after {_PATIENCE_S:.0f} s:\n{farm.logs()}")
            rates.append(count / (time.perf_counter() - started_s))
        # The first one warms the workers up.
        return figure("queue.celery", rates[1:], "runs/s")


def _put(engine: Engine, count: int) -> Sequence[str]:
    now = datetime.now(UTC)
    for start in range(0, count, _CHUNK):
        engine.take([_event(now) for _ in range(min(_CHUNK, count - start))])
    with engine.db.read() as conn:
        return list(conn.execute(text("SELECT id FROM runs WHERE finished_at IS NULL ORDER BY id")).scalars())


def _event(now: datetime) -> Event:
    ident = new_id()
    data: dict[str, Any] = {"order": {"id": ident}}
    fields: dict[str, Any] = {"id": ident, "source": "bench", "external_id": ident, "type": "order.paid"}
    return Event(**fields, time=now, received_at=now, key=ident, customer=None, data=data)
