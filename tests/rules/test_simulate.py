"""Simulation: the same outcome as the real run, with nothing written and nobody called."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from engines import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Script, Stage

from core.errors import InvalidInput, RuleError
from core.ids import new_id
from rules.simulate import simulate

HEAD = "rule: {name}\nwhen: {{event: stage.happened}}\n"
SAY = "{do: stage.say, with: {text: x}}"

# Parts of rules: condition, steps, limits and mode
CONDITIONS = [
    "",
    "if: {field: n, is: above, value: 4}\n",
    "if: {fact: stage.level, is: at_least, value: 3}\n",
    "if: {all: [{fact: stage.level, is: known}, {field: n, is: at_most, value: 7}]}\n",
]
STEPS = [
    f"then: [{SAY}]\n",
    f"then: [{{wait: 3 hours}}, {SAY}]\n",
    f"then: [{{wait: {{for: 1 hour, between: ['10:00', '12:00']}}}}, {SAY}]\n",
    (
        f"then:\n  - wait: {{event: answer.came, timeout: 4 hours}}\n  - choose:\n"
        f"      - if: {{field: steps.1.outcome, is: equal, value: happened}}\n        then: [{SAY}]\n    else: [{{stop: nothing came}}]\n"
    ),
    f"then:\n  - split:\n      - {{percent: 40, then: [{SAY}]}}\n      - {{percent: 40, then: [{{stop: other}}]}}\n",
    f"then:\n  - each: items\n    then: [{SAY}, {{wait: 1 hour}}]\n",
    "then: [{do: stage.say, with: {text: '{{ n }}'}}]\n",  # a number is no text: it fails
    "then: [{do: stage.say, with: {text: '{{ n | divided_by: 0 }}'}, on_failure: continue}, {stop: true}]\n",
    f"then: [{{run: other}}, {SAY}]\n",
    "then: [{do: nobody.knows}]\n",
]
LIMITS = [
    "",
    "limits: {per_customer: once in 5 hours}\n",
    "limits: {per_hour: 1}\n",
    "limits: {ask_above: 2}\n",
    "limits: {ask: true}\n",
    "limits: {valid_for: 1 hour, per_hour: 1}\n",
    "mode: {run: single}\n",
    "mode: {run: restart}\n",
    "mode: {run: queued, most: 1}\n",
]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["stage.happened", "stage.happened", "answer.came"]),
        st.sampled_from("ab"),  # key and customer
        st.integers(0, 9),
        st.integers(0, 150),  # minutes since the one before
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(CONDITIONS), st.sampled_from(STEPS), st.sampled_from(LIMITS), EVENTS)
def test_simulated_outcome_is_the_real_one(
    make_stage: Callable[..., Stage], clean_script: Script, condition: str, steps: str, limits: str, events: list[Any]
) -> None:
    stage = make_stage()
    stage.do(lambda tx: [tx.conn.exec_driver_sql(f"DELETE FROM {name}") for name in ("runs", "events", "effects")])
    clean_script.levels = {"a": 5, "b": 1}
    name = f"r-{new_id()}"
    text = HEAD.format(name=name) + condition + steps + limits
    stage.rule(text)
    for kind, key, number, minutes in events:
        stage.later(minutes=minutes)
        data = {"n": number, "order": {"id": key if number else "nobody"}, "items": list(range(number % 3))}
        stage.play(kind, data, key=key, customer=key)
    stage.later(days=3)
    stage.engine.switch(name, "off", actor="ann")
    real = {run["event"]: (run["outcome"], told(run["trace"])) for run in stage.runs(rule=name)}
    before = len(clean_script.calls)
    result = simulate(stage.engine, text)
    assert len(clean_script.calls) == before
    for row in result["results"]:
        simulated = (row["outcome"], told(row["trace"]))
        if row["event"] in real:
            assert simulated == real[row["event"]]
        else:
            assert simulated in (("stopped", []), ("unknown", []))  # rejected at intake
    assert sum(result["counts"].values()) == result["events"] == len(result["results"])
    stage.close()


def told(trace: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return where a run went; how often it had to look again is its own business."""
    return [
        (line["kind"], line["path"]) for line in trace if line["kind"] not in ("condition", "later", "held", "recheck")
    ]


def test_simulation_writes_nothing_and_calls_nobody(stage: Stage, clean_script: Script, tmp_path: Path) -> None:
    for number in range(20):
        stage.play(data={"n": number}, key=str(number), customer="c")
        stage.clock.advance(3_600)
    stage.engine.db.engine.dispose()
    before = digests(tmp_path)
    text = (
        HEAD.format(name="r")
        + "then:\n  - {do: stage.call, with: {n: '{{ n }}'}}\n  - {do: tasks.create, with: {title: x}}\n"
        + "  - {do: messages.send, with: {text: hello}}\n  - {run: other}\n  - {do: stage.emit}\n  - {wait: 1 hour}\n"
        + f"  - {SAY}\nlimits: {{per_customer: 99 a day}}\n"
    )
    result = simulate(stage.engine, text)
    with stage.read() as conn:
        conn.exec_driver_sql("SELECT 1")
    assert result["counts"] == {"acted": 20}
    assert clean_script.calls == []
    assert digests(tmp_path) == before


def digests(home: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in home.glob("vitrin.db*")
        if path.stat().st_size and path.suffix != ".db-shm"
    }


