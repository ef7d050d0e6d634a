"""Hints: told after the commit, taken by whoever hears them, found by the sweep where nobody does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from brokers import free_port
from command_line import type_words
from engines import START, make_engine, make_event, put_rule
from sqlalchemy import update

from core.clock import VirtualClock
from core.errors import InvalidInput
from core.node import take_node
from core.queues.carriers import make_carrier
from core.queues.celery import CeleryCarrier
from core.queues.port import RUNS, Taker
from core.settings import load_settings
from rules.clock_jumps import ClockJumps
from rules.engine import Engine
from rules.hints import GRACE, Hints
from rules.leases import Leases
from rules.tables import runs

ROOT = Path(__file__).resolve().parents[2]
RULE = """
rule: pack-each
when: {event: order.paid}
then:
  - do: tasks.create
    with: {title: "pack {{ order.id }}"}
"""


class Wire:
    """A carrier whose hints lie in a list until somebody reads them."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, list[str]]] = []

    def start(self) -> None:
        """Need nothing."""

    def tell(self, kind: str, klass: str, ids: Sequence[str]) -> None:
        self.told.append((kind, klass, list(ids)))

    def listen(self, take: Taker) -> None:
        """Be read by hand."""

    def stop(self) -> None:
        """Need nothing."""

    def runs(self) -> list[str]:
        found = [run for kind, _, ids in self.told for run in ids if kind == RUNS]
        self.told.clear()
        return found


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def engine(tmp_path: Path, clock: VirtualClock) -> Iterator[Engine]:
    made = make_engine(tmp_path / "home", clock=clock)
    put_rule(made, RULE)
    yield made
    made.close()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def hints(engine: Engine, wire: Wire, clock: VirtualClock) -> Hints:
    return Hints(wire, engine.db, clock, engine.runner)


def take(engine: Engine, count: int) -> None:
    engine.take([make_event(engine, "order.paid", {"order": {"id": f"A{number}"}}) for number in range(count)])


def open_runs(engine: Engine) -> int:
    with engine.db.read() as conn:
        return conn.exec_driver_sql("SELECT count(*) FROM runs WHERE finished_at IS NULL").scalar_one()


def test_worker_takes_what_it_is_told_and_no_more(engine: Engine, hints: Hints, wire: Wire) -> None:
    take(engine, 5)
    hints.tell_due()
    told = wire.runs()
    assert len(told) == 5
    hints.take_runs(told[:2])
    assert open_runs(engine) == 3
    # A doubled hint meets runs that are done.
    hints.take_runs(told[:2])
    assert open_runs(engine) == 3


def test_lost_hint_is_found_by_the_sweep(engine: Engine, hints: Hints, clock: VirtualClock) -> None:
    take(engine, 3)
    assert hints.sweep() == 0
    clock.advance(GRACE)
    assert hints.sweep() == 3
    # Nobody tells: from now on nothing waits for a hint.
    take(engine, 2)
    assert hints.sweep() == 2


def test_due_runs_are_told_again_after_a_while(engine: Engine, hints: Hints, wire: Wire, clock: VirtualClock) -> None:
    take(engine, 2)
    assert (hints.tell_due(), hints.tell_due()) == (2, 0)
    clock.advance(6)
    assert hints.tell_due() == 2
    hints.take_runs(wire.runs())
    clock.advance(6)
    assert hints.tell_due() == 0


def test_carrier_without_a_broker_holds_nobody_up() -> None:
    carrier = CeleryCarrier(f"amqp://guest:guest@127.0.0.1:{free_port()}//", "test")
    carrier.start()
    started_s = time.monotonic()
    for _ in range(200):
        carrier.tell(RUNS, "messages", ["a"] * 1000)
    assert time.monotonic() - started_s < 2
    carrier.stop()


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("orders", ["a"]),  # no such kind
        (RUNS, "abc"),  # no list
        (RUNS, [1]),  # no id
        (RUNS, ["a"] * 51),  # more than anybody of ours sends
        (RUNS, ["a" * 65]),  # too long for an id
    ],
)
def test_strange_messages_are_thrown_away(kind: str, ids: object, caplog: pytest.LogCaptureFixture) -> None:
    carrier = CeleryCarrier("amqp://127.0.0.1//", "test")
    heard: list[str] = []
    carrier._take = lambda _kind, ids: heard.extend(ids)
    carrier._heard(kind, ids)  # pyright: ignore[reportArgumentType] - what a stranger may send
    assert heard == []


@pytest.mark.parametrize("role", ["web", "work", "clock"])
def test_parts_need_a_shared_database(role: str, tmp_path: Path) -> None:
    answer = type_words(role, "--home", str(tmp_path), "--database", f"sqlite:///{tmp_path / 'vitrin.db'}")
    assert answer.code != 0
    assert "needs PostgreSQL" in answer.err


def test_celery_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "core.queues.celery", None)
    flags = {"home": tmp_path, "queue": "celery", "database": "postgresql://localhost/vitrin"}
    with pytest.raises(InvalidInput, match="install the extra 'scale'"):
        make_carrier(load_settings(flags, {}), "test")


def test_names_of_living_processes_differ(tmp_path: Path) -> None:
    settings = load_settings({"home": tmp_path}, {})
    one, two = take_node(settings, "work"), take_node(settings, "work")
    assert one.name != two.name
    one.release()
    assert take_node(settings, "work").name == one.name
    two.release()


def test_killed_process_leaves_its_name_to_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, time; from core.node import take_node; from core.settings import load_settings\n"
        f"print(take_node(load_settings({{'home': {str(tmp_path)!r}}}, {{}}), 'work').name, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    name = process.stdout.readline().strip()
    settings = load_settings({"home": tmp_path}, {})
    second = take_node(settings, "work")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    third = take_node(settings, "work")
    assert second.name != name
    assert third.name == name
    second.release()
    third.release()


def test_lease_that_another_took_is_never_fresh_again(engine: Engine, clock: VirtualClock) -> None:
    take(engine, 1)
    with engine.db.write() as conn:
        run = conn.execute(update(runs).values(status="running", fence=1).returning(runs.c.id)).scalar_one()
    leases = Leases(clock)
    leases.take(run, 1, clock.monotonic())
    clock.advance(59)
    assert leases.is_fresh(run)
    clock.advance(30)
    assert not leases.is_fresh(run)
    leases.renew(engine.writer)
    assert leases.is_fresh(run)
    with engine.db.write() as conn:
        conn.execute(update(runs).values(fence=2))
    leases.renew(engine.writer)
    assert not leases.is_fresh(run)


def test_clock_set_back_leaves_nothing_ready_behind(engine: Engine, clock: VirtualClock) -> None:
    jumps = ClockJumps(clock, engine.writer, timedelta(seconds=90))
    assert not jumps.look()
    take(engine, 1)
    clock.set(START - timedelta(hours=1))
    assert engine.drain() == 0
    assert jumps.look()
    assert engine.drain() == 1
    clock.advance(3600)
    assert not jumps.look()
