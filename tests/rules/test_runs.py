"""A run from its event to its end: outcomes, traces, pinned versions, restarts, and what people may do with it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from engines import START
from sqlalchemy import delete, select
from stage import Script, Stage

from core.audit import verify
from core.clock import VirtualClock
from core.errors import Conflict, InvalidInput, NotFound, RejectedError
from core.tables import audit, events
from rules.runs import cancel_run, cancel_waiting, count_outcomes, get_run, list_runs, overdue, release_run, retry_run
from rules.store import archive, get_rule

HEAD = "rule: r\nwhen: {event: stage.happened}\n"


def rule(*steps: str, head: str = HEAD) -> str:
    return head + "then:\n" + "".join(f"  - {step}\n" for step in steps)


def say(text: str) -> str:
    return f"{{do: stage.say, with: {{text: {text}}}}}"


def by(stage: Stage) -> dict[str, Any]:
    return {"actor": "ann", "now": stage.clock.now()}


# condition, data, outcome (None: no run at all)
ENDS = [
    ("", {}, "acted"),
    ("if: {field: a, is: yes}\n", {"a": True}, "acted"),
    ("if: {field: a, is: yes}\n", {"a": False}, None),  # rejected at intake: no row
    ("if: {field: a, is: yes}\n", {}, None),  # not known is not true
    ("if: {fact: stage.level, is: at_least, value: 3}\n", {"order": {"id": "high"}}, "acted"),
    ("if: {fact: stage.level, is: at_least, value: 3}\n", {"order": {"id": "low"}}, "stopped"),
    ("if: {fact: stage.level, is: at_least, value: 3}\n", {"order": {"id": "nobody"}}, "unknown"),
    ("if: {fact: stage.level, is: at_least, value: 3}\n", {}, "unknown"),  # asked about nobody
    ("if: {fact: stage.level, is: at_least, value: 3, if_unknown: true}\n", {}, "acted"),
    ("if: {fact: stage.level, is: known}\n", {"order": {"id": "high"}}, "acted"),
    ("if: {fact: stage.level, is: known}\n", {"order": {"id": "nobody"}}, "stopped"),
    ("if: {fact: stage.level, is: not_known}\n", {"order": {"id": "nobody"}}, "acted"),
    ("if: {none: [{fact: stage.level, is: yes, if_unknown: true}]}\n", {"order": {"id": "high"}}, "stopped"),
    ("if: {none: [{fact: stage.level, is: above, value: 7, if_unknown: true}]}\n", {"order": {"id": "high"}}, "acted"),
    ("if: {fact: stage.level, is: known, with: {x: [1]}}\n", {"order": {"id": "high"}}, "failed"),
    ("if: {fact: stage.level, is: known, with: {x: '{{ order }}'}}\n", {"order": {"id": "high"}}, "failed"),
    ("if: {any: [{fact: stage.level, is: yes}, {field: a, is: yes}]}\n", {"a": True}, "acted"),
]


@pytest.mark.parametrize(("condition", "data", "outcome"), ENDS)
def test_condition_decides_the_outcome(
    stage: Stage, clean_script: Script, condition: str, data: dict[str, Any], outcome: str | None
) -> None:
    clean_script.levels = {"high": 5, "low": 1}
    stage.rule(rule(say("x"), head=HEAD + condition))
    stage.play(data=data)
    assert stage.outcomes() == ([outcome] if outcome else [])
    assert stage.said == (["x"] if outcome == "acted" else [])


def test_run_without_an_acting_step_is_stopped(stage: Stage) -> None:
    stage.rule(rule("{choose: [{if: {field: a, is: yes}, then: [{do: stage.say, with: {text: x}}]}]}"))
    stage.play()
    assert [(run["outcome"], run["reason"]) for run in stage.runs()] == [("stopped", "no step acted")]


def test_trace_tells_every_step_with_its_effect(stage: Stage) -> None:
    stage.rule(rule(say("'{{ order.id }}'"), "{wait: 1 hour}", "{do: stage.note, with: {text: y}}"))
    stage.play(data={"order": {"id": "A"}}, key="k", customer="c")
    stage.later(hours=2)
    run = stage.runs()[0]
    assert [(line["kind"], line["path"]) for line in run["trace"]] == [
        ("do", "then[0]"),
        ("wait", "then[1].wait"),
        ("recheck", "if"),
        ("do", "then[2]"),
    ]
    done = run["trace"][0]
    assert (done["params"], done["state"], done["result"]) == ({"text": "A"}, "done", {"object": "said:A", "text": "A"})
    first, second = stage.effects()
    assert (first.kind, first.state, first.object, first.key, first.customer) == ("message", "done", "said:A", "k", "c")
    assert (first.first, second.first, second.kind) == (True, False, "note")
    assert first.idempotency_key == f"{run['id']}:then[0]"
    assert {row.run for row in (first, second)} == {run["id"]}


def test_runs_under_way_stay_on_their_version(stage: Stage) -> None:
    stage.rule(rule("{wait: 1 day}", say("old")))
    stage.play()
    stage.rule(rule("{wait: 1 day}", say("new"), say("newer")))
    stage.play()
    stage.later(days=2)
    assert stage.said == ["old", "new", "newer"]
    assert [run["version"] for run in stage.runs()] == [1, 2]


# what happens to the rule while its run waits
ENDINGS: list[Callable[[Stage], Any]] = [
    lambda stage: stage.engine.switch("r", "off", actor="ann"),
    lambda stage: stage.engine.switch("r", "paused", actor="ann"),
    lambda stage: stage.do(lambda tx: archive(tx, "r", actor="ann", now=stage.clock.now())),
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_switching_off_starts_no_more_and_ends_what_began(stage: Stage, ending: Callable[[Stage], Any]) -> None:
    stage.rule(rule("{wait: 1 day}", say("x")))
    stage.play()
    ending(stage)
    stage.play()
    stage.later(days=2)
    assert stage.outcomes() == ["acted"]


def test_stop_all_ends_those_that_wait(stage: Stage) -> None:
    stage.rule(rule("{wait: 1 day}", say("x")))
    stage.play()
    stage.play()
    with stage.read() as conn:
        rule_id = get_rule(conn, "r").id
    count = stage.do(lambda tx: cancel_waiting(tx, rule_id, reason="stop all", **by(stage)))
    stage.later(days=2)
    assert (count, stage.outcomes(), stage.said) == (2, ["cancelled"] * 2, [])
    assert {run["reason"] for run in stage.runs()} == {"stop all"}


def test_watching_records_and_does_nothing(stage: Stage, clean_script: Script) -> None:
    stage.rule(rule(say("x"), "{wait: 1 day}", "{do: stage.call}"), state="watching")
    stage.play()
    stage.later(days=2)
    assert clean_script.calls == []
    assert stage.states() == ["watched", "watched"]
    assert [(run["outcome"], run["watching"]) for run in stage.runs()] == [("acted", True)]


def test_restart_goes_on_where_it_stood(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    stage.rule(rule(say("a"), "{wait: 1 hour}", say("'{{ steps[''1''].text }}b'"), "{wait: 1 hour}", say("c")))
    stage.take()
    again = make_stage(clock=clock)
    assert again.said == []
    again.drain()
    clock.advance(timedelta(hours=1))
    third = make_stage(clock=clock)
    third.drain()
    clock.advance(timedelta(hours=1))
    make_stage(clock=clock).drain()
    assert third.said == ["a", "ab", "c"]
    assert stage.outcomes() == ["acted"]


# People


def test_cancel_ends_a_run_for_good(stage: Stage) -> None:
    stage.rule(rule("{wait: {event: answer.came, timeout: 1 day}}", say("x")))
    stage.play(key="k")
    run_id = stage.runs()[0]["id"]
    stage.do(lambda tx: cancel_run(tx, run_id, **by(stage)))
    stage.play("answer.came", key="k")
    stage.later(days=2)
    run = stage.runs()[0]
    assert (run["outcome"], run["reason"], stage.said) == ("cancelled", "cancelled by ann", [])
    with pytest.raises(Conflict, match="has ended already"):
        stage.do(lambda tx: cancel_run(tx, run_id, **by(stage)))


def test_cancel_while_the_call_is_under_way_keeps_the_ledger_true(stage: Stage, clean_script: Script) -> None:
    stage.rule(rule("{do: stage.call}", say("never")))

    def cancelled_meanwhile(_ctx: Any) -> dict[str, Any]:
        run_id = stage.runs()[0]["id"]
        stage.do(lambda tx: cancel_run(tx, run_id, **by(stage)))
        return {"object": "sent:1"}

    clean_script.answers = [cancelled_meanwhile]
    stage.play()
    assert stage.outcomes() == ["cancelled"]
    assert [(row.state, row.object) for row in stage.effects()] == [("done", "sent:1")]
    assert "never" not in stage.said


@pytest.mark.parametrize("wait", ["1 day", "{event: answer.came, timeout: 1 day}"])
def test_release_lets_a_waiting_run_go_at_once(stage: Stage, wait: str) -> None:
    stage.rule(rule(f"{{wait: {wait}}}", say("x")))
    stage.play(key="k")
    run_id = stage.runs()[0]["id"]
    stage.clock.advance(60)
    stage.do(lambda tx: release_run(tx, run_id, **by(stage)))
    stage.drain()
    assert stage.said == ["x"]
    with pytest.raises(Conflict, match="is done, not waiting"):
        stage.do(lambda tx: release_run(tx, run_id, **by(stage)))


def test_retry_from_failed_step_repeats_nothing_done(stage: Stage, clean_script: Script) -> None:
    stage.rule(rule(say("first"), "{do: stage.call}", say("last")))
    clean_script.answers = [RejectedError("stage", "no"), RejectedError("stage", "still no")]
    stage.play()
    run_id = stage.runs()[0]["id"]
    for outcome in ("failed", "acted"):
        stage.do(lambda tx: retry_run(tx, run_id, **by(stage)))
        stage.drain()
        assert stage.outcomes() == [outcome]
    assert stage.said == ["first", {}, {}, {}, "last"]
    assert stage.states() == ["done", "done", "done"]
    assert len(set(clean_script.keys)) == 1
    assert not any(row.possible_duplicate for row in stage.effects())


def test_second_failure_elsewhere_is_retried_there(stage: Stage, clean_script: Script) -> None:
    """The first retry gets past step one; the next failure must not lead back to it."""
    stage.rule(rule("{do: stage.call}", say("middle"), "{run: r2, with: {x: '{{ order.n | divided_by: 0 }}'}}"))
    clean_script.answers = [RejectedError("stage", "no")]
    stage.play(data={"order": {"n": 4}})
    run_id = stage.runs()[0]["id"]
    for _ in range(2):
        stage.do(lambda tx: retry_run(tx, run_id, **by(stage)))
        stage.drain()
    assert stage.outcomes() == ["failed"]
    assert stage.said == [{}, {}, "middle"]
    assert stage.states() == ["done", "done"]


def test_retry_leaves_other_failed_effects_alone(stage: Stage, clean_script: Script) -> None:
    stage.rule(rule("{do: stage.call, on_failure: continue}", "{do: stage.call_keyed}"))
    clean_script.answers = [RejectedError("stage", "tolerated"), RejectedError("stage", "no")]
    stage.play()
    run_id = stage.runs()[0]["id"]
    assert stage.states() == ["failed", "failed"]
    stage.do(lambda tx: retry_run(tx, run_id, **by(stage)))
    stage.drain()
    assert [(row.action, row.state) for row in stage.effects()] == [
        ("stage.call", "failed"),
        ("stage.call_keyed", "done"),
    ]


def test_retry_from_start_is_a_new_run(stage: Stage, clean_script: Script) -> None:
    stage.rule(rule(say("first"), "{do: stage.call}"))
    clean_script.answers = [RejectedError("stage", "no")]
    stage.play()
    run_id = stage.runs()[0]["id"]
    stage.rule(rule(say("newer")))
    same = stage.do(lambda tx: retry_run(tx, run_id, where="start", **by(stage)))
    newest = stage.do(lambda tx: retry_run(tx, run_id, where="start", version="newest", **by(stage)))
    stage.drain()
    assert {run["id"]: (run["version"], run["outcome"]) for run in stage.runs()} == {
        run_id: (1, "failed"),
        same: (1, "acted"),
        newest: (2, "acted"),
    }
    assert stage.said == ["first", {}, "first", "newer", {}]


# what cannot be retried, and why
REFUSED: list[tuple[dict[str, str], type[Exception], str]] = [
    ({"where": "middle"}, InvalidInput, "must be failed or start"),
    ({"version": "oldest"}, InvalidInput, "same or newest"),
    ({"version": "newest"}, Conflict, "only go on in the version it failed in"),
    ({}, Conflict, "did not fail"),
]


@pytest.mark.parametrize(("given", "kind", "words"), REFUSED)
def test_senseless_retry_is_refused(stage: Stage, given: dict[str, str], kind: type[Exception], words: str) -> None:
    stage.rule(rule(say("x")))
    stage.play()
    run_id = stage.runs()[0]["id"]
    with pytest.raises(kind, match=words):
        stage.do(lambda tx: retry_run(tx, run_id, **given, **by(stage)))


def test_open_run_is_not_retried(stage: Stage) -> None:
    stage.rule(rule("{wait: 1 day}", say("x")))
    stage.play()
    run_id = stage.runs()[0]["id"]
    with pytest.raises(Conflict, match="is still waiting; cancel it first"):
        stage.do(lambda tx: retry_run(tx, run_id, **by(stage)))
    for act in (cancel_run, release_run, retry_run):
        with pytest.raises(NotFound, match="no run 'nothing'"):
            stage.do(lambda tx, act=act: act(tx, "nothing", **by(stage)))


def test_what_people_did_is_in_the_audit_trail(stage: Stage) -> None:
    stage.rule(rule("{wait: 1 day}", say("x")))
    stage.play()
    run_id = stage.runs()[0]["id"]
    stage.do(lambda tx: release_run(tx, run_id, **by(stage)))
    stage.drain()
    stage.do(lambda tx: retry_run(tx, run_id, where="start", **by(stage)))
    with stage.read() as conn:
        told = conn.execute(select(audit.c.actor, audit.c.action).where(audit.c.object == f"run:{run_id}")).all()
        assert [tuple(row) for row in told] == [("ann", "run.released"), ("ann", "run.retried")]
        assert verify(conn) is None


def test_lists_filter_page_and_count(stage: Stage) -> None:
    stage.rule(rule(say("x")))
    stage.rule(rule("{stop: true}").replace("rule: r", "rule: s"))
    for number in range(3):
        stage.play(key=f"k{number}", customer="c")
    with stage.read() as conn:
        assert count_outcomes(conn) == {"r": {"acted": 3}, "s": {"stopped": 3}}
        assert len(list_runs(conn, rule="r")) == 3
        assert [run["rule"] for run in list_runs(conn, key="k1", outcome="stopped")] == ["s"]
        assert list_runs(conn, rule="r", outcome=None, customer="nobody") == []
        newest = list_runs(conn, limit=4)
        rest = list_runs(conn, limit=4, before=newest[-1]["id"])
        assert [run["id"] for run in newest + rest] == sorted((run["id"] for run in newest + rest), reverse=True)
        assert len(rest) == 2
        with pytest.raises(InvalidInput, match="cannot be filtered by this"):
            list_runs(conn, shoe="x")
        with pytest.raises(NotFound):
            get_run(conn, "x")


def test_overdue_runs_are_counted_by_rule(stage: Stage) -> None:
    stage.rule(rule(say("x")))
    stage.take()
    stage.take()
    with stage.read() as conn:
        told = overdue(conn, START + timedelta(minutes=5))
    assert [(row["count"], row["oldest"]) for row in told] == [(2, START)]


def test_run_whose_event_is_gone_ends_alone(stage: Stage) -> None:
    stage.rule(rule("{wait: 1 day}", say("x")))
    lost = stage.play(key="lost").event
    stage.play(key="kept")
    stage.engine.intake.cache._events.clear()
    stage.do(lambda tx: tx.conn.execute(delete(events).where(events.c.id == lost.id)))
    stage.later(days=2)
    assert [(run["key"], run["outcome"]) for run in stage.runs()] == [("lost", "failed"), ("kept", "acted")]
    assert stage.runs()[0]["reason"] == "its event is no longer stored"
