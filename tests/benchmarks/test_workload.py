"""The workload: the same everywhere, valid, and about three rules concern each order, however many there are."""

from datetime import UTC, datetime

import pytest

from benchmarks.by_hand import one_lambda_a_rule, one_loop_for_all
from benchmarks.workload import EVENT_TYPE, Workload
from core.schemas import compile_schema
from plugins.shop.events import EVENTS
from rules.match import Matcher
from rules.rule import compile_rule

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_one_seed_gives_the_same_orders_and_rules() -> None:
    assert Workload(100).orders(20) == Workload(100).orders(20)
    assert Workload(100).documents() == Workload(100).documents()
    assert Workload(100, seed=2).orders(20) != Workload(100).orders(20)


def test_orders_are_events_of_the_catalogue() -> None:
    schema = next(kind["schema"] for kind in EVENTS if kind["name"] == EVENT_TYPE)
    for event in Workload(100).events(50, NOW):
        compile_schema(schema).check(event.data, path="data")
        assert (event.key, event.received_at) == (event.data["order"]["id"], NOW)


@pytest.mark.parametrize("rules", [10, 100, 1_000])
def test_about_three_rules_concern_each_order(rules: int) -> None:
    find = one_loop_for_all(Workload(rules).documents())
    found = [len(find(data)) for data in Workload(rules).orders(2_000)]
    assert 2.4 < sum(found) / len(found) < 3.6


def test_every_kind_of_condition_is_there() -> None:
    text = str(Workload(10).documents())
    for word in ("equal", "any_of", "include_any", "at_least", "between", "contains", "not_equal", "'any'", "'all'"):
        assert word in text, word


@pytest.mark.parametrize("rules", [10, 300])
def test_matcher_and_loops_written_by_hand_agree(rules: int) -> None:
    load = Workload(rules)
    documents = load.documents()
    loop, lambdas = one_loop_for_all(documents), one_lambda_a_rule(documents)
    matcher = Matcher()
    for number, document in enumerate(documents):
        matcher.add(compile_rule(document, id=str(number)))
    for data in load.orders(300):
        found = [rule.name for rule in matcher.match(EVENT_TYPE, {**data, "now": NOW, "facts": {}})]
        assert found == sorted(loop(data)) == sorted(lambdas(data))
