"""The matcher finds exactly the rules that asking each of them would find, whatever was added or taken away."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rules.match import Matcher, find_index
from rules.rule import Rule, compile_rule

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=ZoneInfo("UTC"))
TYPES = ["order.paid", "order.sent", "order.lost"]
FIELDS = ["city", "order.city", "order.items.sku", "order.items.tags", "order.total", "gone"]
WORDS = ["İzmir", "izmir", "IZMIR", "ankara", "5", "5.0", "true", "nan", "a", ""]


def make_rule(ident: str, condition: Any, when: Any = None, **more: Any) -> Rule:
    document = {"rule": f"r{ident}", "when": when or {"event": "order.paid"}, "then": [{"stop": True}], **more}
    if condition is not None:
        document["if"] = condition
    return compile_rule(document, id=ident, version=1)


def plainly(rules: dict[str, Rule], kind: str, data: dict[str, Any]) -> list[str]:
    """Ask every rule: those that hold, or that may once their facts are known."""
    heard = [rule for rule in rules.values() if rule.hears(kind, data)]
    verdicts = [(rule, rule.condition.test(data)) for rule in heard]
    return sorted(rule.name for rule, verdict in verdicts if verdict is True)


ROWS = st.one_of(
    st.fixed_dictionaries({"field": st.sampled_from(FIELDS), "is": st.just("equal"), "value": st.sampled_from(WORDS)}),
    st.fixed_dictionaries(
        {"field": st.sampled_from(FIELDS), "is": st.just("equal"), "value": st.sampled_from([5, True])}
    ),
    st.fixed_dictionaries(
        {
            "field": st.sampled_from(FIELDS),
            "is": st.sampled_from(["any_of", "none_of", "include_any"]),
            "value": st.lists(st.sampled_from([*WORDS, 5]), min_size=1, max_size=3),
        },
        optional={"over": st.sampled_from(["any_item", "every_item", "no_item"]), "if_unknown": st.booleans()},
    ),
    st.fixed_dictionaries({"field": st.sampled_from(FIELDS), "is": st.sampled_from(["known", "not_known", "empty"])}),
    st.fixed_dictionaries({"field": st.just("order.total"), "is": st.just("above"), "value": st.integers(0, 9)}),
)
CONDITIONS = st.none() | st.recursive(
    ROWS,
    lambda inner: st.tuples(
        st.sampled_from(["all", "all", "any", "none"]), st.lists(inner, min_size=1, max_size=3)
    ).map(lambda pair: {pair[0]: pair[1]}),
    max_leaves=6,
)
VALUES = st.sampled_from(
    [
        *WORDS,
        5,
        5.0,
        True,
        None,
        Decimal("5"),
        Decimal("5.0"),
        date(2026, 1, 15),
        float("nan"),
        ["a", "izmir"],
        [["a"], "5"],
    ]
)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "city": VALUES,
        "order": st.fixed_dictionaries(
            {},
            optional={
                "city": VALUES,
                "total": VALUES,
                "items": st.lists(st.fixed_dictionaries({}, optional={"sku": VALUES, "tags": VALUES}), max_size=3),
            },
        ),
        "rule": st.sampled_from(["r1", "r2"]),
    },
)


class Comings(RuleBasedStateMachine):
    """Rules come, are replaced, and go; the index must never disagree with asking everybody."""

    def __init__(self) -> None:
        super().__init__()
        self.matcher = Matcher()
        self.filed: dict[str, Rule] = {}

    @rule(
        ident=st.sampled_from("12345678"),
        condition=CONDITIONS,
        types=st.lists(st.sampled_from(TYPES), min_size=1, max_size=2),
    )
    def put(self, ident: str, condition: Any, types: list[str]) -> None:
        self.filed[ident] = make_rule(ident, condition, {"event": types})
        self.matcher.add(self.filed[ident])

    @precondition(lambda self: self.filed)
    @rule(ident=st.sampled_from("12345678"))
    def take_away(self, ident: str) -> None:
        self.filed.pop(ident, None)
        self.matcher.remove(ident)

    @rule(kind=st.sampled_from([*TYPES, "rule.called"]), data=DATA)
    def match(self, kind: str, data: dict[str, Any]) -> None:
        seen = {**data, "now": NOW, "facts": {}, "event": {"type": kind}}
        assert [found.name for found in self.matcher.match(kind, seen)] == plainly(self.filed, kind, seen)

    @invariant()
    def holds_what_was_put(self) -> None:
        assert {rule.id for rule in self.matcher} == set(self.filed)
        assert len(self.matcher) == len(self.filed)


Comings.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)
TestComings = Comings.TestCase


@settings(max_examples=80)
@given(st.lists(CONDITIONS, max_size=8), st.lists(DATA, min_size=1, max_size=3))
def test_empty_again_after_everything_left(conditions: list[Any], events: list[dict[str, Any]]) -> None:
    matcher = Matcher()
    made = [make_rule(str(number), condition) for number, condition in enumerate(conditions)]
    for each in made:
        matcher.add(each)
    for each in made:
        matcher.remove(each.id)
    assert [matcher.match("order.paid", {"now": NOW, "facts": {}, **data}) for data in events] == [[]] * len(events)


@settings(max_examples=300)
@given(st.lists(CONDITIONS, min_size=1, max_size=6), st.lists(DATA, min_size=1, max_size=5))
def test_index_agrees_with_asking_every_rule(conditions: list[Any], events: list[dict[str, Any]]) -> None:
    matcher = Matcher()
    rules = {str(number): make_rule(str(number), condition) for number, condition in enumerate(conditions)}
    for each in rules.values():
        matcher.add(each)
    for data in events:
        seen = {**data, "now": NOW, "facts": {}}
        assert [found.name for found in matcher.match("order.paid", seen)] == plainly(rules, "order.paid", seen)


# What an event made in this process may hold, besides JSON.
ODD = [(Decimal("5"), "5"), (date(2026, 1, 15), "2026-01-15"), (5, "5"), (5.5, "5.5"), (-0.0, "-0.0"), (1e30, "1E+30")]


def test_values_that_are_no_text_are_found_by_their_text() -> None:
    for value, text in ODD:
        matcher = Matcher()
        matcher.add(make_rule("1", {"field": "a", "is": "equal", "value": text}))
        for data in ({"a": value}, {"a": [value]}):
            plain = matcher.get("1").condition.test({"now": NOW, **data})  # type: ignore[union-attr]
            assert bool(matcher.match("order.paid", {"now": NOW, **data})) is (plain is True), (value, data)
        assert matcher.match("order.paid", {"now": NOW, "a": value})


def test_newer_version_replaces_the_older() -> None:
    matcher = Matcher()
    old = make_rule("1", {"field": "city", "is": "equal", "value": "İzmir"})
    matcher.add(old)
    matcher.add(replace(make_rule("1", {"field": "city", "is": "equal", "value": "Ankara"}), version=2))
    assert matcher.match("order.paid", {"now": NOW, "city": "izmir"}) == []
    assert [found.version for found in matcher.match("order.paid", {"now": NOW, "city": "ANKARA"})] == [2]


# condition, what it is filed under
INDEXED: list[tuple[Any, tuple[str, ...] | None]] = [
    ({"field": "a", "is": "equal", "value": "x"}, ("a",)),
    (
        {"all": [{"field": "a", "is": "any_of", "value": ["x", "y"]}, {"field": "b", "is": "equal", "value": "z"}]},
        ("b",),
    ),
    ({"all": [{"all": [{"field": "a", "is": "equal", "value": "x"}]}]}, ("a",)),
    ({"any": [{"field": "a", "is": "equal", "value": "x"}]}, None),  # the other part may hold
    ({"none": [{"field": "a", "is": "equal", "value": "x"}]}, None),
    ({"field": "a", "is": "not_equal", "value": "x"}, None),
    ({"field": "a", "is": "equal", "value": 5}, None),  # 5 is also 5.0 and "5.00"
    ({"field": "a", "is": "equal", "value": "{{ b }}"}, None),
    ({"field": "a", "is": "equal", "value": {"field": "b"}}, None),
    ({"field": "a", "is": "equal", "value": "x", "if_unknown": True}, None),  # holds where the field is missing
    ({"field": "a", "is": "equal", "value": "x", "over": "no_item"}, None),
    ({"field": "a.b", "is": "equal", "value": "x", "also": {"field": "c", "is": "yes"}}, None),
    (None, None),
]


def test_rules_are_filed_only_under_what_must_hold() -> None:
    for number, (condition, field) in enumerate(INDEXED):
        index = find_index(make_rule(str(number), condition))
        assert (index.field if index else None) == field, condition


def test_rule_with_facts_is_a_candidate_until_they_are_known() -> None:
    fact = {"fact": "customer.points", "is": "at_least", "value": 5}
    matcher = Matcher()
    matcher.add(make_rule("1", {"all": [fact, {"field": "city", "is": "equal", "value": "x"}]}))
    matcher.add(make_rule("2", {"any": [fact, {"field": "city", "is": "equal", "value": "x"}]}))
    matcher.add(make_rule("3", {"field": "city", "is": "equal", "value": "x"}))
    seen = {"now": NOW, "facts": {}}
    assert [found.id for found in matcher.match("order.paid", {**seen, "city": "x"})] == ["1", "2", "3"]
    assert [found.id for found in matcher.match("order.paid", {**seen, "city": "y"})] == ["2"]
    assert [found.id for found in matcher.match("order.paid", seen)] == ["2"]  # unknown city: not the third


def test_own_events_reach_only_their_rule() -> None:
    matcher = Matcher()
    matcher.add(make_rule("1", None, {"schedule": "every day at 09:00"}))
    matcher.add(make_rule("2", None, {"schedule": "every day at 09:00"}))
    matcher.add(make_rule("3", None))
    seen = {"now": NOW, "facts": {}, "rule": "r2"}
    assert [found.name for found in matcher.match("rule.scheduled", seen)] == ["r2"]
    assert [found.name for found in matcher.match("rule.called", {**seen, "rule": "r3"})] == ["r3"]
    assert matcher.match("rule.called", {"now": NOW, "facts": {}}) == []


def test_cost_grows_with_candidates_not_rules() -> None:
    asked: list[str] = []

    class Counting:
        """A condition that tells that it was asked."""

        def __init__(self, inner: Any, name: str) -> None:
            self.inner, self.name, self.facts, self.fields = inner, name, (), frozenset()

        def test(self, data: Any) -> Any:
            asked.append(self.name)
            return self.inner.test(data)

    matcher = Matcher()
    for number in range(2_000):
        made = make_rule(str(number), {"field": "city", "is": "equal", "value": f"city {number}"})
        matcher.add(made)
        object.__setattr__(matcher.get(str(number)), "condition", Counting(made.condition, made.name))
    assert [found.name for found in matcher.match("order.paid", {"now": NOW, "city": "CITY 77"})] == ["r77"]
    assert asked == ["r77"]
