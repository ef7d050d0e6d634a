"""Rule documents: good ones mean what they say, bad ones are refused with the place and words to mend them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.durations import Duration
from core.errors import RuleError
from rules.rule import Cap, compile_rule, read_cap, read_yaml
from rules.steps import Await, Branch, Do, Each, Jump, RunRule, Sleep, Split, Stop
from rules.yaml_text import join_documents, read_rule_text, split_documents, to_yaml

HEAD = "rule: r\nwhen: {event: order.paid}\n"
THEN = "then: [{do: tasks.create, with: {title: x}}]\n"
DO = "{do: tasks.create}"


def steps(text: str) -> str:
    return f"{HEAD}then:\n  - {text}\n"


def more(text: str) -> str:
    return f"{HEAD}{THEN}{text}\n"


def when(text: str) -> str:
    return f"rule: r\nwhen: {text}\n{THEN}"


# text, words of the refusal: what is no YAML of ours
BAD_YAML = [
    ("", "a rule is an object"),
    ("just text", "a rule is an object"),
    ("- rule: r", "a rule is an object"),
    ("rule: r\nwhen: {event: a\nthen: []", "line 3: "),  # a brace that is not closed
    ("rule: r\n\twhen: x", "line 2: found character"),  # a tab
    ("rule: 'r", "line 1: found unexpected end of stream"),
    ("rule: r\nrule: s", 'line 2: found duplicate key "rule"'),
    ("rule: r\nwhen: {event: a, event: b}", "line 2: found duplicate key"),
    ("rule: &name r\nabout: *name", r"references \(\*name\) are not supported"),
    ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "references"),  # a billion laughs
    ("base: &base {a: 1}\nrule:\n  <<: *base", "references"),
    ("rule: r\n---\nrule: s", "line 2: "),  # two documents in one
    ("rule: !!python/object/apply:os.system [ls]", "line 1: could not determine a constructor"),
    ("rule: !secret x", "line 1: could not determine a constructor"),
    ("rule: !!binary aGk=", "rule: values of the kind bytes"),
    ("rule: !!set {a, b}", "kind set"),
    ("1: one", "the key 1 must be text; put it in quotes"),
    ("rule: {true: one}", "rule: the key True must be text"),
    ("%YAML 1.1\n---\nrule: r", "only YAML 1.2 is read"),
    ("a: " + "[" * 61 + "]" * 61, "line 1: the text is deeper than 60 levels"),
    ("a: " + "[" * 100_000, "deeper than 60 levels"),  # hours of work for a careless reader
    ("? " * 50_000, "deeper than 60 levels"),
    ("a: [" + "1," * 40_000 + "]", "longer than 30000 values"),
    ("a: " + "x" * 200_000, "longer than 200000 characters"),
    ("rule: \x07", "special characters are not allowed"),
]

# text, path and words of the refusal: YAML, but no rule
BAD_RULES = [
    ("when: {event: a}\n" + THEN, "rule", "is required|is missing"),
    (f"rule: r\n{THEN}", "when", "is required|is missing"),
    (HEAD, "then", "is required|is missing"),
    (f"{HEAD}then: []", "then", "too few entries"),
    (f"rule: My Rule\nwhen: {{event: a}}\n{THEN}", "rule", "expected form"),
    (f"rule: ../../etc\nwhen: {{event: a}}\n{THEN}", "rule", "expected form"),
    (f"rule: 5\nwhen: {{event: a}}\n{THEN}", "rule", "text"),
    (more("wehn: x"), "wehn", "Known: "),
    (more("owner: [a]"), "owner", "text"),
    (more("title: {de: Titel}"), "title.de", "Known: en, tr, ru"),
    (when("{}"), "when", "fits none"),
    (when("order.paid"), "when", "object"),
    (when("{event: a, schedule: hourly}"), "when", "fits none"),
    (when("{event: []}"), "when.event", "too few entries"),
    (when("{schedule: every full moon}"), "when.schedule", "write words such as"),
    (when("{schedule: '61 25 * * *'}"), "when.schedule", "field minute has '61'"),
    (when("{schedule: hourly, zone: Mars/Phobos}"), "when.zone", "no time zone is called 'Mars/Phobos'"),
    (when("{schedule: hourly, missed: some}"), "when", "fits none"),
    (when("{absence: order.paid, for: 5 s}"), "when.for", "is too short"),
    (when("{absence: b, after: a, for: soon}"), "when.timeout", "is not a length of time"),
    (when("{date: customer.shoe_size}"), "when.date", "must be one of customer.birthday"),
    (when("{date: customer.birthday, offset: soon}"), "when.offset", "is not a length of time"),
    (when("{date: customer.birthday, at: '25:00'}"), "when.at", "expected form"),
    (when("{webhook: a b}"), "when.webhook", "expected form"),
    (steps("5"), "then[0]", "must be an object"),
    (steps("{od: tasks.create}"), "then[0]", "fits none"),
    (steps("{do: create}"), "then[0].do", "is no action; write it like tasks.create"),
    (steps("{do: 5}"), "then[0].do", "must be text"),
    (steps("{do: a.b, with: text}"), "then[0].with", "must be an object"),
    (steps("{do: a.b, with: {x: '{{ y '}}"), "then[0].with.x", "{{ is not closed"),
    (steps("{do: a.b, on_failure: panic}"), "then[0]", "fits none|must be one of"),
    (steps("{do: a.b, as: Big Name}"), "then[0].as", "expected form"),
    (steps("{do: a.b, as: x}\n  - {do: a.b, as: x}"), "then[1].as", "'x' is the name of an earlier step"),
    (steps("{wait: soon}"), "then[0].wait.for", "is not a length of time"),
    (steps("{wait: -3 days}"), "then[0].wait.for", "is negative"),
    (steps("{wait: {for: 900 years}}"), "then[0].wait.for", "is longer than 200 years"),
    (steps("{wait: {until: someday}}"), "then[0].wait.until", "is no time such as 18:30"),
    (steps("{wait: {until: '25:00'}}"), "then[0].wait.until", "is not a time of day"),
    (steps("{wait: {until: 'a:b'}}"), "then[0].wait.until", "is not a time of day"),
    (steps("{wait: {until: '2026-02-30'}}"), "then[0].wait.until", "is no time"),
    (steps("{wait: {until: 2026-02-30}}"), "", "day is out of range for month"),
    (steps("{wait: {until: {field: a, offset: soon}}}"), "then[0].wait.for", "is not a length of time"),
    (steps("{wait: {until: {field: a..b}}}"), "then[0].wait.until.field", "is not a field"),
    (steps("{wait: {between: ['10:00']}}"), "then[0].wait.between", "too few entries"),
    (steps("{wait: {event: a}}"), "then[0].wait", "fits none"),
    (steps("{wait: {event: a, timeout: soon}}"), "then[0].wait.timeout", "is not a length of time"),
    (steps("{wait: {event: a, timeout: 1 day, where: {b..c: 1}}}"), "then[0].wait.where", "is not a field"),
    (steps("{wait: {event: a, timeout: 1 day, if: {is: yes}}}"), "then[0].wait.if", "needs either a field or a fact"),
    (steps("{choose: []}"), "then[0].choose", "too few entries"),
    (steps("{choose: [{then: []}]}"), "then[0].choose[0].if", "is required"),
    (
        steps(f"{{choose: [{{if: {{field: a, is: like}}, then: [{DO}]}}]}}"),
        "then[0].choose[0].if.is",
        "no operator 'like'",
    ),
    (
        steps("{choose: [{if: {field: a, is: yes}, then: [{wait: x9}]}]}"),
        "then[0].choose[0].then[0].wait.for",
        "is not a length",
    ),
    (
        steps("{split: [{percent: 60, then: []}, {percent: 41, then: []}]}"),
        "then[0].split",
        "add up to 101 %, which is more",
    ),
    (steps("{split: [{percent: 101, then: []}, {percent: 0, then: []}]}"), "then[0].split[0].percent", "at most 100"),
    (steps("{split: [{percent: 50, then: []}]}"), "then[0].split", "too few entries"),
    (
        steps("{by: colour, split: [{percent: 5, then: []}, {percent: 5, then: []}]}"),
        "then[0].by",
        "must be one of customer, key",
    ),
    (steps(f"{{each: a..b, then: [{DO}]}}"), "then[0].each", "is not a field"),
    (steps("{each: a, then: []}"), "then[0].then", "too few entries"),
    (steps(f"{{each: a, most: 0, then: [{DO}]}}"), "then[0].most", "at least 1"),
    (steps(f"{{each: a, as: now, then: [{DO}]}}"), "then[0].as", "is a name of the engine's own"),
    (steps(f"{{each: a, then: [{{each: b, then: [{DO}]}}]}}"), "then[0].then[0].as", "is the item of the loop around"),
    (more("if: {field: a, is: equal}"), "if.value", "is missing: the operator equal needs a same"),
    (
        more("if: {all: [{field: a, is: yes}, {field: b, is: at_least, value: many}]}"),
        "if.all[1].value",
        "needs a number",
    ),
    (more("limits: {per_customer: often}"), "limits.per_customer", "expected form"),
    (more("limits: {per_customer: once in a while}"), "limits.per_customer", "is not a length of time"),
    (more("limits: {per_key: once in 0 days}"), "limits.per_key", "longer than nothing"),
    (more("limits: {per_hour: 0}"), "limits.per_hour", "at least 1"),
    (more("limits: {per_hour: many}"), "limits.per_hour", "number|integer"),
    (more("limits: {valid_for: always}"), "limits.valid_for", "is not a length of time"),
    (more("limits: {per_week: 5}"), "limits.per_week", "Known: per_customer"),
    (more("mode: {run: sometimes}"), "mode.run", "parallel, single, restart, queued"),
    (more("mode: {key: a..b}"), "mode.key", "is not a field"),
    (more("mode: {most: 5000}"), "mode.most", "at most 1000"),
    (more("failure: {then: cry}"), "failure.then", "must be one of"),
]


@pytest.mark.parametrize(("text", "words"), BAD_YAML, ids=range(len(BAD_YAML)))
@pytest.mark.timeout(15)
def test_bad_yaml_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        read_yaml(text)


@pytest.mark.parametrize(("text", "path", "words"), BAD_RULES, ids=range(len(BAD_RULES)))
def test_bad_rule_is_refused_with_its_place(text: str, path: str, words: str) -> None:
    with pytest.raises(RuleError, match=words) as refusal:
        compile_rule(read_yaml(text))
    assert refusal.value.path == path


def test_nesting_of_steps_is_limited() -> None:
    inner = DO
    for _ in range(11):
        inner = f"{{choose: [{{if: {{field: a, is: yes}}, then: [{inner}]}}]}}"
    with pytest.raises(RuleError, match="is nested deeper than 10 levels"):
        compile_rule(read_yaml(steps(inner)))


def test_number_of_steps_is_limited() -> None:
    arm = f"{{if: {{field: a, is: yes}}, then: [{', '.join([DO] * 199)}]}}"
    with pytest.raises(RuleError, match="has more than 1000 steps; split the rule"):
        compile_rule(read_yaml(steps(f"{{choose: [{', '.join([arm] * 6)}]}}")))


# What cannot be stored, though YAML can say it
UNSTORABLE = [
    ("x: 123456789012345678901234567890", "then[0].with.x", "beyond 64 bits"),
    ("x: .inf", "then[0].with.x", "not a finite number"),
    ("x: .nan", "then[0].with.x", "not a finite number"),
    ('x: "\\ud800"', "then[0].with.x", "half of a surrogate pair"),
    ('x: "a\\0b"', "then[0].with.x", "NUL"),
    ('"a\\0b": x', "then[0].with", "NUL|characters"),
]


@pytest.mark.parametrize(("text", "path", "words"), UNSTORABLE)
def test_text_that_cannot_be_stored_is_refused(text: str, path: str, words: str) -> None:
    with pytest.raises(RuleError, match=words) as refusal:
        read_rule_text(steps(f"{{do: a.b, with: {{{text}}}}}"))
    assert refusal.value.path.startswith(path)


# text, what YAML 1.2 says that it is
SCALARS = [
    ("yes", "yes"),  # Norway, and everybody who writes `is: yes`
    ("no", "no"),
    ("on", "on"),
    ("off", "off"),
    ("NO", "NO"),
    ("true", True),
    ("False", False),
    ("~", None),
    ("null", None),
    ("1:30", "1:30"),  # no sexagesimal numbers
    ("010", 10),
    ("0o10", 8),
    ("1e3", 1000.0),
    ("'5'", "5"),
    ("2026-03-01", "2026-03-01"),  # dates become text again
    ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00+00:00"),
    ("10:00", "10:00"),
    ("İstanbul", "İstanbul"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = read_yaml(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


# text, cap
CAPS = [
    ("once in 365 days", Cap(1, Duration(days=365))),
    ("200 an hour", Cap(200, Duration(seconds=3600))),
    ("500 a day", Cap(500, Duration(days=1))),
    ("3 in 7 days", Cap(3, Duration(days=7))),
    ("2 per week", Cap(2, Duration(weeks=1))),
    ("1 in 6 months", Cap(1, Duration(months=6))),
    (500, Cap(500, Duration(days=1))),
    ("0 a day", Cap(0, Duration(days=1))),
    (None, None),
]


@pytest.mark.parametrize(("text", "cap"), CAPS)
def test_cap_is_read_from_words(text: Any, cap: Cap | None) -> None:
    assert read_cap(text, "limits.x") == cap


def test_whole_rule_of_the_manual_compiles() -> None:
    rule = compile_rule(read_yaml(MANUAL))
    assert [type(step) for step in rule.program] == [
        Sleep,
        Do,
        Await,
        Branch,
        Do,
        Jump,
        Stop,
        Jump,
        Split,
        Jump,
        RunRule,
        Jump,
        Each,
        Do,
        Jump,
    ]
    assert rule.trigger.types == ("order.completed",)
    assert rule.limits.per_customer == Cap(1, Duration(days=365))
    assert rule.limits.ask_above == Cap(500, Duration(days=1))
    assert (rule.mode.run, rule.mode.key, rule.failure.then, rule.owner) == (
        "queued",
        "order.id",
        "continue",
        "elif@shop.example",
    )
    assert [wait.event_type for wait in rule.waits] == ["offer.opened"]


MANUAL = """\
# Why we do this: people forget.
rule: insurance-day-3
title: {en: Insurance offer on day 3, tr: Sigorta teklifi}
when: {event: order.completed}   # once it is paid and handed over
if:
  all:
    - {field: order.items.category, is: any_of, value: [smartphones], over: any_item}
    - {field: order.paid_total, is: at_least, value: {amount: "5000", currency: TRY}}
    - any: [{field: customer.city, is: any_of, value: [İstanbul, Ankara]}, {field: order.delivery, is: equal, value: pickup}]
