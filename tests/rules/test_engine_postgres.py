"""The engine on PostgreSQL: the same events, waits, facts and effects as on SQLite."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from engines import make_engine, make_event, put_rule
from sqlalchemy import func, select

from core.clock import VirtualClock
from core.effects import count_by_kind
from core.shop.tables import tasks
from rules.engine import Engine
from rules.runs import count_outcomes

ASK_REVIEW = """
rule: ask-review
when: {event: order.delivered}
then:
  - wait: {event: review.created, timeout: 7 days}
    as: review
  - choose:
      - if: {field: steps.review.outcome, is: equal, value: happened}
        then: [{stop: reviewed}]
  - do: messages.send
    with: {text: "How was order {{ order.id }}?"}
"""
SECOND_ORDER = """
rule: second-order
when: {event: order.delivered}
if: {fact: history.happened, with: {event: order.delivered, within: 180 days}, is: at_least, value: 1}
then:
  - do: tasks.create
    with: {title: "greet {{ customer.id }}"}
limits: {per_customer: once in 30 days}
"""


@pytest.fixture
def engine(tmp_path: Path, postgres_database: str) -> Iterator[Engine]:
    engine = make_engine(tmp_path, database=postgres_database)
    put_rule(engine, ASK_REVIEW)
    put_rule(engine, SECOND_ORDER)
    yield engine
    engine.close()


def deliver(engine: Engine, order: str, customer: str) -> None:
    data = {"order": {"id": order}, "customer": {"id": customer}}
    engine.take([make_event(engine, "order.delivered", data, key=order, customer=customer)])
    engine.drain()


def pass_time(engine: Engine, days: float) -> None:
    assert isinstance(engine.clock, VirtualClock)
    engine.clock.advance(timedelta(days=days))
    engine.drain()


def test_waits_facts_and_caps_hold_on_postgresql(engine: Engine) -> None:
    deliver(engine, "A1", "c1")
    pass_time(engine, 2)
    engine.take([make_event(engine, "review.created", {"review": {"score": 5}}, key="A1", customer="c1")])
    deliver(engine, "A2", "c1")
    deliver(engine, "A3", "c1")
    pass_time(engine, 8)

    with engine.db.read() as conn:
        assert count_outcomes(conn) == {
            "ask-review": {"stopped": 1, "acted": 2},
            "second-order": {"acted": 1, "skipped": 1, "stopped": 1},
        }
        assert count_by_kind(conn) == {"message": 2, "task": 1}
        assert conn.execute(select(func.count()).select_from(tasks)).scalar_one() == 1


def test_event_delivered_twice_counts_once_on_postgresql(engine: Engine) -> None:
    event = make_event(engine, "order.delivered", {"order": {"id": "A1"}}, key="A1", external_id="delivery-1")
    again = make_event(engine, "order.delivered", {"order": {"id": "A1"}}, key="A1", external_id="delivery-1")

    first, second = engine.take([event]), engine.take([again])

    assert (first[0].new, second[0].new) == (True, False)
    assert (first[0].rules, second[0].rules) == (["ask-review", "second-order"], [])
