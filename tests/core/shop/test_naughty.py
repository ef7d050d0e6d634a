"""Text from outside: stored unchanged or refused with a reason, never an error of another kind."""

from typing import Any

import pytest
from shared_files import vectors
from shop_records import NOON, Records

from core.errors import InvalidInput, UserError
from core.shop.customers import read_customer
from core.shop.history import find_last_bought
from core.shop.identity import find_customer_ids
from core.shop.orders import find_order_id, find_orders
from core.shop.products import find_products
from core.shop.snapshots import snapshot_customers, snapshot_orders, snapshot_products
from core.shop.tasks import find_tasks, get_task
from core.shop.wanted import LONG, read_email, read_moment, read_phone, read_quantity


def strings() -> list[str]:
    rows = vectors("naughty_strings")["rows"]
    return [text_of(row) for row in rows]


def text_of(row: dict[str, Any]) -> str:
    if "repeat" in row:
        part, times = row["repeat"]
        return part * times
    return row["value"]


def is_storable(text: str) -> bool:
    return "\0" not in text and not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def try_to(records: Records, write) -> str | None:
    """Return the id of what was stored, or None when it was refused in words."""
    try:
        return records.do(write).id
    except UserError as refused:
        refused.message.encode()
        return None


def test_each_text_is_kept_or_refused(records):
    for number, text in enumerate(strings()):
        key = str(number)
        person = {"external_id": f"c{key}", "name": text, "city": text, "fields": {"note": text, "deep": [{"a": text}]}}
        fits = is_storable(text) and len(text) <= 1_000
        customer = try_to(records, lambda shop, person=person: shop.upsert_customer(person))
        assert (customer is not None) == fits, repr(text[:40])
        if customer is not None:
            stored = records.read(lambda conn, customer=customer: snapshot_customers(conn, [customer])[customer])
            assert (stored["name"], stored["fields"]["note"], stored["fields"]["deep"]) == (text, text, [{"a": text}])
        task = try_to(records, lambda shop, text=text: shop.create_task({"title": "t", "text": text}))
        assert (task is not None) == (is_storable(text) and len(text) <= LONG)
        if task is not None:
            assert records.read(lambda conn, task=task: get_task(conn, task))["text"] == text
    records.told.clear()


def test_each_text_as_a_name_of_something(records):
    for number, text in enumerate(strings()):
        order = {
            "external_id": text,
            "items": [{"name": f"line {number}", "sku": text}],
            "tags": [text],
            "channel": text,
        }
        stored = try_to(records, lambda shop, order=order: shop.upsert_order(order))
        if stored is not None:
            shown = records.read(lambda conn, stored=stored: snapshot_orders(conn, [stored])[stored])
            assert shown["items"][0]["product"]["sku"] == text
            assert (shown["tags"], shown["external_ids"]) == ([text], {"site": text})
            assert records.read(lambda conn, text=text: find_order_id(conn, text, system="site")) == stored
        product = try_to(
            records, lambda shop, text=text: shop.upsert_product({"sku": text, "name": "x", "brand": text})
        )
        if product is not None:
            shown = records.read(lambda conn, product=product: snapshot_products(conn, [product])[product])
            assert (shown["sku"], shown["brand"]) == (text, text)
        try_to(
            records, lambda shop, text=text: shop.upsert_customer({"external_ids": {text: text}, "fields": {text: 1}})
        )
        try_to(records, lambda shop, text=text: shop.set_price({"sku": text, "list": text, "price": text}))
        try_to(records, lambda shop, text=text: shop.change_status(text, text))


@pytest.mark.parametrize(
    "field", ["phone", "email", "language", "zone", "birthday", "created_at", "tags", "consents", "id"]
)
def test_each_text_in_a_field_with_a_form(field):
    for text in strings():
        try:
            read_customer({"external_id": "1", field: text}, source="site", region="TR")
        except UserError as refused:
            refused.message.encode()


def test_each_text_in_searches_and_facts(records):
    records.do(lambda shop: shop.upsert_product({"sku": "A", "name": "Case"}))
    for text in filter(is_storable, strings()):
        with records.db.read() as conn:
            assert find_products(conn, text=text, category=text) == []
            assert find_orders(conn, text=text, status=text, customer=text) == []
            assert find_tasks(conn, status=text, assignee=text) == []
            assert find_customer_ids(conn, [text]) == {}
            assert find_last_bought(conn, [(text, NOON)], words={"category": text}) == {(text, NOON): None}


WILD: list[Any] = [
    float("nan"),
    float("inf"),
    -0.0,
    1e309,
    10**400,
    -(10**30),
    True,
    None,
    [],
    {},
    [[]],
    b"x",
    object(),
    "𝟙",
]


@pytest.mark.parametrize("reader", [read_phone, read_email, read_moment, read_quantity])
def test_wild_values_are_refused_by_path(reader):
    refusals = set()
    for value in WILD:
        options = {"region": "TR"} if reader is read_phone else {}
        try:
            reader(value, "field", **options)
        except InvalidInput as refused:
            refusals.add(refused.path)
    assert refusals == {"field"}
