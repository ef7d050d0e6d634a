"""The matcher finds exactly the rules that asking each of them would find, whatever was added or taken away."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rules.conditions import Scope
from rules.match import Matcher
from rules.matching.checks import concerns
from rules.matching.keys import Vocabulary, choose, read_parts
from rules.operators import OPERATORS, Operator
from rules.rule import Rule, compile_rule

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=ZoneInfo("UTC"))
TYPES = ["order.paid", "order.sent", "order.lost"]
FIELDS = ["city", "order.city", "order.items.sku", "order.items.tags", "order.total", "order.items.product.sku", "gone"]
WORDS = ["İzmir", "izmir", "IZMIR", "ankara", "5", "5.0", "true", "nan", "a", "", "ağır ısı", "AĞIR ISI", "\u0307i"]
PLUGIN = Operator.from_plugin("tea.is_strong", "tea", ("text",))
SCOPE = Scope(operators={**OPERATORS, PLUGIN.name: PLUGIN})


def make_rule(ident: str, condition: Any, when: Any = None, **more: Any) -> Rule:
    document = {"rule": f"r{ident}", "when": when or {"event": "order.paid"}, "then": [{"stop": True}], **more}
    if condition is not None:
        document["if"] = condition
    return compile_rule(document, id=ident, version=1, scope=SCOPE)


def plainly(rules: dict[str, Rule], kind: str, data: dict[str, Any]) -> list[str]:
    """Ask every rule: those that hold, or that may once the runner has asked the rest."""
    heard = [rule for rule in rules.values() if rule.hears(kind, data)]
    found = sorted(rule.name for rule in heard if concerns(rule.condition, data))
    sure = {rule.name for rule in heard if rule.condition.test(data) is True}
    open_ = {rule.name for rule in heard if rule.condition.needs_runner and rule.condition.test(data) is None}
    # The law says no more than the verdicts: what holds is found, and only what is open may be found besides.
    assert sure <= set(found) <= sure | open_
    return found


def row(operators: list[str], values: Any, **more: Any) -> Any:
    known = {"field": st.sampled_from(FIELDS), "is": st.sampled_from(operators), "value": values}
    over = st.sampled_from(["any_item", "every_item", "no_item"])
    return st.fixed_dictionaries(known, optional={"over": over, "if_unknown": st.booleans(), **more})


NUMBERS = st.sampled_from(
    [0, 5, 5.5, "5", 9, {"amount": "5", "currency": "TRY"}, {"amount": "7.50", "currency": "EUR"}]
)
TEXTS = st.sampled_from([word for word in WORDS if word])
ROWS = st.one_of(
    row(["equal", "not_equal"], st.sampled_from(WORDS)),
    row(["equal", "not_equal"], st.sampled_from([5, True, {"amount": "5", "currency": "TRY"}, "{{ city }}"])),
    row(["any_of", "none_of", "include_any"], st.lists(st.sampled_from([*WORDS, 5]), min_size=1, max_size=3)),
    row(["any_of", "none_of"], st.lists(st.sampled_from([5, 5.5, {"amount": "5"}]), min_size=1, max_size=2)),
    row(["contains", "not_contains", "starts_with", "ends_with"], TEXTS | st.lists(TEXTS, min_size=1, max_size=2)),
    row(["at_least", "at_most", "above", "below"], NUMBERS),
    row(
        ["between"],
        st.sampled_from([[0, 5], [5, 5], [{"amount": "1", "currency": "TRY"}, {"amount": "7", "currency": "TRY"}]]),
    ),
    row(["tea.is_strong", "equal"], st.just("a")),
    row(["known", "not_known", "empty", "yes"], st.none()).map(
        lambda each: {**each, "value": 1} if each["is"] == "yes" else each
    ),
    st.fixed_dictionaries(
        {
            "field": st.sampled_from(["order.items.sku", "order.items.product.sku"]),
            "is": st.just("equal"),
            "value": st.sampled_from(WORDS),
            "also": st.just({"field": "tags", "is": "include_any", "value": ["a"]}),
        }
    ),
    st.just({"fact": "customer.points", "is": "at_least", "value": 5}),
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
        7.5,
        True,
        None,
        Decimal("5"),
        Decimal("5.0"),
        date(2026, 1, 15),
        float("nan"),
        {"amount": "5.00", "currency": "TRY"},
        {"amount": "8", "currency": "EUR"},
        {"amount": 5},
        {"amount": "much", "currency": "TRY"},
        6,
        {"amount": "6", "currency": "TRY"},
        ["a", "izmir"],
        ["a", "A", 5],
        [4, 6, 9],
        [["a"], "5"],
        ("a", "5"),
        "Çok ağır ısıtıcı: 5",
    ]
)
PRODUCTS = st.none() | st.fixed_dictionaries({}, optional={"sku": VALUES})
ITEMS = st.fixed_dictionaries(
    {}, optional={"sku": VALUES, "tags": VALUES, "product": PRODUCTS | st.lists(PRODUCTS, max_size=2)}
)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "city": VALUES,
        "order": st.fixed_dictionaries(
            {},
            optional={"city": VALUES, "total": VALUES, "items": st.lists(ITEMS, max_size=3) | VALUES},
        )
        | VALUES,
        "rule": st.sampled_from(["r1", "r2", "R1", ["r1"], 1]),
    },
)


class Comings(RuleBasedStateMachine):
    """Rules come, are replaced, and go; the index must never disagree with asking everybody."""

    #: Up to how many rules of a type nothing is looked up.
    few = 0

    def __init__(self) -> None:
        super().__init__()
        self.matcher = Matcher(few=self.few)
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


class FewComings(Comings):
    """The same where rules are asked one by one until there are more than a few."""

    few = 3


FewComings.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
TestFewComings = FewComings.TestCase


@settings(max_examples=80)
@given(st.lists(CONDITIONS, max_size=8), st.lists(DATA, min_size=1, max_size=3))
def test_empty_again_after_everything_left(conditions: list[Any], events: list[dict[str, Any]]) -> None:
    matcher = Matcher(few=0)
    made = [make_rule(str(number), condition) for number, condition in enumerate(conditions)]
    for each in made:
        matcher.add(each)
    for each in made:
        matcher.remove(each.id)
    assert [matcher.match("order.paid", {"now": NOW, "facts": {}, **data}) for data in events] == [[]] * len(events)


@settings(max_examples=200, deadline=None)
@given(st.lists(CONDITIONS, min_size=1, max_size=6), st.lists(DATA, min_size=1, max_size=5), st.sampled_from([0, 99]))
def test_index_agrees_with_asking_every_rule(conditions: list[Any], events: list[dict[str, Any]], few: int) -> None:
    agree(conditions, events, few)


def on_field(field: str) -> Any:
    """Conditions that all read one field, so that nearly every event is compared with nearly every rule."""
    return CONDITIONS.map(lambda condition: moved(condition, field))


def moved(condition: Any, field: str) -> Any:
    if isinstance(condition, list):
        return [moved(part, field) for part in condition]
    if not isinstance(condition, dict):
        return condition
    own = {"field": field} if "field" in condition and "also" not in condition else {}
    groups = {kind: moved(condition[kind], field) for kind in ("all", "any", "none") if kind in condition}
    return {**condition, **own, **groups}


@settings(max_examples=400, deadline=None)
@given(
    st.lists(on_field("order.total"), min_size=1, max_size=8),
    st.lists(VALUES, min_size=3, max_size=8),
    st.sampled_from([0, 99]),
)
def test_index_agrees_on_one_place(conditions: list[Any], values: list[Any], few: int) -> None:
    agree(conditions, [{"order": {"total": value}} for value in values], few)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(on_field("order.items.product.sku"), min_size=1, max_size=8),
    st.lists(st.lists(VALUES, max_size=3), min_size=3, max_size=8),
)
def test_index_agrees_on_items(conditions: list[Any], orders: list[list[Any]]) -> None:
    agree(conditions, [{"order": {"items": [{"product": {"sku": sku}} for sku in skus]}} for skus in orders], 0)


def agree(conditions: list[Any], events: list[dict[str, Any]], few: int) -> None:
    matcher = Matcher(few=few)
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


# condition, fields that it is filed under
INDEXED: list[tuple[Any, list[str]]] = [
    ({"field": "a", "is": "equal", "value": "x"}, ["a"]),
    ({"all": [{"all": [{"field": "a", "is": "equal", "value": "x"}]}]}, ["a"]),
    ({"any": [{"field": "a", "is": "equal", "value": "x"}]}, ["a"]),  # the only part must hold
    ({"any": [{"field": "a", "is": "equal", "value": "x"}, {"field": "b", "is": "equal", "value": 5}]}, ["a", "b"]),
    ({"any": [{"field": "a", "is": "equal", "value": "x"}, {"field": "b", "is": "yes"}]}, []),  # the other may hold
    ({"none": [{"field": "a", "is": "equal", "value": "x"}]}, []),
    ({"field": "a", "is": "not_equal", "value": "x"}, []),
    ({"field": "a", "is": "equal", "value": 5}, ["a"]),  # under the number, which 5.0 and "5.00" are too
    ({"field": "a", "is": "any_of", "value": ["x", 5]}, []),  # a text and a number
    ({"field": "a", "is": "equal", "value": "{{ b }}"}, []),
    ({"field": "a", "is": "equal", "value": {"field": "b"}}, []),
    ({"field": "a", "is": "equal", "value": "x", "if_unknown": True}, []),  # holds where the field is missing
    ({"field": "a", "is": "equal", "value": "x", "over": "any_item"}, ["a"]),
    ({"field": "a", "is": "equal", "value": "x", "over": "no_item"}, []),
    ({"field": "a.b", "is": "equal", "value": "x", "also": {"field": "c", "is": "yes"}}, []),
    ({"field": "a", "is": "contains", "value": "x"}, ["a"]),
    ({"field": "a", "is": "contains", "value": "\u0307"}, ["a"]),
    ({"field": "a", "is": "at_least", "value": 5}, ["a"]),
    ({"all": [{"field": "a", "is": "above", "value": 5}, {"field": "b", "is": "equal", "value": "x"}]}, ["b"]),
    ({"all": [{"field": "a", "is": "tea.is_strong", "value": 5}, {"field": "b", "is": "below", "value": 2}]}, ["b"]),
    ({"fact": "customer.points", "is": "equal", "value": "x"}, []),
    (None, []),
]


def filed_under(condition: Any, others: list[Any] = []) -> list[str]:  # noqa: B006 - read only
    parts = read_parts(make_rule("1", condition).condition)
    vocabulary = Vocabulary()
    for each in (condition, *others):
        vocabulary.learn(read_parts(make_rule("1", each).condition))
    choice = choose(parts, vocabulary)
    return [] if choice is None else [".".join(key.operand.parts) for key in choice.keys]


def test_rules_are_filed_only_under_what_must_hold() -> None:
    for condition, fields in INDEXED:
        assert filed_under(condition) == fields, condition


def test_rules_are_filed_where_most_values_are_told_apart() -> None:
    both = {"all": [{"field": "a", "is": "equal", "value": "x"}, {"field": "b", "is": "any_of", "value": ["y", "z"]}]}
    cities = [{"field": "b", "is": "equal", "value": f"city {number}"} for number in range(5)]
    assert filed_under(both, [{"field": "a", "is": "equal", "value": str(number)} for number in range(5)]) == ["a"]
    assert filed_under(both, cities) == ["b"]


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

    def count(name: str) -> Any:
        def prepare(wanted: Any, path: str, where: str) -> Any:
            return lambda value, data: asked.append(name) or True

        return Operator(name=name, types=("text",), wants="any", prepare=prepare)

    matcher = Matcher()
    for number in range(2_000):
        counting = count(f"asked.{number}")
        scope = Scope(operators={**OPERATORS, counting.name: counting})
        place = {"field": "city", "is": "equal", "value": f"city {number}"}
        rows = [place, {"field": "city", "is": counting.name, "value": 1}]
        document = {"rule": f"r{number}", "when": {"event": "order.paid"}, "if": rows, "then": [{"stop": True}]}
        matcher.add(compile_rule(document, id=str(number), scope=scope))
    assert [found.name for found in matcher.match("order.paid", {"now": NOW, "city": "CITY 77"})] == ["r77"]
    assert asked == ["asked.77"]


def test_row_of_many_rules_is_asked_once() -> None:
    asked: list[Any] = []

    def prepare(wanted: Any, path: str, where: str) -> Any:
        return lambda value, data: asked.append(value) or True

    slow = Operator(name="slow", types=("text",), wants="any", prepare=prepare)
    matcher = Matcher()
    for number in range(50):
        condition = {"field": "city", "is": "slow", "value": "x"}
        document = {"rule": f"r{number}", "when": {"event": "order.paid"}, "if": condition, "then": [{"stop": True}]}
        matcher.add(compile_rule(document, id=str(number), scope=Scope(operators={**OPERATORS, "slow": slow})))
    assert len(matcher.match("order.paid", {"now": NOW, "city": "x"})) == 50
    assert asked == ["x"]
