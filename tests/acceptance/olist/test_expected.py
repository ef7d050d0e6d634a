"""The oracle itself is tested on rows made by hand, at the edges where a count may go wrong."""

import csv
from pathlib import Path
from typing import Any

import pytest
from acceptance.olist.expected import expected

HEADERS = {
    "orders": "order_id customer_id order_status order_purchase_timestamp order_approved_at"
    " order_delivered_carrier_date order_delivered_customer_date order_estimated_delivery_date",
    "customers": "customer_id customer_unique_id",
    "order_items": "order_id product_id",
    "order_payments": "order_id payment_installments payment_value",
    "order_reviews": "review_id order_id review_score review_answer_timestamp",
    "products": "product_id product_weight_g",
}
ESTIMATE = "2018-06-30 00:00:00"


def write_shop(folder: Path, **tables: list[tuple[Any, ...]]) -> Path:
    """Write all files of a folder; each order is its customer's, named by a customers row or `anyone`."""
    named = {row[0] for row in tables.get("customers", [])}
    anonymous = [(row[1], row[1]) for row in tables["orders"] if row[1] not in named]
    tables["customers"] = tables.get("customers", []) + anonymous
    for noun, header in HEADERS.items():
        with (folder / f"{noun}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header.split(), *tables.get(noun, [])])
    return folder


def order(name: str, created: str, approved: str = "", delivered: str = "", **more: str) -> tuple[str, ...]:
    """Return an orders row; its customer is called c-<name>."""
    return (
        name,
        f"c-{name}",
        more.get("status", "delivered"),
        created,
        approved,
        "",
        delivered,
        more.get("estimated", ESTIMATE),
    )


APPROVALS = [
    # created, approved, kinds of effects
    ("2018-05-01 10:00:00", "2018-05-01 10:00:00", {}),  # in the very second
    ("2018-05-01 10:00:00", "2018-05-02 10:00:00", {}),  # exactly 24 hours is within them
    ("2018-05-01 10:00:00", "2018-05-02 10:00:01", {"message": 1}),
    ("2018-05-01 10:00:00", "2018-05-08 10:00:00", {"message": 1}),  # exactly 7 days is within them
    ("2018-05-01 10:00:00", "2018-05-08 10:00:01", {"message": 1, "task": 1}),
    ("2018-05-01 10:00:00", "", {"message": 1, "task": 1}),  # never
    ("2017-10-14 12:00:00", "2017-10-15 13:00:00", {}),  # clocks went on an hour in between: exactly 24 hours
    ("2018-02-17 12:00:00", "2018-02-18 11:30:00", {"message": 1}),  # clocks went back: 24.5 hours
]


@pytest.mark.parametrize(("created", "approved", "effects"), APPROVALS)
def test_reminder_counts_exact_hours(tmp_path: Path, created: str, approved: str, effects: dict[str, int]) -> None:
    counts = expected(write_shop(tmp_path, orders=[order("a", created, approved)]))
    assert counts["effects"]["unpaid-reminder"] == effects
    assert counts["acted"]["thank-you"] == (1 if approved else 0)


DELIVERIES = [
    # delivered, estimated, apologies
    ("2018-05-20 23:59:59", "2018-05-20 00:00:00", 0),  # last second of the estimated day, next day in UTC
    ("2018-05-21 00:00:00", "2018-05-20 00:00:00", 1),
    ("2018-05-19 12:00:00", "2018-05-20 00:00:00", 0),
    ("2018-05-21 00:00:00", "", 0),  # nothing was promised
]


@pytest.mark.parametrize(("delivered", "estimated", "count"), DELIVERIES)
def test_lateness_is_a_local_day(tmp_path: Path, delivered: str, estimated: str, count: int) -> None:
    rows = [order("a", "2018-05-01 10:00:00", "2018-05-01 10:00:00", delivered, estimated=estimated)]
    counts = expected(write_shop(tmp_path, orders=rows))
    assert counts["acted"]["late-apology"] == count
    assert counts["effects"]["late-apology"] == ({"message": 1, "task": 1} if count else {})
    assert counts["only"]["late-apology"] == {}


ANSWERS = [
    # answered, messages asking for a review
    ([], 1),
    (["2018-05-10 11:59:59"], 1),  # before delivery
    (["2018-05-10 12:00:00"], 0),  # in the second of delivery
    (["2018-05-17 12:00:00"], 0),  # exactly 7 days
    (["2018-05-17 12:00:01"], 1),
    (["2018-05-10 11:59:59", "2018-05-11 12:00:00"], 0),  # the second one counts
]


@pytest.mark.parametrize(("answered", "count"), ANSWERS)
def test_only_reviews_after_delivery_count(tmp_path: Path, answered: list[str], count: int) -> None:
    rows = [order("a", "2018-05-01 10:00:00", "2018-05-01 10:00:00", "2018-05-10 12:00:00")]
    reviews = [(f"r{number}", "a", 5, at) for number, at in enumerate(answered)]
    counts = expected(write_shop(tmp_path, orders=rows, order_reviews=reviews))
    assert counts["acted"]["ask-review"] == count
    assert counts["events"] == 3 + len(answered)


PAYMENTS = [
    # (instalments, amount) of each payment, tags
    ([(6, "500.00")], 1),
    ([(6, "499.99")], 0),
    ([(5, "900")], 0),
    ([(1, "499.9"), (6, "0.1")], 1),  # the sum and the instalments come from different payments; no float error
]


@pytest.mark.parametrize(("payments", "count"), PAYMENTS)
def test_instalments_and_sum_meet_limits(tmp_path: Path, payments: list[tuple[int, str]], count: int) -> None:
    paid = [order("a", "2018-05-01 10:00:00", "2018-05-01 10:00:00"), order("b", "2018-05-01 10:00:00")]
    rows = [(name, instalments, amount) for name in "ab" for instalments, amount in payments]
    assert expected(write_shop(tmp_path, orders=paid, order_payments=rows))["tags"] == count  # b is not approved


REVIEWS = [
    # (score, answered) of one person's orders, tasks
    ([(2, "2018-05-01 10:00:00"), (1, "2018-05-31 09:59:59")], 1),
    ([(2, "2018-05-01 10:00:00"), (1, "2018-05-31 10:00:00")], 2),  # exactly 30 days later
    ([(3, "2018-05-01 10:00:00")], 0),
    ([(1, "2018-05-01 10:00:00"), (1, "2018-05-01 10:00:00")], 1),  # one answer about two orders
    # The second makes no task, so it does not hold back the third.
    ([(1, "2018-05-01 10:00:00"), (1, "2018-05-20 10:00:00"), (1, "2018-06-01 10:00:00")], 2),
]


@pytest.mark.parametrize(("reviews", "count"), REVIEWS)
def test_one_bad_review_task_in_30_days(tmp_path: Path, reviews: list[tuple[int, str]], count: int) -> None:
    orders = [order(f"o{number}", "2018-04-01 10:00:00") for number in range(len(reviews))]
    people = [(f"c-o{number}", "person") for number in range(len(reviews))]
    rows = [(f"r{number}", f"o{number}", score, at) for number, (score, at) in enumerate(reviews)]
    rows.reverse()  # the file's order must not matter
    counts = expected(write_shop(tmp_path, orders=orders, customers=people, order_reviews=rows))
    assert counts["acted"]["bad-review"] == count


SECOND_ORDERS = [
    # approvals of one person, second orders
    (["2018-01-01 10:00:00", "2018-01-02 10:00:00"], 1),
    (["2018-01-02 10:00:00", "2018-01-02 10:00:00"], 0),  # in the same second neither is earlier
    (["2018-03-01 10:00:00", "2018-08-28 10:00:00"], 1),  # exactly 180 days
    (["2018-03-01 10:00:00", "2018-08-28 10:00:01"], 0),
    (["2018-03-01 10:00:00", "2018-03-02 10:00:00", "2018-03-03 10:00:00"], 2),
]


@pytest.mark.parametrize(("approved", "count"), SECOND_ORDERS)
def test_second_order_within_180_days(tmp_path: Path, approved: list[str], count: int) -> None:
    orders = [order(f"o{number}", at, at) for number, at in enumerate(approved)]
    people = [(f"c-o{number}", "person") for number in range(len(approved))]
    alone = [order("other", "2018-03-01 11:00:00", "2018-03-01 11:00:00")]
    counts = expected(write_shop(tmp_path, orders=orders + alone, customers=people))
    assert counts["acted"]["second-order"] == count


def test_heavy_means_over_ten_kilograms(tmp_path: Path) -> None:
    weights = {"a": ["10000"], "b": ["10001"], "c": [""], "d": ["50", "30000", "30000"], "unknown": []}
    orders = [order(name, "2018-05-01 10:00:00", "2018-05-01 10:00:00") for name in weights]
    products = [(f"{name}{n}", weight) for name, found in weights.items() for n, weight in enumerate(found)]
    items = [(name, f"{name}{n}") for name, found in weights.items() for n in range(len(found) or 1)]
    counts = expected(write_shop(tmp_path, orders=orders, products=products, order_items=items))
    assert counts["acted"]["heavy-parcel"] == 2


def test_closed_orders_are_events(tmp_path: Path) -> None:
    orders = [
        order("a", "2018-05-01 10:00:00", status="canceled"),
        order("b", "2018-05-01 10:00:00", "2018-05-01 10:05:00", status="unavailable"),
        order("c", "2018-05-01 10:00:00", status="processing"),
    ]
    counts = expected(write_shop(tmp_path, orders=orders))
    assert counts["events"] == 6
    assert (counts["messages"], counts["tasks"]) == (3, 2)


def test_products_may_lie_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    rows = [order("a", "2018-05-01 10:00:00", "2018-05-01 10:00:00")]
    write_shop(elsewhere, orders=rows, products=[("p", "20000")])
    write_shop(tmp_path, orders=rows, order_items=[("a", "p")])
    assert expected(tmp_path)["acted"]["heavy-parcel"] == 0
    assert expected(tmp_path, elsewhere)["acted"]["heavy-parcel"] == 1
