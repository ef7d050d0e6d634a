"""Operators of plugins: left open at intake, decided by the runner, told alike by trace, why and simulation."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import Stage

from core.errors import StorageError
from rules.conditions import Scope, compile_condition
from rules.explain import near_misses, verdicts, why
from rules.operators import OPERATORS, Compared, Operator
from rules.simulate import simulate
from rules.verdict import judge

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def divides(value: Any, wanted: Any) -> bool | None:
    return value % wanted == 0 if isinstance(value, int) and isinstance(wanted, int) and wanted else None


FOREIGN = Scope(operators={**OPERATORS, "divides": Operator.from_plugin("divides", "p", ("number",))})
#: The same operator, as if it were one of the engine's own.
OWN = Scope(
    operators={
        **OPERATORS,
        "divides": Operator(
            name="divides",
            types=("number",),
            wants="any",
            prepare=lambda wanted, _path, _where: lambda value, _data: divides(value, wanted),
        ),
    }
)


class Answering:
    """A port that answers for the plugin and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Compared] = []

    def compare(self, compared: Mapping[str, Compared]) -> dict[str, bool | None]:
        self.asked += compared.values()
        return {slot: divides(value, wanted) for slot, (_, _, value, wanted) in compared.items()}


def picture(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "now": NOW, "facts": {}}


def decide(document: Any, data: Mapping[str, Any]) -> tuple[bool | None, Answering, dict[str, Any]]:
    """Return what the runner decides, what it asked, and its explanation."""
    condition, port, seen = compile_condition(document, scope=FOREIGN), Answering(), picture(data)
    verdict = judge(condition, SimpleNamespace(), port, seen)  # type: ignore[arg-type]
    return verdict, port, condition.explain(seen)


# Laws

numbers = st.sampled_from([None, 1, 2, 3, 4, 6, "x"])
fields = st.sampled_from(["a", "b", "gone", "items.n", "items.m"])
overs = st.sampled_from(
    [
        "any_item",
        "every_item",
        "no_item",
        {"count": {"is": "at_least", "value": 2}},
        {"count": {"is": "divides", "value": 2}},
    ]
)
rows: Any = st.fixed_dictionaries(
    {
        "field": fields,
        "is": st.sampled_from(["divides", "divides", "at_least"]),
        "value": st.sampled_from([2, 3, {"field": "b"}]),
    },
    optional={"if_unknown": st.booleans(), "over": overs},
)
same_item = st.fixed_dictionaries(
    {"field": st.just("items.n"), "is": st.sampled_from(["divides", "at_least"]), "value": st.just(2)},
    optional={"if_unknown": st.booleans(), "over": overs},
).flatmap(lambda row: rows.map(lambda also: {**row, "also": {**also, "field": also["field"].removeprefix("items.")}}))
conditions = st.recursive(
    rows | same_item,
    lambda inner: st.builds(
        lambda kind, parts: {kind: parts}, st.sampled_from(["all", "any", "none"]), st.lists(inner, min_size=1)
    ),
    max_leaves=6,
)
pictures = st.fixed_dictionaries(
    {},
    optional={
        "a": numbers,
        "b": numbers,
        "items": st.lists(st.fixed_dictionaries({}, optional={"n": numbers, "m": numbers}), max_size=4),
    },
)


@given(conditions, pictures)
def test_plugins_operator_decides_like_our_own(document: Any, data: dict[str, Any]) -> None:
    wanted = compile_condition(document, scope=OWN).test(picture(data))
    verdict, _, told = decide(document, data)
    assert verdict is wanted
    assert told["verdict"] is wanted


@given(conditions, pictures)
def test_intake_is_never_ahead_of_the_runner(document: Any, data: dict[str, Any]) -> None:
    condition = compile_condition(document, scope=FOREIGN)
    early = condition.test(picture(data))
    verdict, _, _ = decide(document, data)
    assert early is None or early is verdict
    assert condition.needs_runner or early is verdict


