"""Payments: counted once, whichever way and however often their news comes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_files import vectors
from shop_records import Records

from core.errors import Conflict, InvalidInput, NotFound
from core.shop.snapshots import snapshot_order
from core.shop.tables import payments


@pytest.fixture
def order(records) -> str:
    return new_order(records)


def new_order(records: Records, total: str = "1000", number: str = "o-1") -> str:
    wanted = {"external_id": number, "currency": "TRY", "total": total, "customer": {"external_id": "17", "name": "E"}}
    return records.do(lambda shop: shop.upsert_order(wanted), quiet=True).id


def pay(records: Records, **wanted):
    given = {"order": "o-1", "provider": "bank", "external_id": "p-1", "amount": "400", "state": "paid"} | wanted
    return records.do(lambda shop: shop.record_payment(given))


def paid_of(records: Records, order: str) -> str:
    return records.read(lambda conn: snapshot_order(conn, order))["paid_total"]["amount"]


def test_payment_is_told_and_summed(records, order):
    pay(records, instalments=6, method="card")
    [told] = records.told
    assert (told.type, told.key, told.customer) == ("payment.received", order, told.data["customer"]["id"])
    assert told.data["payment"]["amount"] == {"amount": "400.00", "currency": "TRY"}
    assert told.data["order"]["paid_total"]["amount"] == "400.00"
    assert told.data["order"]["payments"][0]["instalments"] == 6
    pay(records, external_id="p-2", amount="600")
    assert records.told[-1].data["order"]["is_paid"] is True


def test_payment_repeated_counts_once(records, order):
    for _ in range(3):
        pay(records)
        records.later(minutes=1)
    assert paid_of(records, order) == "400.00"
    assert records.tells() == ["payment.received"]
    pay(records, provider="other")
    assert paid_of(records, order) == "800.00"


def test_late_news_does_not_turn_back(records, order):
    pay(records)
    change = pay(records, state="pending")
    assert change.ignored == {"payment.state": "pending is older news than paid"}
    assert paid_of(records, order) == "400.00"


def test_states_are_told_by_their_names(records, order):
    for state in ("pending", "authorized", "failed", "paid"):
        pay(records, state=state)
    assert records.tells() == ["payment.created", "payment.changed", "payment.failed", "payment.received"]


def test_refund_is_taken_off_and_never_more_than_paid(records, order):
    pay(records)
    pay(records, refunded="150.50")
    assert records.tells() == ["payment.received", "payment.refunded"]
    assert paid_of(records, order) == "249.50"
    assert pay(records, refunded="100").ignored == {"payment.refunded": "is less than was refunded before: older news"}
    with pytest.raises(InvalidInput, match="more than was paid"):
        pay(records, refunded="400.01")
    assert paid_of(records, order) == "249.50"


def test_payment_may_come_before_its_order(records):
    pay(records, order=None, amount="400 TRY")
    assert records.tells() == ["payment.received"]
    order = new_order(records)
    pay(records, amount="400 TRY")
    assert paid_of(records, order) == "400.00"
    assert records.tells() == ["payment.changed"]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"external_id": None}, InvalidInput),  # it could be counted twice
        ({"amount": "NaN"}, InvalidInput),  # not a number
        ({"amount": "1e309"}, InvalidInput),  # overflows
        ({"amount": "-5"}, InvalidInput),  # a refund is not a payment
        ({"amount": "9" * 30}, InvalidInput),  # thirty digits
        ({"amount": "12,50"}, InvalidInput),  # a comma
        ({"amount": None}, InvalidInput),  # nothing
        ({"amount": "5 EUR"}, InvalidInput),  # another currency than the order's
        ({"state": "stolen"}, InvalidInput),  # no such state
        ({"state": "pending", "refunded": "1"}, InvalidInput),  # nothing to give back
        ({"order": "o-404"}, NotFound),  # no such order
        ({"instalments": -1}, InvalidInput),  # below zero
    ],
)
def test_wrong_payment_is_refused(records, wanted, error):
    order = new_order(records)
    with pytest.raises(error):
        pay(records, **wanted)
    assert records.count(payments) == 0
    assert paid_of(records, order) == "0.00"


def test_paid_amount_cannot_change(records, order):
    pay(records)
    with pytest.raises(Conflict):
        pay(records, amount="500")
    new_order(records, number="o-2")
    with pytest.raises(Conflict):
        pay(records, order="o-2")


NEWS = st.tuples(st.sampled_from(["pending", "authorized", "paid"]), st.sampled_from(["a", "b"]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(news=st.lists(NEWS, max_size=8))
def test_sum_of_payments_is_the_balance(records, news):
    records.clear()
    order = new_order(records)
    for state, external in news:
        pay(records, external_id=external, state=state)
    received = {external for state, external in news if state == "paid"}
    assert paid_of(records, order) == f"{400 * len(received)}.00"
    assert records.tells().count("payment.received") == len(received)


def test_recorded_sequences_end_in_the_same_sum(records):
    """Payments of `event_sequences`; refunds there are documents of their own and belong to the ledger."""
    rows = [row for row in vectors("event_sequences")["rows"] if "payment" in str(row["events"])]
    assert rows
    for row in rows:
        records.clear()
        order = new_order(records, total=str(row["order_total"] / 100))
        for event in row["events"]:
            if event["type"] == "payment.succeeded":
                pay(records, external_id=event["payment"], amount=f"{event['amount'] / 100:.2f}")
        assert paid_of(records, order) == f"{row['expect']['paid'] / 100:.2f}", row["id"]
