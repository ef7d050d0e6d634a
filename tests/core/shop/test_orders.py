"""Orders: lines and totals, what is told, and what is found again."""

import pytest
from shop_records import Records

from core.errors import Conflict, InvalidInput, NotFound
from core.shop.order_lines import show_lines
from core.shop.orders import find_orders
from core.shop.snapshots import order_data, snapshot_order, snapshot_orders
from core.shop.tables import customers, order_lines, orders

CASE = {"external_id": "p1", "name": "Case", "category": "cases", "sku": "CASE-1", "weight_g": 40}
ORDER = {
    "external_id": "o-1",
    "number": "1001",
    "customer": {"external_id": "17", "phone": "+905321234567", "name": "Elif"},
    "currency": "TRY",
    "items": [
        {"sku": "CASE-1", "name": "Case", "quantity": 2, "price": "99.90"},
        {"sku": "GLASS-1", "name": "Glass", "quantity": 1, "price": "50", "discount": "5"},
    ],
    "delivery": "courier",
    "delivery_cost": "20",
    "discount": "10",
    "tags": ["gift"],
}


def store(records: Records, wanted, **options):
    return records.do(lambda shop: shop.upsert_order(wanted), **options)


def test_new_order_is_told_whole(records):
    records.do(lambda shop: shop.upsert_product(CASE))
    records.tells()
    change = store(records, ORDER)
    told = records.told[-1]
    assert records.tells() == ["customer.created", "order.created"]
    assert (told.key, told.data["changes"]) == (change.id, {})
    order = told.data["order"]
    assert told.customer == told.data["customer"]["id"] == order["customer"]
    assert (order["number"], order["status"], order["status_group"]) == ("1001", "new", "new")
    assert order["total"] == {"amount": "254.80", "currency": "TRY"}
    assert order["paid_total"] == {"amount": "0.00", "currency": "TRY"}
    assert order["is_paid"] is False
    assert order["items"][0]["product"]["category"] == "cases"
    assert order["items"][0]["product"]["weight_g"] == 40
    assert order["items"][1]["product"] == {"sku": "GLASS-1", "name": "Glass"}
    assert order["items"][1]["total"] == {"amount": "45.00", "currency": "TRY"}
    assert order["tags"] == ["gift"]
    assert order == records.read(lambda conn: snapshot_order(conn, change.id))


def test_same_order_twice_changes_nothing(records):
    first = store(records, ORDER)
    records.tells()
    records.later(hours=1)
    before = records.picture()
    again = store(records, ORDER)
    assert (again.id, again.is_changed) == (first.id, False)
    assert records.tells() == []
    assert records.picture() == before


def test_changed_lines_keep_their_ids(records):
    change = store(records, ORDER)
    before = records.read(lambda conn: snapshot_order(conn, change.id))["items"]
    records.tells()
    items = [ORDER["items"][1], ORDER["items"][0] | {"quantity": 3}, {"name": "Wrapping", "price": "1"}]
    store(records, {"external_id": "o-1", "items": items})
    [told] = records.told
    assert told.type == "order.changed"
    assert told.data["changes"]["order.total"] == {
        "from": {"amount": "254.80", "currency": "TRY"},
        "to": {"amount": "355.70", "currency": "TRY"},
    }
    assert told.data["changes"]["order.items"]["to"][2]["name"] == "Wrapping"
    after = told.data["order"]["items"]
    assert [item["id"] for item in after[:2]] == [before[1]["id"], before[0]["id"]]
    assert records.count(order_lines) == 3


def test_lines_are_matched_by_external_id(records):
    lines = [{"external_id": str(number), "sku": "A", "name": "A", "price": "1 TRY"} for number in range(3)]
    first = store(records, {"external_id": "o", "items": lines})
    before = records.read(lambda conn: snapshot_order(conn, first.id))["items"]
    store(records, {"external_id": "o", "items": [lines[2] | {"price": "5 TRY"}]})
    after = records.read(lambda conn: snapshot_order(conn, first.id))["items"]
    assert [item["id"] for item in after] == [before[2]["id"]]


def test_stated_total_counts_as_stated(records):
    change = store(records, ORDER | {"total": "250"})
    assert records.read(lambda conn: snapshot_order(conn, change.id))["total"]["amount"] == "250.00"
    store(records, {"external_id": "o-1", "channel": "till"})
    assert records.read(lambda conn: snapshot_order(conn, change.id))["total"]["amount"] == "250.00"
    store(records, {"external_id": "o-1", "discount": "0"})
    assert records.read(lambda conn: snapshot_order(conn, change.id))["total"]["amount"] == "264.80"


def test_line_finds_a_product_that_comes_later(records):
    change = store(records, ORDER)
    records.do(lambda shop: shop.upsert_product(CASE))
    item = records.read(lambda conn: snapshot_order(conn, change.id))["items"][0]
    assert item["product"]["category"] == "cases"
    records.tells()
    assert not store(records, ORDER).is_changed


