"""Stock: reservations, and nothing is ever sold twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_records import Records
from sqlalchemy import select

from core.errors import Conflict, InvalidInput, NotFound
from core.shop.stock import find_stock
from core.shop.tables import reservations
from core.shop.tables import stock as stock_table
from core.writer import Writer


@pytest.fixture
def shelf(records) -> Records:
    return fill(records)


def fill(records: Records, on_hand: Any = 10) -> Records:
    records.do(lambda shop: shop.upsert_product({"sku": "A", "name": "Case"}), quiet=True)
    records.do(lambda shop: shop.set_stock({"sku": "A", "on_hand": on_hand}), quiet=True)
    return records


def level(records: Records) -> tuple[int, int]:
    """Return what is on hand and reserved."""
    columns = (stock_table.c.on_hand, stock_table.c.reserved)
    row = records.read(lambda conn: conn.execute(select(*columns)).one())
    return row.on_hand // 1000, row.reserved // 1000


def reserve(records: Records, quantity: Any = 1, **more: Any):
    return records.do(lambda shop: shop.reserve({"sku": "A", "quantity": quantity} | more))


def test_reservation_holds_releases_and_ships(shelf):
    first, second = reserve(shelf, 4), reserve(shelf, 3, order="o-1")
    assert level(shelf) == (10, 7)
    assert shelf.told[0].data["stock"] == {"place": "main", "on_hand": 10, "reserved": 4, "available": 6}
    assert shelf.told[0].data["changes"]["stock.available"] == {"from": 10, "to": 6}
    shelf.do(lambda shop: shop.release(first.id))
    assert level(shelf) == (10, 3)
    shelf.do(lambda shop: shop.ship(second.id))
    assert level(shelf) == (7, 0)
    assert shelf.tells() == ["stock.changed"] * 4
    for again in (lambda shop: shop.release(first.id), lambda shop: shop.ship(second.id)):
        assert not shelf.do(again).is_changed
    with pytest.raises(Conflict, match="released already"):
        shelf.do(lambda shop: shop.ship(first.id))
    assert level(shelf) == (7, 0)


def test_more_than_free_is_refused_in_words(shelf):
    reserve(shelf, 8)
    with pytest.raises(Conflict, match="A: 2 free at main, 3 wanted"):
        reserve(shelf, 3)
    assert level(shelf) == (10, 8)
    assert shelf.count(reservations) == 1


def test_key_reserves_once(shelf):
    first = reserve(shelf, 4, idempotency_key="k")
    assert reserve(shelf, 4, idempotency_key="k").id == first.id
    assert level(shelf) == (10, 4)


def test_place_may_go_below_zero_when_it_says_so(shelf):
    shelf.do(lambda shop: shop.set_place({"code": "factory", "below_zero": True}))
    made = reserve(shelf, 5, place="factory")
    shelf.do(lambda shop: shop.ship(made.id))
    shelf.do(lambda shop: shop.set_stock({"sku": "A", "place": "factory", "on_hand": -6}))
    with pytest.raises(InvalidInput, match="below zero"):
        shelf.do(lambda shop: shop.set_stock({"sku": "A", "on_hand": -1}))
    variant = shelf.read(lambda conn: conn.execute(select(stock_table.c.variant).distinct()).scalar_one())
    levels = shelf.read(lambda conn: find_stock(conn, [variant]))[variant]
    assert [(entry["place"], entry["available"]) for entry in levels] == [("factory", -6), ("main", 10)]


def test_time_releases_what_nobody_took(shelf):
    reserve(shelf, 2, until=shelf.now + timedelta(minutes=30))
    reserve(shelf, 3)
    assert shelf.do(lambda shop: shop.release_due()) == []
    shelf.later(hours=1)
    assert len(shelf.do(lambda shop: shop.release_due())) == 1
    assert level(shelf) == (10, 3)


def test_count_below_reservations_can_still_be_released(shelf):
    held = reserve(shelf, 8)
    shelf.do(lambda shop: shop.set_stock({"sku": "A", "on_hand": 5}))
    with pytest.raises(Conflict, match="5 on hand at main, 8 to ship"):
        shelf.do(lambda shop: shop.ship(held.id))
    shelf.do(lambda shop: shop.release(held.id))
    assert level(shelf) == (5, 0)


def test_same_stock_twice_is_told_once(shelf):
    shelf.do(lambda shop: shop.set_stock({"sku": "A", "on_hand": "7.5"}))
    shelf.do(lambda shop: shop.set_stock({"sku": "A", "on_hand": 7.5}))
    assert shelf.told[0].data["changes"]["stock.on_hand"] == {"from": 10, "to": 7.5}
    assert shelf.tells() == ["stock.changed"]


@pytest.mark.parametrize("quantity", [0, -1, "x", None, 0.0001, 10**20, float("inf"), True, "1e3"])
def test_wrong_quantity_is_refused(records, quantity):
    fill(records)
    with pytest.raises(InvalidInput):
        reserve(records, quantity)
    assert level(records) == (10, 0)


def test_unknown_things_are_not_found(records):
    fill(records)
    for wrong in (
        lambda shop: shop.reserve({"sku": "none"}),
        lambda shop: shop.release("none"),
        lambda shop: shop.set_stock({"sku": "none", "on_hand": 1}),
    ):
        with pytest.raises(NotFound):
            records.do(wrong)


def test_fifty_parallel_spends_of_ten_pieces(records):
    """Through the group-committing writer on one side, and through writers of their own as several processes have."""
    fill(records)
    records.writer.start()
    writers = [records.writer] + [Writer(records.db) for _ in range(3)]

    def spend(number: int) -> bool:
        one = Records(db=records.db, writer=writers[number % len(writers)])
        try:
            reserve(one, 1, idempotency_key=str(number))
        except Conflict:
            return False
        return True

    try:
        with ThreadPoolExecutor(50) as pool:
            won = list(pool.map(spend, range(50)))
    finally:
        records.writer.stop()
    assert sum(won) == 10
    assert level(records) == (10, 10)
    assert records.count(reservations) == 10


STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "release", "ship", "count"]), st.integers(0, 6)), min_size=1, max_size=15
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_held_reservations_are_the_reserved_stock(records, steps):
    records.clear()
    fill(records, 6)
    made: list[str] = []
    for step, number in steps:
        try:
            if step == "reserve":
                made.append(reserve(records, number + 1).id)
            elif step == "count":
                records.do(lambda shop, number=number: shop.set_stock({"sku": "A", "on_hand": number}))
            elif made:
                chosen = made[number % len(made)]
                records.do(lambda shop, step=step, chosen=chosen: getattr(shop, step)(chosen))
        except Conflict:
            continue
    held = select(reservations.c.quantity).where(reservations.c.state == "held")
    quantities = records.read(lambda conn: conn.execute(held).scalars().all())
    on_hand, reserved = level(records)
    assert reserved * 1000 == sum(quantities)
    assert on_hand >= 0
