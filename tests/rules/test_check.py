"""Checks at save time find what can never work, and leave alone what can."""

from typing import Any

import pytest
from stage import Stage

from core.errors import RuleError
from rules.check import check_rule
from rules.rule import read_yaml

HEAD = "rule: r\nwhen: {event: stage.happened}\n"
SAY = "then: [{do: stage.say, with: {text: x}}]\n"


def findings(stage: Stage, text: str) -> list[tuple[str, str, str]]:
    return [(row["severity"], row["path"], row["message"]) for row in check_rule(stage.engine, read_yaml(text))]


def condition(*rows: str, group: str = "all") -> str:
    return f"{HEAD}if: {{{group}: [{', '.join(rows)}]}}\n{SAY}"


# rule, severity, path and words of its only finding
FOUND = [
    (HEAD.replace("stage.happened", "stage.hapened") + SAY, "error", "when", "did you mean stage.happened?"),
    (HEAD + "then: [{do: stage.sya}]\n", "error", "then[0].do", "no action stage.sya; did you mean stage.say?"),
    (HEAD + "then: [{do: stage.say}]\n", "error", "then[0].with.text", "is required"),
    (HEAD + "then: [{do: stage.say, with: {text: 5}}]\n", "error", "then[0].with.text", "must be text"),
    (
        HEAD + "then: [{do: tasks.create, with: {titel: '{{ order.id }}', title: x}}]\n",
        "error",
        "then[0].with.titel",
        "did you mean title?",
    ),
    (
        HEAD + "then: [{do: tasks.create, with: {text: '{{ order.id }}'}}]\n",
        "error",
        "then[0].with",
        "tasks.create needs title",
    ),
    (HEAD + "then: [{run: nobody}]\n", "error", "then[0].run", "there is no rule 'nobody'"),
    (
        HEAD + "then: [{do: stage.say, as: one, with: {text: '{{ steps.two.text }}'}}]\n",
        "error",
        "then[0].with.text",
        "no step is called 'two'",
    ),
    (
        HEAD + "then:\n  - wait: {event: stage.hapened, timeout: 1 day}\n  - {stop: true}\n",
        "error",
        "then[0].wait",
        "no plugin that is on brings the event stage.hapened",
    ),
    (
        condition("{field: order.ctiy, is: known}"),
        "warning",
        "if",
        "order.ctiy is no field of stage.happened; did you mean order.city?",
    ),
    (
        HEAD + "then: [{do: stage.say, with: {text: '{{ order.ctiy }}'}}]\n",
        "warning",
        "then[0].with.text",
        "did you mean order.city?",
    ),
    (
        condition("{field: order.city, is: equal, value: A}", "{field: order.city, is: equal, value: B}"),
        "error",
        "if.all[1]",
        "can never be both this and if.all[0]: the rule never acts",
    ),
    (
        condition("{field: order.city, is: any_of, value: [A, B]}", "{field: order.city, is: any_of, value: [C]}"),
        "error",
        "if.all[1]",
        "the rule never acts",
    ),
    (
        condition("{field: order.total, is: at_least, value: 9}", "{field: order.total, is: at_most, value: 5}"),
        "error",
        "if.all[1]",
        "never acts",
    ),
    (
        condition("{field: order.total, is: above, value: 5}", "{field: order.total, is: at_most, value: 5}"),
        "error",
        "if.all[1]",
        "never acts",
    ),
    (
        condition("{field: order.total, is: equal, value: 5}", "{field: order.total, is: below, value: '1e-999999'}"),
        "error",
        "if.all[1]",
        "never acts",
    ),
    (
        HEAD
        + "if: {any: [{all: [{field: order.city, is: equal, value: A}, {field: order.city, is: equal, value: B}]}, {field: order.id, is: known}]}\n"
        + SAY,
        "warning",
        "if.any[0].all[1]",
        "this group does not hold",
    ),
    (HEAD + "then: [{do: stage.emit}]\n", "warning", "then", "may set itself off: r → r"),
    (HEAD + "if: {field: a.b, is: like}\n" + SAY, "error", "if.is", "no operator 'like'"),
    ("rule: r\n" + SAY, "error", "when", "is required"),
]


@pytest.mark.parametrize(("text", "severity", "path", "words"), FOUND, ids=range(len(FOUND)))
def test_fault_is_found_with_its_place(stage: Stage, text: str, severity: str, path: str, words: str) -> None:
    told = findings(stage, text)
    assert [row[:2] for row in told] == [(severity, path)]
    assert words in told[0][2]


