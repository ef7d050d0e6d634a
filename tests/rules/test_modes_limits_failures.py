"""Modes, limits and failures where they meet: each other, approvals, restarts, calls under way, other rules."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from engines import START
from sqlalchemy import select
from stage import Script, Stage

from core.clock import VirtualClock
from core.errors import RejectedError, TemporaryError
from core.policy.pause import pause, resume
from core.shop.tables import tasks
from rules.runs import decide

HEAD = "rule: r\nwhen: {event: stage.happened}\n"
SAY = "then: [{do: stage.say, with: {text: '{{ event.key }}{{ n }}'}}]\n"
CALL = "then: [{do: stage.call, with: {n: '{{ n }}'}}]\n"


def by(stage: Stage) -> dict[str, Any]:
    return {"actor": "ann", "now": stage.clock.now()}


def play(stage: Stage, key: str | None, *numbers: int) -> None:
    for number in numbers:
        stage.play(data={"n": number}, key=key)


# Modes and what keeps a run open

# mode, outcomes while the first is held, after it was approved
HELD = [
    ("single", ["held", "skipped"], ["acted", "skipped"]),
    ("restart", ["cancelled", "held"], ["cancelled", "acted"]),
    ("queued", ["held", "waiting"], ["acted", "held"]),
    ("parallel", ["held", "held"], ["acted", "held"]),
]


@pytest.mark.parametrize(("mode", "before", "after"), HELD)
def test_run_that_is_held_is_under_way(stage: Stage, mode: str, before: list[Any], after: list[str]) -> None:
    stage.rule(f"{HEAD}{SAY}mode: {{run: {mode}}}\nlimits: {{ask: true}}\n")
    play(stage, "a", 0, 1)
    assert stage.outcomes() == before
    first = next(run["id"] for run in stage.runs() if run["outcome"] == "held")
    stage.do(lambda tx: decide(tx, first, approve=True, **by(stage)))
    stage.drain()
    assert stage.outcomes() == after
    held = [row.state for row in stage.effects() if row.run != first]
    assert held == {"single": [], "restart": ["skipped"]}.get(mode, ["held"])


def test_refused_run_lets_the_next_one_go(stage: Stage) -> None:
    stage.rule(f"{HEAD}{SAY}mode: {{run: queued}}\nlimits: {{ask_above: 0}}\n")
    play(stage, "a", 0, 1)
    first = stage.runs()[0]["id"]
    stage.do(lambda tx: decide(tx, first, approve=False, **by(stage)))
    stage.drain()
    assert stage.outcomes() == ["skipped", "held"]


# mode, outcomes while the first waits to be tried again, what was called when all is over
TRIED = [
    ("single", ["waiting", "skipped", "acted"], [0, 9, 0]),
    ("queued", ["waiting", "waiting", "acted"], [0, 9, 0, 1]),
    ("parallel", ["waiting", "acted", "acted"], [0, 1, 9, 0]),
]


@pytest.mark.parametrize(("mode", "outcomes", "called"), TRIED)
def test_run_that_is_tried_again_keeps_its_place(
    stage: Stage, clean_script: Script, mode: str, outcomes: list[Any], called: list[int]
) -> None:
    clean_script.answers = [TemporaryError("stage", "busy")]
    stage.rule(f"{HEAD}{CALL}mode: {{run: {mode}}}\n")
    play(stage, "a", 0, 1)
    play(stage, "b", 9)  # another key never feels it
    assert stage.outcomes() == outcomes
    stage.later(minutes=2)
    assert [params["n"] for params in stage.said] == called
    assert "waiting" not in stage.outcomes()


def test_restart_ends_a_run_whose_call_is_under_way(stage: Stage, clean_script: Script) -> None:
    """The call was made, its answer belongs to a run that is over: nothing after it happens."""
    clean_script.answers = [lambda _ctx: stage.take(data={"n": 1}, key="a") and {"object": "late"}]
    stage.rule(
        f"{HEAD}then: [{{do: stage.call, with: {{n: '{{{{ n }}}}'}}}}, {{do: stage.say, with: {{text: 'n{{{{ n }}}}'}}}}]\n"
        "mode: {run: restart}\n"
    )
    play(stage, "a", 0)
    stage.later(minutes=10)
    assert [run["outcome"] for run in stage.runs()] == ["cancelled", "acted"]
    assert stage.said == [{"n": 0}, {"n": 1}, "n1"]


def test_queue_survives_a_restart(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    stage.rule(
        f"{HEAD}then: [{{wait: 1 hour}}, {{do: stage.say, with: {{text: 'n{{{{ n }}}}'}}}}]\nmode: {{run: queued}}\n"
    )
    play(stage, "a", 0, 1, 2)
    again = make_stage(clock=clock)
    again.later(hours=5)
    assert (again.said, again.outcomes()) == (["n0", "n1", "n2"], ["acted"] * 3)


def test_watching_rule_keeps_its_mode(stage: Stage) -> None:
    stage.rule(
        f"{HEAD}then: [{{wait: 1 hour}}, {{do: stage.say, with: {{text: x}}}}]\nmode: {{run: single}}\n", "watching"
    )
    play(stage, "a", 0, 1)
    stage.later(hours=2)
    assert (stage.outcomes(), stage.said, stage.states()) == (["acted", "skipped"], [], ["watched"])


def test_called_rule_keeps_its_own_mode(stage: Stage) -> None:
    stage.rule(f"{HEAD}then: [{{run: s}}]\n")
    stage.rule(
        "rule: s\nwhen: {event: never}\nthen: [{wait: 1 hour}, {do: stage.say, with: {text: 'n{{ n }}'}}]\n"
        "mode: {run: restart}\n"
    )
    play(stage, "a", 0, 1)
    stage.later(hours=3)
    assert stage.said == ["n1"]
    assert stage.outcomes(rule="s") == ["cancelled", "acted"]


def test_events_without_a_key_stand_in_one_line(stage: Stage) -> None:
    stage.rule(
        f"{HEAD}then: [{{wait: 1 hour}}, {{do: stage.say, with: {{text: 'n{{{{ n }}}}'}}}}]\nmode: {{run: single}}\n"
    )
    play(stage, None, 0, 1)
    play(stage, "a", 2)
    stage.later(hours=2)
    assert stage.outcomes() == ["acted", "skipped", "acted"]


def test_condition_that_fails_takes_no_place(stage: Stage, clean_script: Script) -> None:
    """Only a run stands in line: what the rule does not care for, or finds out it does not, is no run or ends at once."""
    clean_script.levels = {"low": 1, "high": 9}
    stage.rule(
        f"{HEAD}if: {{fact: stage.level, is: at_least, value: 5}}\n"
        "then: [{wait: 1 hour}, {do: stage.say, with: {text: '{{ order.id }}'}}]\nmode: {run: single}\n"
    )
    for ident in ("low", "high"):
        stage.play(data={"order": {"id": ident}}, key="a")
    stage.later(hours=2)
    assert stage.said == ["high"]


# Limits over time, versions, records and rules


def test_caps_outlive_a_restart_and_a_new_version(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    text = f"{HEAD}{SAY}limits: {{per_customer: once in 7 days, per_day: 2}}\n"
    stage.rule(text)
    stage.play(customer="c", key="1")
    again = make_stage(clock=clock)
    again.rule(text + "owner: ann\n")
    for customer in "cde":
        again.play(customer=customer, key="2")
    assert again.outcomes() == ["acted", "skipped", "acted", "waiting"]


def test_caps_of_one_rule_are_none_of_another(stage: Stage) -> None:
    for name in ("r", "s"):
        stage.rule(
            f"{HEAD}{SAY}limits: {{per_customer: once in 1 day, per_hour: 1, ask_above: 1}}\n".replace(
                "rule: r", f"rule: {name}"
            )
        )
    stage.play(customer="c", key="1")
    assert stage.outcomes() == ["acted", "acted"]


def test_merged_customer_has_used_the_cap_already(stage: Stage) -> None:
    now = stage.clock.now()
    wanted = [{"external_id": "a", "name": "Ann"}, {"external_id": "b", "name": "Ann"}]
    kept, dropped = (
        change.id
        for change in stage.do(lambda tx: stage.engine.shop_of(tx, None, now, "test").upsert_customers(wanted))
    )
    stage.rule(f"{HEAD}{SAY}limits: {{per_customer: once in 7 days}}\n")
    stage.play(customer=dropped, key="1")
    stage.do(lambda tx: stage.engine.shop_of(tx, None, now, "test").merge_customers(kept, dropped, actor="ann"))
    stage.play(customer=kept, key="2")
    assert stage.outcomes() == ["acted", "skipped"]


def test_cap_counts_at_the_effect_and_not_at_the_event(stage: Stage) -> None:
    stage.rule(
        f"{HEAD}then: [{{wait: {{for: 2 days}}}}, {{do: stage.say, with: {{text: x}}}}]\nlimits: {{per_customer: once in 1 day}}\n"
    )
    stage.play(customer="c", key="1")
    stage.later(hours=6)
    stage.play(customer="c", key="2")  # acts six hours after the first
    stage.later(hours=30)
    stage.play(customer="c", key="3")  # a day and a half after
    stage.later(days=3)
    assert stage.outcomes() == ["acted", "skipped", "acted"]


def test_what_was_held_above_counts_once_it_is_approved(stage: Stage) -> None:
    stage.rule(f"{HEAD}{SAY}limits: {{ask_above: 1 an hour}}\n")
    play(stage, "a", 0, 1, 2)
    assert stage.outcomes() == ["acted", "held", "held"]
    held = [run["id"] for run in stage.runs() if run["outcome"] == "held"]
    stage.do(lambda tx: decide(tx, held[0], approve=True, **by(stage)))
    stage.later(minutes=59)
    play(stage, "a", 3)
    assert stage.outcomes() == ["acted", "acted", "held", "held"]
    stage.later(hours=1)
    play(stage, "a", 4)
    assert stage.outcomes() == ["acted", "acted", "held", "held", "acted"]


def test_failure_gives_the_place_under_a_cap_back(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [RejectedError("stage", "no")]
    stage.rule(f"{HEAD}{CALL}limits: {{per_hour: 1, ask_above: 1 an hour}}\n")
    play(stage, "a", 0, 1)
    assert stage.outcomes() == ["failed", "acted"]


# minutes that the pause lasted, outcome: valid for one hour
PAUSED = [(50, "acted"), (70, "skipped")]


@pytest.mark.parametrize(("minutes", "outcome"), PAUSED)
def test_validity_runs_on_during_a_pause(stage: Stage, minutes: int, outcome: str) -> None:
    stage.rule(f"{HEAD}{SAY}limits: {{valid_for: 1 hour}}\n")
    stage.do(lambda tx: pause(tx, reason="storm", by="ann", now=START))
    stage.play(key="a")
    stage.clock.advance(timedelta(minutes=minutes))
    stage.do(lambda tx: resume(tx, by="ann", now=stage.clock.now()))
    stage.drain()
    assert stage.outcomes() == [outcome]


def test_call_that_is_tried_again_too_late_is_not_made(stage: Stage, clean_script: Script) -> None:
    """A code that is good for an hour must not be sent on the fifth try, two hours later."""
    clean_script.answers = [TemporaryError("stage", "busy")] * 9
    stage.rule(f"{HEAD}{CALL}limits: {{valid_for: 1 hour}}\n")
    stage.play(data={"n": 0}, key="a")
    stage.later(days=2)
    assert len(clean_script.calls) == 5  # at once, 5 s, 30 s, 5 min, 30 min; the next would be after two hours
    assert stage.outcomes() == ["skipped"]
    assert stage.effects()[0].reason.startswith("too late")


# Failures: who hears of them


def test_failure_is_an_event_that_other_rules_hear(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [RejectedError("stage", "no such room")]
    stage.rule(f"{HEAD}{CALL}owner: elif@shop.example\n")
    stage.rule(
        "rule: watch\nwhen: {event: run.failed}\nif: {field: rule, is: equal, value: r}\n"
        "then: [{do: stage.say, with: {text: '{{ rule }}: {{ reason }} ({{ owner }})'}}]\n"
    )
    stage.play(data={"n": 0}, key="a", customer="c")
    assert stage.said[-1] == "r: stage: no such room (elif@shop.example)"
    (failed,) = [row for row in stage.events() if row.type == "run.failed"]
    assert (failed.key, failed.customer, failed.depth) == ("a", "c", 1)


# the rule's tail, whose task it is
OWNERS = [("owner: elif@shop.example\n", "elif@shop.example"), ("", None)]


@pytest.mark.parametrize(("tail", "assignee"), OWNERS)
def test_owner_gets_one_task_for_a_failure(stage: Stage, clean_script: Script, tail: str, assignee: str | None) -> None:
    clean_script.answers = [TemporaryError("stage", "busy"), RejectedError("stage", "no"), {"object": "ok"}]
    stage.rule(f"{HEAD}{CALL}failure: {{then: notify_owner}}\n{tail}")
    stage.play(data={"n": 0}, key="a")
    stage.later(minutes=5)
    play(stage, "a", 1)
    with stage.read() as conn:
        rows = conn.execute(select(tasks)).all()
    assert stage.outcomes() == ["failed", "acted"]
    assert [(row.title, row.assignee) for row in rows] == [("The automation r failed: stage: no", assignee)]


def test_tolerated_failure_tells_nobody(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [RejectedError("stage", "no")]
    stage.rule(
        f"{HEAD}then: [{{do: stage.call, on_failure: continue}}, {{do: stage.say, with: {{text: x}}}}]\n"
        "failure: {then: notify_owner}\n"
    )
    stage.play(key="a")
    assert (stage.outcomes(), stage.said[-1]) == (["acted"], "x")
    assert [row.type for row in stage.events()] == ["stage.happened"]


def test_rule_that_hears_failures_does_not_hear_its_own_for_ever(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [RejectedError("stage", "no")] * 100
    stage.rule("rule: r\nwhen: {event: [stage.happened, run.failed]}\n" + CALL)
    stage.play(data={"n": 0}, key="a")
    assert len(clean_script.calls) == stage.engine.settings.depth_limit + 1


def test_failed_run_opens_the_way_for_the_next_of_its_key(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [RejectedError("stage", "no")]
    stage.rule(f"{HEAD}{CALL}mode: {{run: single}}\n")
    play(stage, "a", 0, 1)
    assert stage.outcomes() == ["failed", "acted"]
