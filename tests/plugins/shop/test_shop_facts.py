"""Facts over a real shop: only what was before the moment, a whole batch in a few statements."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_records import NOON, Records

from core.context import Context
from core.schemas import compile_schema
from plugins.shop.facts import FACTS

BY_NAME = {fact["name"]: fact for fact in FACTS}
Key = tuple[str, datetime, tuple[tuple[str, Any], ...]]


def day(number: float) -> datetime:
    return NOON + timedelta(days=number)


def ask(records: Records, name: str, keys: list[Key]) -> dict[Key, Any]:
    fact = BY_NAME[name]
    for _, _, params in keys:
        compile_schema(fact["with"]).check(dict(params), path="with")
    with records.db.read() as conn:
        answers = fact["load"](Context(plugin="shop", now=records.now, log=None, conn=conn), keys)
    for value in answers.values():
        compile_schema(fact["schema"]).check(value, path=name)
    return answers


def buy(records: Records, number: int, sku: str, at: datetime, *, customer: str = "u-1", **more: Any) -> None:
    line = {"sku": sku, "name": sku, "price": "100 TRY"}
    wanted = {"external_id": str(number), "customer": customer, "items": [line], "created_at": at} | more
    records.do(lambda shop: shop.upsert_order(wanted), quiet=True)


def pay(records: Records, order: int, amount: str, at: datetime, **more: Any) -> None:
    wanted = {"order": str(order), "provider": "bank", "external_id": f"{order}/{amount}", "amount": amount}
    wanted |= {"state": "paid", "paid_at": at} | more
    records.do(lambda shop: shop.record_payment(wanted), quiet=True)


@pytest.fixture
def history(records) -> Records:
    """Two phones and a case of u-1, a canceled order, and a stranger's phone."""
    for sku, category in (("X", "smartphones"), ("C", "cases")):
        product = {"external_id": sku, "sku": sku, "name": sku, "category": category}
        records.do(lambda shop, product=product: shop.upsert_product(product), quiet=True)
    buy(records, 1, "X", day(0))
    buy(records, 2, "C", day(1))
    buy(records, 3, "X", day(5))
    buy(records, 4, "C", day(6), status="canceled")
    buy(records, 5, "X", day(2), customer="u-2")
    return records


def test_orders_before_the_moment_are_counted(history):
    moments = {day(0): 0, day(0.5): 1, day(1): 1, day(5.1): 3, day(9): 3}
    keys: list[Key] = [("u-1", at, ()) for at in moments]
    assert ask(history, "customer.orders_count", keys) == dict(zip(keys, moments.values(), strict=True))


def test_last_purchase_is_told_by_category_and_sku(history):
    def last(at: float, **words: str) -> Any:
        key = ("u-1", day(at), tuple(words.items()))
        return ask(history, "history.bought", [key])[key]

    assert last(9, category="smartphones") == day(5).isoformat()
    assert last(5, category="smartphones") == day(0).isoformat()
    assert last(9, sku="C") == day(1).isoformat()
    assert last(9) == day(5).isoformat()
    assert last(9, category="insurance") is None
    assert last(9, category="cases", sku="X") is None


def test_unknown_customer_is_not_known(history):
    for name in ("customer.orders_count", "history.bought", "customer.tags", "customer.spent_total"):
        assert ask(history, name, [("nobody", day(9), ())]) == {}


def test_spent_is_what_was_paid_before_less_refunds(history):
    pay(history, 1, "100", day(0))
    pay(history, 3, "40", day(5))
    pay(history, 3, "60", day(5), refunded="10")
    pay(history, 5, "100", day(2))
    keys: list[Key] = [("u-1", day(1), ()), ("u-1", day(9), ()), ("u-1", day(9), (("currency", "EUR"),))]
    answers = ask(history, "customer.spent_total", keys)
    assert [answers[key]["amount"] for key in keys] == ["100.00", "190.00", "0.00"]
    assert ask(history, "customer.spent_total", [("u-1", day(-1), ())]) == {}


def test_tags_given_before_the_moment_are_told(history):
    history.do(lambda shop: shop.add_tag("customer", "u-1", "vip"))
    history.later(days=2)
    history.do(lambda shop: shop.add_tag("customer", "u-1", "big"))
    keys: list[Key] = [("u-1", day(number), ()) for number in (0, 1, 3)]
    assert list(ask(history, "customer.tags", keys).values()) == [[], ["vip"], ["big", "vip"]]


def test_stock_is_known_from_its_last_change_on(history):
    for place, on_hand in (("main", 5), ("moda", 2)):
        stock = {"sku": "X", "place": place, "on_hand": on_hand}
        history.do(lambda shop, stock=stock: shop.set_stock(stock))
    history.do(lambda shop: shop.reserve({"sku": "X", "quantity": 1}))
    now, before = ("X", history.now, ()), ("X", day(-1), ())
    moda, unknown = ("X", history.now, (("place", "moda"),)), ("none", history.now, ())
    assert ask(history, "product.stock", [now, before, moda, unknown]) == {now: 6, moda: 2}


def test_merged_customer_has_both_histories(history):
    keep, drop = (history.do(lambda shop, name=name: shop.find_customer(name)) for name in ("u-1", "u-2"))
    history.do(lambda shop: shop.merge_customers(keep, drop, actor="test"))
    for name in ("u-1", "u-2", keep, drop):
        key = (str(name), day(9), ())
        assert ask(history, "customer.orders_count", [key]) == {key: 4}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_batch_costs_as_many_statements_as_one_key(history, name):
    keys: list[Key] = [(who, day(number), ()) for who in ("u-1", "u-2", "X") for number in range(50)]
    sent = {}
    for many in (1, len(keys)):
        with history.statements() as sent[many]:
            ask(history, name, keys[:many])
    assert len(sent[1]) == len(sent[len(keys)]) <= 4


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bought=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=10), asked=st.integers(0, 10))
def test_count_and_last_agree_with_a_plain_reckoning(records, bought, asked):
    records.clear()
    for number, (customer, at) in enumerate(bought):
        buy(records, number, "X", day(at), customer=customer)
    for customer in {customer for customer, _ in bought}:
        key = (customer, day(asked), ())
        before = [day(at) for who, at in bought if who == customer and at < asked]
        assert ask(records, "customer.orders_count", [key])[key] == len(before)
        last = max(before).isoformat() if before else None
        assert ask(records, "history.bought", [key])[key] == last
