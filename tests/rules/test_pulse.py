"""The pulse: what a process did is counted, noted in the database, and told by the doctor and to Prometheus."""

from datetime import timedelta

import pytest
from stage import Script, Stage

from core.tables import jobs
from rules.costs import Costs
from rules.pulse import EVERY_S, forget_notes, jobs_behind, read_notes

SAY = "rule: dear\nwhen: {event: stage.happened}\nthen:\n  - {do: stage.say, with: {text: a}}\n"


def notes(stage: Stage) -> list:
    with stage.read() as conn:
        return read_notes(conn, stage.clock.now() - timedelta(minutes=1))


def test_batches_and_costs_are_counted(stage: Stage, clean_script: Script) -> None:
    stage.rule(SAY)
    stage.engine.take([stage.event() for _ in range(3)])
    stage.clock.advance(7)
    stage.drain()
    costs = stage.engine.runner.costs
    assert (costs.batch.count, costs.batch.sum) == (1, 3)
    assert costs.lag_s.sum == 7
    ((rule, cost),) = costs.dearest(5)
    assert (rule, cost.walks) == ("dear", 3)
    assert cost.seconds > 0


def test_process_notes_now_and_then_what_it_did(stage: Stage, clean_script: Script) -> None:
    stage.rule(SAY)
    pulse = stage.engine.pulse
    stage.play()
    assert not pulse.beat()
    stage.clock.advance(EVERY_S)
    assert pulse.beat()
    (note,) = notes(stage)
    assert (note.node, note.at, note.batch) == (stage.engine.node, stage.clock.now(), 1)
    assert [(rule, walks) for rule, walks, _ in note.rules] == [("dear", 1)]
    assert note.commit_s[0] <= note.commit_s[1]


def test_idle_process_writes_nothing(stage: Stage, clean_script: Script) -> None:
    stage.rule(SAY)
    stage.play()
    stage.clock.advance(EVERY_S)
    assert stage.engine.pulse.beat()
    stage.clock.advance(EVERY_S)
    assert not stage.engine.pulse.beat()


def test_old_notes_are_not_read_and_can_be_forgotten(stage: Stage, clean_script: Script) -> None:
    stage.rule(SAY)
    stage.play()
    stage.clock.advance(EVERY_S)
    stage.engine.pulse.beat()
    stage.clock.advance(3600)
    assert notes(stage) == []
    assert stage.do(lambda tx: forget_notes(tx, stage.clock.now())) == 1
    assert stage.do(lambda tx: forget_notes(tx, stage.clock.now())) == 0


def test_jobs_that_are_late_are_told(stage: Stage) -> None:
    stage.engine.jobs.register("test.work", lambda _job: None, klass="bulk")
    stage.do(lambda tx: tx.conn.execute(jobs.delete()))
    stage.do(lambda tx: stage.engine.jobs.defer(tx, "test.work", {}))
    stage.clock.advance(90)
    with stage.read() as conn:
        assert jobs_behind(conn, stage.clock.now()) == (1, 90.0)
        assert jobs_behind(conn, stage.clock.now() - timedelta(hours=1)) == (0, 0.0)


def test_only_the_dearest_rules_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.costs._MOST", 10)
    costs = Costs()
    for number in range(30):
        costs.add(f"rule-{number}", 1 if number == 3 else 0.001)
    assert len(costs.dearest(100)) <= 10
    assert costs.dearest(1)[0][0] == "rule-3"
