"""The page of products: found by name and SKU, with price and stock of each kind."""

from typing import Any

from shop_stage import in_shop
from web_pages import plain, sign_in

from rules.engine import Engine


def put_product(engine: Engine, name: str, sku: str, **more: Any) -> str:
    wanted = {"external_id": sku, "name": name, "variants": [{"sku": sku}], **more}
    return in_shop(engine, lambda shop: shop.upsert_product(wanted)).id


def rows_of(page: str) -> str:
    return plain(page.partition("<tbody>")[2].partition("</tbody>")[0])


def test_products_are_found_by_name_and_sku(app: Any, engine: Engine):
    put_product(engine, "Kelvara 3", "KV-3")
    put_product(engine, "Charger", "CH_1")
    browser = sign_in(app, engine, "staff")
    assert "Charger" not in rows_of(browser.get("/products?q=kelvara"))
    assert "Kelvara" not in rows_of(browser.get("/products?q=CH_"))
    assert "CH_1" in rows_of(browser.get("/products?q=CH_"))
    # an underscore is no wildcard
    assert "No product fits" in plain(browser.get("/products?q=KV_"))


def test_price_and_free_stock_are_shown(app: Any, engine: Engine):
    put_product(engine, "Kelvara 3", "KV-3")
    put_product(engine, "Charger", "CH-1")
    put_product(engine, "Cable", "CA-1")
    in_shop(engine, lambda shop: shop.set_price({"sku": "KV-3", "price": {"amount": "1500", "currency": "TRY"}}))
    in_shop(engine, lambda shop: shop.set_place({"code": "main", "name": "Main"}))
    in_shop(engine, lambda shop: shop.set_stock({"sku": "KV-3", "place": "main", "on_hand": 7}))
    in_shop(engine, lambda shop: shop.reserve({"sku": "KV-3", "place": "main", "quantity": 2}))
    in_shop(engine, lambda shop: shop.set_stock({"sku": "CH-1", "place": "main", "on_hand": 0}))
    text = rows_of(sign_in(app, engine, "staff").get("/products"))
    assert "Kelvara 3 KV-3 ₺1,500 5 2" in text
    assert "Charger CH-1 – Sold out 0" in text
    assert "Cable CA-1 – Not counted –" in text


def test_pages_of_products_hold_each_once(app: Any, engine: Engine):
    for number in range(55):
        put_product(engine, f"Product {number:02}.", f"P-{number}")
    browser = sign_in(app, engine, "staff")
    first = browser.get("/products")
    following = first.split('aria-label="Pages"><a class="btn" href="')[1].split('"')[0].replace("&amp;", "&")
    second = browser.get(following)
    for number in range(55):
        assert (f"Product {number:02}." in first) != (f"Product {number:02}." in second)
    browser.get("/products?cursor=nonsense", status=400)


def test_strange_names_are_shown_as_text(app: Any, engine: Engine):
    put_product(engine, "<script>alert(1)</script>", "<b>")
    page = sign_in(app, engine, "staff").get("/products")
    assert "<script>alert" not in page
    assert "<code><b>" not in page