def test_result_shows_funnel_effects_and_previews(stage: Stage) -> None:
    for number in (1, 5, 8, None):
        stage.play(data={} if number is None else {"n": number, "city": "A"}, key=str(number))
    text = (
        HEAD.format(name="r")
        + "if: {all: [{field: n, is: above, value: 3}, {field: n, is: below, value: 7}]}\n"
        + "then: [{do: tasks.create, with: {title: 'Call {{ event.key }}'}}]\n"
    )
    result = simulate(stage.engine, text)
    assert result["rule"] == "r"
    assert result["counts"] == {"acted": 1, "stopped": 2, "unknown": 1}
    assert [(row["reached"], row["passed"], row["unknown"]) for row in result["funnel"]] == [(4, 2, 1), (2, 1, 0)]
    acted = next(row for row in result["results"] if row["outcome"] == "acted")
    assert acted["effects"][0]["preview"] == {
        "text": {"en": "Create a task: Call 5", "tr": "Görev oluştur: Call 5", "ru": "Создать задачу: Call 5"}
    }
    assert [row["condition"]["verdict"] for row in result["results"]] == [False, True, False, None]


def test_split_sends_everybody_down_the_same_arm(stage: Stage) -> None:
    text = (
        HEAD.format(name="r")
        + f"then: [{{split: [{{percent: 50, then: [{SAY}]}}, {{percent: 50, then: [{{stop: true}}]}}]}}]\n"
    )
    stage.rule(text)
    for number in range(30):
        stage.take(customer=f"c{number}")
    stage.drain()
    real = {run["event"]: run["outcome"] for run in stage.runs()}
    assert set(real.values()) == {"acted", "stopped"}
    assert {row["event"]: row["outcome"] for row in simulate(stage.engine, text)["results"]} == real


def test_action_without_preview_says_so(stage: Stage) -> None:
    stage.play()
    result = simulate(stage.engine, HEAD.format(name="r") + f"then: [{SAY}]\n")
    assert result["results"][0]["effects"][0]["preview"] == {"text": {"en": "stage.say cannot be previewed"}}


def test_given_event_is_played_without_being_stored(stage: Stage) -> None:
    text = HEAD.format(name="r") + "if: {field: order.city, is: equal, value: A}\n" + f"then: [{SAY}]\n"
    outcomes = [
        simulate(stage.engine, text, event={"type": "stage.happened", "data": {"order": {"city": city}}})["counts"]
        for city in ("A", "B")
    ]
    assert outcomes == [{"acted": 1}, {"stopped": 1}]
    assert stage.events() == []


def test_only_the_last_events_heard_are_taken(stage: Stage) -> None:
    for number in range(12):
        stage.play(data={"n": number})
        stage.play("other.thing")
        stage.clock.advance(1)
    text = HEAD.format(name="r") + f"then: [{SAY}]\n"
    result = simulate(stage.engine, text, last=5)
    assert result["events"] == 5
    assert [row["time"] for row in result["results"]] == [START + timedelta(seconds=n) for n in range(7, 12)]


def test_own_trigger_plays_only_its_own_events(stage: Stage) -> None:
    texts = {name: f"rule: {name}\nwhen: {{schedule: every hour}}\nthen: [{SAY}]\n" for name in ("one", "two")}
    for text in texts.values():
        stage.rule(text)
    stage.engine.sync()
    stage.clock.advance(timedelta(hours=1))
    stage.engine.scheduler.sweep(stage.clock.now())
    assert {name: simulate(stage.engine, text)["events"] for name, text in texts.items()} == {"one": 1, "two": 1}


def test_effects_after_a_wait_stand_at_their_time(stage: Stage) -> None:
    stage.play(key="k")
    stage.clock.advance(timedelta(hours=2))
    stage.play("answer.came", key="k")
    stage.clock.advance(timedelta(days=2))
    text = (
        HEAD.format(name="r")
        + f"then: [{{wait: {{event: answer.came, timeout: 1 day}}}}, {SAY}, {{wait: 3 hours}}, {SAY}]\n"
    )
    effects = simulate(stage.engine, text)["results"][0]["effects"]
    assert [effect["at"] for effect in effects] == [START + timedelta(hours=2), START + timedelta(hours=5)]


def test_wait_beyond_now_is_still_waiting(stage: Stage) -> None:
    stage.play()
    result = simulate(stage.engine, HEAD.format(name="r") + f"then: [{{wait: 3 days}}, {SAY}]\n")
    row = result["results"][0]
    assert (row["outcome"], row["reason"], row["effects"]) == ("waiting", "until 2026-03-05T09:00+00:00", [])


def test_broken_fact_fails_its_event_only(stage: Stage, clean_script: Script) -> None:
    clean_script.levels = {"bad": ValueError("x"), "good": 5}
    for ident in ("bad", "good"):
        stage.play(data={"order": {"id": ident}})
        stage.clock.advance(1)
    text = HEAD.format(name="r") + "if: {fact: stage.level, is: at_least, value: 3}\n" + f"then: [{SAY}]\n"
    assert [row["outcome"] for row in simulate(stage.engine, text)["results"]] == ["failed", "acted"]


# what cannot be simulated
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"last": 0}, InvalidInput, "must be between 1 and 1000"),
    ({"last": 1001}, InvalidInput, "must be between"),
    ({"event": {"type": "x"}}, InvalidInput, "needs a type and data"),
    ({"event": {"type": 5, "data": {}}}, InvalidInput, "needs a type and data"),
    ({"rule": "rule: r"}, RuleError, "is required|is missing"),
]


@pytest.mark.parametrize(("given", "kind", "words"), BAD)
def test_senseless_question_is_refused(stage: Stage, given: dict[str, Any], kind: type[Exception], words: str) -> None:
    text = given.pop("rule", HEAD.format(name="r") + f"then: [{SAY}]\n")
    with pytest.raises(kind, match=words):
        simulate(stage.engine, text, **given)
