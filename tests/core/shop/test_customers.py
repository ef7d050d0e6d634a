"""Customers: who is who, what is stored, what is told."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from shop_records import Records

from core.errors import Conflict, InvalidInput, NotFound
from core.shop.identity import find_customers
from core.shop.snapshots import snapshot_customer
from core.shop.tables import customers, external_ids
from core.writer import Writer

ELIF = {"external_id": "17", "phone": "0532 123 45 67", "email": "Elif@Shop.Example", "name": "Elif", "city": "İzmir"}


def store(records: Records, wanted, **options):
    return records.do(lambda shop: shop.upsert_customer(wanted), **options)


def test_new_customer_is_stored_and_told(records):
    change = store(records, ELIF)
    assert change.created
    [told] = records.told
    assert (told.type, told.key, told.customer) == ("customer.created", change.id, change.id)
    stored = records.read(lambda conn: snapshot_customer(conn, change.id))
    assert stored == told.data["customer"]
    assert stored["phone"] == "+905321234567"
    assert stored["email"] == "elif@shop.example"
    assert stored["external_ids"] == {"site": "17"}
    assert stored["city"] == "İzmir"


def test_same_customer_twice_changes_nothing(records):
    first = store(records, ELIF)
    records.tells()
    records.later(days=1)
    before = records.picture()
    second = store(records, ELIF)
    assert (second.id, second.is_changed) == (first.id, False)
    assert records.tells() == []
    assert records.picture() == before


def test_difference_alone_is_told(records):
    first = store(records, ELIF)
    records.tells()
    change = store(records, {"phone": "+90 532 123 45 67", "city": "Ankara", "fields": {"size": 42}, "tags": ["vip"]})
    assert change.id == first.id
    [told] = records.told
    assert told.type == "customer.changed"
    assert told.data["changes"] == {
        "customer.city": {"from": "İzmir", "to": "Ankara"},
        "customer.fields.size": {"from": None, "to": 42},
        "customer.tags": {"from": [], "to": ["vip"]},
    }
    assert told.data["customer"]["city"] == "Ankara"


@pytest.mark.parametrize(
    "names",
    [
        {"external_id": "17"},  # the site's own id
        {"phone": "(0532) 1234567"},  # another spelling of the number
        {"email": " ELIF@shop.example"},  # another spelling of the address
        {"external_id": "99", "phone": "905321234567", "email": "new@shop.example"},  # the phone decides
        {"email": "elif@shop.example", "name": "Elif K."},  # an address alone
    ],
)
def test_customer_is_found_by_any_name(records, names):
    first = store(records, ELIF)
    assert store(records, names).id == first.id
    assert records.count(customers) == 1


def test_shared_address_does_not_join_two_phones(records):
    elif_id = store(records, ELIF).id
    wanted = {"phone": "0532 765 43 21", "email": "elif@shop.example", "name": "Deniz"}
    change = store(records, wanted)
    assert change.id != elif_id
    assert "belongs to customer" in change.ignored["customer.email"]
    records.tells()
    assert not store(records, wanted).is_changed
    assert records.tells() == []


def test_phone_is_added_to_a_customer_known_by_mail(records):
    first = store(records, {"email": "a@shop.example"})
    second = store(records, {"email": "a@shop.example", "phone": "+905321234567"})
    assert second.id == first.id
    assert store(records, {"phone": "+905321234567"}).id == first.id


def test_old_number_still_finds_who_changed_it(records):
    first = store(records, ELIF)
    store(records, {"external_id": "17", "phone": "+905350000000"})
    assert store(records, {"phone": "+905321234567", "city": "Bursa"}).id == first.id


def test_phone_of_somebody_else_is_not_taken(records):
    elif_id = store(records, ELIF).id
    other = store(records, {"external_id": "18", "phone": "+905350000000"}).id
    change = store(records, {"external_id": "18", "phone": "+905321234567"})
    assert change.id == other
    assert elif_id in change.ignored["customer.phone"]
    assert records.read(lambda conn: snapshot_customer(conn, other))["phone"] == "+905350000000"


def test_second_account_of_one_person_is_an_alias(records):
    first = store(records, ELIF)
    second = store(records, {"external_id": "18", "phone": "0532 123 45 67"})
    assert second.id == first.id
    assert store(records, {"external_id": "18", "city": "Van"}).id == first.id
    assert records.read(lambda conn: snapshot_customer(conn, first.id))["external_ids"] == {"site": "17"}
    assert records.count(external_ids) == 2


def test_cleared_fields_are_empty(records):
    first = store(records, ELIF | {"fields": {"size": 42}})
    store(records, {"external_id": "17", "city": None, "phone": None, "fields": {"size": None}})
    stored = records.read(lambda conn: snapshot_customer(conn, first.id))
    assert "city" not in stored
    assert "phone" not in stored
    assert stored["fields"] == {}
    assert store(records, {"phone": "+905321234567"}).id != first.id


def test_master_of_a_field_keeps_it(records):
    masters = {"customer.city": "1c", "customer.fields.size": "1c"}
    first = store(records, ELIF, source="1c", masters=masters)
    wanted = {"phone": ELIF["phone"], "city": "Ankara", "name": "Elif K.", "fields": {"size": 1}}
    change = store(records, wanted, masters=masters)
    assert change.ignored == {"customer.city": "is kept by 1c", "customer.fields.size": "is kept by 1c"}
    stored = records.read(lambda conn: snapshot_customer(conn, first.id))
    assert (stored["city"], stored["name"]) == ("İzmir", "Elif K.")


def test_import_tells_nothing(records):
    assert store(records, ELIF, quiet=True).created
    assert records.tells() == []


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({}, "customer"),  # nobody
        ({"name": "Elif"}, "customer"),  # a name tells nobody from others
        ({"phone": "12"}, "customer.phone"),  # too short
        ({"phone": "call me"}, "customer.phone"),  # words
        ({"phone": True}, "customer.phone"),  # a flag
        ({"email": "elif"}, "customer.email"),  # no address
        ({"email": "a@b\r\nBcc: c@d"}, "customer.email"),  # a forged header
        ({"external_id": ""}, "customer.external_id"),  # empty
        ({"external_id": "1", "zone": "Mars/Olympus"}, "customer.zone"),  # no such zone
        ({"external_id": "1", "language": "<b>"}, "customer.language"),  # no language
        ({"external_id": "1", "birthday": "31.12.1990"}, "customer.birthday"),  # local spelling
        ({"external_id": "1", "tags": "vip"}, "customer.tags"),  # not a list
        ({"external_id": "1", "tags": [""]}, "customer.tags[0]"),  # an empty tag
        ({"external_id": "1", "fields": {"a": float("nan")}}, "customer.fields.a"),  # not JSON
        ({"external_id": "1", "fields": {"a": {"b": "\0"}}}, "customer.fields.a"),  # NUL below
        ({"external_id": "1", "name": 5}, "customer.name"),  # not text
        ({"external_id": "1", "colour": "red"}, "customer.colour"),  # nobody reads it
        ({"external_id": "1", "created_at": "2026-01-01T00:00:00"}, "customer.created_at"),  # no zone
        ([], "customer"),  # not an object
    ],
)
def test_wrong_customer_is_refused_by_path(records, wanted, path):
    with pytest.raises(InvalidInput) as refused:
        store(records, wanted)
    assert refused.value.path == path
    assert records.count(customers) == 0


def test_unknown_id_is_not_found(records):
    with pytest.raises(NotFound):
        store(records, {"id": "nobody", "city": "Van"})


def test_numbers_are_read_as_the_regions(records):
    change = store(records, {"phone": "8 (912) 345-67-89"}, region="RU")
    assert records.read(lambda conn: snapshot_customer(conn, change.id))["phone"] == "+79123456789"


def test_stub_is_quiet_until_real_data_comes(records):
    stub = records.do(lambda shop: shop.open_customer("u-1", system="shop"))
    records.do(lambda shop: shop.add_tag("customer", "u-1", "vip", system="shop"))
    assert records.do(lambda shop: shop.open_customer("u-1", system="shop")) == stub
    records.tells()
    change = store(records, {"external_id": "u-1", "phone": "+905321234567"}, source="shop")
    assert (change.id, change.created) == (stub, True)
    assert records.told[0].data["customer"]["tags"] == ["vip"]
    assert records.tells() == ["customer.created"]


def test_stub_gives_its_tags_to_the_known_customer(records):
    known = store(records, ELIF, source="till").id
    stub = records.do(lambda shop: shop.open_customer("u-1", system="shop"))
    records.do(lambda shop: shop.add_tag("customer", stub, "vip"))
    change = store(records, {"external_id": "u-1", "phone": ELIF["phone"]}, source="shop")
    assert change.id == known
    stored = records.read(lambda conn: snapshot_customer(conn, known))
    assert stored["tags"] == ["vip"]
    assert stored["external_ids"] == {"shop": "u-1", "till": "17"}
    assert records.do(lambda shop: shop.find_customer(stub)) == known


def test_tag_is_added_and_removed_once(records):
    customer = store(records, ELIF).id
    records.tells()
    for tag in ("vip", "new", "vip"):
        records.do(lambda shop, tag=tag: shop.add_tag("customer", customer, tag))
    assert [told.data["changes"]["customer.tags"]["to"] for told in records.told] == [["vip"], ["new", "vip"]]
    records.do(lambda shop: shop.remove_tag("customer", "17", "vip"))
    assert not records.do(lambda shop: shop.remove_tag("customer", "17", "vip")).is_changed
    assert records.told[-1].data["changes"]["customer.tags"] == {"from": ["new", "vip"], "to": ["new"]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("elif", ["Elif"]),  # small letters
        ("532 123-45", ["Elif"]),  # digits set apart
        ("izmir", ["Elif"]),  # another i
        ("SHOP.example", ["Elif"]),  # a part of the address
        ("%", ["100 %_"]),  # a sign of LIKE
        ("%_", ["100 %_"]),  # two of them
        ("_l", []),  # is no wild card
        ("\udc00", []),  # can never be stored
        ("' OR 1=1 --", []),  # is no SQL
    ],
)
def test_customers_are_searched_by_plain_words(records, text, found):
    store(records, ELIF | {"tags": ["vip"]})
    store(records, {"external_id": "18", "name": "100 %_"})
    ids = records.read(lambda conn: find_customers(conn, text=text))
    assert [records.read(lambda conn, ours=ours: snapshot_customer(conn, ours))["name"] for ours in ids] == found
    assert len(records.read(lambda conn: find_customers(conn, tag="vip"))) == 1
    assert records.read(lambda conn: find_customers(conn, tag=text)) == []


def test_parallel_first_orders_make_one_customer(records):
    """Writers of several processes meet the same new phone number: one stores it, the others find it."""
    writers = [Writer(records.db) for _ in range(4)]

    def meet(number: int) -> str:
        one = Records(db=records.db, writer=writers[number % len(writers)])
        for _ in range(10):
            try:
                return store(one, {"phone": "+905321234567", "city": "Van", "tags": ["vip"]}).id
            except Conflict:
                continue
        raise AssertionError("never got through")

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(meet, range(20)))) == 1
    assert records.count(customers) == 1
