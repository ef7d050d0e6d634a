"""Figures of the shop for a span of time."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from engines import START, make_engine

from core.shop.totals import count_orders, read_totals
from rules.engine import Engine


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    engine = make_engine(tmp_path)
    yield engine
    engine.close()


def _order(engine: Engine, number: str, amount: str, *, paid: bool) -> None:
    money = {"amount": amount, "currency": "TRY"}
    wanted: dict[str, Any] = {
        "external_ids": {"site": number},
        "number": number,
        "items": [{"name": "Case", "quantity": 1, "price": money}],
    }

    def work(tx: Any) -> None:
        shop = engine.shop_of(tx, None, engine.clock.now(), "site")
        order = shop.upsert_order(wanted).id
        if paid:
            shop.record_payment(
                {"order": order, "provider": "bank", "external_id": number, "state": "paid", "amount": money}
            )

    engine.writer.do(work)


def test_orders_and_money_of_a_span(shop: Engine):
    _order(shop, "1", "100.50", paid=True)
    _order(shop, "2", "20.00", paid=False)
    shop.clock.advance(7200)  # type: ignore[attr-defined]
    _order(shop, "3", "5.00", paid=True)
    with shop.db.read() as conn:
        first = read_totals(conn, START, START + timedelta(hours=1))
        whole = read_totals(conn, START, START + timedelta(hours=3))
        points = count_orders(conn, START, 3600, 3)
    assert (first.orders, first.paid_orders, first.paid) == (2, 1, {"TRY": Decimal("100.50")})
    assert (whole.orders, whole.paid["TRY"]) == (3, Decimal("105.50"))
    assert points == [2, 0, 1]


def test_empty_span_has_no_money(shop: Engine):
    with shop.db.read() as conn:
        found = read_totals(conn, START, START + timedelta(hours=1))
    assert (found.orders, found.paid, found.messages) == (0, {}, 0)
