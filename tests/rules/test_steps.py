"""Every kind of step: choose, split, each, stop, run and do, alone, nested, empty and over the limit."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from engines import START
from stage import Script, Stage

from core.errors import RuleError
from core.events import Event
from rules.rule import compile_rule, read_yaml
from rules.run import Done, Run, walk
from rules.steps import Jump

HEAD = "rule: r\nwhen: {event: stage.happened}\nthen:\n"


def say(text: str) -> str:
    return f"{{do: stage.say, with: {{text: {json.dumps(text)}}}}}"


CHOOSE = (
    HEAD
    + f"""
  - choose:
      - if: {{field: order.city, is: equal, value: A}}
        then:
          - choose:
              - if: {{field: order.total, is: above, value: 10}}
                then: [{say("a-big")}]
            else: [{say("a-small")}]
          - {say("a-end")}
      - if: {{field: order.city, is: equal, value: B}}
        then: []
    else: [{say("other")}]
  - {say("end")}
"""
)

# data, what is said
CHOICES = [
    ({"city": "A", "total": 11}, ["a-big", "a-end", "end"]),
    ({"city": "A", "total": 10}, ["a-small", "a-end", "end"]),
    ({"city": "A"}, ["a-small", "a-end", "end"]),  # not known is not true
    ({"city": "B"}, ["end"]),  # an empty arm is taken, not passed over
    ({"city": "C"}, ["other", "end"]),
    ({}, ["other", "end"]),
]


@pytest.mark.parametrize(("order", "said"), CHOICES)
def test_choose_takes_the_first_arm_that_holds(stage: Stage, order: dict[str, Any], said: list[str]) -> None:
    stage.rule(CHOOSE)
    stage.play(data={"order": order})
    assert stage.said == said


def test_choose_without_else_goes_on(stage: Stage) -> None:
    stage.rule(HEAD + f"  - choose: [{{if: {{field: a, is: yes}}, then: [{say('x')}]}}]\n  - {say('end')}\n")
    stage.play()
    assert stage.said == ["end"]
    told = [line for line in stage.runs()[0]["trace"] if line["kind"] == "choose"]
    assert [(line["path"], line["verdict"]) for line in told] == [("then[0][0]", None)]


SPLIT = (
    HEAD
    + f"""
  - split:
      - {{percent: 20, then: [{say("a")}]}}
      - {{percent: 30.5, then: [{say("b")}]}}
"""
)


def arms(stage: Stage) -> dict[str, int | None]:
    return {run["key"]: line["arm"] for run in stage.runs() for line in run["trace"] if line["kind"] == "split"}


def test_split_shares_hold_over_ten_thousand_subjects() -> None:
    rule = compile_rule(read_yaml(SPLIT), id="0190-a", version=1)
    event = Event(
        id="e",
        source="t",
        external_id="e",
        type="stage.happened",
        time=START,
        received_at=START,
        key=None,
        customer=None,
        data={},
    )
    taken: Counter[int] = Counter()
    for number in range(10_000):
        run = Run(id="r", rule=rule, event=replace(event, customer=f"customer {number}"), key=None, at=START)
        run.vars["checked"] = True
        walk(run, Recorder())  # type: ignore[arg-type]
        taken[run.lines[0]["arm"]] += 1
    assert abs(taken[0] - 2_000) < 200
    assert abs(taken[1] - 3_050) < 230
    assert sum(taken.values()) == 10_000


class Recorder:
    """A port for walks that only split: actions are done at once."""

    zone, shop = ZoneInfo("UTC"), {}

    def now(self) -> Any:
        return START

    def effect(self, run: Any, step: Any, params: Any) -> Done:
        return Done({})


def test_split_is_sticky_for_the_customer(stage: Stage) -> None:
    stage.rule(SPLIT)
    for _ in range(2):
        for number in range(30):
            stage.take(key=f"o{number}", customer=f"c{number}")
        stage.drain()
    again = [run["trace"][0]["arm"] for run in stage.runs()]
    assert again[:30] == again[30:]
    assert len(set(again)) == 3
    outcomes = Counter(stage.outcomes())
    assert outcomes == {"acted": sum(arm is not None for arm in again), "stopped": again.count(None)}


def test_split_stays_the_same_over_versions_and_restart(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()
    stage.rule(SPLIT)
    for number in range(20):
        stage.take(key=f"o{number}", customer=f"c{number}")
    stage.drain()
    before = arms(stage)
    again = make_stage()
    again.rule(SPLIT.replace('text: "a"', 'text: "new"'))
    for number in range(20):
        again.take(key=f"p{number}", customer=f"c{number}")
    again.drain()
    after = arms(again)
    assert [after[f"p{number}"] for number in range(20)] == [before[f"o{number}"] for number in range(20)]


def test_split_by_event_varies_for_one_customer(stage: Stage) -> None:
    stage.rule(SPLIT.replace("  - split:", "  - by: event\n    split:"))
    for _ in range(40):
        stage.take(key="k", customer="c")
    stage.drain()
    assert len({run["trace"][0]["arm"] for run in stage.runs()}) == 3


def test_split_by_key_or_without_customer_takes_the_key(stage: Stage) -> None:
    stage.rule(SPLIT.replace("  - split:", "  - by: key\n    split:"))
    for number in range(20):
        stage.take(key="k", customer=f"c{number}")
    stage.drain()
    assert len({run["trace"][0]["arm"] for run in stage.runs()}) == 1


EACH = (
    HEAD
    + f"""
  - each: order.items
    as: line
    most: 3
    then:
      - {say("{{ line.sku }}")}
      - each: line.parts
        as: part
        then: [{say("{{ line.sku }}-{{ part }}")}]
      - {say("end {{ line.sku }}")}
  - {say("after {{ line.sku }}")}
