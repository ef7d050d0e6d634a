"""In a real browser: from the login link to an automation that acted, the staff's switch, and pages that fit."""

from typing import Any

import pytest
from browser import errors_of, resize, sign_in, width_of
from engines import make_event, put_rule

from rules.engine import Engine
from rules.store import get_rule

pytestmark = [pytest.mark.e2e, pytest.mark.sqlite("one database is enough for a browser")]

REMIND = """\
rule: remind
title: {en: Remind of payment, tr: Ödemeyi hatırlat, ru: Напомнить об оплате}
staff_may_switch: true
when: {event: order.created}
then:
  - do: tasks.create
    with: {title: "Call about {{ order.number }}"}
"""
PAGES = ["/today", "/automations", "/automations/remind", "/automations/remind/edit", "/ready-made", "/runs", "/events", "/why",
         "/approvals", "/switches", "/search?q=remind", "/me", "/nothing-here"]  # fmt: skip


def _click(driver: Any, selector: str) -> None:
    driver.find_element("css selector", selector).click()


def _words(driver: Any) -> str:
    return driver.find_element("css selector", "body").text


def _finish(engine: Engine) -> None:
    """Let the worker do what is due, in this thread: a test waits for nothing."""
    while engine.runner.advance():
        pass


def test_ready_made_automation_acts_within_six_clicks(driver: Any, address: str, engine: Engine):
    sign_in(driver, address, engine)
    driver.get(f"{address}/ready-made")
    _click(driver, "form[action='/ready-made/big-order'] button")
    _click(driver, "button[name='state'][value='on']")
    assert "version 1 is live" in _words(driver)
    engine.sync()
    order = {"id": "o1", "number": "1041", "total": {"amount": "64999.00", "currency": "TRY"}, "status": "paid"}
    event = make_event(engine, "order.paid", {"order": order}, key="o1")
    engine.writer.do(lambda tx: engine.intake.take(tx, [event]))
    _finish(engine)
    driver.get(f"{address}/runs")
    driver.find_element("link text", "#1041").click()
    assert "Mark big orders" in _words(driver)
    assert "Steps" in _words(driver)


def test_staff_switches_on_a_phone(driver: Any, address: str, engine: Engine):
    put_rule(engine, REMIND)
    sign_in(driver, address, engine, "staff", language="tr")
    resize(driver, 390, 844)
    driver.get(f"{address}/switches")
    assert "Ödemeyi hatırlat" in _words(driver)
    switch = driver.find_element("css selector", "button[role='switch']")
    assert (switch.get_attribute("aria-checked"), switch.size["width"] >= 48) == ("true", True)
    switch.click()
    assert driver.find_element("css selector", ".toast").text
    with engine.db.read() as conn:
        assert get_rule(conn, "remind").state == "off"
    _click(driver, ".toast form button")
    driver.find_element("css selector", "button[role='switch'][aria-checked='true']")


def test_draft_typed_and_not_saved_comes_back(driver: Any, address: str, engine: Engine):
    put_rule(engine, REMIND)
    sign_in(driver, address, engine)
    driver.get(f"{address}/automations/remind/edit")
    area = driver.find_element("id", "rule-text")
    area.send_keys("# a thought")
    driver.execute_async_script(
        "const done = arguments[0], begun = Date.now();"
        "(function look() { const kept = Object.values(localStorage).some((text) => text.includes('# a thought'));"
        " if (kept || Date.now() - begun > 5000) done(); else requestAnimationFrame(look); })()"
    )
    # The browser is killed: nothing asks, nothing is sent.
    driver.execute_script("document.activeElement.blur()")
    driver.get(f"{address}/automations/remind/edit")
    assert "# a thought" in driver.find_element("id", "rule-text").get_attribute("value")


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("ru", 768), ("tr", 390)])
def test_pages_fit_and_load_cleanly(language: str, width: int, driver: Any, address: str, engine: Engine):
    put_rule(engine, REMIND)
    event = make_event(
        engine, "order.created", {"order": {"id": "o1", "number": "1"}, "customer": {"name": "Ayşe " * 12}}
    )
    engine.sync()
    engine.writer.do(lambda tx: engine.intake.take(tx, [event]))
    _finish(engine)
    sign_in(driver, address, engine, language=language)
    resize(driver, width)
    errors_of(driver)
    for page in PAGES:
        driver.get(address + page)
        driver.find_element("css selector", "main")
        assert (page, width_of(driver)) == (page, width)
        assert driver.find_element("css selector", "html").get_attribute("lang") == language
        refused = [text for text in errors_of(driver) if "/nothing-here" not in text]
        assert (page, refused) == (page, [])
