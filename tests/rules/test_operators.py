"""Every operator of the table answers true, false or not known, exactly, and never raises."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import RuleError
from rules.fields import MISSING
from rules.operators import ASKING, OPERATORS, Operator

ISTANBUL = ZoneInfo("Europe/Istanbul")
#: Noon of an ordinary Thursday in Istanbul (09:00 UTC).
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=ISTANBUL)
TRY, USD = {"amount": "100.00", "currency": "TRY"}, {"amount": "100.00", "currency": "USD"}
HUGE = 10**4200


def ask(name: str, wanted: Any, value: Any, changes: Any = None, now: datetime = NOW) -> bool | None:
    data = {"now": now, **({} if changes is None else {"changes": changes})}
    return OPERATORS[name].prepare(wanted, "f", "if.value")(value, data)


def moved(before: Any, after: Any) -> dict[str, Any]:
    return {"f": {"from": before, "to": after}}


# operator, wanted, value, verdict
ROWS: list[tuple[str, Any, Any, bool | None]] = [
    ("equal", "İstanbul", "istanbul", True),  # Turkish capital i with a dot
    ("equal", "ISPARTA", "ısparta", True),  # Turkish small i without a dot
    ("equal", "Isparta", "İsparta", True),  # all four i are one letter
    ("equal", "straße", "STRASSE", True),  # case folding, not lower case
    ("equal", "5", 5, True),  # text of the rule against a number of the event
    ("equal", 5, "5", True),  # and the other way round
    ("equal", 5, 5.0, True),
    ("equal", 0.1, "0.1", True),  # exact, not binary
    ("equal", TRY, {"amount": "100", "currency": "TRY"}, True),
    ("equal", True, True, True),
    ("equal", "a", "b", False),
    ("equal", 5, 6, False),
    ("equal", 1, 1.0000000001, False),
    ("equal", TRY, {"amount": "100.01", "currency": "TRY"}, False),
    ("equal", True, False, False),
    ("equal", 1, True, None),  # yes/no is no number
    ("equal", True, 1, None),
    ("equal", True, "true", None),
    ("equal", "true", True, None),
    ("equal", TRY, USD, None),  # another currency
    ("equal", TRY, 100, None),  # no currency
    ("equal", 5, "five", None),
    ("equal", "a", None, None),
    ("equal", "a", MISSING, None),
    ("equal", "a", ["a"], None),
    ("equal", "a", {"a": 1}, None),
    ("not_equal", "a", "b", True),
    ("not_equal", "a", "A", False),
    ("not_equal", "a", MISSING, None),
    ("not_equal", TRY, USD, None),  # not the same and not another: cannot be compared
    ("at_least", 5, 5, True),
    ("at_least", 5, "5.00", True),
    ("at_least", "0.3", 0.3, True),  # the float's written form counts
    ("at_least", TRY, {"amount": "100", "currency": "TRY"}, True),
    ("at_least", 5, 4.999, False),
    ("at_least", 5, True, None),
    ("at_least", 5, "many", None),
    ("at_least", 5, "NaN", None),
    ("at_least", 5, float("nan"), None),
    ("at_least", 5, float("inf"), None),
    ("at_least", 5, "Infinity", None),
    ("at_least", 5, "٥", None),  # digits of another script are no plain number
    ("at_least", 5, "9" * 41, None),  # longer than any real number
    ("at_least", 5, None, None),
    ("at_least", 5, MISSING, None),
    ("at_least", TRY, USD, None),
    ("at_least", 5, USD, True),  # a rule without a currency looks at the amount
    ("at_least", 5, {"amount": {"amount": 9}}, None),  # nested on purpose
    ("at_least", 5, HUGE, True),
    ("at_least", 5, "9e999999", True),
    ("at_most", 5, 5, True),
    ("at_most", 5, 5.001, False),
    ("at_most", 5, [], None),
    ("above", 5, 6, True),
    ("above", 5, 5, False),
    ("above", 5, MISSING, None),
    ("below", 5, -HUGE, True),
    ("below", 5, 5, False),
    ("below", 5, "", None),
    ("between", [10, 20], 10, True),  # both ends count
    ("between", [10, 20], 20, True),
    ("between", [10, 20], 20.01, False),
    ("between", [10, 20], "x", None),
    ("between", [TRY, TRY], TRY, True),
    ("between", [TRY, TRY], USD, None),
    ("any_of", ["İzmir", "Ankara"], "izmir", True),
    ("any_of", [1, 2], 2.0, True),
    ("any_of", ["1", "2"], 2, True),
    ("any_of", ["a", "b"], "c", False),
    ("any_of", [1, 2], 3, False),
    ("any_of", ["a"], MISSING, None),
    ("any_of", ["a"], None, None),
    ("any_of", ["a"], True, None),
    ("any_of", [1], "x", None),
    ("any_of", ["a"], HUGE, False),
    ("none_of", ["a", "b"], "c", True),
    ("none_of", ["a", "b"], "B", False),
    ("none_of", ["a"], MISSING, None),
    ("contains", "ılıca", "Çeşme ILICA plajı", True),
    ("contains", ["x", "y"], "any of the two: Y", True),
    ("contains", "z", "abc", False),
    ("contains", "5", 5, None),  # a number is no text
    ("not_contains", "z", "abc", True),
    ("not_contains", "a", "abc", False),
    ("not_contains", "a", None, None),
    ("starts_with", "+90", "+90 532", True),
    ("starts_with", "a", "ba", False),
    ("starts_with", "a", MISSING, None),
    ("ends_with", ".com", "SHOP.COM", True),
    ("ends_with", ".com", "shop.com.tr", False),
    ("ends_with", "a", [], None),
    ("matches", "^[0-9]+$", "123", True),
    ("matches", "^[0-9]+$", "12a", False),
    ("matches", "^a", 5, None),
    ("matches", "(a+)+$", "a" * 5000 + "b", False),  # searched in linear time
    ("empty", None, "", True),
    ("empty", None, "  \t", True),
    ("empty", None, [], True),
    ("empty", None, {}, True),
    ("empty", None, None, True),  # null was written: it is known to be empty
    ("empty", None, 0, False),  # zero is a value
    ("empty", None, False, False),
    ("empty", None, MISSING, None),
    ("not_empty", None, "x", True),
    ("not_empty", None, [None], True),
    ("not_empty", None, " ", False),
    ("not_empty", None, MISSING, None),
    ("yes", None, True, True),
    ("yes", None, False, False),
    ("yes", None, 1, None),
    ("yes", None, "yes", None),
    ("no", None, False, True),
    ("no", None, True, False),
    ("no", None, 0, None),
    ("not_known", None, MISSING, True),
    ("not_known", None, None, True),
    ("not_known", None, 0, False),  # never itself unknown
    ("known", None, "", True),
    ("known", None, MISSING, False),
    ("before", "2026-01-15T10:00:00Z", "2026-01-15T12:30:00+03:00", True),  # two zones, one order
    ("before", "2026-01-15T10:00:00Z", "2026-01-15T12:30:00", True),  # without a zone: the shop's
    ("before", "2026-01-15", "2026-01-14T23:59:59", True),  # a date is its midnight here
    ("before", "2026-01-15", "2026-01-14T21:30:00Z", False),  # already the 15th in Istanbul
    ("before", "now", "2026-01-15T08:59:59Z", True),
    ("before", "now", "2026-01-15T09:00:00Z", False),
    ("before", "now", "soon", None),
    ("before", "now", 5, None),
    ("before", "now", "0001-01-01T00:00:00+14:00", None),  # other systems' "no date"
    ("before", "now", "9999-12-31T23:59:59-14:00", None),
    ("after", "now", "2026-01-15T12:00:01", True),
    ("after", "now", "2026-01-15T12:00:00", False),
    ("after", "now", None, None),
    ("on", "2026-01-15", "2026-01-15T23:59:59", True),
    ("on", "2026-01-15", "2026-01-14T21:00:00Z", True),  # midnight in Istanbul
    ("on", "2026-01-15", "2026-01-15T21:00:00Z", False),  # tomorrow in Istanbul
    ("on", "now", "", None),
    ("on_earlier_day_than", "now", "2026-01-14T20:59:59Z", True),
    ("on_earlier_day_than", "now", "2026-01-15T00:00:00", False),
    ("on_earlier_day_than", "now", [], None),
    ("on_later_day_than", "now", "2026-01-15T21:00:00Z", True),
    ("on_later_day_than", "now", "2026-01-15T20:59:59Z", False),
    ("on_later_day_than", "now", MISSING, None),
    ("in_last", "24 hours", "2026-01-14T12:00:00", True),  # the edge counts
    ("in_last", "24 hours", "2026-01-14T11:59:59", False),
    ("in_last", "1 month", "2025-12-15T12:00:00", True),  # calendar months
    ("in_last", "1 day", "2026-01-15T12:00:01", False),  # what is yet to come was not in the last day
    ("in_last", "1 day", None, False),  # null: it never happened
    ("in_last", "1 day", MISSING, None),
    ("in_last", "1 day", "soon", None),
    ("not_in_last", "24 hours", "2026-01-14T11:59:59", True),
    ("not_in_last", "24 hours", "2026-01-15T12:00:00", False),
    ("not_in_last", "24 hours", None, True),  # never bought
    ("not_in_last", "24 hours", MISSING, None),
    ("more_than_ago", "7 days", "2026-01-08T11:59:59", True),
    ("more_than_ago", "7 days", "2026-01-08T12:00:00", False),
    ("more_than_ago", "7 days", None, None),
    ("in_next", "7 days", "2026-01-22T12:00:00", True),
    ("in_next", "7 days", "2026-01-22T12:00:01", False),
    ("in_next", "7 days", "x", None),
    ("weekday", "thursday", "2026-01-15T10:00:00", True),
    ("weekday", ["Friday"], "2026-01-15T21:00:00Z", True),  # Friday already in Istanbul
    ("weekday", ["monday", "tuesday"], "2026-01-15", False),
    ("weekday", "monday", "x", None),
    ("birthday", None, "1990-01-15", True),
    ("birthday", None, "1990-01-16", False),
    ("birthday", None, "15 January", None),
    ("include_any", ["vip", "new"], ["VIP", 5], True),
    ("include_any", "vip", ["vip"], True),  # one value for a list of one
    ("include_any", ["vip"], [], False),
    ("include_any", ["vip"], "vip", None),  # text is no list
    ("include_all", ["a", "b"], ["b", "a", "c"], True),
    ("include_all", ["a", "b"], ["a"], False),
    ("include_all", ["a"], MISSING, None),
    ("include_none", ["a"], ["b"], True),
    ("include_none", ["a"], [], True),
    ("include_none", ["a"], ["A"], False),
    ("include_none", ["a"], None, None),
    ("count_at_least", 2, [1, 2], True),
    ("count_at_least", 2, [1], False),
    ("count_at_least", 2, {"a": 1, "b": 2}, None),
    ("count_at_most", 2, [], True),
    ("count_at_most", 2, [1, 2, 3], False),
    ("count_at_most", 2, "ab", None),
    ("count_equal", 0, [], True),
    ("count_equal", 0, [0], False),
    ("count_equal", 0, MISSING, None),
]

# operator, wanted, before, now, verdict: what the event says has changed
CHANGES: list[tuple[str, Any, Any, Any, bool | None]] = [
    ("rose_by", 10, 100, 110, True),
    ("rose_by", 10, 100, 109, False),
    ("rose_by", 0, 100, 100, False),  # standing still is no rise
    ("rose_by", "10%", 100, 110, True),
    ("rose_by", "10 %", "99.99", "109.98", False),
    ("rose_by", "10%", 0, 5, None),  # percent of nothing
    ("rose_by", "10%", -5, 5, None),
    ("rose_by", 10, TRY, {"amount": "110", "currency": "TRY"}, True),
    ("rose_by", 10, USD, {"amount": "5000", "currency": "TRY"}, None),  # another currency
    ("rose_by", TRY, TRY, {"amount": "210", "currency": "TRY"}, True),
    ("rose_by", TRY, USD, {"amount": "900", "currency": "USD"}, None),
    ("rose_by", 10, True, 50, None),
    ("rose_by", 10, "-9e999999", "9e999999", None),  # beyond what can be counted
    ("fell_by", 10, 100, 90, True),
    ("fell_by", "50%", 100, 51, False),
    ("fell_by", "50%", 100, "x", None),
    ("changed_to", "Paid", "new", "PAID", True),
    ("changed_to", ["sent", "paid"], "new", "paid", True),
    ("changed_to", "paid", "paid", "sent", False),
    ("changed_to", "paid", "new", None, None),
    ("changed_from_to", ["new", "paid"], "NEW", "Paid", True),
    ("changed_from_to", ["new", "paid"], "held", "paid", False),
    ("changed", None, 1, 2, True),
]


def numbered(rows: list[Any]) -> list[str]:
    return [f"{row[0]}-{number}" for number, row in enumerate(rows)]


@pytest.mark.parametrize(("name", "wanted", "value", "verdict"), ROWS, ids=numbered(ROWS))
def test_operator_answers_exactly(name: str, wanted: Any, value: Any, verdict: bool | None) -> None:
    assert ask(name, wanted, value) is verdict


@pytest.mark.parametrize(("name", "wanted", "before", "now", "verdict"), CHANGES, ids=numbered(CHANGES))
def test_operator_reads_what_changed(name: str, wanted: Any, before: Any, now: Any, verdict: bool | None) -> None:
    assert ask(name, wanted, now, moved(before, now)) is verdict


@pytest.mark.parametrize("name", ["rose_by", "fell_by", "changed", "changed_to", "changed_from_to"])
def test_unchanged_field_is_false_and_no_news_unknown(name: str) -> None:
    wanted = [1, 2] if name == "changed_from_to" else 5
    assert ask(name, wanted, 7, {"other": {"from": 1, "to": 2}}) is False
    assert ask(name, wanted, 7) is None


def test_table_has_rows_for_every_operator() -> None:
    asked = {(row[0], row[-1]) for row in [*ROWS, *CHANGES]}
    special = {("changed", False), ("changed", None), ("changed_from_to", None)}
    never_unknown = {("known", None), ("not_known", None)}
    wanted = {(name, verdict) for name in OPERATORS for verdict in (True, False, None)}
    assert wanted - never_unknown - special <= asked


# today, born, verdict
BIRTHDAYS = [
    ("2026-02-28", "2000-02-29", True),  # no 29th this year: the 28th
    ("2026-03-01", "2000-02-29", False),
    ("2028-02-28", "2000-02-29", False),  # a leap year waits for the day itself
    ("2028-02-29", "2000-02-29", True),
    ("2028-02-29", "2000-02-28", False),
    ("2026-02-28", "2000-02-28", True),
    ("2026-12-31", "1999-12-31T23:30:00", True),
    ("2027-01-01", "1999-12-31T22:30:00Z", True),  # already New Year in Istanbul
    ("2026-01-15", "1915-01-15", True),  # a zone whose offset was no whole minute then
]


@pytest.mark.parametrize(("today", "born", "verdict"), BIRTHDAYS)
def test_birthday_knows_the_calendar(today: str, born: str, verdict: bool) -> None:
    now = datetime.fromisoformat(today).replace(hour=9, tzinfo=ISTANBUL)
    assert ask("birthday", None, born, now=now) is verdict


# operator, wanted: values that make no sense are refused when the rule is saved
NONSENSE: list[tuple[str, Any]] = [
    ("at_least", "many"),
    ("at_least", True),  # yes is no number
    ("at_least", None),
    ("at_least", float("nan")),
    ("between", [1]),
    ("between", [2, 1]),  # lowest first
    ("between", [TRY, USD]),
    ("between", 5),
    ("any_of", []),
    ("any_of", "a"),
    ("any_of", [["a"]]),
    ("equal", [1]),
    ("equal", {"a": 1}),
    ("contains", ""),  # everything contains nothing
    ("contains", [""]),
    ("contains", 5),
    ("matches", "("),
    ("matches", 5),
    ("rose_by", "x%"),
    ("changed_from_to", ["a"]),
    ("before", "tomorrow"),
    ("before", "2026-02-30"),
    ("in_last", "soon"),
    ("in_last", "-1 day"),
    ("weekday", "caturday"),
    ("weekday", []),
    ("include_any", [{}]),
    ("count_at_least", "some"),
]


@pytest.mark.parametrize(("name", "wanted"), NONSENSE, ids=numbered(NONSENSE))
def test_senseless_value_is_refused_with_place(name: str, wanted: Any) -> None:
    with pytest.raises(RuleError, match=r"^if\.value: .+"):
        OPERATORS[name].prepare(wanted, "f", "if.value")


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.decimals()
    | st.datetimes().map(datetime.isoformat)
    | st.datetimes(timezones=st.timezones(no_cache=True)).map(datetime.isoformat)
    | st.dates().map(date.isoformat)
    | st.sampled_from(
        [MISSING, HUGE, "9e999999", "-9e999999", "1e-999999", "sNaN", "\ud800", "İ", "12:30", "7 days", "5%"]
    )
)
MONEY = st.fixed_dictionaries({"amount": SCALARS, "currency": SCALARS})
VALUES = st.recursive(
    SCALARS | MONEY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SENSE = {
    "none": st.none(),
    "same": st.sampled_from(["a", 5, 0.5, True, TRY, "İ"]),
    "number": st.sampled_from([0, -5, "0.5", TRY, 10**15, "9e999999"]),
    "number or percent": st.sampled_from([0, 5, "10%", TRY, "9e999999", "9e999999%"]),
    "pair": st.sampled_from([[1, 2], ["-9e999999", "9e999999"], [TRY, TRY]]),
    "list": st.sampled_from([["a"], [1, "a", True], [TRY]]),
    "choice or list": st.sampled_from(["a", ["a", 5]]),
    "text": st.sampled_from(["a", ["İ", "b"]]),
    "pattern": st.sampled_from(["a", "(?i)^x.*$", r"\bé"]),
    "date": st.sampled_from(["now", "2026-01-15", "2026-01-15T10:00:00Z", "1800-01-01"]),
    "duration": st.sampled_from(["0 seconds", "3 days", "200 years", "7 months"]),
    "weekdays": st.sampled_from(["monday", ["friday", "sunday"]]),
}
MOMENTS = st.sampled_from([NOW, datetime(2026, 2, 28, tzinfo=UTC), datetime(2300, 12, 31, 23, 59, tzinfo=ISTANBUL)])


@settings(max_examples=400)
@given(st.sampled_from(sorted(OPERATORS)), st.data(), VALUES, VALUES, MOMENTS)
@example("equal", None, "", None, NOW)
def test_no_value_makes_an_operator_raise(name: str, draw: Any, value: Any, before: Any, now: datetime) -> None:
    wants = OPERATORS[name].wants
    wanted = draw.draw(SENSE["pair" if name == "changed_from_to" else wants]) if draw else "a"
    if name == "changed_from_to":
        wanted = ["a", 5]
    now = now if now.tzinfo is not UTC else now.replace(tzinfo=ZoneInfo("UTC"))
    answers = {ask(name, wanted, value, changes, now) for changes in (None, moved(before, value), {}, "x", {"f": 1})}
    assert answers <= {True, False, None}


@settings(max_examples=300)
@given(st.sampled_from(sorted(OPERATORS)), VALUES)
def test_no_wanted_value_makes_an_operator_raise(name: str, wanted: Any) -> None:
    try:
        test = OPERATORS[name].prepare(wanted, "f", "if.value")
    except RuleError as exc:
        assert exc.path.startswith("if.value")
        return
    for value in ("a", 5, TRY, None, MISSING, [], "2026-01-15", True):
        assert test(value, {"now": NOW}) in (True, False, None)


NEGATIONS = [
    ("equal", "not_equal", "a"),
    ("any_of", "none_of", ["a", 5]),
    ("contains", "not_contains", "a"),
    ("empty", "not_empty", None),
    ("known", "not_known", None),
    ("include_any", "include_none", ["a"]),
]


@given(st.sampled_from(NEGATIONS), VALUES)
def test_negation_flips_what_is_known(pair: tuple[str, str, Any], value: Any) -> None:
    yes, no, wanted = pair
    answers = ask(yes, wanted, value), ask(no, wanted, value)
    assert answers in ((True, False), (False, True), (None, None))


@given(st.decimals(-(10**9), 10**9, places=2), st.decimals(-(10**9), 10**9, places=2))
def test_numbers_compare_exactly_like_decimals(one: Any, other: Any) -> None:
    wanted = {"amount": str(other), "currency": "TRY"}
    value = {"amount": str(one), "currency": "TRY"}
    assert ask("at_least", wanted, value) is (one >= other)
    assert ask("below", wanted, value) is (one < other)
    assert ask("equal", wanted, value) is (one == other)


@given(st.timedeltas(timedelta(days=-900), timedelta(days=900)))
def test_in_last_and_its_negation_share_no_moment(shift: timedelta) -> None:
    moment = (NOW + shift).isoformat()
    inside = timedelta(days=-30) <= shift <= timedelta(0)
    assert ask("in_last", "30 days", moment) is inside
    assert ask("not_in_last", "30 days", moment) is not inside


def test_plugin_operator_leaves_its_question_behind() -> None:
    operator = Operator.from_plugin("odd", "p", ("number",))
    asked = operator.prepare([5], "f", "if.value")
    at_intake: dict[str, Any] = {"now": NOW, "facts": {}}
    assert asked(7, at_intake) is None
    assert at_intake == {"now": NOW, "facts": {}}
    questions: dict[str, Any] = {}
    assert asked(7, {"now": NOW, "facts": {ASKING: questions}}) is None
    ((slot, question),) = questions.items()
    assert question == ("p", "odd", 7, [5])
    for answer in (True, False, None):
        assert asked(7, {"now": NOW, "facts": {slot: answer, ASKING: None}}) is answer
    for nothing in (MISSING, None, 10**5000):
        assert asked(nothing, {"now": NOW, "facts": {ASKING: questions}}) is None
    assert len(questions) == 1


# types, values that reach the plugin, values that do not
KINDS: list[tuple[tuple[str, ...], list[Any], list[Any]]] = [
    (("number",), [1, 1.5, Decimal(2), "3", {"amount": "4"}], [True, "x", [1], {}]),
    (("money",), [{"amount": "4", "currency": "TRY"}, 5], [True, "x"]),
    (("text",), ["", "x"], [1, True, ["x"], {}]),
    (("choice",), ["x"], [1]),
    (("yes_no",), [True, False], [0, "yes"]),
    (("date",), ["2026-03-01", "2026-03-01T10:00:00Z", NOW], ["soon", 5]),
    (("list",), [[], [1]], ["x", {}]),
    (("text", "list"), ["x", ["x"]], [1]),
    (("any",), [1, "x", [1], {"a": 1}, True], []),
    (("a kind of its own",), [1, "x"], []),
]


@pytest.mark.parametrize(("types", "read", "left"), KINDS)
def test_plugin_is_asked_about_kinds_it_reads(types: tuple[str, ...], read: list[Any], left: list[Any]) -> None:
    asked = Operator.from_plugin("odd", "p", types).prepare(5, "f", "if.value")
    questions: dict[str, Any] = {}
    for value in (*read, *left, MISSING, None):
        assert asked(value, {"now": NOW, "facts": {ASKING: questions}}) is None
    assert [value for _, _, value, _ in questions.values()] == read
