"""Turns: what is urgent goes first, and nobody who has little to do waits for those who have much."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import Script, Stage

from core.jobs import CLASSES
from rules import backlog, runner
from rules.turns import WEIGHTS, Turns, class_of

NOISY = "rule: noisy\nwhen: {event: stage.happened}\nif: {field: event.key, is: equal, value: noisy}\n"
QUIET = "rule: quiet\nwhen: {event: stage.happened}\nif: {field: event.key, is: equal, value: quiet}\n"
SAY = "then:\n  - {do: stage.say, with: {text: '{{ event.key }}'}}\n"
NOTE = "then:\n  - {do: stage.note, with: {text: '{{ event.key }}'}}\n"
#: More than one batch takes.
MANY = 450


def flood(stage: Stage) -> None:
    """Give one rule far more to do than fits into a batch, then another one very little."""
    stage.engine.take([stage.event(key="noisy") for _ in range(MANY)])
    stage.clock.advance(1)
    stage.engine.take([stage.event(key="quiet") for _ in range(3)])


def test_noisy_rule_does_not_starve_another(stage: Stage, clean_script: Script) -> None:
    stage.rule(NOISY + SAY)
    stage.rule(QUIET + SAY)
    flood(stage)
    stage.engine.runner.advance(100)
    assert Counter(stage.said) == {"noisy": 97, "quiet": 3}


def test_messages_go_before_notes(stage: Stage, clean_script: Script) -> None:
    stage.rule(NOISY + NOTE)
    stage.rule(QUIET + SAY)
    flood(stage)
    stage.engine.runner.advance(100)
    assert stage.said[:3] == ["quiet"] * 3
    assert Counter(stage.said) == {"noisy": 97, "quiet": 3}


def test_notes_are_not_starved_by_messages(stage: Stage, clean_script: Script) -> None:
    stage.rule(NOISY + SAY)
    stage.rule(QUIET + NOTE)
    flood(stage)
    stage.engine.runner.advance(100)
    assert stage.said.count("quiet") == 3


def test_everything_is_done_in_the_end(stage: Stage, clean_script: Script) -> None:
    stage.rule(NOISY + SAY)
    stage.rule(QUIET + NOTE)
    flood(stage)
    assert stage.drain() == MANY + 3
    assert Counter(stage.said) == {"noisy": MANY, "quiet": 3}


def test_runs_of_a_rule_that_is_off_have_their_turn(stage: Stage, clean_script: Script) -> None:
    stage.rule(NOISY + SAY)
    stage.rule(QUIET + SAY)
    flood(stage)
    stage.engine.switch("quiet", "off", actor="test")
    stage.engine.runner.advance(100)
    assert stage.said.count("quiet") == 3


def test_noisy_rule_is_seen_past_however_deep(
    stage: Stage, clean_script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_PAGE", 100)
    stage.rule(NOISY + SAY)
    stage.rule(QUIET + SAY)
    flood(stage)
    batches = 0
    while "quiet" not in stage.said:
        stage.engine.runner.advance(10)
        batches += 1
    assert batches == MANY // 100 + 1
    assert stage.drain()
    assert Counter(stage.said) == {"noisy": MANY, "quiet": 3}


def test_what_becomes_due_behind_the_reading_is_found(
    stage: Stage, clean_script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_BATCHES", 5)
    stage.rule(NOISY + SAY)
    stage.rule(QUIET + SAY)
    stage.engine.take([stage.event(key="noisy") for _ in range(MANY)])
    stage.engine.runner.advance(20)
    late = stage.clock.now() - timedelta(hours=1)
    stage.engine.take([replace(stage.event(key="noisy"), received_at=late) for _ in range(300)])
    stage.engine.take([replace(stage.event(key="quiet"), received_at=late + timedelta(seconds=1))])
    for _ in range(6):
        stage.engine.runner.advance(20)
    assert stage.said.count("quiet") == 1


@pytest.mark.sqlite("reads SQLite's own words for a plan")
def test_backlog_is_read_from_the_index_alone(stage: Stage) -> None:
    asked = {"now": stage.clock.now(), "most": 10, "last": stage.clock.now(), "id": "x"}
    for query in (backlog._ROWS, backlog._MORE):
        told = {name: asked[name] for name in query.compile().params if name in asked}
        bound = query.params(**told)
        text = str(bound.compile(stage.engine.db.engine, compile_kwargs={"literal_binds": True}))
        with stage.read() as conn:
            plan = [row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
        assert len(plan) == 1
        assert plan[0].startswith("SEARCH runs USING COVERING INDEX ix_runs_due")


@pytest.mark.sqlite("reads SQLite's own words for a plan")
def test_next_due_is_found_by_index(stage: Stage) -> None:
    text = str(runner._NEXT_DUE.compile(stage.engine.db.engine))
    with stage.read() as conn:
        (plan,) = [row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    assert plan == "SEARCH runs USING COVERING INDEX ix_runs_due (due_at>?)"


# steps of a rule, the class of its runs
CLASS_TABLE = [
    (SAY, "messages"),
    (NOTE, "bulk"),
    ("then:\n  - {do: stage.note, with: {text: a}}\n  - {do: stage.say, with: {text: a}}\n", "messages"),
    ("then:\n  - {do: nobody.has_it}\n", "bulk"),
    ("then:\n  - stop: no step that does anything\n", "bulk"),
]


@pytest.mark.parametrize(("steps", "klass"), CLASS_TABLE)
def test_class_is_that_of_the_most_urgent_step(stage: Stage, steps: str, klass: str) -> None:
    stage.rule(QUIET + steps)
    (rule,) = stage.engine.book
    assert class_of(rule, stage.engine.host.find_action) == klass


WAITING = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from(CLASSES), min_size=1, max_size=40)


@given(WAITING, st.integers(31, 500))
def test_every_class_gets_its_share(classes: dict[str, str], room: int) -> None:
    shares = Turns().share(classes, classes, room)
    by_class = Counter[str]()
    for rule, share in shares.items():
        by_class[classes[rule]] += share
    total = sum(WEIGHTS[klass] for klass in set(classes.values()))
    assert by_class.keys() == set(classes.values())
    assert all(share >= room * WEIGHTS[klass] // total for klass, share in by_class.items())
    assert sum(by_class.values()) <= room + len(CLASSES)


@given(WAITING, st.integers(5, 40))
def test_every_rule_has_its_turn(classes: dict[str, str], room: int) -> None:
    turns = Turns()
    served = Counter[str]()
    for _ in range(len(classes) * 8):
        served.update(rule for rule, share in turns.share(classes, classes, room).items() if share)
    assert served.keys() == classes.keys()