# document, data, verdict, how many comparisons the plugin is asked for
ASKED: list[tuple[Any, dict[str, Any], bool | None, int]] = [
    ({"field": "a", "is": "divides", "value": 2}, {"a": 4}, True, 1),
    ({"field": "a", "is": "divides", "value": 2}, {}, None, 0),  # nothing to ask about
    ({"field": "a", "is": "divides", "value": 2}, {"a": None}, None, 0),
    (
        [{"field": "a", "is": "divides", "value": 2}, {"field": "b", "is": "above", "value": 5}],
        {"a": 4, "b": 1},
        False,
        0,
    ),
    (
        {"any": [{"field": "a", "is": "divides", "value": 2}, {"field": "b", "is": "above", "value": 5}]},
        {"a": 4, "b": 9},
        True,
        0,
    ),
    # The same question twice is one.
    (
        [{"field": "a", "is": "divides", "value": 2}, {"field": "b", "is": "divides", "value": 2}],
        {"a": 4, "b": 4},
        True,
        1,
    ),
    (
        {"field": "items.n", "is": "divides", "value": 2, "over": "every_item"},
        {"items": [{"n": 2}, {"n": 3}]},
        False,
        2,
    ),
    # 1, 1.0 and "1" are three questions; True is no number.
    ({"field": "items", "is": "divides", "value": 1}, {"items": [1]}, None, 0),
    (
        {"field": "items.n", "is": "divides", "value": 1},
        {"items": [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": "1"}]},
        True,
        3,
    ),
    # A whole number beyond any real one.
    ({"field": "a", "is": "divides", "value": 2}, {"a": 10**5000}, None, 0),
]


@pytest.mark.parametrize(("document", "data", "verdict", "count"), ASKED)
def test_plugin_is_asked_only_what_decides(
    document: Any, data: dict[str, Any], verdict: bool | None, count: int
) -> None:
    decided, port, _ = decide(document, data)
    assert (decided, len(port.asked)) == (verdict, count)


# The whole way, with a plugin of our own (see tests/stage.py)

HEAD = "rule: r\nwhen: {event: stage.happened}\n"
EVEN = "if: {field: n, is: divides, value: 2}\n"
SAY = "then: [{do: stage.say, with: {text: x}}]\n"


def test_intake_leaves_the_row_to_the_runner(stage: Stage) -> None:
    stage.rule(HEAD + EVEN + SAY)
    assert stage.take(data={"n": 3}).rules == ["r"]
    assert stage.take(data={"n": 4}).rules == ["r"]
    assert [run["trace"] for run in stage.runs()] == [[], []]
    stage.drain()
    assert stage.outcomes() == ["stopped", "acted"]
    lines = [run["trace"][0] for run in stage.runs()]
    assert [(line["kind"], line["told"]["is"], line["verdict"]) for line in lines] == [
        ("condition", "divides", False),
        ("condition", "divides", True),
    ]


def test_own_rows_still_decide_at_intake(stage: Stage) -> None:
    stage.rule(HEAD + "if: [{field: n, is: divides, value: 2}, {field: city, is: equal, value: Bursa}]\n" + SAY)
    assert stage.take(data={"n": 4, "city": "Adana"}).rules == []
    assert stage.take(data={"n": 4, "city": "Bursa"}).rules == ["r"]


def test_why_and_simulation_agree_with_the_run(stage: Stage) -> None:
    events = [stage.play(data=data).event for data in ({"n": 3}, {"n": 4}, {})]
    stage.rule(HEAD + EVEN + SAY)
    simulated = simulate(stage.engine, HEAD + EVEN + SAY)
    assert [result["outcome"] for result in simulated["results"]] == ["stopped", "acted", "unknown"]
    assert simulated["funnel"][0]["passed"] == 1
    fresh = [stage.play(data=event.data).event for event in events]
    assert stage.outcomes() == ["stopped", "acted", "unknown"]
    with stage.read() as conn:
        told = [why(stage.engine, conn, "r", event_id=event.id)["verdict"] for event in fresh]
        listed = [verdicts(stage.engine, conn, event.id)[0]["verdict"] for event in fresh]
        missed = near_misses(stage.engine, conn, "r")
    assert told == listed == ["stopped", "acted", "unknown"]
    # What came before the rule is judged now: the operator is asked anew.
    assert {miss["event"]: miss["verdict"] for miss in missed} == {events[0].id: "stopped", events[2].id: "unknown"}


def test_branch_recheck_and_wait_ask_the_plugin(stage: Stage) -> None:
    stage.rule(
        HEAD
        + "then:\n"
        + "  - choose: [{if: {field: n, is: divides, value: 2}, then: [{do: stage.say, with: {text: even}}]}]\n"
        + "    else: [{do: stage.say, with: {text: odd}}]\n"
        + "  - wait: {event: stage.happened, where: {event.key: '{{ event.key }}'},\n"
        + "           if: {field: n, is: divides, value: 5}, timeout: 1 day}\n"
        + "    as: waited\n"
        + "  - do: stage.say\n    with: {text: '{{ steps.waited.outcome }}'}\n"
        + "mode: {run: single, key: event.key}\n"
    )
    stage.play(data={"n": 4}, key="k")
    stage.play(data={"n": 6}, key="k")
    assert stage.said == ["even"]
    stage.play(data={"n": 10}, key="k")
    assert stage.said == ["even", "happened"]


def test_plugin_is_asked_once_for_a_batch(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    compare = stage.engine.invoker.compare

    def counting(plugin: str, operator: str, pairs: Any) -> Any:
        asked.append(len(pairs))
        return compare(plugin, operator, pairs)

    monkeypatch.setattr(stage.engine.invoker, "compare", counting)
    stage.rule(HEAD + EVEN + SAY)
    for number in range(20):
        stage.take(data={"n": number})
    stage.drain()
    assert asked == [20]
    assert stage.outcomes() == ["acted", "stopped"] * 10


@pytest.mark.parametrize("story", ["why", "verdicts"])
def test_failing_operator_is_told_not_raised(stage: Stage, story: str) -> None:
    stage.rule(HEAD + EVEN.replace("2", "0") + SAY)
    stage.rule(HEAD.replace("rule: r", "rule: other") + SAY)
    taken = stage.take(data={"n": 4})
    stage.do(lambda tx: tx.conn.exec_driver_sql("DELETE FROM runs"))
    with stage.read() as conn:
        if story == "why":
            told = why(stage.engine, conn, "r", event_id=taken.event.id)
        else:
            told = next(row for row in verdicts(stage.engine, conn, taken.event.id) if row["rule"] == "r")
    assert told["verdict"] == "failed"
    assert "ZeroDivisionError" in told["sentence"]
    stage.play(data={"n": 4})
    assert (stage.outcomes(rule="r"), stage.outcomes(rule="other")) == (["failed"], ["acted"])


def test_storage_trouble_is_no_verdict(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(plugin: str, operator: str, pairs: Any) -> Any:
        raise StorageError("the disk is full")

    stage.rule(HEAD + EVEN + SAY)
    taken = stage.take(data={"n": 4})
    stage.do(lambda tx: tx.conn.exec_driver_sql("DELETE FROM runs"))
    monkeypatch.setattr(stage.engine.invoker, "compare", broken)
    with stage.read() as conn, pytest.raises(StorageError):
        why(stage.engine, conn, "r", event_id=taken.event.id)