def test_orders_are_found_by_number_of_their_source(records):
    first = store(records, {"number": "7"}, source="till").id
    assert store(records, {"number": "7"}, source="till").id == first
    assert store(records, {"number": "7"}, source="site").id != first


def test_orders_without_number_get_the_next(records):
    ids = [store(records, {"external_id": str(number)}).id for number in range(3)]
    found = records.read(lambda conn: snapshot_orders(conn, ids))
    assert [found[ours]["number"] for ours in ids] == ["1", "2", "3"]


def test_unknown_customer_id_becomes_a_stub(records):
    store(records, {"external_id": "o-9", "customer": "u-9"})
    assert records.tells() == ["order.created"]
    store(records, {"external_id": "o-9", "customer": "u-9"})
    assert records.tells() == []


def test_master_of_the_status_keeps_it(records):
    store(records, ORDER)
    change = store(records, {"external_id": "o-1", "status": "paid"}, masters={"order.status": "1c"})
    assert change.ignored == {"order.status": "is kept by 1c"}
    assert not change.is_changed


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"items": [{"price": "1 TRY"}]}, "order.items[0]"),  # no product
        ({"items": [{"sku": "A", "quantity": -1}]}, "order.items[0].quantity"),  # a return is no line
        ({"items": [{"sku": "A", "quantity": "1e9"}]}, "order.items[0].quantity"),  # an exponent
        ({"items": [{"sku": "A", "quantity": 0.0001}]}, "order.items[0].quantity"),  # too fine
        ({"items": [{"sku": "A", "price": "12,50 TRY"}]}, "order.items[0].price"),  # a comma
        ({"items": [{"sku": "A", "price": -1}], "currency": "TRY"}, "order.items[0].price"),  # below zero
        ({"items": [{"sku": "A", "price": "1 TRY"}, {"sku": "B", "price": "1 EUR"}]}, "order.items[1].price"),  # two
        ({"items": [{"sku": "A", "price": "1 TRY", "discount": "2"}]}, "order.items[0].discount"),  # more than all
        ({"items": [{"sku": "A", "price": 1.5}], "currency": "TRY"}, "order.items[0].price"),  # a float
        ({"items": {"sku": "A"}}, "order.items"),  # not a list
        ({"currency": "LIRA"}, "order.currency"),  # no such currency
        ({"status": "flown"}, "order.status"),  # no such status
        ({"status": ["paid"]}, "order.status"),  # not a code
        ({"customer": {"phone": "x"}}, "order.customer.phone"),  # wrong below
        ({"prise": 5}, "order.prise"),  # nobody reads it
    ],
)
def test_wrong_order_is_refused_whole(records, wanted, path):
    with pytest.raises(InvalidInput) as refused:
        store(records, {"external_id": "o-1"} | wanted)
    assert refused.value.path == path
    assert records.count(orders) == 0
    assert records.tells() == []


def test_failed_call_leaves_the_transaction_usable(records):
    def both(shop):
        with pytest.raises(InvalidInput):
            shop.upsert_order({"external_id": "bad", "customer": {"external_id": "1", "name": "x"}, "status": "flown"})
        return shop.upsert_order({"external_id": "good"})

    records.do(both)
    assert records.count(orders) == 1
    assert records.count(customers) == 0


def test_order_that_is_not_ours_is_not_found(records):
    with pytest.raises(NotFound):
        store(records, {"id": "o-404"})
    with pytest.raises(NotFound):
        records.do(lambda shop: shop.change_status("o-404", "paid"))


def test_two_external_ids_of_two_orders_conflict(records):
    store(records, {"external_ids": {"site": "1"}})
    store(records, {"external_ids": {"till": "2"}})
    with pytest.raises(Conflict):
        store(records, {"external_ids": {"site": "1", "till": "2"}})


@pytest.mark.parametrize("text", ["%", "_", "10%", "\\", "' OR 1=1 --", "100_"])
def test_search_takes_signs_as_they_are(records, text):
    for number in ("1001", "1002", text + "x"):
        store(records, {"number": number})
    found = records.read(lambda conn: snapshot_orders(conn, find_orders(conn, text=text)))
    assert [order["number"] for order in found.values()] == [text + "x"]


def test_number_of_statements_does_not_grow(records):
    for number in range(12):
        wanted = ORDER | {"external_id": str(number), "number": str(number)}
        store(records, wanted | {"customer": {"external_id": str(number)}}, quiet=True)
    ids = records.read(find_orders)
    sent = {}
    for many in (1, 12):
        with records.statements() as sent[many], records.db.read() as conn:
            assert len(order_data(conn, ids[:many])) == many
    assert len(sent[1]) == len(sent[12]) < 20


def test_lines_are_shown_in_words():
    line = {"sku": "A", "name": "A", "quantity": 1500, "price": 990, "discount": 0}
    assert show_lines([line], "TRY") == [
        {"sku": "A", "name": "A", "quantity": 1.5, "price": {"amount": "9.90", "currency": "TRY"}}
    ]
