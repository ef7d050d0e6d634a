"""Shipments, staff, external ids."""

from datetime import timedelta

import pytest
from shop_records import NOON, Records

from core.errors import Conflict, InvalidInput, NotFound
from core.shop.external_ids import find_external
from core.shop.snapshots import snapshot_order
from core.shop.staff import find_staff
from core.shop.tables import shipments

PARCEL = {"order": "o-1", "carrier": "post", "tracking": "RR1", "cost": "35.50"}


@pytest.fixture
def order(records) -> str:
    wanted = {"external_id": "o-1", "currency": "TRY", "customer": "u-1", "seller": "elif@shop.example"}
    records.do(lambda shop: shop.upsert_staff({"email": "Elif@shop.example", "name": "Elif"}), quiet=True)
    return records.do(lambda shop: shop.upsert_order(wanted), quiet=True).id


def ship(records: Records, **more):
    return records.do(lambda shop: shop.record_shipment(PARCEL | more))


def test_shipment_moves_on_and_is_told(records, order):
    ship(records)
    ship(records, state="shipped", state_at=NOON + timedelta(hours=1))
    ship(records, state="delivered", state_at=NOON + timedelta(days=2))
    assert records.told[-1].data["changes"] == {"shipment.state": {"from": "shipped", "to": "delivered"}}
    assert records.told[-1].data["order"]["shipments"][0]["state"] == "delivered"
    assert records.told[-1].key == order
    assert records.tells() == ["shipment.created", "shipment.status_changed", "shipment.status_changed"]
    late = ship(records, state="shipped", state_at=NOON + timedelta(hours=1))
    assert late.ignored == {"shipment.state": "shipped is older news than delivered"}
    assert records.tells() == []
    assert records.count(shipments) == 1


def test_shipment_is_found_by_external_id_and_gets_its_number(records, order):
    first = ship(records, external_id="s-1", tracking=None)
    change = ship(records, external_id="s-1", tracking="RR9")
    assert change.id == first.id
    assert change.changes == {"shipment.tracking": {"from": None, "to": "RR9"}}
    assert ship(records, tracking="RR9").id == first.id


def test_wrong_shipment_is_refused(records, order):
    with pytest.raises(NotFound):
        ship(records, order="o-404")
    with pytest.raises(InvalidInput):
        ship(records, tracking=None)
    with pytest.raises(InvalidInput):
        ship(records, state="flown")
    ship(records)
    records.do(lambda shop: shop.upsert_order({"external_id": "o-2"}))
    with pytest.raises(Conflict):
        ship(records, order="o-2")


def test_seller_of_an_order_is_shown_by_name(records, order):
    shown = records.read(lambda conn: snapshot_order(conn, order))
    [elif_] = records.read(find_staff)
    assert (shown["seller"], shown["seller_name"]) == (elif_["id"], "Elif")


def test_staff_twice_changes_nothing(records):
    wanted = {"external_id": "7", "name": "Deniz", "email": "d@shop.example", "photo": "/photos/d.jpg", "shop": "Moda"}
    first = records.do(lambda shop: shop.upsert_staff(wanted))
    before = records.picture()
    assert not records.do(lambda shop: shop.upsert_staff(wanted)).is_changed
    assert records.picture() == before
    change = records.do(lambda shop: shop.upsert_staff({"email": "d@shop.example", "active": False}))
    assert (change.id, change.changes) == (first.id, {"staff.active": {"from": True, "to": False}})
    assert records.tells() == ["staff.created", "staff.changed"]
    assert records.read(find_staff) == []


def test_external_ids_are_unique_both_ways(records, order):
    other = records.do(lambda shop: shop.upsert_order({"external_id": "o-2"})).id
    assert records.do(lambda shop: shop.link("order", order, {"1c": "77"})) == {"1c": "77"}
    assert records.do(lambda shop: shop.link("order", order, {"1c": "77"})) == {}
    for wrong in ((other, {"1c": "77"}), (order, {"1c": "78"})):
        with pytest.raises(Conflict):
            records.do(lambda shop, wrong=wrong: shop.link("order", *wrong))
    assert records.read(lambda conn: find_external(conn, "order", [order])) == {order: {"site": "o-1", "1c": "77"}}
    # Another kind of record may have the same id there.
    assert records.do(lambda shop: shop.link("shipment", other, {"1c": "77"}))
