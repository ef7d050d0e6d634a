"""Products, variants and prices."""

import pytest
from shop_records import NOON, Records
from sqlalchemy import select

from core.errors import Conflict, InvalidInput, NotFound
from core.shop.prices import find_prices
from core.shop.products import find_products
from core.shop.snapshots import snapshot_products
from core.shop.tables import prices, products, variants

PHONE = {
    "external_id": "p1",
    "name": "Phone X",
    "brand": "Acme",
    "category": "smartphones",
    "tags": ["new"],
    "variants": [
        {"sku": "X-BLACK", "options": {"colour": "black"}, "weight_g": 180, "price": "24999.00 TRY"},
        {"sku": "X-BLUE", "options": {"colour": "blue"}, "price": "25999 TRY"},
    ],
}


def store(records: Records, wanted, **options):
    return records.do(lambda shop: shop.upsert_product(wanted), **options)


def variant_of(records: Records, sku: str) -> str:
    return records.read(lambda conn: conn.execute(select(variants.c.id).where(variants.c.sku == sku)).scalar_one())


def test_product_is_stored_with_variants_and_prices(records):
    change = store(records, PHONE)
    assert records.told[0].data["product"] == records.read(lambda conn: snapshot_products(conn, [change.id])[change.id])
    assert [kind["sku"] for kind in records.told[0].data["product"]["variants"]] == ["X-BLACK", "X-BLUE"]
    assert records.told[1].data["price"] == {"list": "retail", "to": {"amount": "24999.00", "currency": "TRY"}}
    assert (records.told[1].key, records.told[1].data["product"]["category"]) == ("X-BLACK", "smartphones")
    assert records.tells() == ["product.created", "price.changed", "price.changed"]
    before = records.picture()
    assert not store(records, PHONE).is_changed
    assert records.tells() == []
    assert records.picture() == before


def test_product_is_found_by_any_sku(records):
    first = store(records, PHONE).id
    records.tells()
    assert store(records, {"sku": "X-BLUE", "weight_g": 190, "category": "phones"}).id == first
    assert records.told[0].data["changes"] == {
        "product.category": {"from": "smartphones", "to": "phones"},
        "product.variants.X-BLUE.weight_g": {"from": None, "to": 190},
    }
    assert store(records, {"external_id": "p1", "variants": [{"sku": "X-RED"}]}).id == first
    assert records.count(products) == 1
    assert records.count(variants) == 3


def test_sku_of_another_product_is_refused(records):
    store(records, PHONE)
    other = {"external_id": "p2", "name": "Case", "sku": "CASE"}
    store(records, other)
    with pytest.raises(Conflict):
        store(records, {"external_id": "p2", "variants": [{"sku": "X-BLUE"}]})
    with pytest.raises(Conflict):
        store(records, {"name": "Both", "variants": [{"sku": "X-BLUE"}, {"sku": "CASE"}]})


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"name": "x"}, "product"),  # nothing to know it by
        ({"sku": "A"}, "product.name"),  # new, without a name
        ({"sku": "", "name": "x"}, "product.sku"),  # an empty SKU
        ({"name": "x", "sku": "A", "variants": [{"sku": "B"}]}, "product.sku"),  # both forms
        ({"name": "x", "variants": [{"sku": "A"}, {"sku": "A"}]}, "product.variants[1].sku"),  # twice
        ({"name": "x", "variants": [{"options": {}}]}, "product.variants[0].sku"),  # a variant without SKU
        ({"name": "x", "sku": "A", "weight_g": -1}, "product.weight_g"),  # below zero
        ({"name": "x", "sku": "A", "price": "12"}, "product.variants[0].price"),  # no currency
        ({"name": "x", "sku": "A", "active": "yes"}, "product.active"),  # a word is no flag
    ],
)
def test_wrong_product_is_refused(records, wanted, path):
    with pytest.raises(InvalidInput) as refused:
        store(records, wanted)
    assert refused.value.path == path
    assert records.count(products) == 0


def test_search_folds_letters_and_escapes_signs(records):
    for sku, name in (("1", "Kılıf %50"), ("2", "KILIF"), ("3", "Glass")):
        store(records, {"sku": sku, "name": name})

    def found(text: str) -> list[str]:
        ids = records.read(lambda conn: find_products(conn, text=text))
        return sorted(product["name"] for product in records.read(lambda conn: snapshot_products(conn, ids)).values())

    assert found("kilif") == ["KILIF", "Kılıf %50"]
    assert found("%50") == ["Kılıf %50"]
    assert found("_") == []


def test_price_has_a_history(records):
    store(records, PHONE)
    variant = variant_of(records, "X-BLUE")
    records.later(days=1)
    records.tells()
    change = records.do(lambda shop: shop.set_price({"sku": "X-BLUE", "price": "24000 TRY"}))
    [told] = records.told
    assert told.data["price"]["from"]["amount"] == "25999.00"
    assert change.changes == told.data["changes"]
    assert records.read(lambda conn: find_prices(conn, [variant]))[variant]["amount"] == "24000.00"
    assert records.read(lambda conn: find_prices(conn, [variant], at=NOON))[variant]["amount"] == "25999.00"
    old = records.do(lambda shop: shop.set_price({"sku": "X-BLUE", "price": "1 TRY", "since": NOON}))
    assert old.ignored == {"price.retail": "is older than the present price"}
    records.do(lambda shop: shop.set_price({"sku": "X-BLUE", "price": None}))
    assert records.read(lambda conn: find_prices(conn, [variant])) == {}
    assert records.count(prices) == 3


def test_price_lists_and_masters_are_apart(records):
    store(records, PHONE)
    records.do(lambda shop: shop.set_price({"sku": "X-BLUE", "list": "b2b", "price": "100 USD"}))
    variant = variant_of(records, "X-BLUE")
    assert records.read(lambda conn: find_prices(conn, [variant], name="b2b"))[variant]["currency"] == "USD"
    change = records.do(
        lambda shop: shop.set_price({"sku": "X-BLUE", "price": "1 TRY"}), masters={"price.retail": "1c"}
    )
    assert change.ignored == {"price.retail": "is kept by 1c"}


def test_price_of_unknown_sku_is_not_found(records):
    with pytest.raises(NotFound):
        records.do(lambda shop: shop.set_price({"sku": "none", "price": "1 TRY"}))
