"""The status machine: allowed ways, required fields, late news."""

from datetime import timedelta
from itertools import permutations

import pytest
from shop_records import NOON, Records

from core.errors import Conflict, InvalidInput
from core.shop.snapshots import snapshot_order
from core.shop.statuses import DEFAULTS, find_statuses


def status_of(records: Records, order: str) -> str:
    return records.read(lambda conn: snapshot_order(conn, order))["status"]


@pytest.fixture
def order(records) -> str:
    return records.do(lambda shop: shop.upsert_order({"external_id": "o-1"}), quiet=True).id


def test_status_change_is_told_with_from_and_to(records, order):
    records.do(lambda shop: shop.change_status("o-1", "paid"))
    assert [told.type for told in records.told] == ["order.status_changed", "order.paid"]
    assert records.told[0].data["changes"] == {"order.status": {"from": "new", "to": "paid"}}
    assert records.told[0].data["order"]["status"] == "paid"
    records.tells()
    records.do(lambda shop: shop.change_status(order, "paid"))
    assert records.tells() == []


def test_forbidden_way_is_refused_in_words(records, order):
    records.do(lambda shop: shop.change_status(order, "delivered"))
    with pytest.raises(Conflict, match="cannot go from delivered to new; allowed next: completed, returned"):
        records.do(lambda shop: shop.change_status(order, "new"))
    assert status_of(records, order) == "delivered"


def test_order_first_seen_as_paid_is_told_so(records):
    records.do(lambda shop: shop.upsert_order({"external_id": "o-2", "status": "paid"}))
    assert records.tells() == ["order.created", "order.paid"]


def test_every_default_status_follows_only_known_ones(records):
    machine = records.read(find_statuses)
    assert list(machine) == [row[0] for row in DEFAULTS]
    assert all(set(row["next"]) <= set(machine) for row in machine.values())
    assert all(set(row["title"]) == {"en", "tr", "ru"} for row in machine.values())


def test_shop_adds_a_status_with_requirements(records, order):
    wanted = {"code": "checked", "title": {"en": "Checked"}, "next": ["paid"], "requires": ["customer", "items"]}
    records.do(lambda shop: shop.set_status(wanted))
    follow = records.read(find_statuses)["new"]["next"]
    records.do(lambda shop: shop.set_status({"code": "new", "group": "new", "next": [*follow, "checked"]}))
    with pytest.raises(Conflict, match="without customer, items"):
        records.do(lambda shop: shop.change_status(order, "checked"))
    wanted = {"id": order, "customer": "u-1", "items": [{"sku": "A", "price": "1 TRY"}], "status": "checked"}
    records.do(lambda shop: shop.upsert_order(wanted))
    assert status_of(records, order) == "checked"
    assert records.tells() == ["order.status_changed", "order.changed"]


def test_requirement_of_full_payment_holds(records, order):
    machine = records.read(find_statuses)
    machine["shipped"]["requires"] = ["paid"]
    records.do(lambda shop: shop.set_status(machine["shipped"]))
    records.do(lambda shop: shop.upsert_order({"id": order, "items": [{"sku": "A", "price": "10 TRY"}]}))
    with pytest.raises(Conflict, match="without paid"):
        records.do(lambda shop: shop.change_status(order, "shipped"))
    payment = {"order": order, "provider": "bank", "external_id": "p", "amount": "10", "state": "paid"}
    records.do(lambda shop: shop.record_payment(payment))
    records.do(lambda shop: shop.change_status(order, "shipped"))


@pytest.mark.parametrize("wanted", [{}, {"code": ""}, {"code": "x", "group": "y"}, {"code": "x", "requires": ["love"]}])
def test_wrong_status_is_refused(records, wanted):
    with pytest.raises(InvalidInput):
        records.do(lambda shop: shop.set_status(wanted))


def test_news_in_any_order_ends_in_the_same_status(records):
    news = [("paid", 1), ("packing", 2), ("shipped", 3), ("delivered", 4)]
    for number, way in enumerate(permutations(news)):
        order = records.do(lambda shop, number=number: shop.upsert_order({"external_id": str(number)})).id
        for status, hour in way:
            wanted = {"id": order, "status": status, "status_at": NOON + timedelta(hours=hour)}
            records.do(lambda shop, wanted=wanted: shop.upsert_order(wanted))
        assert status_of(records, order) == "delivered"


def test_late_news_is_ignored_with_its_reason(records):
    order = records.do(lambda shop: shop.upsert_order({"external_id": "o"})).id
    later = NOON + timedelta(hours=2)
    records.do(lambda shop: shop.upsert_order({"id": order, "status": "shipped", "status_at": later}))
    change = records.do(lambda shop: shop.upsert_order({"id": order, "status": "paid", "status_at": NOON}))
    assert change.ignored == {"order.status": "paid is older news than shipped"}
