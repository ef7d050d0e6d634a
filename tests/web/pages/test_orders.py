"""The pages of orders: found by number and status, a page at a time; the card with money and everything that happened."""

from datetime import timedelta
from typing import Any

from engines import put_rule
from shop_stage import ASKS, customer_of, in_shop, put_order
from web_pages import plain, sign_in

from core.clock import VirtualClock
from rules.engine import Engine


def test_orders_are_found_by_a_part_of_the_number(app: Any, engine: Engine):
    first, second = put_order(engine, "1042"), put_order(engine, "2077")
    browser = sign_in(app, engine, "staff")
    page = browser.get("/orders?q=%23104")
    assert f'href="/orders/{first}"' in page
    assert f'href="/orders/{second}"' not in page
    # signs of LIKE are plain letters
    assert "No order fits" in plain(browser.get("/orders?q=%25"))


def test_orders_are_filtered_by_status_with_counts(app: Any, engine: Engine):
    first, second = put_order(engine, "1042"), put_order(engine, "2077", status="packing")
    page = sign_in(app, engine, "staff").get("/orders?status=packing")
    assert f'href="/orders/{second}"' in page
    assert f'href="/orders/{first}"' not in page
    assert "All 2 New 1 Packing 1" in plain(page)


def test_pages_of_orders_hold_each_order_once(app: Any, engine: Engine):
    orders = [put_order(engine, str(5000 + number)) for number in range(55)]
    browser = sign_in(app, engine, "staff")
    first = browser.get("/orders")
    following = first.split('aria-label="Pages"><a class="btn" href="')[1].split('"')[0].replace("&amp;", "&")
    second = browser.get(following)
    for order in orders:
        assert (f'href="/orders/{order}"' in first) != (f'href="/orders/{order}"' in second)


def test_card_shows_lines_money_and_the_customer(app: Any, engine: Engine):
    order = put_order(engine, discount="100.00", delivery_cost="50.00")
    paid = {"order": order, "provider": "till", "external_id": "p1", "amount": "2950.00", "state": "paid"}
    in_shop(engine, lambda shop: shop.record_payment(paid))
    in_shop(engine, lambda shop: shop.record_shipment({"order": order, "carrier": "post", "tracking": "T-1"}))
    text = plain(sign_in(app, engine, "staff").get(f"/orders/{order}"))
    for words in ["Kelvara 3", "₺3,000", "Discount −₺100", "Delivery ₺50", "Total ₺2,950", "Paid ₺2,950"]:
        assert words in text
    for words in ["Ada Deniz", "+905321112233", "ada@shop.example", "till", "post", "T-1"]:
        assert words in text


def test_card_tells_everything_that_happened(app: Any, engine: Engine):
    put_rule(engine, ASKS)
    order = put_order(engine, emit=True)
    engine.drain()
    paid = {"order": order, "provider": "till", "external_id": "p1", "amount": "3000.00", "state": "paid"}
    in_shop(engine, lambda shop: shop.record_payment(paid))
    said = {
        "customer": customer_of(engine),
        "order": order,
        "channel": "sms",
        "body": "Thank you",
        "idempotency_key": "1",
    }
    in_shop(engine, lambda shop: shop.queue_message(said))
    page = sign_in(app, engine, "admin").get(f"/orders/{order}")
    story = plain(page.split('<ol class="story"')[1].split("</ol>")[0])
    for words in ["Order placed", "Pack what was ordered Acted", "Create a task Done", "Payment of ₺3,000 Received"]:
        assert words in story
    assert "Message by sms Queued" in story
    assert "Thank you" in story


def test_older_entries_come_as_a_part_of_the_page(app: Any, engine: Engine):
    order = put_order(engine)
    assert isinstance(engine.clock, VirtualClock)
    for number in range(40):
        engine.clock.advance(timedelta(minutes=1))
        said = {"customer": customer_of(engine), "order": order, "channel": "sms", "body": f"Word {number:02}."}
        in_shop(engine, lambda shop, said=said: shop.queue_message({**said, "idempotency_key": said["body"]}))
    browser = sign_in(app, engine, "staff")
    page = browser.get(f"/orders/{order}")
    assert "Word 39." in page
    assert "Word 05." not in page
    address = page.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")
    older = browser.fragment("GET", address)
    assert "Word 05." in older
    assert "Word 39." not in older
    assert "<html" not in older


def test_order_is_opened_by_another_systems_id(app: Any, engine: Engine):
    put_order(engine)
    browser = sign_in(app, engine, "staff")
    assert "Order 1042" in plain(browser.get("/orders/site-1042"))
    browser.get("/orders/nothing", status=404)


def test_task_is_done_on_the_orders_card(app: Any, engine: Engine):
    order = put_order(engine)
    task = in_shop(engine, lambda shop: shop.create_task({"title": "Pack it", "order": order})).id
    browser = sign_in(app, engine, "staff")
    assert "Pack it" in plain(browser.get(f"/orders/{order}"))
    assert browser.post(f"/tasks/{task}/done", {"order": order}).headers["Location"] == f"/orders/{order}"
    # what the form names as the way back leads nowhere else
    back = browser.post(f"/tasks/{task}/reopen", {"order": "//evil.example"}).headers["Location"]
    assert back == "/tasks"


def test_strange_words_are_shown_as_text(app: Any, engine: Engine):
    bad = "<img src=x onerror=alert(1)>"
    order = put_order(engine, items=[{"sku": "K3", "name": bad, "quantity": 1, "price": "1"}], fields={"gift": bad})
    browser = sign_in(app, engine, "staff")
    assert "<img" not in browser.get(f"/orders/{order}")
    assert "<img" not in browser.get("/orders?q=%3Cimg%20src=x%3E")
