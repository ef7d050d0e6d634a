"""Intake: an event is taken once, with the runs that it starts, in one transaction."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from stage import Stage

from core.errors import StorageError
from core.tables import events
from rules.intake import EventCache
from rules.tables import runs

RULE = "rule: r\nwhen: {event: stage.happened}\nthen: [{do: stage.say, with: {text: '{{ n | append: \"\" }}'}}]\n"


def count(stage: Stage, table: Any) -> int:
    with stage.read() as conn:
        return conn.execute(select(func.count()).select_from(table)).scalar_one()


def test_same_source_and_id_is_taken_once(stage: Stage) -> None:
    stage.rule(RULE)
    first = stage.event(data={"n": 1}, source="shop", external_id="5")
    again = stage.event(data={"n": 2}, source="shop", external_id="5")
    other = stage.event(data={"n": 3}, source="till", external_id="5")
    inside = stage.engine.take([first, again, other])
    across = stage.engine.take([again, stage.event(data={"n": 4}, source="shop", external_id="6")])
    assert [taken.new for taken in inside] == [True, False, True]
    assert [taken.new for taken in across] == [False, True]
    assert [taken.rules for taken in inside] == [["r"], [], ["r"]]
    stage.drain()
    assert stage.said == ["1", "3", "4"]
    assert count(stage, events) == 3


def test_duplicate_wakes_nobody(stage: Stage) -> None:
    stage.rule(
        "rule: w\nwhen: {event: go}\nthen:\n  - wait: {event: came, timeout: 1 day}\n"
        "  - wait: {event: came, timeout: 1 day}\n  - {do: stage.say, with: {text: both}}\n"
    )
    stage.play("go", key="k")
    for _ in range(3):
        stage.play("came", key="k", source="shop", external_id="5")
    assert (stage.outcomes(), stage.said) == (["waiting"], [])


def test_empty_batch_is_nothing(stage: Stage) -> None:
    assert stage.engine.take([]) == []


def test_event_that_nobody_hears_is_kept(stage: Stage) -> None:
    taken = stage.take("never.heard", {"x": 1})
    assert (taken.new, taken.rules, count(stage, events), count(stage, runs)) == (True, [], 1, 0)


# depth, whether it starts runs: the limit is ten
DEPTHS = [(0, True), (10, True), (11, False), (999, False)]


@pytest.mark.parametrize(("depth", "starts"), DEPTHS)
def test_too_deep_event_is_stored_and_starts_nothing(stage: Stage, depth: int, *, starts: bool) -> None:
    stage.rule(RULE)
    taken = stage.take(data={"n": 1}, depth=depth)
    assert (taken.new, bool(taken.rules), count(stage, events)) == (True, starts, 1)


def test_events_and_their_runs_come_or_go_together(stage: Stage) -> None:
    stage.rule(RULE)

    def take_and_fail(tx: Any) -> None:
        stage.engine.intake.take(tx, [stage.event(data={"n": 1}, source="shop", external_id="5")])
        raise StorageError("the disk is full")

    with pytest.raises(StorageError):
        stage.do(take_and_fail)
    assert (count(stage, events), count(stage, runs)) == (0, 0)
    stage.play(data={"n": 2}, source="shop", external_id="5")  # the sender delivers again
    assert stage.said == ["2"]


def test_order_of_one_key_is_the_order_of_intake(stage: Stage) -> None:
    stage.rule(RULE + "mode: {run: queued, most: 1000}\n")
    stage.engine.take([stage.event(data={"n": n}, key="a" if n % 2 else "b") for n in range(300)])
    stage.engine.take([stage.event(data={"n": n}, key="a") for n in range(300, 320)])
    stage.drain()
    odd = [int(text) for text in stage.said if int(text) % 2 or int(text) >= 300]
    even = [int(text) for text in stage.said if not int(text) % 2 and int(text) < 300]
    assert odd == sorted(odd)
    assert even == sorted(even)
    assert len(stage.said) == 320


def test_key_and_customer_go_with_the_run(stage: Stage) -> None:
    stage.rule(RULE)
    stage.rule(RULE.replace("rule: r", "rule: s") + "mode: {key: order.id}\n")
    stage.rule(RULE.replace("rule: r", "rule: t") + "mode: {key: order.gone}\n")
    stage.play(data={"n": 1, "order": {"id": 77}}, key="k", customer="c")
    assert {(run["rule"], run["key"], run["customer"]) for run in stage.runs()} == {
        ("r", "k", "c"),
        ("s", "77", "c"),
        ("t", None, "c"),
    }


# what events bring that a careless engine trips over
NAUGHTY: list[dict[str, Any]] = [
    {"now": "x", "event": 5, "facts": None, "steps": [], "shop": "x", "changes": 5},
    {"n": {"amount": {"amount": {"amount": 1}}}},
    {"n": "9" * 5_000},
    {"n": ["a"] * 5_000},
    {"__class__": {"__init__": 1}, "": {"": 1}, "a.b": 1},
    {"n": 2**64 - 1},
    {"order": None, "customer": [], "rule": {}},
]


@pytest.mark.parametrize("data", NAUGHTY, ids=range(len(NAUGHTY)))
def test_odd_data_cannot_stop_intake(stage: Stage, data: dict[str, Any]) -> None:
    operators = ["at_least", "before", "in_last", "rose_by"]
    values = ["5", "now", "1 day", "10%"]
    rows = ", ".join(
        f"{{field: n, is: {name}, value: {value}}}" for name, value in zip(operators, values, strict=False)
    )
    stage.rule(f"rule: a\nwhen: {{event: stage.happened}}\nif: {{any: [{rows}]}}\nthen: [{{stop: true}}]\n")
    stage.rule(
        "rule: b\nwhen: {event: stage.happened}\nif: {field: event.type, is: known}\nthen: [{do: stage.note, with: {text: ok}}]\n"
    )
    stage.play(data=data)
    assert "ok" in stage.said


def test_many_threads_deliver_the_same_event_once(stage: Stage) -> None:
    stage.rule(RULE)
    stage.engine.writer.start()
    new: list[bool] = []

    def deliver() -> None:
        for number in range(20):
            event = stage.event(data={"n": number}, source="shop", external_id=str(number))
            new.append(stage.engine.take([event])[0].new)

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(new) == {True: 20, False: 140}
    stage.drain()
    assert sorted(map(int, stage.said)) == list(range(20))


def test_runner_is_told_after_the_commit_only(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()
    stage.rule(RULE)
    stage.engine.ready.clear()
    seen: list[bool] = []

    def take(tx: Any) -> None:
        stage.engine.intake.take(tx, [stage.event(data={"n": 1})])
        seen.append(stage.engine.ready.is_set())

    stage.do(take)
    assert (seen, stage.engine.ready.is_set()) == ([False], True)
    stage.engine.ready.clear()
    stage.take("never.heard")
    assert not stage.engine.ready.is_set()


def test_event_cache_forgets_the_oldest(stage: Stage) -> None:
    cache = EventCache()
    made = [stage.event() for _ in range(5_010)]
    cache.put(made)
    with stage.read() as conn:
        assert cache.get(conn, made[0].id) is None  # not stored either
        assert cache.get(conn, made[-1].id) is made[-1]