then:
  - wait: {for: 3 days, between: ["10:00", "20:00"], recheck: true}
  - do: messages.send
    with: {text: "Hello {{ customer.name }}"}
    as: offer
  - wait: {event: offer.opened, where: {offer: "{{ steps.offer.link }}"}, timeout: 2 days}
  - choose:
      - if: {all: [{field: steps.3.outcome, is: equal, value: happened}]}
        then: [{do: tasks.create, with: {title: Call about insurance}}]
      - if: {field: order.id, is: not_known}
        then: [{stop: nothing to say}]
  - split:
      - {percent: 50, then: []}
      - {percent: 50, then: [{run: other-rule, with: {x: 1}}]}
  - each: order.items
    as: line
    then: [{do: tasks.create, with: {title: "{{ line.sku }}"}}]
limits: {per_customer: once in 365 days, per_hour: 200, ask_above: 500 a day, valid_for: 1 day}
mode: {run: queued, key: order.id}
failure: {retry: standard, then: continue}
owner: elif@shop.example
"""


def test_documents_of_one_file_keep_their_comments() -> None:
    texts = [MANUAL, HEAD + THEN, f"# third\n{HEAD}{THEN}# the end\n"]
    assert split_documents(join_documents(texts)) == texts


TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t:#-'\"\x85\u2028\ufeff"), max_size=12
)
KEYS = st.text(st.characters(categories=["L", "N", "P", "Z"]), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=120)
@given(st.dictionaries(KEYS, JSON, min_size=1, max_size=3))
def test_written_yaml_reads_back_the_same(document: dict[str, Any]) -> None:
    assert read_yaml(to_yaml(document)) == document


def test_recorded_rules_of_the_acceptance_test_round_trip() -> None:
    folder = Path(__file__).resolve().parents[1] / "acceptance" / "olist" / "rules"
    texts = [path.read_text() for path in sorted(folder.glob("*.yaml"))]
    assert len(texts) == 8
    for text in texts:
        document = read_yaml(text)
        assert read_yaml(to_yaml(document)) == document
        assert compile_rule(read_yaml(to_yaml(document))).trigger == compile_rule(document).trigger


@settings(max_examples=150)
@given(st.text(st.sampled_from("ab:- {}[]'\"#&*!|>%@`\n\t?,0"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        compile_rule(read_yaml(text))
    except RuleError as exc:
        assert exc.reason