"""
)


def test_each_walks_lists_in_lists(stage: Stage) -> None:
    stage.rule(EACH)
    stage.play(data={"order": {"items": [{"sku": "a", "parts": [1, 2]}, {"sku": "b", "parts": []}, {"sku": "c"}]}})
    assert stage.said == ["a", "a-1", "a-2", "end a", "b", "end b", "c", "end c", "after "]
    keys = [row.idempotency_key for row in stage.effects()]
    assert len(keys) == len(set(keys)) == 9


def test_each_takes_only_the_most_and_says_so(stage: Stage) -> None:
    stage.rule(EACH)
    stage.play(data={"order": {"items": [{"sku": str(number)} for number in range(5)]}})
    assert [text for text in stage.said if text.isdigit()] == ["0", "1", "2"]
    told = [line for line in stage.runs()[0]["trace"] if line["kind"] == "each"]
    assert [(line["count"], line["reason"]) for line in told] == [(5, "only the first 3 are taken")]


# what stands where a list is expected
NO_LISTS = [[], None, "text", 5, {"a": 1}]


@pytest.mark.parametrize("items", NO_LISTS)
def test_each_over_no_list_does_nothing(stage: Stage, items: Any) -> None:
    stage.rule(EACH)
    stage.play(data={"order": {"items": items}})
    assert stage.said == ["after "]


def test_each_waits_inside_and_goes_on_after_restart(make_stage: Callable[..., Stage], clean_script: Script) -> None:
    text = (
        HEAD
        + f"""
  - each: order.items
    then:
      - {say("{{ item }}")}
      - wait: 1 hour
      - {say("later {{ item }}")}
