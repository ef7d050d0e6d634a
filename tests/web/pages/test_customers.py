"""The pages of customers: found by name, phone and e-mail; the card with consents, orders and the timeline."""

from typing import Any

import pytest
from engines import put_rule
from shop_stage import ASKS, customer_of, in_shop, put_order
from web_pages import plain, sign_in

from rules.engine import Engine


def put_customer(engine: Engine, name: str, **more: Any) -> str:
    return in_shop(engine, lambda shop: shop.upsert_customer({"external_id": name, "name": name, **more})).id


@pytest.mark.parametrize(
    "text",
    [
        "ada",  # a part of the name, small letters
        "0532 111 22 33",  # digits set apart
        "ada@shop",  # a part of the address
        "ŞAHİN",  # capitals of another alphabet
    ],
)
def test_customers_are_found_by_what_is_known(text: str, app: Any, engine: Engine):
    ada = put_customer(engine, "Ada Şahin", phone="+905321112233", email="ada@shop.example")
    bora = put_customer(engine, "Bora", phone="+905339998877", email="bora@other.example")
    page = sign_in(app, engine, "staff").get("/customers", query_string={"q": text})
    assert f'href="/customers/{ada}"' in page
    assert f'href="/customers/{bora}"' not in page


def test_nobody_found_says_what_to_do(app: Any, engine: Engine):
    put_customer(engine, "Ada")
    text = plain(sign_in(app, engine, "staff").get("/customers?q=%25"))
    assert "Nobody fits" in text
    assert "Show all customers" in text


def test_pages_of_customers_hold_each_once(app: Any, engine: Engine):
    ids = [put_customer(engine, f"Customer {number}") for number in range(55)]
    browser = sign_in(app, engine, "staff")
    first = browser.get("/customers")
    following = first.split('aria-label="Pages"><a class="btn" href="')[1].split('"')[0].replace("&amp;", "&")
    second = browser.get(following)
    for ours in ids:
        assert (f'href="/customers/{ours}"' in first) != (f'href="/customers/{ours}"' in second)


def test_card_shows_facts_consents_and_orders(app: Any, engine: Engine):
    order = put_order(engine)
    said = {"external_id": "c1", "city": "İzmir", "tags": ["vip"], "consents": {"marketing": True, "sms": False}}
    in_shop(engine, lambda shop: shop.upsert_customer(said))
    page = sign_in(app, engine, "staff").get(f"/customers/{customer_of(engine)}")
    text = plain(page)
    for words in ["Ada Deniz", "İzmir", "vip", "marketing Given", "sms Refused", "#1042", "Not paid", "₺3,000"]:
        assert words in text
    assert f'href="/orders/{order}"' in page


def test_timeline_tells_of_all_kinds(app: Any, engine: Engine):
    put_rule(engine, ASKS)
    order = put_order(engine, emit=True)
    engine.drain()
    paid = {"order": order, "provider": "till", "external_id": "p1", "amount": "3000.00", "state": "paid"}
    in_shop(engine, lambda shop: shop.record_payment(paid))
    said = {"customer": customer_of(engine), "channel": "sms", "body": "Thank you", "idempotency_key": "1"}
    in_shop(engine, lambda shop: shop.queue_message(said))
    page = sign_in(app, engine, "staff").get(f"/customers/{customer_of(engine)}")
    story = plain(page.split('<ol class="story"')[1].split("</ol>")[0])
    for words in ["Order placed", "Pack what was ordered Acted", "Create a task Done", "Payment of ₺3,000 Received"]:
        assert words in story
    assert "Message by sms Queued Thank you" in story


def test_card_of_a_customer_without_anything_opens(app: Any, engine: Engine):
    ours = in_shop(engine, lambda shop: shop.open_customer("somebody-new"))
    text = plain(sign_in(app, engine, "staff").get(f"/customers/{ours}"))
    assert "Without a name" in text
    assert "No order yet." in text
    sign_in(app, engine, "staff").get("/customers/nothing", status=404)


def test_strange_names_are_shown_as_text(app: Any, engine: Engine):
    ours = put_customer(engine, "<b onclick=x>bad</b>", fields={"<i>": "<script>alert(1)</script>"})
    browser = sign_in(app, engine, "staff")
    for address in ["/customers", f"/customers/{ours}"]:
        page = browser.get(address)
        assert "<b onclick" not in page
        assert "<script>alert" not in page
