"""Undo: what a rule did is taken back once, and what cannot be is said."""

from datetime import timedelta
from pathlib import Path

import pytest
from engines import make_engine, make_event, put_rule
from sqlalchemy import select

from core.effects import list_effects
from core.errors import Conflict
from core.shop.tables import tasks
from core.tables import audit, events
from rules.engine import Engine
from rules.store import get_rule
from rules.undo import find_undoable, undo_effect

RULE = """
rule: pack
when: {event: order.paid}
then:
  - do: tasks.create
    with: {title: "pack {{ order.id }}"}
  - do: messages.send
    with: {text: "thank you"}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = make_engine(tmp_path)
    put_rule(engine, RULE)
    engine.take([make_event(engine, "order.paid", {"order": {"id": "A1"}}, key="A1")])
    engine.drain()
    return engine


def effect_of(engine: Engine, kind: str) -> str:
    with engine.db.read() as conn:
        return next(row.id for row in list_effects(conn) if row.kind == kind)


def test_task_is_taken_back_once(engine: Engine) -> None:
    told = undo_effect(engine, effect_of(engine, "task"), actor="test")

    assert told["state"] == "undone"
    with engine.db.read() as conn:
        assert conn.execute(select(tasks.c.status)).scalar_one() == "canceled"
        assert "effect.undone" in conn.execute(select(audit.c.action)).scalars().all()
    with pytest.raises(Conflict, match="undone"):
        undo_effect(engine, effect_of(engine, "task"), actor="test")


def test_message_cannot_be_taken_back(engine: Engine) -> None:
    with pytest.raises(Conflict, match="cannot be undone"):
        undo_effect(engine, effect_of(engine, "message"), actor="test")


def test_effects_of_a_rules_last_hour_are_found(engine: Engine) -> None:
    with engine.db.read() as conn:
        rule = get_rule(conn, "pack").id
    now = engine.clock.now()
    assert len(find_undoable(engine, rule, now - timedelta(hours=1))) == 2
    assert find_undoable(engine, rule, now + timedelta(seconds=1)) == []


NOTIFY = """
rule: notify
when: {event: order.paid}
then:
  - do: orders.change_status
    with: {order: "unknown", status: "{{ order.id }}"}
failure: {then: notify_owner}
owner: ops@shop.test
"""


def test_failed_run_is_told_and_its_owner_gets_a_task(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    put_rule(engine, NOTIFY)
    engine.take([make_event(engine, "order.paid", {"order": {"id": "A1"}}, key="A1")])
    engine.drain()

    with engine.db.read() as conn:
        (failed,) = conn.execute(select(events.c.data).where(events.c.type == "run.failed")).scalars()
        (task,) = conn.execute(select(tasks)).all()
    assert (failed["rule"], failed["owner"]) == ("notify", "ops@shop.test")
    assert task.title.startswith("The automation notify failed:")
    assert task.assignee == "ops@shop.test"


def test_plugin_switched_elsewhere_is_followed(tmp_path: Path) -> None:
    engine, other = make_engine(tmp_path), make_engine(tmp_path)
    other.host.disable("messages", actor="test")
    assert engine.host.find_action("messages.send") is not None

    engine.sync()
    assert engine.host.find_action("messages.send") is None

    other.host.enable("messages", actor="test")
    engine.sync()
    assert engine.host.find_action("messages.send") is not None
