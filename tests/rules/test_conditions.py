"""Conditions follow Kleene's logic over true, false and not known, and explain themselves without lying."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RuleError
from rules.conditions import ASKED, Always, Group, Row, Scope, compile_condition

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=ZoneInfo("UTC"))


def ask(document: Any, data: dict[str, Any]) -> bool | None:
    return compile_condition(document).test({"now": NOW, "facts": {}, **data})


def row(field: str, operator: str = "yes", value: Any = None, **more: Any) -> dict[str, Any]:
    return {"field": field, "is": operator, **({} if value is None else {"value": value}), **more}


T, F, U = row("t"), row("f"), row("u")
KNOWN = {"t": True, "f": False}

# group, verdict: the whole table of two
TABLE: list[tuple[Any, bool | None]] = [
    ({"all": [T, T]}, True),
    ({"all": [T, F]}, False),
    ({"all": [U, F]}, False),  # false decides, whatever is unknown
    ({"all": [T, U]}, None),
    ({"all": [U, U]}, None),
    ({"any": [F, F]}, False),
    ({"any": [U, T]}, True),  # true decides
    ({"any": [F, U]}, None),
    ({"none": [F, F]}, True),
    ({"none": [U, T]}, False),
    ({"none": [F, U]}, None),
    ([T, T], True),  # a bare list means all
    ([T, U], None),
    ({"all": [{"any": [F, T]}, {"none": [F]}]}, True),
    ({"none": [{"none": [T]}]}, True),
    (None, True),  # no condition holds always
]


@pytest.mark.parametrize(("document", "verdict"), TABLE)
def test_groups_follow_the_table(document: Any, verdict: bool | None) -> None:
    assert ask(document, KNOWN) is verdict


LEAVES = st.sampled_from("abcd").map(row)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from(["all", "any", "none"]), st.lists(inner, min_size=1, max_size=4)).map(
        lambda pair: {pair[0]: pair[1]}
    ),
    max_leaves=14,
)
WORLDS = st.dictionaries(st.sampled_from("abcd"), st.booleans() | st.none() | st.just("odd"), max_size=4)


def kleene(document: dict[str, Any], data: dict[str, Any]) -> bool | None:
    """Evaluate with numbers: false 0, unknown a half, true 1; all is the least, any the most, none what any lacks."""

    def number(node: dict[str, Any]) -> float:
        if "field" in node:
            value = data.get(node["field"])
            return float(value) if isinstance(value, bool) else 0.5
        ((kind, parts),) = node.items()
        numbers = [number(part) for part in parts]
        return min(numbers) if kind == "all" else max(numbers) if kind == "any" else 1 - max(numbers)

    return {0.0: False, 0.5: None, 1.0: True}[number(document)]


@given(TREES, WORLDS)
def test_trees_agree_with_numbers(document: Any, data: dict[str, Any]) -> None:
    assert ask(document, data) is kleene(document, data)


def nodes(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [told, *(inner for part in told.get("parts", ()) for inner in nodes(part))]


def parts(condition: Any) -> list[Any]:
    return [condition, *(inner for part in getattr(condition, "parts", ()) for inner in parts(part))]


@given(TREES, WORLDS)
def test_explanation_agrees_at_every_node(document: Any, data: dict[str, Any]) -> None:
    condition = compile_condition(document)
    seen = {"now": NOW, "facts": {}, **data}
    told = nodes(condition.explain(seen))
    assert [node["verdict"] for node in told] == [part.test(seen) for part in parts(condition)]
    assert [node["path"] for node in told] == [part.path for part in parts(condition)]


@given(TREES, WORLDS, WORLDS)
def test_learning_more_never_flips_a_verdict(document: Any, less: dict[str, Any], more: dict[str, Any]) -> None:
    known = {name: value for name, value in less.items() if isinstance(value, bool)}
    before, after = ask(document, known), ask(document, {**more, **known})
    assert before is None or before is after


@given(TREES, WORLDS)
def test_none_is_the_opposite_of_any(document: Any, data: dict[str, Any]) -> None:
    verdict = ask({"any": [document]}, data)
    assert ask({"none": [document]}, data) is (None if verdict is None else not verdict)


# Rows of many kinds over one order


ORDER: dict[str, Any] = {
    "order": {
        "total": {"amount": "4990.00", "currency": "TRY"},
        "minimum": 5,
        "city": "İstanbul",
        "tags": ["vip", "new"],
        "none": [],
        "items": [
            {"sku": "phone", "price": 4000, "colour": "red", "tags": ["a"], "paid_at": "2026-01-14"},
            {"sku": "case", "price": 900, "colour": "blue", "tags": [], "paid_at": None},
            {"sku": "glass", "price": 90, "now": "a trap", "facts": 5, "event": "x", "steps": []},
        ],
    },
    "customer": {"city": "istanbul", "limit": "5000", "list": ["İstanbul", "Ankara"]},
}


def item(operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return row("order.items.price", operator, value, **more)


def count(operator: str, value: Any) -> dict[str, Any]:
    return {"count": {"is": operator, "value": value}}


# condition, verdict
LISTS: list[tuple[Any, bool | None]] = [
    (item("above", 3000), True),  # any item, when nothing is said
    (item("above", 5000), False),
    (item("above", 3000, over="any_item"), True),
    (item("above", 50, over="every_item"), True),
    (item("above", 100, over="every_item"), False),
    (item("above", 5000, over="no_item"), True),
    (item("above", 3000, over="no_item"), False),
    (item("above", 100, over=count("equal", 2)), True),
    (item("above", 100, over=count("at_least", 3)), False),
    (item("above", 100, over=count("between", [1, 2])), True),
    (row("order.items.colour", "equal", "red"), True),  # one is red, whatever the third is
    (row("order.items.colour", "equal", "green"), None),  # the third may be
    (row("order.items.colour", "equal", "red", over="every_item"), False),  # one is blue: known
    (row("order.items.colour", "none_of", ["green"], over="every_item"), None),
    (row("order.items.colour", "equal", "red", over="no_item"), False),
    (row("order.items.colour", "equal", "green", over="no_item"), None),
    (row("order.items.colour", "equal", "red", over=count("at_least", 1)), True),
    (row("order.items.colour", "equal", "red", over=count("at_least", 2)), None),
    (row("order.items.colour", "equal", "red", over=count("at_least", 3)), False),  # even the unknown would not do
    (row("order.items.colour", "equal", "red", over=count("equal", 1)), None),
    (row("order.none.price", "above", 1), False),  # no item, no luck
    (row("order.none.price", "above", 1, over="every_item"), True),
    (row("order.none.price", "above", 1, over="no_item"), True),
    (row("order.none.price", "above", 1, over=count("equal", 0)), True),
    (row("order.gone.price", "above", 1), None),
    (row("order.gone.price", "above", 1, over="every_item"), None),
    (row("order.gone.price", "above", 1, over="no_item"), None),
    (row("order.tags", "equal", "vip"), None),  # a list is no text; ask it as a list
    (row("order.tags", "equal", "vip", over="any_item"), True),
    (row("order.tags", "include_any", ["VIP"]), True),
    (row("order.tags", "count_equal", 2), True),
    (row("order.items", "count_at_least", 3), True),
    (row("order.items.sku", "include_all", ["case", "phone"]), True),
    (row("order.items.tags", "include_any", ["a"], over="every_item"), False),  # a list in each item, one empty
    (row("order.city", "equal", "istanbul", over="every_item"), True),  # one value is a list of one
    (row("order.none", "empty"), True),
    (row("order.gone", "empty"), None),
]

# the same item: sku, also, over, verdict
SAME: list[tuple[Any, bool | None]] = [
    (item("above", 3000, also=row("colour", "equal", "red")), True),
    (item("above", 3000, also=row("colour", "equal", "blue")), False),  # blue is another item
    (item("below", 100, also=row("colour", "equal", "red")), None),
    (item("below", 1000, also=row("colour", "equal", "blue"), over="every_item"), False),
    (item("above", 10, also=row("sku", "known"), over="every_item"), True),
    (item("above", 9000, also=row("sku", "known"), over="no_item"), True),
    (item("above", 500, also=row("sku", "known"), over=count("equal", 2)), True),
    (item("below", 100, also=row("customer.city", "equal", "istanbul")), True),  # the rest of the picture is there
    (item("below", 100, also=row("paid_at", "before", "now")), None),  # an item named now changes no clock
    (item("above", 3000, also=row("paid_at", "in_last", "2 days")), True),
    (
        item(
            "above",
            10,
            also={"any": [row("colour", "equal", "red"), row("sku", "equal", "glass")]},
            over=count("equal", 2),
        ),
        True,
    ),
    (row("order.gone.price", "above", 1, also=row("sku", "known")), None),
    (row("order.none.price", "above", 1, also=row("sku", "known")), False),
    (row("order.none.price", "above", 1, also=row("sku", "known"), over="every_item"), True),
    (row("order.tags", "equal", "vip", also=row("order.city", "known")), True),  # items that are plain text
]

# values read at run time
LATE: list[tuple[Any, bool | None]] = [
    (row("order.city", "equal", {"field": "customer.city"}), True),
    (row("order.city", "equal", {"field": "customer.gone"}), None),
    (row("order.city", "equal", "{{ customer.city }}"), True),
    (row("order.city", "equal", "{{ customer.gone }}"), None),
    (row("order.city", "any_of", {"field": "customer.list"}), True),
    (row("order.city", "any_of", {"field": "customer.city"}), None),  # text is no list: cannot be compared
    (item("above", {"field": "order.minimum"}, over="every_item"), True),
    (item("above", "{{ order.minimum | times: 100 }}", over="every_item"), False),
    (item("above", "{{ order.minimum | divided_by: 0 }}"), None),  # a template that fails
    (row("order.total", "at_least", {"field": "customer.limit"}), False),
    (row("order.total", "at_least", {"field": "order.total"}), True),
    (row("order.city", "in_last", {"field": "customer.city"}), None),
]

# a row that counts as true when it cannot be checked
LENIENT: list[tuple[Any, bool | None]] = [
    (row("order.gone", "equal", "x", if_unknown=True), True),
    (row("order.gone", "equal", "x", if_unknown=False), None),
    (row("order.city", "equal", "x", if_unknown=True), False),  # known and wrong stays wrong
    ({"none": [row("order.gone", "equal", "x", if_unknown=True)]}, False),
    (row("order.items.colour", "equal", "green", over="every_item", if_unknown=True), False),
]


@pytest.mark.parametrize(("document", "verdict"), [*LISTS, *SAME, *LATE, *LENIENT])
def test_row_answers_over_an_order(document: Any, verdict: bool | None) -> None:
    assert ask(document, ORDER) is verdict
    assert compile_condition(document).explain({"now": NOW, "facts": {}, **ORDER})["verdict"] is verdict


VERDICTS = st.lists(st.sampled_from([True, False, None]), max_size=5)


@given(VERDICTS)
def test_quantifiers_are_groups_over_items(verdicts: list[bool | None]) -> None:
    data = {"items": [{} if verdict is None else {"ok": verdict} for verdict in verdicts]}

    def group(kind: str) -> bool | None:
        return kleene(
            {kind: [row(str(n)) for n in range(len(verdicts))]}, dict(zip(map(str, range(9)), verdicts, strict=False))
        )

    assert ask(row("items.ok", over="any_item"), data) is (group("any") if verdicts else False)
    assert ask(row("items.ok", over="every_item"), data) is (group("all") if verdicts else True)
    assert ask(row("items.ok", over="no_item"), data) is (group("none") if verdicts else True)


@given(VERDICTS, st.sampled_from(["at_least", "at_most", "equal", "above"]), st.integers(0, 5))
def test_count_weighs_every_way_the_unknown_may_fall(verdicts: list[bool | None], operator: str, limit: int) -> None:
    data = {"items": [{} if verdict is None else {"ok": verdict} for verdict in verdicts]}
    sign = {"at_least": int.__ge__, "at_most": int.__le__, "equal": int.__eq__, "above": int.__gt__}[operator]
    sure = verdicts.count(True)
    ways = {sign(sure + more, limit) for more in range(verdicts.count(None) + 1)}
    wanted = ways.pop() if len(ways) == 1 else None
    assert ask(row("items.ok", over=count(operator, limit)), data) is wanted


def test_explanation_shows_expected_actual_and_gap() -> None:
    told = compile_condition(row("order.minimum", "at_least", 12)).explain({"now": NOW, **ORDER})
    assert told == {
        "path": "if",
        "field": "order.minimum",
        "is": "at_least",
        "expected": 12,
        "actual": 5,
        "verdict": False,
        "gap": "7",
    }
    money = row("order.total", "at_least", {"amount": "5000", "currency": "TRY"})
    assert compile_condition(money).explain({"now": NOW, **ORDER})["gap"] == "10.00"
    lost = compile_condition(row("order.gone", "at_least", 12)).explain({"now": NOW, **ORDER})
    assert (lost["actual"], lost["missing"], lost["verdict"]) == (None, True, None)


def test_explanation_of_a_huge_event_stays_small() -> None:
    data = {"now": NOW, "text": "x" * 9_000, "items": [{"n": n} for n in range(9_000)]}
    assert len(compile_condition(row("text", "equal", "y")).explain(data)["actual"]) <= 501
    assert len(compile_condition(row("items.n", "equal", -1)).explain(data)["actual"]) == 20
    wild = compile_condition(row("n", "above", "9e999999")).explain({"now": NOW, "n": "-9e999999"})
    assert (wild["verdict"], "gap" in wild) == (False, False)


def test_facts_are_asked_wherever_they_stand() -> None:
    fact = {"fact": "customer.points", "is": "at_least", "value": 5}
    document = {"any": [row("a"), {"all": [fact]}, row("items.sku", "known", also=fact)]}
    condition = compile_condition(document, scope=Scope(facts=frozenset({"customer.points"})))
    slots = {use.slot for use in condition.facts}
    assert {use.name for use in condition.facts} == {"customer.points"}
    assert condition.test({"now": NOW, "facts": {}}) is None
    assert condition.test({"now": NOW, "facts": dict.fromkeys(slots, 7)}) is True


# operator, more, verdict before anybody asked, without an answer, with one
ASKED_FACTS = [
    ("known", {}, None, False, True),
    ("not_known", {}, None, True, False),
    ("at_least", {"value": 5}, None, None, True),
    ("at_least", {"value": 5, "if_unknown": True}, None, True, True),
    ("not_in_last", {"value": "1 day"}, None, None, None),
    ("empty", {}, None, None, False),
]


@pytest.mark.parametrize(("operator", "more", "before", "without", "answered"), ASKED_FACTS)
def test_unasked_fact_is_never_decided(operator: str, more: Any, before: Any, without: Any, answered: Any) -> None:
    condition = compile_condition({"fact": "x.y", "is": operator, **more})
    (slot,) = {use.slot for use in condition.facts}
    asked = [{}, {ASKED: [slot]}, {ASKED: [slot], slot: 7}]
    assert [condition.test({"now": NOW, "facts": facts}) for facts in asked] == [before, without, answered]


DEEP: Any = row("a")
for _ in range(21):
    DEEP = {"all": [DEEP]}
DEEP_ALSO: Any = row("a")
for _ in range(21):
    DEEP_ALSO = row("items.a", also=DEEP_ALSO)

# document, words of the refusal
BAD: list[tuple[Any, str]] = [
    (5, "if: must be a row"),
    ("a", "if: must be a row"),
    ({"all": []}, "if.all: is empty"),
    ({"all": {"a": 1}}, "if.all: must be a list"),
    ({"all": [T], "any": [T]}, "if: a group has one word"),
    ({"all": [T], "field": "a"}, "if: a group has one word"),
    ({"all": [T, {"is": "yes"}]}, r"if\.all\[1\]: needs either a field or a fact"),
    ({"field": "a", "fact": "b", "is": "yes"}, "needs either a field or a fact"),
    ({"field": "a", "is": "yes", "vlaue": 5}, "unknown word 'vlaue'"),
    ({"field": "a", "is": "equals", "value": 5}, "if.is: no operator 'equals'; known: "),
    ({"field": "a"}, "if.is: no operator None"),
    ({"field": "a", "is": ["yes"]}, "if.is: no operator"),
    ({"field": "a", "is": "equal"}, "if.value: is missing"),
    ({"field": "a..b", "is": "yes"}, "if.field: 'a..b' is not a field"),
    ({"field": 5, "is": "yes"}, "if.field: 5 is not a field"),
    ({"field": "a", "is": "equal", "value": {"field": "b."}}, "if.value.field: 'b.' is not a field"),
    ({"field": "a", "is": "equal", "value": "{{ b"}, "if.value: "),
    ({"field": "a", "is": "any_of", "value": ["x", "{{ b }}"]}, "if.value: templates inside a list"),
    ({"field": "a", "is": "yes", "over": "most"}, "if.over: must be any_item, every_item"),
    ({"field": "a", "is": "yes", "over": {"count": 5}}, "if.over: must be"),
    ({"field": "a", "is": "yes", "over": {"count": {"is": "contains", "value": 1}}}, "if.over.count.is: must be"),
    ({"field": "a", "is": "yes", "over": {"count": {"is": "at_least"}}}, "if.over.count.value: needs a number"),
    ({"field": "a", "is": "yes", "if_unknown": "yes"}, "if.if_unknown: must be true or false"),
    ({"field": "a.b", "is": "yes", "also": {"is": "yes"}}, "if.also: needs either"),
    ({"fact": "nobody.knows", "is": "yes"}, "if.fact: no fact 'nobody.knows': is the plugin"),
    ({"fact": "x.y", "is": "yes", "with": 5}, "if.with: must be an object"),
    ({"fact": "x.y", "is": "yes", "over": "every_item"}, "if.over: looks at the items of a field"),
    ({"fact": "x.y", "is": "yes", "also": T}, "if.also: looks at the items of a field"),
    (DEEP, "is nested deeper than 20 groups"),
    (DEEP_ALSO, "is nested deeper than 20 groups"),
]


@pytest.mark.parametrize(("document", "words"), BAD)
def test_bad_condition_is_refused_with_place(document: Any, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        compile_condition(document, scope=Scope(facts=frozenset({"x.y"})))


@settings(max_examples=200)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=6)
        | st.sampled_from(["yes", "equal", "a.b", "all"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["all", "any", "field", "is", "value", "over", "also", "fact", "with"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_compiles_or_is_refused(document: Any) -> None:
    try:
        condition = compile_condition(document)
    except RuleError as exc:
        assert exc.reason
        return
    assert isinstance(condition, (Always, Group, Row))
    assert condition.test({"now": NOW, "facts": {}}) in (True, False, None)
