"""What goes wrong stays with the run it went wrong in: retries, dead letters, odd answers, hostile plugins."""

import itertools
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from engines import START
from stage import Script, Stage

from core.clock import VirtualClock
from core.errors import (
    InvalidInput,
    PluginError,
    RejectedError,
    RuleError,
    SignInError,
    StorageError,
    TemporaryError,
    UnclearError,
)
from rules.runner import LADDER
from rules.runs import decide, retry_run

HEAD = "rule: r\nwhen: {event: stage.happened}\n"


def rule(*steps: str, head: str = HEAD, tail: str = "") -> str:
    return head + "then:\n" + "".join(f"  - {step}\n" for step in steps) + tail


SAY = "{do: stage.say, with: {text: next}}"

# an error that is final: it would come again the same way
FINAL = [
    RejectedError("stage", "the number is not known"),
    SignInError("stage", "the token has ended"),
    InvalidInput("with.number", "is too short"),
    PluginError("stage", "answered nonsense"),
    ValueError("unexpected"),
    SystemExit(3),
]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("action", ["call", "say"])
def test_final_error_fails_at_once(stage: Stage, clean_script: Script, error: BaseException, action: str) -> None:
    clean_script.answers, clean_script.broken = [error], {"x": error}
    stage.rule(rule(f"{{do: stage.{action}, with: {{text: x}}}}", SAY))
    stage.play()
    run = stage.runs()[0]
    assert run["outcome"] == "failed"
    assert str(error.args[0]) in run["reason"]
    assert len(clean_script.calls) == 1
    # A local step that failed left nothing; an outside one was tried, and the ledger says how it ended.
    assert stage.states() == (["failed"] if action == "call" else [])
    stage.later(days=3)
    assert len(clean_script.calls) == 1


def test_temporary_error_is_tried_along_the_ladder(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [TemporaryError("stage", "busy")] * 20
    stage.rule(rule("{do: stage.call}", SAY))
    stage.play()
    at = [stage.clock.now()]
    while (run := stage.runs()[0])["outcome"] == "waiting":
        assert stage.states() == ["started"]
        assert (run["reason"], run["attempts"]) == ("stage: busy", len(at))
        stage.clock.set(run["due_at"])
        stage.drain()
        at.append(stage.clock.now())
    waits = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(at)]
    assert len(waits) == len(LADDER) == 9
    assert all(0.9 * step <= wait <= 1.1 * step for step, wait in zip(LADDER, waits, strict=False))
    assert len(clean_script.calls) == 10
    assert (run["outcome"], run["reason"], stage.states()) == ("failed", "stage: busy", ["failed"])
    assert stage.effects()[0].attempts == 10
    assert len(set(clean_script.keys)) == 1
    retries = [line["attempt"] for line in run["trace"] if line["kind"] == "retry"]
    assert retries == list(range(1, 10))