"""
    )
    stage = make_stage()
    stage.rule(text)
    stage.play(data={"order": {"items": ["a", "b"]}})
    assert stage.said == ["a"]
    clock = stage.clock
    again = make_stage(clock=clock)
    again.later(minutes=61)
    assert again.said == ["a", "later a", "b"]
    third = make_stage(clock=clock)
    third.later(hours=2)
    assert third.said == ["a", "later a", "b", "later b"]
    assert third.outcomes() == ["acted"]


def test_each_of_a_thousand_failing_items_ends(stage: Stage) -> None:
    stage.rule(
        HEAD + "  - each: order.items\n    most: 1000\n"
        "    then: [{do: stage.say, with: {text: '{{ item | append: order.id }}'}, on_failure: continue}]\n  - {do: stage.note, with: {text: end}}\n"
    )
    clean = {"order": {"items": [{"odd": 1}] * 1000, "id": ""}}
    stage.play(data=clean)
    assert stage.outcomes() == ["acted"]
    assert stage.said[-1] == "end"


def test_loop_without_end_is_cut(stage: Stage) -> None:
    stage.rule(
        HEAD + "  - each: order.a\n    most: 1000\n    as: x\n    then:\n      - each: order.a\n        most: 1000\n"
        "        as: y\n        then: [{choose: [{if: {field: z, is: yes}, then: []}]}]\n"
    )
    stage.play(data={"order": {"a": list(range(200))}})
    run = stage.runs()[0]
    assert (run["outcome"], "took more than 20000 steps" in run["reason"]) == ("failed", True)


def test_stop_ends_with_its_reason(stage: Stage) -> None:
    stage.rule(HEAD + f"  - {{stop: not today}}\n  - {say('never')}\n")
    stage.play()
    assert [(run["outcome"], run["reason"]) for run in stage.runs()] == [("stopped", "not today")]
    stage.rule(HEAD + f"  - {say('once')}\n  - {{stop: true}}\n  - {say('never')}\n")
    stage.play()
    assert stage.outcomes() == ["stopped", "acted"]
    assert stage.said == ["once"]


def test_steps_see_results_of_steps_before(stage: Stage) -> None:
    stage.rule(
        HEAD + f"  - {{do: stage.say, as: first, with: {{text: hello}}}}\n"
        f"  - {say('{{ steps.first.text }} {{ steps.first.object }}')}\n"
        f"""  - {say("{{ steps['2'].text | upcase }}")}\n"""
    )
    stage.play()
    assert stage.said == ["hello", "hello said:hello", "HELLO SAID:HELLO"]


def test_lone_template_keeps_its_type(stage: Stage) -> None:
    stage.rule(
        HEAD
        + '  - do: stage.call\n    with: {n: "{{ order.n }}", l: "{{ order.l }}", t: "n={{ order.n }}", none: "{{ order.x }}"}\n'
    )
    stage.play(data={"order": {"n": 5, "l": [1, {"a": 2}]}})
    assert stage.said == [{"n": 5, "l": [1, {"a": 2}], "t": "n=5", "none": None}]


# params, words of the failure
BAD_PARAMS = [
    ('{text: ""}', "too short|at least"),
    ("{}", "text"),
    ("{text: '{{ order.gone }}'}", "text"),  # empty when rendered
    ("{text: [a]}", "text"),
]


@pytest.mark.parametrize(("params", "words"), BAD_PARAMS)
def test_wrong_parameters_fail_the_step_in_words(stage: Stage, params: str, words: str) -> None:
    stage.rule(HEAD + f"  - {{do: stage.say, with: {params}}}\n  - {say('never')}\n")
    stage.play()
    run = stage.runs()[0]
    assert run["outcome"] == "failed"
    assert any(word in run["reason"] for word in words.split("|"))
    assert stage.said == []


def test_missing_action_fails_and_names_the_cause(stage: Stage) -> None:
    stage.rule(HEAD + "  - {do: nobody.knows}\n")
    stage.play()
    assert stage.runs()[0]["reason"] == "no action nobody.knows: the plugin that brings it is switched off"


def test_rule_runs_another_with_its_event(stage: Stage) -> None:
    stage.rule(HEAD + "  - {run: other, with: {n: 5}}\n")
    stage.rule(
        "rule: other\nwhen: {event: never.comes}\nif: {field: order.city, is: equal, value: A}\n"
        f"then:\n  - {say('{{ order.city }} {{ params.n }} {{ event.depth }}')}\n"
    )
    stage.play(data={"order": {"city": "A"}}, key="k", customer="c")
    assert stage.said == ["A 5 "]
    caller, called = stage.runs()
    assert (caller["outcome"], called["outcome"], called["key"], called["customer"]) == ("acted", "acted", "k", "c")
    assert [(row.type, row.depth, row.cause) for row in stage.events()] == [
        ("stage.happened", 0, None),
        ("rule.called", 1, caller["id"]),
    ]
    stage.play(data={"order": {"city": "B"}})
    assert [run["outcome"] for run in stage.runs(rule="other")] == ["acted"]


def test_run_of_a_rule_that_is_off_starts_nothing(stage: Stage) -> None:
    stage.rule(HEAD + "  - {run: other}\n")
    stage.rule(f"rule: other\nwhen: {{event: never.comes}}\nthen: [{say('x')}]\n", state="off")
    stage.play()
    assert stage.said == []
    assert stage.outcomes() == ["acted"]


def test_chain_of_runs_is_cut_at_its_depth(stage: Stage) -> None:
    stage.rule(HEAD + f"  - {say('x')}\n  - {{run: r}}\n")
    stage.play()
    assert len(stage.said) == 11  # depth 0 to 10
    assert [row.depth for row in stage.events()] == list(range(12))


def test_each_and_run_fan_out_once_an_item(stage: Stage) -> None:
    stage.rule(HEAD + "  - each: order.items\n    then: [{run: other, with: {n: '{{ item }}'}}]\n")
    stage.rule(f"rule: other\nwhen: {{event: never.comes}}\nthen: [{say('{{ params.n }}')}]\n")
    stage.play(data={"order": {"items": ["a", "b", "c"]}})
    assert stage.said == ["a", "b", "c"]


def test_steps_flatten_into_jumps_that_stay_inside() -> None:
    program = compile_rule(read_yaml(CHOOSE)).program
    targets = [target for step in program for _, target in getattr(step, "arms", ())]
    targets += [step.target for step in program if isinstance(step, Jump)]
    assert all(0 <= target <= len(program) for target in targets)
    with pytest.raises(RuleError):
        compile_rule(read_yaml(CHOOSE.replace("then: []", "then: [x]")))
