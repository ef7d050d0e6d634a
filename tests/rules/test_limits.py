"""Limits are asked at the moment of the effect, and what they did is in the ledger."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from engines import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Script, Stage

from core.clock import VirtualClock
from core.errors import Conflict, NotFound, TemporaryError
from core.policy.pause import find_pause, pause, resume
from rules.runs import cancel_run, decide

HEAD = "rule: r\nwhen: {event: stage.happened}\n"
SAY = "then: [{do: stage.say, with: {text: x}}]\n"


def limited(limits: str, steps: str = SAY) -> str:
    return f"{HEAD}{steps}limits: {limits}\n"


def by(stage: Stage) -> dict[str, Any]:
    return {"actor": "ann", "now": stage.clock.now()}


# limits, (hours later, customer, key) of each event, outcomes
CAPS = [
    ("{per_customer: once in 24 hours}", [(0, "c", "1"), (23, "c", "2"), (1, "c", "3")], ["acted", "skipped", "acted"]),
    ("{per_customer: once in 24 hours}", [(0, "c", "1"), (0, "d", "2")], ["acted", "acted"]),
    ("{per_customer: once in 24 hours}", [(0, None, "1"), (0, None, "2")], ["acted", "acted"]),  # nobody to count for
    ("{per_customer: 2 in 7 days}", [(0, "c", "1"), (1, "c", "2"), (1, "c", "3")], ["acted", "acted", "skipped"]),
    ("{per_key: once in 1 day}", [(0, "c", "1"), (1, "d", "1"), (0, "c", "2")], ["acted", "skipped", "acted"]),
    (
        "{per_customer: once in 1 month}",
        [(0, "c", "1"), (24 * 30, "c", "2"), (25, "c", "3")],
        ["acted", "skipped", "acted"],
    ),
    ("{per_customer: 0 a day}", [(0, "c", "1")], ["held"]),  # none without asking
    ("{ask_above: 1}", [(0, "c", "1"), (0, "d", "2")], ["acted", "held"]),
    ("{ask_above: 1 in 2 hours}", [(0, "c", "1"), (3, "d", "2")], ["acted", "acted"]),
    ("{ask_above: 0}", [(0, "c", "1")], ["held"]),
    ("{ask: true}", [(0, "c", "1")], ["held"]),
    ("{per_day: 1}", [(0, "c", "1"), (0, "d", "2")], ["acted", "waiting"]),
]


@pytest.mark.parametrize(("limits", "events", "outcomes"), CAPS)
def test_cap_lets_so_many_through(stage: Stage, limits: str, events: list[Any], outcomes: list[str]) -> None:
    stage.rule(limited(limits))
    for hours, customer, key in events:
        stage.later(hours=hours)
        stage.play(customer=customer, key=key)
    assert stage.outcomes() == outcomes
    states = {"acted": "done", "skipped": "skipped", "held": "held"}
    assert stage.states() == [states[outcome] for outcome in outcomes if outcome in states]
    for run, row in zip(stage.runs(), stage.effects(), strict=False):
        assert row.state == "done" or row.reason == run["reason"] != ""


def test_cap_counts_inside_one_batch(stage: Stage) -> None:
    stage.rule(limited("{per_customer: once in 1 day}"))
    stage.engine.take([stage.event(customer="c") for _ in range(5)])
    stage.drain()
    assert sorted(stage.outcomes()) == ["acted", *["skipped"] * 4]


def test_cap_counts_firings_not_steps(stage: Stage) -> None:
    steps = "then:\n  - {do: stage.say, with: {text: a}}\n  - {do: stage.say, with: {text: b}}\n"
    stage.rule(limited("{per_customer: once in 1 day, per_hour: 1, ask_above: 1}", steps))
    stage.play(customer="c")
    assert stage.said == ["a", "b"]
    assert [row.first for row in stage.effects()] == [True, False]


def test_per_hour_lets_the_rest_go_later_in_order(stage: Stage) -> None:
    stage.rule(limited("{per_hour: 2}", "then: [{do: stage.say, with: {text: '{{ event.key }}'}}]\n"))
    for number in range(5):
        stage.take(key=str(number))
        stage.clock.advance(60)
    stage.drain()
    assert stage.said == ["0", "1"]
    assert stage.outcomes() == ["acted", "acted", "waiting", "waiting", "waiting"]
    stage.later(minutes=61)
    assert stage.said == ["0", "1", "2", "3"]
    stage.later(minutes=61)
    assert stage.said == ["0", "1", "2", "3", "4"]
    told = [line for line in stage.runs()[4]["trace"] if line["kind"] == "later"]
    assert [line["reason"] for line in told] == ["per hour: 2 in this period already"]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 50), min_size=1, max_size=14), st.integers(1, 3))
def test_no_hour_ever_holds_more_than_the_cap(make_stage: Callable[..., Stage], gaps: list[int], most: int) -> None:
    stage = make_stage()
    stage.rule(limited(f"{{per_hour: {most}}}").replace("rule: r", "rule: hourly"))
    before = len(stage.effects())
    for minutes in gaps:
        stage.later(minutes=minutes)
        stage.play()
    stage.later(hours=30)
    at = [row.at for row in stage.effects()][before:]
    assert len(at) == len(gaps)
    assert all(later - earlier >= timedelta(hours=1) for earlier, later in zip(at, at[most:], strict=False))
    stage.do(lambda tx: tx.conn.exec_driver_sql("DELETE FROM effects"))
    stage.close()


# how long it was in the way, whether it still acts: valid for one hour
LATE = [(59, "acted"), (60, "acted"), (61, "skipped")]


@pytest.mark.parametrize(("minutes", "outcome"), LATE)
def test_late_effect_is_skipped(stage: Stage, minutes: int, outcome: str) -> None:
    stage.rule(limited("{valid_for: 1 hour}"))
    stage.take()
    stage.clock.set(START + timedelta(minutes=minutes))
    stage.drain()
    assert stage.outcomes() == [outcome]
    if outcome == "skipped":
        assert stage.effects()[0].reason == "too late: it was due at 2026-03-02 09:00 UTC"


def test_validity_counts_from_the_end_of_a_wait(stage: Stage) -> None:
    stage.rule(limited("{valid_for: 1 hour}", "then:\n  - wait: 1 day\n  - {do: stage.say, with: {text: x}}\n"))
    stage.play()
    stage.later(days=1)
    assert stage.outcomes() == ["acted"]


def test_validity_ends_what_a_cap_delays(stage: Stage) -> None:
    stage.rule(limited("{per_day: 1, valid_for: 2 hours}"))
    stage.play()
    stage.play()
    stage.later(days=2)
    assert stage.outcomes() == ["acted", "skipped"]


# Approvals


def held_run(stage: Stage) -> str:
    return next(run["id"] for run in stage.runs() if run["outcome"] == "held")


def test_approval_lets_the_effect_happen_once(stage: Stage) -> None:
    stage.rule(limited("{ask: true}"))
    stage.play()
    assert (stage.said, stage.states(), stage.runs()[0]["reason"]) == ([], ["held"], "the rule asks before it acts")
    run_id = held_run(stage)
    stage.do(lambda tx: decide(tx, run_id, approve=True, **by(stage)))
    stage.drain()
    assert (stage.said, stage.states(), stage.outcomes()) == (["x"], ["done"], ["acted"])
    with pytest.raises(Conflict, match="holds nothing"):
        stage.do(lambda tx: decide(tx, run_id, approve=True, **by(stage)))
    with pytest.raises(NotFound):
        stage.do(lambda tx: decide(tx, "x", approve=True, **by(stage)))


def test_refusal_skips_the_effect_and_goes_on(stage: Stage) -> None:
    steps = "then:\n  - {do: stage.say, with: {text: a}}\n  - {do: stage.note, with: {text: b}}\n"
    stage.rule(limited("{ask: true}", steps))
    stage.play()
    stage.do(lambda tx: decide(tx, held_run(stage), approve=False, **by(stage)))
    stage.drain()
    assert stage.outcomes() == ["held"]
    stage.do(lambda tx: decide(tx, held_run(stage), approve=True, **by(stage)))
    stage.drain()
    assert (stage.said, stage.outcomes()) == (["b"], ["acted"])
    assert sorted((row.kind, row.state, row.reason) for row in stage.effects()) == [
        ("message", "skipped", "refused by ann"),
        ("note", "done", None),
    ]


def test_refusing_everything_ends_as_skipped(stage: Stage) -> None:
    stage.rule(limited("{ask: true}"))
    stage.play()
    stage.do(lambda tx: decide(tx, held_run(stage), approve=False, **by(stage)))
    stage.drain()
    assert [(run["outcome"], run["reason"]) for run in stage.runs()] == [("skipped", "a person refused it")]


def test_approved_outside_call_is_made_once(stage: Stage, clean_script: Script) -> None:
    stage.rule(limited("{ask: true}", "then: [{do: stage.call}]\n"))
    clean_script.answers = [TemporaryError("stage", "busy"), {"object": "sent:1"}]
    stage.play()
    assert clean_script.calls == []
    stage.do(lambda tx: decide(tx, held_run(stage), approve=True, **by(stage)))
    stage.later(minutes=5)
    assert (stage.outcomes(), stage.states(), len(clean_script.calls)) == (["acted"], ["done"], 2)


def test_approval_that_came_too_late_is_skipped(stage: Stage) -> None:
    stage.rule(limited("{ask: true, valid_for: 1 day}"))
    stage.play()
    stage.clock.advance(timedelta(days=2))
    stage.do(lambda tx: decide(tx, held_run(stage), approve=True, **by(stage)))
    stage.drain()
    assert (stage.outcomes(), stage.states()) == (["skipped"], ["skipped"])


def test_held_runs_wait_through_a_restart(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    stage.rule(limited("{ask: true}"))
    stage.play()
    clock.advance(timedelta(days=9))
    again = make_stage(clock=clock)
    assert again.drain() == 0
    again.do(lambda tx: decide(tx, held_run(again), approve=True, **by(again)))
    again.drain()
    assert again.outcomes() == ["acted"]


def test_cancelled_run_holds_nothing_any_more(stage: Stage) -> None:
    stage.rule(limited("{ask: true}"))
    stage.play()
    stage.do(lambda tx: cancel_run(tx, held_run(stage), **by(stage)))
    assert [(row.state, row.reason) for row in stage.effects()] == [("skipped", "cancelled by ann")]


# Pause


def test_pause_keeps_everything_and_resume_goes_on(stage: Stage) -> None:
    stage.rule(f"{HEAD}then:\n  - wait: 1 hour\n  - {{do: stage.say, with: {{text: x}}}}\n")
    stage.play()
    stage.do(lambda tx: pause(tx, reason="stocktaking", by="ann", now=START))
    stage.play()
    stage.later(days=1)
    assert (stage.said, stage.outcomes()) == ([], ["waiting", "waiting"])
    with stage.read() as conn:
        found = find_pause(conn)
    assert found is not None
    assert (found.reason, found.by, found.at) == ("stocktaking", "ann", START)
    stage.do(lambda tx: resume(tx, by="ann", now=stage.clock.now()))
    stage.drain()
    assert (stage.said, stage.outcomes()) == (["x", "x"], ["acted", "acted"])
    assert stage.do(lambda tx: resume(tx, by="ann", now=START)) is None


def test_pause_with_exceptions_lets_those_kinds_through(stage: Stage) -> None:
    stage.rule(f"{HEAD}then: [{{do: stage.note, with: {{text: receipt}}}}]\n")
    stage.rule(f"{HEAD.replace('rule: r', 'rule: s')}{SAY}")
    stage.do(lambda tx: pause(tx, reason="storm", by="ann", now=START, still=["note"]))
    stage.play()
    stage.later(minutes=30)  # it must not spin meanwhile, nor fill the trace
    assert stage.said == ["receipt"]
    told = [line for line in stage.runs(rule="s")[0]["trace"] if line["kind"] == "later"]
    assert [line["reason"] for line in told] == ["paused: storm"]
    stage.do(lambda tx: resume(tx, by="ann", now=stage.clock.now()))
    stage.later(minutes=2)
    assert stage.said == ["receipt", "x"]


def test_watching_counts_against_caps_as_it_would(stage: Stage) -> None:
    stage.rule(limited("{per_customer: once in 1 day}"), state="watching")
    stage.play(customer="c")
    stage.play(customer="c")
    assert stage.states() == ["watched", "skipped"]


def test_failed_effect_does_not_use_up_the_cap(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [ValueError("broken"), {"object": "ok"}]
    stage.rule(limited("{per_customer: once in 1 day}", "then: [{do: stage.call}]\n"))
    stage.play(customer="c")
    stage.play(customer="c")
    assert stage.outcomes() == ["failed", "acted"]


def test_month_of_a_cap_is_counted_back_on_the_calendar(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(datetime.fromisoformat("2026-01-31T12:00:00Z"))
    stage = make_stage(clock=clock)
    stage.rule(limited("{per_customer: once in 1 month}"))
    for moment in ("2026-01-31T12:00:00Z", "2026-02-28T11:59:59Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"):
        clock.set(datetime.fromisoformat(moment))
        stage.play(customer="c")
    assert stage.outcomes() == ["acted", "skipped", "acted", "acted"]