def test_retry_after_is_honoured_when_longer(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [TemporaryError("stage", "busy", 7200), TemporaryError("stage", "busy", 1), {"object": "ok"}]
    stage.rule(rule("{do: stage.call}"))
    stage.play()
    assert stage.runs()[0]["due_at"] == START + timedelta(hours=2)
    stage.later(hours=2)
    assert stage.runs()[0]["due_at"] >= stage.clock.now() + timedelta(seconds=27)  # never sooner than the ladder
    stage.later(minutes=2)
    assert (stage.outcomes(), stage.states()) == (["acted"], ["done"])
    assert not stage.effects()[0].possible_duplicate  # the other side had answered each time


def test_retries_survive_a_restart(make_stage: Callable[..., Stage], clean_script: Script) -> None:
    clock = VirtualClock(START)
    clean_script.answers = [TemporaryError("stage", "busy")] * 3
    stage = make_stage(clock=clock)
    stage.rule(rule("{do: stage.call}", SAY))
    stage.play()
    again = make_stage(clock=clock)
    again.later(hours=1)
    assert (again.outcomes(), again.effects()[0].attempts, len(set(clean_script.keys))) == (["acted"], 4, 1)


def test_local_step_is_retried_without_a_trace_of_the_try(stage: Stage, clean_script: Script) -> None:
    clean_script.broken = {"x": TemporaryError("stage", "locked")}
    stage.rule(rule("{do: tasks.create, with: {title: first}}", "{do: stage.say, with: {text: x}}", SAY))
    stage.play()
    assert stage.outcomes() == ["waiting"]
    clean_script.broken = {}
    stage.later(minutes=1)
    assert stage.outcomes() == ["acted"]
    assert [row.action for row in stage.effects()] == ["tasks.create", "stage.say", "stage.say"]
    with stage.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM tasks").scalar_one() == 1


def test_failed_local_step_undoes_what_it_wrote(stage: Stage) -> None:
    """A task is written, then its customer turns out to be nobody: no task stays, the tag before it does."""
    stage.rule(
        rule(
            "{do: tasks.create, with: {title: kept}}",
            "{do: stage.emit, with: {times: 3, type: 'no such'}}",
            "{do: customers.add_tag, with: {tag: vip}}",
        )
    )
    stage.play()
    run = stage.runs()[0]
    assert run["outcome"] == "failed"
    with stage.read() as conn:
        assert conn.exec_driver_sql("SELECT title FROM tasks").scalars().all() == ["kept"]


# rule's tail, step's word, outcome, whether the next step ran
TOLERANCE = [
    ("", "", "failed", False),
    ("failure: {then: stop}\n", "", "failed", False),
    ("failure: {then: continue}\n", "", "acted", True),
    ("", ", on_failure: continue", "acted", True),
    ("failure: {then: continue}\n", ", on_failure: stop", "failed", False),
]


@pytest.mark.parametrize(("tail", "word", "outcome", "went_on"), TOLERANCE)
@pytest.mark.parametrize("action", ["call", "say"])
def test_tolerated_failure_goes_on(
    stage: Stage, clean_script: Script, action: str, tail: str, word: str, outcome: str, *, went_on: bool
) -> None:
    error = RejectedError("stage", "no")
    clean_script.answers, clean_script.broken = [error], {"x": error}
    stage.rule(rule(f"{{do: stage.{action}, with: {{text: x}}{word}}}", SAY, tail=tail))
    stage.play()
    assert stage.outcomes() == [outcome]
    assert ("next" in stage.said) is went_on


def test_tolerated_failure_before_a_wait_is_over(stage: Stage, clean_script: Script) -> None:
    """The wait behind it is a wait, not another try: the ledger says failed, and nothing is called again."""
    clean_script.answers = [RejectedError("stage", "no")]
    stage.rule(rule("{do: stage.call, on_failure: continue}", "{wait: 1 day}", "{do: stage.call_once}"))
    stage.play()
    assert stage.states() == ["failed"]
    stage.later(days=2)
    assert stage.states() == ["failed", "done"]
    assert len(clean_script.calls) == 2


def test_run_that_only_failed_is_failed(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [RejectedError("stage", "no")]
    stage.rule(rule("{do: stage.call, on_failure: continue}"))
    stage.play()
    assert [(run["outcome"], run["reason"]) for run in stage.runs()] == [("failed", "stage: no")]


# retry: none, and a step that must not be tried again
IMPATIENT = [("failure: {retry: none}\n", ""), ("", ", on_failure: stop"), ("", ", on_failure: continue")]


@pytest.mark.parametrize(("tail", "word"), IMPATIENT)
def test_temporary_error_is_final_where_retry_is_off(stage: Stage, clean_script: Script, tail: str, word: str) -> None:
    clean_script.answers = [TemporaryError("stage", "busy")]
    stage.rule(rule(f"{{do: stage.call{word}}}", tail=tail))
    stage.play()
    assert (stage.outcomes(), stage.states()) == (["failed"], ["failed"])


def test_one_bad_run_leaves_the_batch_alone(stage: Stage, clean_script: Script) -> None:
    clean_script.broken = {"3": ValueError("odd"), "5": TemporaryError("stage", "later"), "6": SystemExit(1)}
    stage.rule(rule("{do: stage.say, with: {text: '{{ event.key }}'}}"))
    stage.engine.take([stage.event(key=str(number)) for number in range(8)])
    stage.drain()
    outcomes = {run["key"]: run["outcome"] for run in stage.runs()}
    assert outcomes == {**{str(number): "acted" for number in range(8)}, "3": "failed", "5": "waiting", "6": "failed"}


# what a fact may answer that no condition can read
BAD_FACTS: list[Any] = [ValueError("x"), SystemExit(1), object(), 10**30, "\ud800", {"deep": {1, 2}}]


@pytest.mark.parametrize("answer", BAD_FACTS, ids=lambda value: type(value).__name__)
def test_bad_fact_fails_only_who_asked(stage: Stage, clean_script: Script, answer: Any) -> None:
    clean_script.levels = {"bad": answer, "good": 5}
    stage.rule(rule(SAY, head=HEAD + "if: {fact: stage.level, is: at_least, value: 3}\n"))
    stage.rule(rule(SAY).replace("rule: r", "rule: plain"))
    batch = [stage.event(data={"order": {"id": ident}}, key=ident) for ident in ("bad", "good")]
    stage.engine.take(batch)
    stage.drain()
    outcomes = {(run["rule"], run["key"]): run["outcome"] for run in stage.runs()}
    assert outcomes.pop(("r", "bad")) == "failed"
    assert set(outcomes.values()) == {"acted"}
    failed = next(run for run in stage.runs() if run["outcome"] == "failed")
    assert [(line["kind"], line["path"]) for line in failed["trace"]] == [("failed", "if")]


# what an action may answer that no database can keep
BAD_ANSWERS: list[Any] = [
    5,
    ["list"],
    {"x": object()},
    {"x": 10**30},
    {"x": "\ud800"},
    {"object": {"not": "text"}},
    {"object": 5},
    {"x": {"y": {1, 2}}},
]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=range(len(BAD_ANSWERS)))
def test_bad_answer_fails_only_its_run(stage: Stage, clean_script: Script, answer: Any) -> None:
    clean_script.answers = [answer, {"object": "ok"}]
    stage.rule(rule("{do: stage.call}"))
    stage.play(key="a")
    stage.play(key="b")
    assert {run["key"]: run["outcome"] for run in stage.runs()} == {"a": "failed", "b": "acted"}
    assert "plugin stage" in stage.runs()[0]["reason"]


def test_plain_but_odd_answers_are_kept(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [None, {"n": 1.5, "when": START, "nul": "a\0b", "deep": [[{"x": 1}]]}]
    stage.rule(rule("{do: stage.call}"))
    stage.play()
    stage.play()
    assert stage.outcomes() == ["acted", "acted"]


def test_fault_of_the_engine_ends_one_run_in_words(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: Any) -> Any:
        raise ZeroDivisionError("impossible")

    stage.rule(rule("{split: [{percent: 50, then: []}, {percent: 50, then: []}]}", SAY))
    stage.rule(rule(SAY).replace("rule: r", "rule: other"))
    monkeypatch.setattr("rules.run.hashlib.sha256", broken)
    stage.play()
    assert {run["rule"]: run["outcome"] for run in stage.runs()} == {"r": "failed", "other": "acted"}
    assert "a fault of the engine: ZeroDivisionError: impossible" in stage.runs(rule="r")[0]["reason"]


def test_storage_error_undoes_the_batch_and_comes_again(stage: Stage, clean_script: Script) -> None:
    clean_script.broken = {"b": StorageError("the disk is full")}
    stage.rule(rule("{do: stage.say, with: {text: '{{ event.key }}'}}"))
    stage.engine.take([stage.event(key=key) for key in "abc"])
    with pytest.raises(StorageError, match="disk is full"):
        stage.drain()
    assert (stage.outcomes(), stage.states()) == (["waiting"] * 3, [])
    clean_script.broken = {}
    stage.drain()
    assert (stage.outcomes(), stage.states()) == (["acted"] * 3, ["done"] * 3)


# Crashes: the call left, and the answer never came


def crash(stage: Stage, clean_script: Script) -> None:
    """Let the process die with a call under way: a new engine finds the lease run out."""

    def dies(_ctx: Any) -> Any:
        raise KeyboardInterrupt("killed")

    clean_script.answers = [dies]
    stage.take(key="k")
    _, calls = stage.do(lambda tx: stage.engine.runner.advance_in(tx, 100))
    assert len(calls) == 1
    assert stage.states() == ["started"]
    clean_script.answers = []
    stage.clock.advance(timedelta(seconds=91))


# action, marked as a possible repeat
REPEATS = [("call", True), ("call_keyed", False)]


@pytest.mark.parametrize(("action", "marked"), REPEATS)
def test_call_lost_in_a_crash_is_made_again_and_marked(
    stage: Stage, clean_script: Script, action: str, *, marked: bool
) -> None:
    stage.rule(rule(f"{{do: stage.{action}}}", SAY))
    crash(stage, clean_script)
    stage.drain()
    assert (stage.outcomes(), len(clean_script.calls)) == (["acted"], 2)
    assert stage.effects()[0].possible_duplicate is marked
    assert stage.effects()[0].idempotency_key == clean_script.keys[0]


@pytest.mark.parametrize(("action", "marked"), REPEATS)
def test_call_without_an_answer_is_made_again_and_marked(
    stage: Stage, clean_script: Script, action: str, *, marked: bool
) -> None:
    """It was refused first, which repeats nothing; then it timed out."""
    clean_script.answers = [TemporaryError("stage", "busy"), UnclearError("stage", "took longer than 10 s")]
    stage.rule(rule(f"{{do: stage.{action}}}", SAY))
    stage.play()
    stage.later(seconds=10)
    assert not stage.effects()[0].possible_duplicate
    stage.later(hours=1)
    assert (stage.outcomes(), len(clean_script.calls)) == (["acted"], 4)
    assert stage.effects()[0].possible_duplicate is marked


def test_call_without_an_answer_that_must_not_repeat_asks_a_person(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [UnclearError("stage", "took longer than 10 s")]
    stage.rule(rule("{do: stage.call_once}"))
    stage.play()
    stage.later(hours=1)
    assert (stage.outcomes(), stage.states(), len(clean_script.calls)) == (["held"], ["unclear"], 1)


def test_unanswered_last_try_marks_the_one_that_a_person_asks_for(stage: Stage, clean_script: Script) -> None:
    clean_script.answers = [UnclearError("stage", "took longer than 10 s")]
    stage.rule(rule("{do: stage.call}", tail="failure: {retry: none}\n"))
    stage.play()
    run = stage.runs()[0]
    assert run["outcome"] == "failed"
    stage.do(lambda tx: retry_run(tx, run["id"], actor="ann", now=stage.clock.now()))
    stage.drain()
    assert (stage.outcomes(), stage.effects()[0].possible_duplicate) == (["acted"], True)


@pytest.mark.parametrize("approve", [True, False])
def test_unclear_call_that_must_not_repeat_asks_a_person(stage: Stage, clean_script: Script, *, approve: bool) -> None:
    stage.rule(rule("{do: stage.call_once}", SAY))
    crash(stage, clean_script)
    stage.drain()
    run = stage.runs()[0]
    assert (run["outcome"], stage.states(), clean_script.calls) == ("held", ["unclear"], [])
    stage.do(lambda tx: decide(tx, run["id"], approve=approve, actor="ann", now=stage.clock.now()))
    stage.drain()
    assert stage.outcomes() == ["acted"]
    assert len([name for name, _ in clean_script.calls if name == "call"]) == int(approve)


def test_worker_that_lost_its_lease_cannot_commit(stage: Stage, clean_script: Script) -> None:
    stage.rule(rule("{do: stage.call}", SAY))
    stage.take(key="k")
    _, first = stage.do(lambda tx: stage.engine.runner.advance_in(tx, 100))
    stage.clock.advance(timedelta(seconds=91))
    _, second = stage.do(lambda tx: stage.engine.runner.advance_in(tx, 100))
    for run, call in (*second, *first):
        stage.do(lambda tx, run=run, call=call: stage.engine.runner.record_in(tx, run, call, {"object": "sent"}))
    stage.drain()
    assert (stage.outcomes(), stage.said) == (["acted"], ["next"])
    assert stage.states() == ["done", "done"]


def test_only_own_runs_are_taken_back_at_start(stage: Stage) -> None:
    stage.rule(rule("{do: stage.call}"))
    stage.take(key="a")
    stage.take(key="b")
    stage.do(lambda tx: stage.engine.runner.advance_in(tx, 100))
    stage.do(lambda tx: tx.conn.exec_driver_sql("UPDATE runs SET owner = 'another node' WHERE key = 'b'"))
    assert stage.engine.runner.release_own() == 1
    stage.drain()
    assert {run["key"]: run["outcome"] for run in stage.runs()} == {"a": "acted", "b": "waiting"}


# Loops and floods


@pytest.mark.parametrize("limit", [10, 3])
def test_rules_that_set_each_other_off_are_cut(make_stage: Callable[..., Stage], limit: int) -> None:
    stage = make_stage(depth_limit=limit)
    stage.rule("rule: a\nwhen: {event: ping}\nthen: [{do: stage.emit, with: {type: pong}}]\n")
    stage.rule("rule: b\nwhen: {event: pong}\nthen: [{do: stage.emit, with: {type: ping}}]\n")
    stage.play("ping")
    assert len(stage.outcomes()) == limit + 1
    depths = [row.depth for row in stage.events()]
    assert depths == list(range(limit + 2))  # the last one is stored, and starts nothing
    assert all(row.cause for row in stage.events()[1:])


def test_fan_out_of_a_loop_stays_bounded(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(depth_limit=3)
    stage.rule("rule: a\nwhen: {event: ping}\nthen: [{do: stage.emit, with: {type: ping, times: 3}}]\n")
    stage.play("ping")
    assert len(stage.outcomes()) == 1 + 3 + 9 + 27


def test_flood_of_events_is_refused_and_undone(stage: Stage) -> None:
    stage.rule(rule("{do: stage.emit, with: {type: flood, times: 1001}}", SAY))
    stage.play()
    run = stage.runs()[0]
    assert (run["outcome"], "emitted more than 1000 events" in run["reason"]) == ("failed", True)
    assert [row.type for row in stage.events()] == ["stage.happened", "run.failed"]


def test_events_of_a_retried_action_come_once(stage: Stage, clean_script: Script) -> None:
    """The savepoint undoes the first try's events; the second try's have the same ids."""
    stage.rule(rule("{each: order.items, then: [{do: stage.emit, with: {type: told}}]}"))
    stage.play(data={"order": {"items": [1, 2]}})
    told = [row.external_id for row in stage.events() if row.type == "told"]
    assert len(set(told)) == 2


def test_random_failures_leave_no_run_behind(stage: Stage, clean_script: Script) -> None:
    """Fifty calls under random weather: each ends acted or failed, and the ledger agrees with the calls."""
    chance = random.Random(7)
    weather = [
        {"object": "ok"},
        TemporaryError("stage", "busy"),
        RejectedError("stage", "no"),
        ValueError("bug"),
        {"x": 10**30},
    ]
    clean_script.answers = [chance.choice(weather) for _ in range(2_000)]
    stage.rule(
        rule("{do: stage.call}", "{do: stage.call_keyed, on_failure: continue}", "{do: stage.note, with: {text: x}}")
    )
    # A plugin that errs five times in a row is put aside; here its health is not the matter.
    stage.engine.host.get("stage").errors = -10_000
    stage.engine.take([stage.event(key=str(number)) for number in range(25)])
    stage.drain()
    stage.later(days=10)
    runs = stage.runs()
    assert {run["outcome"] for run in runs} == {"acted", "failed"}
    assert {run["status"] for run in runs} == {"done"}
    assert set(stage.states()) == {"done", "failed"}
    for run in runs:
        states = {effect["action"]: effect["state"] for effect in run["effects"]}
        assert (run["outcome"] == "failed") == (states["stage.call"] == "failed")
        assert (states["stage.call"] == "done") == ("stage.note" in states)


def test_rule_that_no_longer_compiles_ends_in_words(stage: Stage) -> None:
    stage.rule(rule("{wait: 1 day}", SAY, head=HEAD + "if: {field: n, is: divides, value: 2}\n"))
    stage.play(data={"n": 4})
    stage.engine.host.disable("stage", actor="ann")
    assert list(stage.engine.book.broken) == ["r"]
    assert "no operator 'divides'" in stage.engine.book.broken["r"]
    stage.later(days=2)
    assert [(run["outcome"], "its rule cannot be read" in run["reason"]) for run in stage.runs()] == [("failed", True)]
    stage.engine.host.enable("stage", actor="ann")
    assert stage.engine.book.broken == {}
    with pytest.raises(RuleError):
        stage.rule(rule(SAY, head=HEAD + "if: {field: n, is: multiplies, value: 2}\n"))
