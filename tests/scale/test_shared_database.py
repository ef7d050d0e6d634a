"""Two engines on one PostgreSQL database, at the same moment: lines, caps, rates and clocks hold over both."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from engines import START, make_engine, make_event, put_rule
from schedule_node import FaultyClock
from sqlalchemy import func, select

from core.clock import SystemClock, VirtualClock
from core.db import Database
from core.http.limits import Rate
from core.ids import id_after, new_id
from core.schema_version import upgrade
from core.shared_clock import FOLLOW_S, SharedClock
from core.shared_rates import SharedRates
from core.writer import Writer
from rules.engine import Engine
from rules.tables import runs

pytestmark = pytest.mark.sqlite("it stands on PostgreSQL, whatever the others stand on")

ROUNDS = 12
SECOND = timedelta(seconds=1)

TAG = """
rule: tag-each
when: {event: order.paid}
then:
  - do: tasks.create
    with: {title: "pack {{ order.id }}"}
"""


@pytest.fixture
def pair(tmp_path: Path, postgres_database: str) -> Iterator[tuple[Engine, Engine]]:
    """Two engines whose writers have threads of their own, as in two processes."""
    clock = VirtualClock(START)
    engines = [make_engine(tmp_path / "home", clock=clock, database=postgres_database) for _ in range(2)]
    for engine in engines:
        engine.writer.start()
    yield engines[0], engines[1]
    for engine in engines:
        engine.close()


def at_once(*calls: Callable[[], object]) -> None:
    """Make the calls at the same moment, on threads."""
    gate = Barrier(len(calls))

    def call(work: Callable[[], object]) -> object:
        gate.wait(10)
        return work()

    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call, work) for work in calls]:
            future.result(60)


def take(engine: Engine, order: str, customer: str = "c1") -> None:
    data = {"order": {"id": order}, "customer": {"id": customer}}
    engine.take([make_event(engine, "order.paid", data, key=order, customer=customer)])


def outcomes(engine: Engine) -> dict[str | None, int]:
    counted = select(runs.c.outcome, func.count()).group_by(runs.c.outcome)
    with engine.db.read() as conn:
        return {row[0]: row[1] for row in conn.execute(counted)}


def count_status(engine: Engine, status: str) -> int:
    with engine.db.read() as conn:
        return conn.execute(select(func.count()).where(runs.c.status == status)).scalar_one()


def test_one_run_of_a_line_goes_first(pair: tuple[Engine, Engine]) -> None:
    one, two = pair
    put_rule(one, TAG + "mode: {run: queued}")
    for number in range(ROUNDS):
        order = f"A{number}"
        at_once(lambda order=order: take(one, order), lambda order=order: take(two, order))
    assert (count_status(one, "ready"), count_status(one, "queued")) == (ROUNDS, ROUNDS)


def test_single_rule_starts_once_in_two_processes(pair: tuple[Engine, Engine]) -> None:
    one, two = pair
    put_rule(one, TAG + "mode: {run: single}")
    for number in range(ROUNDS):
        order = f"A{number}"
        at_once(lambda order=order: take(one, order), lambda order=order: take(two, order))
    assert outcomes(one) == {None: ROUNDS, "skipped": ROUNDS}


def test_nobody_waits_in_a_line_that_ended_meanwhile(pair: tuple[Engine, Engine]) -> None:
    one, two = pair
    put_rule(one, TAG + "mode: {run: queued}")
    take(one, "A1")
    for _ in range(ROUNDS):
        at_once(one.runner.advance, lambda: take(two, "A1"))
    one.drain()
    assert outcomes(one) == {"acted": ROUNDS + 1}


def test_cap_holds_over_two_workers(pair: tuple[Engine, Engine]) -> None:
    one, two = pair
    put_rule(one, TAG + "limits: {per_customer: once in 30 days}")
    for number in range(ROUNDS):
        take(one, f"A{number}a", f"c{number}")
        take(one, f"A{number}b", f"c{number}")
        at_once(lambda: one.runner.advance(1), lambda: two.runner.advance(1))
    one.drain()
    assert outcomes(one) == {"acted": ROUNDS, "skipped": ROUNDS}


def test_same_new_customer_is_stored_once(pair: tuple[Engine, Engine]) -> None:
    one, two = pair
    put_rule(one, TAG)
    for number in range(ROUNDS):
        take(one, f"A{number}a", f"c{number}")
        take(one, f"A{number}b", f"c{number}")
        at_once(lambda: one.runner.advance(1), lambda: two.runner.advance(1))
    one.clock.advance(60)  # pyright: ignore[reportAttributeAccessIssue] - the engines were handed a virtual clock
    one.drain()
    assert outcomes(one) == {"acted": 2 * ROUNDS}


def test_two_writers_that_cross_both_get_through(pair: tuple[Engine, Engine]) -> None:
    one, two = pair
    put_rule(one, TAG + "mode: {run: queued}")

    def many(engine: Engine, orders: list[str]) -> Callable[[], None]:
        def work() -> None:
            events = [make_event(engine, "order.paid", {"order": {"id": order}}, key=order) for order in orders]
            for future in [engine.writer.submit(lambda tx, e=event: engine.intake.take(tx, [e])) for event in events]:
                future.result(30)

        return work

    orders = [f"A{number}" for number in range(30)]
    at_once(many(one, orders), many(two, orders[::-1]))
    one.drain()
    assert outcomes(one) == {"acted": 60}


def test_later_run_stands_later_whatever_its_clock_says(pair: tuple[Engine, Engine]) -> None:
    first = new_id()
    assert id_after(first) > first
    assert id_after(first)[:18] == first[:18]
    one, two = pair
    put_rule(one, TAG + "mode: {run: queued}")
    for number in range(6):
        take((one, two)[number % 2], "A1")
    with one.db.read() as conn:
        events = list(conn.execute(select(runs.c.event).order_by(runs.c.id)).scalars())
    assert events == sorted(events)


@pytest.fixture
def databases_of_two(postgres_database: str) -> Iterator[list[Database]]:
    found = [Database(postgres_database) for _ in range(2)]
    upgrade(found[0])
    yield found
    for database in found:
        database.close()


def test_rate_is_shared_by_two_processes(databases_of_two: list[Database]) -> None:
    clock = VirtualClock(START)
    gates = [SharedRates(Writer(database), clock) for database in databases_of_two]
    rates = [Rate(requests=10, per=timedelta(seconds=10))]
    waits: list[float] = []

    def ask(gate: SharedRates) -> None:
        waits.extend(gate.reserve(("mail", "main"), rates, 0.0, 30.0) for _ in range(10))

    at_once(*(lambda gate=gate: ask(gate) for gate in gates))
    # Ten at once, and one a second after that.
    assert sorted(waits) == [0.0] * 10 + [float(second) for second in range(1, 11)]


def test_rate_refuses_what_would_wait_too_long(databases_of_two: list[Database]) -> None:
    clock = VirtualClock(START)
    one, two = (SharedRates(Writer(database), clock) for database in databases_of_two)
    rates = [Rate(requests=1, per=timedelta(minutes=1))]
    assert one.reserve("a", rates, 0.0, 30.0) == 0.0
    assert two.reserve("a", rates, 0.0, 30.0) == 60.0
    # What was refused took no place.
    clock.advance(60)
    assert two.reserve("a", rates, 0.0, 30.0) == 0.0
    clock.set(START - timedelta(days=1))
    assert one.reserve("a", rates, 0.0, 300.0) <= 360.0


def test_shared_clock_ignores_jumps_of_its_machine(databases_of_two: list[Database]) -> None:
    own = FaultyClock(datetime(2001, 1, 1, tzinfo=UTC))
    clock = SharedClock(databases_of_two[0], own)
    assert clock.now() == own.now()
    clock.follow()
    assert abs(clock.now() - SystemClock().now()) < 30 * SECOND
    before = clock.now()
    own.jump(3600)
    own.run(2)
    assert clock.now() - before == 2 * SECOND
    own.run(FOLLOW_S)
    clock.follow()
    assert abs(clock.now() - SystemClock().now()) < 30 * SECOND
    assert abs((datetime.fromtimestamp(int(new_id().replace("-", "")[:12], 16) / 1000, UTC)) - clock.now()) < SECOND
