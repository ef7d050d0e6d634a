"""The synthetic shop is the same for the same seed, and its events look like recorded ones."""

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from shared_files import data

from commands.recording import Recording
from core.errors import InvalidInput
from plugins.demo.shop import DemoShop

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
LIFE = ("order.created", "order.approved", "order.shipped", "order.delivered", "order.canceled")


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return list(DemoShop(7, START).events())


def shape(value: object) -> object:
    """Return names and types; a list stands for its first element, and None for any scalar."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])]
    return "moment" if isinstance(value, datetime) else "scalar"


def test_same_seed_makes_same_events(events: list[dict[str, Any]]) -> None:
    assert list(DemoShop(7, START).events()) == events
    assert list(DemoShop(8, START).events()) != events


def test_hash_seed_changes_nothing() -> None:
    code = (
        "from datetime import *; from plugins.demo.shop import DemoShop; from hashlib import sha256;"
        "shop = DemoShop(7, datetime(2026, 3, 1, 9, tzinfo=UTC), orders=200);"
        "print(sha256(repr(list(shop.events())).encode()).hexdigest())"
    )
    root = Path(__file__).resolve().parents[3]
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_more_orders_change_no_earlier_order(events: list[dict[str, Any]]) -> None:
    few = list(DemoShop(7, START, orders=100).events())
    names = {event["key"] for event in few}
    assert len(names) == 100
    assert [event for event in events if event["key"] in names] == few


def test_events_come_in_life_order(events: list[dict[str, Any]]) -> None:
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert len({event["id"] for event in events}) == len(events)
    assert events[0]["time"] >= START
    seen: dict[str, int] = {}
    for event in events:
        step = LIFE.index(event["type"]) if event["type"] in LIFE else len(LIFE)
        assert seen.get(event["key"], -1) < step
        seen[event["key"]] = step
        if event["type"] != "review.created":
            assert event["data"]["order"]["status"] == event["type"].removeprefix("order.")
    assert len(seen) == 1180


def test_default_shop_has_every_story(events: list[dict[str, Any]]) -> None:
    types = Counter(event["type"] for event in events)
    assert set(types) == {*LIFE, "review.created"}
    orders = [event["data"]["order"] for event in events if event["type"] == "order.approved"]
    at_once = [order for order in orders if order["created_at"] == order["approved_at"]]
    heavy = [order for order in orders if any((item["product"]["weight_g"] or 0) > 10_000 for item in order["items"])]
    split = [order for order in orders if max(payment["instalments"] for payment in order["payments"]) >= 6]
    bad = [event for event in events if event["type"] == "review.created" and event["data"]["review"]["score"] <= 2]
    late = [
        event
        for event in events
        if event["type"] == "order.delivered"
        and event["time"].astimezone(ZoneInfo("Europe/Istanbul")).date().isoformat()
        > event["data"]["order"]["estimated_delivery_date"]
    ]
    assert min(map(len, (at_once, heavy, split, bad, late))) > 5
    assert len({event["customer"] for event in events}) > 200


def test_amounts_add_up_exactly(events: list[dict[str, Any]]) -> None:
    for event in events:
        order = event["data"]["order"]
        total = Decimal(order["items_total"]["amount"]) + Decimal(order["freight_total"]["amount"])
        assert total == Decimal(order["paid_total"]["amount"])
        assert total == sum(Decimal(payment["amount"]["amount"]) for payment in order["payments"])


def test_events_look_like_recorded_ones(events: list[dict[str, Any]]) -> None:
    recorded: dict[str, object] = {}
    for event in Recording(data("olist")).events():
        if event["data"]["order"]["items"] and event["data"]["order"]["payments"]:
            recorded.setdefault(event["type"], shape(event))
    for event in events:
        assert shape(event) == recorded[event["type"]]


def test_currency_and_zone_are_chosen() -> None:
    zone = ZoneInfo("Europe/Berlin")
    shop = DemoShop(1, START, orders=50, customers=1, days=30, currency="EUR", zone=zone)
    for event in shop.events():
        order = event["data"]["order"]
        assert order["paid_total"]["currency"] == "EUR"
        midnight = datetime.fromisoformat(order["estimated_delivery"]).astimezone(zone)
        assert midnight.isoformat()[:19] == f"{order['estimated_delivery_date']}T00:00:00"
        if event["type"] == "order.created":
            assert event["time"].astimezone(zone).hour >= 9
            assert START <= event["time"] < START + timedelta(days=31)
    assert [person["id"] for person in shop.customers()] == ["customer-0001"]
    assert {product["price"]["currency"] for product in shop.products()} == {"EUR"}


def test_events_can_be_skipped() -> None:
    shop = DemoShop(3, START, orders=20)
    assert list(shop.events(start=10)) == list(shop.events())[10:]
    assert shop.count == len(list(shop.events()))


@pytest.mark.parametrize(
    "arguments",
    [
        {"start": datetime(2026, 3, 1)},  # noqa: DTZ001 - a moment without zone is the mistake
        {"start": START, "customers": 0},
        {"start": START, "orders": -1},
    ],
)
def test_impossible_shop_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        DemoShop(1, **arguments)
