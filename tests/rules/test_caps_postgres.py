"""Caps hold when several processes act at once: two open transactions on PostgreSQL, one more effect than fits."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from engines import make_engine, make_event, put_rule

from core.clock import VirtualClock
from core.effects import list_effects
from core.policy.caps import Cap, save_cap
from core.writer import Tx
from rules.engine import Engine
from rules.runs import list_runs

RULE = """
rule: thank
when: {event: order.paid}
then: [{do: tasks.create, with: {title: "greet {{ order.id }}"}}]
"""


@pytest.fixture
def engine(tmp_path: Path, postgres_database: str) -> Iterator[Engine]:
    engine = make_engine(tmp_path, database=postgres_database)
    yield engine
    engine.close()


def pay(engine: Engine, order: str, customer: str) -> None:
    data = {"order": {"id": order}, "customer": {"id": customer}}
    engine.take([make_event(engine, "order.paid", data, key=order, customer=customer)])


def act_at_once(engine: Engine) -> None:
    """Walk one run in each of two transactions that are open at the same time, then what is left."""
    with engine.db.engine.begin() as one, engine.db.engine.begin() as other:
        assert [engine.runner.advance_in(Tx(conn), 1)[0] for conn in (one, other)] == [1, 1]
    assert isinstance(engine.clock, VirtualClock)
    engine.clock.advance(timedelta(seconds=1))
    engine.drain()


def outcomes(engine: Engine) -> list[str]:
    with engine.db.read() as conn:
        return sorted(row["outcome"] for row in list_runs(conn))


def cap(engine: Engine, per: str) -> None:
    wanted = Cap(name="few", kind="task", per=per, most=1, period="1 day", above="skip")
    engine.writer.do(lambda tx: save_cap(tx, wanted, kinds=("task",), actor="ann", now=engine.clock.now()))


@pytest.mark.parametrize("per", ["shop", "customer"])
def test_shops_cap_holds_between_processes(engine: Engine, per: str) -> None:
    put_rule(engine, RULE)
    cap(engine, per)
    pay(engine, "A", "c")
    pay(engine, "B", "c")
    act_at_once(engine)
    assert outcomes(engine) == ["acted", "skipped"]
    with engine.db.read() as conn:
        assert sorted(row.state for row in list_effects(conn)) == ["done", "skipped"]


def test_other_customers_do_not_wait_for_each_other(engine: Engine) -> None:
    put_rule(engine, RULE)
    cap(engine, "customer")
    pay(engine, "A", "c")
    pay(engine, "B", "d")
    with engine.db.engine.begin() as one, engine.db.engine.begin() as other:
        for conn in (one, other):
            engine.runner.advance_in(Tx(conn), 1)
    assert outcomes(engine) == ["acted", "acted"]
