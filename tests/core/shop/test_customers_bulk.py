"""Many customers at once: few statements, and the same end as one by one."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_records import Records
from sqlalchemy import select

from core.errors import InvalidInput
from core.shop.snapshots import snapshot_customers
from core.shop.tables import customers


def make(number: int) -> dict[str, object]:
    return {
        "external_id": str(number),
        "phone": f"+90532{number:07}",
        "email": f"c{number}@shop.example",
        "name": f"Customer {number}",
        "tags": ["imported"],
        "consents": {"marketing": True},
    }


def test_thousand_rows_need_few_statements(records):
    rows = [make(number) for number in range(1_000)]
    with records.statements() as sent:
        changes = records.do(lambda shop: shop.upsert_customers(rows), quiet=True)
    assert len(sent) < 25
    assert len({change.id for change in changes}) == 1_000
    with records.statements() as sent:
        again = records.do(lambda shop: shop.upsert_customers(rows), quiet=True)
    assert [change.id for change in again] == [change.id for change in changes]
    assert not any(change.is_changed for change in again)
    # Tags of stored customers are the one thing that is asked for one by one.
    assert len([statement for statement in sent if " tags" not in statement]) < 20


def test_row_names_its_place_in_the_list(records):
    with pytest.raises(InvalidInput) as refused:
        records.do(lambda shop: shop.upsert_customers([make(1), make(2) | {"phone": "x"}]))
    assert refused.value.path == "customers[1].phone"
    assert records.count(customers) == 0


PEOPLE = st.fixed_dictionaries(
    {},
    optional={
        "external_id": st.sampled_from("123"),
        "phone": st.sampled_from(["+905321111111", "+905322222222", "+905323333333"]),
        "email": st.sampled_from(["a@shop.example", "b@shop.example"]),
        "city": st.sampled_from([None, "Van", "Bursa"]),
        "tags": st.lists(st.sampled_from("xyz"), max_size=2, unique=True),
        "fields": st.dictionaries(st.sampled_from("mn"), st.none() | st.integers(0, 3), max_size=2),
        "consents": st.dictionaries(st.sampled_from(["sms", "mail"]), st.booleans(), max_size=2),
    },
).filter(lambda wanted: wanted.keys() & {"external_id", "phone", "email"})


def people_of(records: Records) -> list[object]:
    """Return the customers without ids of ours, in the order they came."""
    with records.db.read() as conn:
        ids = list(conn.execute(select(customers.c.id).order_by(customers.c.id)).scalars())
        found = snapshot_customers(conn, ids)
    return [{name: value for name, value in found[ours].items() if name != "id"} for ours in ids]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(PEOPLE, min_size=1, max_size=8))
def test_batch_ends_as_one_by_one(records, rows):
    records.clear()
    records.do(lambda shop: shop.upsert_customers(rows))
    batch = people_of(records)
    records.clear()
    for row in rows:
        records.do(lambda shop, row=row: shop.upsert_customer(row))
    assert people_of(records) == batch


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(PEOPLE, min_size=1, max_size=5))
def test_last_row_twice_changes_nothing(records, rows):
    records.clear()
    for row in rows:
        records.later(minutes=1)  # consents of one moment are settled by rank, not by order
        records.do(lambda shop, row=row: shop.upsert_customer(row))
    records.tells()
    before = records.picture()
    records.later(hours=1)
    again = records.do(lambda shop: shop.upsert_customer(rows[-1]))
    assert not again.is_changed
    assert records.tells() == []
    assert records.picture() == before
