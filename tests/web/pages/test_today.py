"""Today, search, and the pause that stands on every page."""

from typing import Any

import pytest
from engines import make_event, put_rule
from web_pages import plain, sign_in

from rules.engine import Engine

HELD = """\
rule: asks
title: Ask first
when: {event: order.paid}
then:
  - do: tasks.create
    with: {title: Look}
limits: {ask_above: 0 a day}
"""


@pytest.mark.parametrize("role", ["admin", "manager", "staff", "developer"])
@pytest.mark.parametrize("span", ["today", "7", "30", "nonsense"])
def test_empty_shop_has_a_day_too(role: str, span: str, app: Any, engine: Engine):
    text = plain(sign_in(app, engine, role).get(f"/today?span={span}"))
    assert "No automation has acted in the last seven days." in text


def test_what_needs_a_person_stands_on_top(app: Any, engine: Engine):
    put_rule(engine, HELD)
    engine.sync()
    event = make_event(engine, "order.paid", {"order": {"id": "o1", "number": "1"}})
    engine.writer.do(lambda tx: engine.intake.take(tx, [event]))
    engine.runner.advance()
    text = plain(sign_in(app, engine).get("/today"))
    assert "1 action waits for approval: Ask first" in text


def test_pause_stands_on_every_page_until_resumed(app: Any, engine: Engine):
    browser = sign_in(app, engine)
    browser.post("/pause", {"reason": "<b>stock count</b>"})
    page = browser.get("/automations")
    assert "All automations are paused." in plain(page)
    assert "<b>stock count" not in page
    browser.post("/resume")
    assert "All automations are paused." not in plain(browser.get("/automations"))


def test_search_finds_automations_by_words(app: Any, engine: Engine):
    put_rule(engine, HELD)
    browser = sign_in(app, engine)
    assert 'href="/automations/asks"' in browser.get("/search?q=ask+FIRST")
    assert "Nothing found" in plain(browser.get("/search?q=%25%27%3B--"))


def test_search_takes_any_text(app: Any, engine: Engine):
    browser = sign_in(app, engine)
    for text in ("'", "%", "_", "\\", "\0", "x" * 5000, "ﬁ", "İ", "🙂"):
        browser.open("GET", "/search", query_string={"q": text})
