"""Merging two records of one person: nothing is lost, old ids resolve."""

import pytest
from shop_records import NOON, Records
from sqlalchemy import select

from core.errors import InvalidInput, NotFound
from core.ids import new_id
from core.shop.consents import find_consents
from core.shop.identity import find_customer_id
from core.shop.messages import find_messages
from core.shop.notes import find_notes
from core.shop.snapshots import snapshot_customer, snapshot_order
from core.shop.tables import customer_merges, customers
from core.shop.tasks import find_tasks
from core.tables import effects


@pytest.fixture
def pair(records) -> tuple[str, str]:
    """A customer of the site and the same person from the till."""
    keep = {"external_id": "17", "phone": "+905321234567", "name": "Elif", "tags": ["vip"], "fields": {"size": 1}}
    drop = {
        "external_id": "900",
        "phone": "+905350000000",
        "email": "elif@shop.example",
        "name": "ELIF K",
        "city": "Van",
        "tags": ["till", "vip"],
        "fields": {"size": 2, "card": "7"},
        "consents": {"sms": True},
    }
    kept = records.do(lambda shop: shop.upsert_customer(keep)).id
    return kept, records.do(lambda shop: shop.upsert_customer(drop)).id


def merge(records: Records, keep: str, drop: str):
    return records.do(lambda shop: shop.merge_customers(keep, drop, actor="elif@shop.example"))


def test_everything_moves_to_the_kept_record(records, pair):
    keep, drop = pair
    order = records.do(lambda shop: shop.upsert_order({"number": "1", "customer": drop})).id
    records.do(lambda shop: shop.create_task({"title": "Call", "customer": drop}))
    message = {"customer": drop, "channel": "sms", "body": "hi", "idempotency_key": "m"}
    records.do(lambda shop: shop.queue_message(message))
    records.do(lambda shop: shop.add_note("customer", drop, "likes green"))
    records.tells()
    merge(records, keep, drop)
    with records.db.read() as conn:
        person = snapshot_customer(conn, keep)
        assert snapshot_order(conn, order)["customer"] == keep
        assert len(find_tasks(conn, customer=keep)) == len(find_messages(conn, customer=keep)) == 1
        assert find_notes(conn, "customer", keep)[0]["text"] == "likes green"
        assert find_consents(conn, [keep]) == {keep: {"sms": True}}
    assert person["tags"] == ["till", "vip"]
    assert person["fields"] == {"size": 1, "card": "7"}
    assert (person["name"], person["city"], person["email"]) == ("Elif", "Van", "elif@shop.example")
    [told] = records.told
    assert (told.type, told.key, told.data["merged"]["id"]) == ("customer.merged", keep, drop)
    assert told.data["customer"] == person


def test_old_names_resolve_after_merges_of_merges(records, pair):
    keep, drop = pair
    third = records.do(lambda shop: shop.upsert_customer({"email": "third@shop.example"})).id
    merge(records, keep, drop)
    merge(records, third, keep)
    for name in (keep, drop, third, "17", "900"):
        assert records.read(lambda conn, name=name: find_customer_id(conn, name)) == third
    for wanted in ({"phone": "+905350000000"}, {"phone": "+905321234567"}, {"external_id": "900"}, {"id": drop}):
        assert records.do(lambda shop, wanted=wanted: shop.upsert_customer(wanted)).id == third
    assert records.count(customers) == 1
    trail = records.read(lambda conn: conn.execute(select(customer_merges.c.actor, customer_merges.c.kept)).all())
    assert set(trail) == {("elif@shop.example", third)}


def test_merging_again_changes_nothing(records, pair):
    keep, drop = pair
    merge(records, keep, drop)
    before = records.picture()
    assert not merge(records, keep, drop).is_changed
    assert records.picture() == before


def test_effects_count_for_the_person(records, pair):
    keep, drop = pair
    row = dict.fromkeys(effects.c.keys()) | {"id": new_id(), "idempotency_key": "k", "kind": "message", "action": "a"}
    row |= {"plugin": "p", "state": "done", "attempts": 1, "possible_duplicate": False, "at": NOON, "customer": drop}
    if "first" in effects.c:
        row["first"] = True
    records.writer.do(lambda tx: tx.conn.execute(effects.insert(), [row]))
    merge(records, keep, drop)
    assert records.read(lambda conn: conn.execute(select(effects.c.customer)).scalar_one()) == keep


def test_record_cannot_be_merged_into_itself(records, pair):
    with pytest.raises(InvalidInput):
        merge(records, pair[0], pair[0])
    with pytest.raises(NotFound):
        merge(records, pair[0], "nobody")
