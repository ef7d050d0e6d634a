"""PostgreSQL stopped at once and started again under load: nothing acknowledged is lost, nobody has to help."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import make_event, make_tables, put_rule
from faults.victim import RULES
from postgres import Cluster
from sqlalchemy import func, select

from core.clock import SystemClock
from core.errors import Busy, StorageError
from core.events import Event
from core.settings import load_settings
from core.shop.tables import tasks
from core.tables import events
from plugins import BUILTINS
from rules.engine import Engine, Parts
from rules.tables import runs

RECONNECT_S = 30.0
STOPS = 3
PACK_EACH = RULES.split("---")[0]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of its own whose commits are on disk when they are answered, as far as a crash of it goes."""
    cluster = Cluster(synchronous_commit="on")
    try:
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        cluster.remove()


@pytest.fixture
def engine(cluster: Cluster, tmp_path: Path) -> Iterator[Engine]:
    cluster.create("shop")
    url = cluster.url("shop")
    make_tables(url)
    settings = load_settings({"home": tmp_path, "database": url, "zone": "UTC", "log_level": "error"}, {})
    engine = Engine(settings, BUILTINS, Parts(clock=SystemClock()))
    engine.open()
    put_rule(engine, PACK_EACH)
    engine.start()
    yield engine
    engine.close()


class Senders:
    """Send one event after the other, each until it is acknowledged, as a shop's webhook does."""

    def __init__(self, engine: Engine, count: int = 3) -> None:
        self._engine = engine
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: dict[str, float] = {}
        self.faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._send, args=(name,)) for name in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(RECONNECT_S)

    def _send(self, name: int) -> None:
        number = 0
        while not self._stop.is_set():
            ident = f"{name}-{number}"
            data = {"order": {"id": ident, "number": number}}
            try:
                self._deliver(make_event(self._engine, "order.paid", data, key=ident, external_id=ident))
            except (Exception, SystemExit) as exc:  # noqa: BLE001 - told by the test: a thread cannot fail it
                self.faults.append(exc)
                return
            number += 1

    def _deliver(self, event: Event) -> None:
        while not self._stop.is_set():
            try:
                self._engine.take([event])
            except (Busy, StorageError):
                self._stop.wait(0.05)
                continue
            with self._lock:
                self.acknowledged[event.external_id] = time.monotonic()
            return

    def since(self, moment_s: float) -> int:
        """Return how many were acknowledged after a moment."""
        with self._lock:
            return sum(at > moment_s for at in self.acknowledged.values())


def wait_until(happened: threading.Event, ask, within_s: float) -> bool:
    """Ask until the answer is true or the time is up."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if ask():
            return True
        happened.wait(0.05)
    return False


def test_stopped_server_loses_nothing(engine: Engine, cluster: Cluster) -> None:
    senders, pause = Senders(engine), threading.Event()
    senders.start()
    try:
        for _ in range(STOPS):
            begun_s = time.monotonic()
            assert wait_until(pause, lambda begun=begun_s: senders.since(begun) > 20, RECONNECT_S), senders.faults
            cluster.stop()
            pause.wait(0.5)
            cluster.start()
            up_s = time.monotonic()
            assert wait_until(pause, lambda up=up_s: senders.since(up) > 0, RECONNECT_S), "no reconnect by itself"
    finally:
        senders.stop()
    assert senders.faults == []
    assert wait_until(pause, lambda: engine.runner.next_due() is None, RECONNECT_S), "the runs do not go on"

    with engine.db.read() as conn:
        stored = Counter(conn.execute(select(events.c.external_id).where(events.c.type == "order.paid")).scalars())
        titles = Counter(conn.execute(select(tasks.c.title)).scalars())
        counted = conn.execute(select(runs.c.outcome, func.count()).group_by(runs.c.outcome))
        outcomes = {row[0]: row[1] for row in counted}
    assert set(senders.acknowledged) <= set(stored)
    assert set(stored.values()) == {1}
    assert outcomes == {"acted": len(stored)}
    assert titles == Counter({f"pack {ident}": 1 for ident in stored})