# rules that are fine
FINE = [
    HEAD + SAY,
    # Two items of one order may differ: a phone and a case.
    condition("{field: order.items.sku, is: equal, value: phone}", "{field: order.items.sku, is: equal, value: case}"),
    condition("{field: order.items.price, is: above, value: 100}", "{field: order.items.price, is: below, value: 50}"),
    # Nothing known is as good as both.
    condition(
        "{field: order.total, is: above, value: 9, if_unknown: true}",
        "{field: order.total, is: below, value: 5, if_unknown: true}",
    ),
    condition("{field: order.city, is: equal, value: A}", "{field: order.city, is: any_of, value: [a, b]}"),
    condition("{field: order.total, is: at_least, value: 5}", "{field: order.total, is: at_most, value: 5}"),
    condition("{field: order.city, is: equal, value: A}", "{field: order.city, is: equal, value: B}", group="any"),
    condition("{field: order.city, is: equal, value: İ}", "{field: order.city, is: equal, value: i}"),
    # Names that every picture has.
    HEAD
    + "then: [{do: stage.say, as: one, with: {text: '{{ event.key }} {{ now }} {{ shop.currency }}'}}, {do: stage.say, with: {text: '{{ steps.one.text }}'}}]\n",
    HEAD
    + "then: [{each: order.items, as: line, then: [{do: stage.say, with: {text: '{{ line.sku }} {{ order.items.0.sku }}'}}]}]\n".replace(
        ".0.", "[0]."
    ),
    # What own triggers carry is in no schema.
    "rule: r\nwhen: {form: {type: object, properties: {why: {type: string}}}, on: order}\nthen: [{do: stage.say, with: {text: '{{ form.why }} {{ order.id }}'}}]\n",
    "rule: r\nwhen: {date: customer.birthday}\nif: {field: customer.city, is: known}\n" + SAY,
    "rule: r\nwhen: {webhook: my-hook}\nif: {field: body.x, is: known}\n" + SAY,
    "rule: r\nwhen: {schedule: hourly}\n" + SAY,
    "rule: r\nwhen: {absence: order.paid, after: order.created, for: 1 day}\n" + SAY,
]


@pytest.mark.parametrize("text", FINE, ids=range(len(FINE)))
def test_good_rule_has_a_clean_bill_and_goes_live(stage: Stage, text: str) -> None:
    assert findings(stage, text) == []
    stage.engine.publish(text, actor="ann", state="on")


def test_errors_come_before_warnings(stage: Stage) -> None:
    odd = "if: {field: order.ctiy, is: known}\n"
    told = findings(stage, HEAD + odd + "then: [{do: stage.sya}, {do: stage.yas}]\n")
    assert [row[0] for row in told] == ["error", "error", "warning"]


def test_loop_over_other_rules_is_told_whole(stage: Stage) -> None:
    stage.rule("rule: two\nwhen: {event: stage.happened}\nthen: [{run: three}]\n")
    stage.rule("rule: three\nwhen: {event: x.y}\nthen: [{do: stage.emit}]\n")
    told = findings(stage, "rule: one\nwhen: {event: stage.happened}\nthen: [{run: two}]\n")
    assert [(row[0], row[2].split(";")[0]) for row in told] == [
        ("warning", "may set itself off: one → two → three → one")
    ]
    # Called by name, a loop needs no event at all.
    stage.rule("rule: four\nwhen: {event: x.z}\nthen: [{run: four}]\n")
    told = findings(stage, "rule: four\nwhen: {event: x.z}\nthen: [{run: four}]\n")
    assert ("warning", "may set itself off: four → four") in [(row[0], row[2].split(";")[0]) for row in told]


def test_two_writers_of_one_field_are_told(stage: Stage) -> None:
    stage.rule("rule: other\n" + HEAD.split("\n", 1)[1] + SAY)
    assert findings(stage, HEAD + SAY) == [
        ("warning", "then", "the rule other writes order.status on the same event; the last one wins")
    ]
    stage.engine.switch("other", "off", actor="ann")
    assert findings(stage, HEAD + SAY) == []


def test_errors_keep_a_rule_from_going_live_only(stage: Stage) -> None:
    bad: Any = HEAD + "then: [{do: stage.sya}]\n"
    stage.engine.publish(bad, actor="ann")
    for state in ("on", "watching"):
        with pytest.raises(RuleError, match="no action stage.sya"):
            stage.engine.switch("r", state, actor="ann")
    stage.engine.switch("r", "paused", actor="ann")
    stage.engine.switch("r", "off", actor="ann")


UNHEARD = HEAD.replace("stage.happened", "till.closed") + SAY


def test_draft_may_listen_to_what_nothing_brings_yet(stage: Stage) -> None:
    (found,) = check_rule(stage.engine, read_yaml(UNHEARD), draft=True)
    assert (found["severity"], found["path"]) == ("warning", "when")


def test_rule_that_nothing_starts_is_not_published(stage: Stage) -> None:
    with pytest.raises(RuleError, match=r"till\.closed, and none has ever come: correct the name, or switch on"):
        stage.engine.publish(UNHEARD, actor="test", state="on")


def test_event_that_came_before_may_be_listened_to(stage: Stage) -> None:
    """Its plugin is off for now; its events are stored."""
    stage.take("till.closed")
    assert [row[0] for row in findings(stage, UNHEARD)] == ["warning"]
    stage.engine.publish(UNHEARD, actor="test", state="on")
