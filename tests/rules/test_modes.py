"""Modes: how runs of one key stand to each other; other keys never feel it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Script, Stage

from core.errors import RejectedError
from core.ids import new_id
from rules.runs import cancel_run, cancel_waiting, retry_run
from rules.store import get_rule

HEAD = "rule: r\nwhen: {event: stage.happened}\n"
STEPS = "then:\n  - wait: 1 hour\n  - {do: stage.say, with: {text: '{{ event.key }}{{ n }}'}}\n"


def moded(mode: str, steps: str = STEPS) -> str:
    return f"{HEAD}{steps}mode: {mode}\n"


def by(stage: Stage) -> dict[str, Any]:
    return {"actor": "ann", "now": stage.clock.now()}


def three(stage: Stage, mode: str) -> list[tuple[str, str]]:
    """Start three runs, two of one key, ten minutes apart; tell key and outcome once all is over."""
    stage.rule(moded(mode))
    for number, key in enumerate("aab"):
        stage.play(data={"n": number}, key=key)
        stage.later(minutes=10)
    stage.later(hours=5)
    return [(run["key"], run["outcome"]) for run in stage.runs()]


# mode, outcomes by key, what is said
MODES = [
    ("{run: parallel}", ["acted", "acted", "acted"], ["a0", "a1", "b2"]),
    ("{run: single}", ["acted", "skipped", "acted"], ["a0", "b2"]),
    ("{run: restart}", ["cancelled", "acted", "acted"], ["a1", "b2"]),
    ("{run: queued}", ["acted", "acted", "acted"], ["a0", "b2", "a1"]),  # the wait counts from its own event
    ("{run: single, key: n}", ["acted", "acted", "acted"], ["a0", "a1", "b2"]),  # another field keeps them apart
    ("{run: single, key: event.source}", ["acted", "skipped", "skipped"], ["a0"]),
]


@pytest.mark.parametrize(("mode", "outcomes", "said"), MODES)
def test_mode_decides_what_becomes_of_the_second(stage: Stage, mode: str, outcomes: list[str], said: list[str]) -> None:
    assert [outcome for _, outcome in three(stage, mode)] == outcomes
    assert sorted(stage.said) == sorted(said)


@pytest.mark.parametrize("mode", ["single", "restart", "queued"])
def test_mode_holds_inside_one_batch(stage: Stage, mode: str) -> None:
    stage.rule(moded(f"{{run: {mode}}}"))
    stage.engine.take([stage.event(data={"n": n}, key="a") for n in range(3)])
    stage.drain()
    stage.later(hours=5)
    wanted = {"single": ["a0"], "restart": ["a2"], "queued": ["a0", "a1", "a2"]}[mode]
    assert stage.said == wanted


def test_single_starts_again_after_the_end(stage: Stage) -> None:
    stage.rule(moded("{run: single}"))
    for number in range(2):
        stage.play(data={"n": number}, key="a")
        stage.later(hours=2)
    assert stage.said == ["a0", "a1"]


def test_queue_is_limited_by_most(stage: Stage) -> None:
    stage.rule(moded("{run: queued, most: 2}"))
    for number in range(5):
        stage.play(data={"n": number}, key="a")
    stage.later(hours=5)
    assert stage.outcomes() == ["acted", "acted", "acted", "skipped", "skipped"]
    assert stage.runs()[-1]["reason"] == "more than 2 runs are queued for the same key"


def test_queued_runs_go_one_after_the_other(stage: Stage, clean_script: Script) -> None:
    stage.rule(moded("{run: queued}", "then:\n  - {do: stage.call, with: {n: '{{ n }}'}}\n"))
    seen: list[list[str]] = []
    clean_script.answers = [lambda _ctx: seen.append([run["status"] for run in stage.runs()])] * 3
    stage.engine.take([stage.event(data={"n": n}, key="a") for n in range(3)])
    stage.drain()
    assert [params["n"] for params in stage.said] == [0, 1, 2]
    assert seen == [["running", "queued", "queued"], ["done", "running", "queued"], ["done", "done", "running"]]


# how the run in front may end: the one behind must go on
ENDINGS: dict[str, Callable[[Stage, Script, str], None]] = {
    "cancelled": lambda stage, script, run: stage.do(lambda tx: cancel_run(tx, run, **by(stage))),
    "its event lost": lambda stage, script, run: None,
    "failed": lambda stage, script, run: script.broken.update({"a0": RejectedError("stage", "no")}),
    "condition no more": lambda stage, script, run: None,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_queue_moves_on_however_the_first_ends(stage: Stage, clean_script: Script, ending: str) -> None:
    condition = "if: {field: n, is: above, value: 0, if_unknown: true}\n" if ending == "condition no more" else ""
    stage.rule(condition + moded("{run: queued}"))
    stage.play(data={} if condition else {"n": 0}, key="a", external_id="first")
    stage.play(data={"n": 1}, key="a")
    first = stage.runs()[0]["id"]
    assert [run["status"] for run in stage.runs()] == ["waiting", "queued"]
    ENDINGS[ending](stage, clean_script, first)
    stage.later(hours=5)
    assert stage.runs()[1]["outcome"] == "acted"
    assert stage.said[-1] == "a1"


def test_cancelling_one_in_the_queue_leaves_the_others(stage: Stage) -> None:
    stage.rule(moded("{run: queued}"))
    for number in range(3):
        stage.play(data={"n": number}, key="a")
    second = stage.runs()[1]["id"]
    stage.do(lambda tx: cancel_run(tx, second, **by(stage)))
    assert [run["status"] for run in stage.runs()] == ["waiting", "done", "queued"]
    stage.later(hours=5)
    assert stage.said == ["a0", "a2"]


def test_stop_all_empties_the_queue_too(stage: Stage) -> None:
    stage.rule(moded("{run: queued}"))
    for number in range(3):
        stage.play(data={"n": number}, key="a")
    with stage.read() as conn:
        rule_id = get_rule(conn, "r").id
    stage.do(lambda tx: cancel_waiting(tx, rule_id, reason="stop", **by(stage)))
    stage.later(hours=5)
    assert stage.outcomes() == ["cancelled"] * 3
    stage.play(data={"n": 9}, key="a")
    stage.later(hours=5)
    assert stage.said == ["a9"]


def test_queue_survives_a_change_of_mode(stage: Stage) -> None:
    stage.rule(moded("{run: parallel}"))
    stage.play(data={"n": 0}, key="a")
    stage.rule(moded("{run: queued}"))
    stage.play(data={"n": 1}, key="a")
    assert [run["status"] for run in stage.runs()] == ["waiting", "queued"]
    stage.later(hours=5)
    assert stage.said == ["a0", "a1"]


def test_switched_off_queue_still_ends(stage: Stage) -> None:
    stage.rule(moded("{run: queued}"))
    stage.play(data={"n": 0}, key="a")
    stage.play(data={"n": 1}, key="a")
    stage.engine.switch("r", "off", actor="ann")
    stage.later(hours=5)
    assert stage.said == ["a0", "a1"]


def test_restart_reaches_a_run_of_the_same_batch(stage: Stage) -> None:
    """Both are due at once: what the first emits restarts the second before its turn."""
    stage.rule("rule: a-first\nwhen: {event: go}\nthen: [{do: stage.emit, with: {type: stage.happened, key: k}}]\n")
    stage.rule(
        "rule: r\nwhen: {event: [go, stage.happened]}\nmode: {run: restart}\nthen: [{do: stage.say, with: {text: '{{ event.type }}'}}]\n"
    )
    stage.play("go", key="k")
    assert stage.said == ["stage.happened"]
    assert stage.outcomes(rule="r") == ["cancelled", "acted"]


def test_rule_that_restarts_itself_stays_cancelled(stage: Stage) -> None:
    stage.rule(
        "rule: r\nwhen: {event: [go, stage.happened]}\nmode: {run: restart}\nthen:\n"
        "  - choose: [{if: {field: event.type, is: equal, value: go}, then: [{do: stage.emit, with: {key: k}}]}]\n"
        "  - wait: 1 hour\n  - {do: stage.say, with: {text: '{{ event.type }}'}}\n"
    )
    stage.play("go", key="k")
    stage.later(hours=3)
    assert stage.said == ["stage.happened"]
    assert stage.outcomes() == ["cancelled", "acted"]


def test_retried_run_does_not_disturb_the_queue(stage: Stage, clean_script: Script) -> None:
    clean_script.broken["a0"] = RejectedError("stage", "no")
    stage.rule(moded("{run: queued}"))
    stage.play(data={"n": 0}, key="a")
    stage.later(hours=2)
    clean_script.broken.clear()
    run_id = stage.runs()[0]["id"]
    stage.do(lambda tx: retry_run(tx, run_id, **by(stage)))
    stage.play(data={"n": 1}, key="a")
    stage.later(hours=2)
    assert stage.said == ["a0", "a0", "a1"]
    assert stage.outcomes() == ["acted", "acted"]


PLAYS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 90)), min_size=1, max_size=8)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["single", "restart", "queued", "parallel"]), PLAYS)
def test_at_most_one_run_of_a_key_is_under_way(
    make_stage: Callable[..., Stage], mode: str, plays: list[tuple[str, int]]
) -> None:
    stage = make_stage()
    stage.rule(moded(f"{{run: {mode}}}"))
    prefix = new_id()
    for number, (key, minutes) in enumerate(plays):
        stage.play(data={"n": number}, key=prefix + key)
        busy = [run["key"] for run in stage.runs() if run["status"] not in ("done", "queued")]
        assert mode == "parallel" or len(busy) == len(set(busy))
        stage.later(minutes=minutes)
    stage.later(hours=20)
    mine = [run for run in stage.runs() if run["key"].startswith(prefix)]
    assert {run["status"] for run in mine} == {"done"}
    if mode in ("parallel", "queued"):
        assert [run["outcome"] for run in mine] == ["acted"] * len(plays)
    stage.close()
