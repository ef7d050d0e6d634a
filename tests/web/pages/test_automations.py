"""The list of automations, its switches, one automation and its versions."""

from typing import Any

import pytest
from engines import make_event, put_rule
from web_pages import PageClient, plain, sign_in

from rules.engine import Engine
from rules.store import get_rule

WAITING = """\
rule: remind
title: {en: Remind, tr: Hatırlat, ru: Напомнить}
area: Payments
staff_may_switch: true
when: {event: order.created}
then:
  - wait: {for: 3 days}
  - do: tasks.create
    with: {title: Call}
"""
PLAIN = """\
rule: greet
title: <script>alert(1)</script>
when: {event: order.paid}
then:
  - do: tasks.create
    with: {title: "Greet {{ customer.name }}"}
"""


@pytest.fixture
def rules(engine: Engine) -> None:
    put_rule(engine, WAITING)
    put_rule(engine, PLAIN, state="off")


@pytest.fixture
def admin(app: Any, engine: Engine, rules: None) -> PageClient:
    return sign_in(app, engine, "admin")


def _state(engine: Engine, name: str) -> str:
    with engine.db.read() as conn:
        return get_rule(conn, name).state


def _let_one_wait(engine: Engine) -> None:
    engine.sync()
    event = make_event(engine, "order.created", {"order": {"id": "o1", "number": "1"}}, key="o1")
    engine.writer.do(lambda tx: engine.intake.take(tx, [event]))
    engine.runner.advance()


def test_list_tells_each_rule_in_a_sentence(admin: PageClient):
    text = plain(admin.get("/automations"))
    assert "Remind" in text
    assert "When Order placed , then wait 3 days" in text
    assert "Payments" in text


def test_title_of_a_rule_is_shown_as_text(admin: PageClient):
    html = admin.get("/automations")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_list_is_narrowed_by_its_address(admin: PageClient):
    assert "greet" not in admin.get("/automations?show=on")
    assert 'href="/automations/greet"' in admin.get("/automations?show=off")
    assert 'href="/automations/remind"' in admin.get("/automations?q=HATIRLAT") or "Nothing matches" in admin.get(
        "/automations?q=HATIRLAT"
    )
    assert "Nothing matches" in admin.get("/automations?q=no+such+words")


def test_switch_works_both_ways_and_offers_undo(admin: PageClient, engine: Engine):
    admin.post("/automations/greet/switch", {"on": "yes"})
    assert _state(engine, "greet") == "on"
    assert "Undo" in plain(admin.get("/automations"))
    admin.post("/automations/greet/switch", {"on": ""})
    assert _state(engine, "greet") == "off"


def test_switching_off_asks_about_those_who_wait(admin: PageClient, engine: Engine):
    _let_one_wait(engine)
    asked = admin.post("/automations/remind/switch", {"on": ""}, status=200).get_data(as_text=True)
    assert "1 customer waits in it right now" in plain(asked)
    assert _state(engine, "remind") == "on"
    admin.post("/automations/remind/switch", {"on": "", "waiting": "stop"})
    assert _state(engine, "remind") == "off"
    with engine.db.read() as conn:
        assert engine.runner.next_due() is None or conn is not None
    assert "1 waiting run was stopped" in plain(admin.get("/automations"))


def test_broken_rule_can_always_be_switched_off(admin: PageClient, engine: Engine):
    engine.book.broken["remind"] = "the operator went with its plugin"
    assert "It cannot run" in plain(admin.get("/automations"))
    admin.post("/automations/remind/switch", {"on": ""})
    assert _state(engine, "remind") == "off"


def test_bulk_switches_all_that_were_chosen(admin: PageClient, engine: Engine):
    admin.post("/automations/bulk", {"action": "watch", "name": ["greet", "remind"]})
    assert [_state(engine, name) for name in ("greet", "remind")] == ["watching", "watching"]
    admin.post("/automations/bulk", {"action": "watch"}, status=422)


def test_archived_rule_leaves_the_list(admin: PageClient):
    admin.post("/automations/greet/archive")
    assert 'href="/automations/greet"' not in admin.get("/automations")
    assert 'href="/automations/greet"' in admin.get("/automations?archived=yes")


def test_old_version_becomes_the_draft(admin: PageClient, engine: Engine):
    put_rule(engine, PLAIN.replace("Greet {{", "Hello {{"), state="off")
    admin.post("/automations/greet/restore", {"version": "1"})
    page = plain(admin.get("/automations/greet"))
    assert "Greet {{ customer.name }}" in page
    compared = admin.get("/automations/greet/compare")
    assert 'class="add"' in compared
    assert 'class="del"' in compared


def test_staff_switch_only_what_is_meant_for_them(app: Any, engine: Engine, rules: None):
    staff = sign_in(app, engine, "staff")
    page = plain(staff.get("/switches"))
    assert "Remind" in page
    staff.post("/automations/remind/switch", {"on": ""})
    assert _state(engine, "remind") == "off"
    staff.post("/automations/greet/switch", {"on": "yes"}, status=409)
    assert _state(engine, "greet") == "off"


def test_staff_may_ask_for_the_others(app: Any, engine: Engine, rules: None):
    staff = sign_in(app, engine, "staff")
    for _ in range(2):
        staff.post("/switches/greet/ask")
    assert "Asked." in plain(staff.get("/switches"))
    with engine.db.read() as conn:
        found = conn.exec_driver_sql("SELECT count(*) FROM tasks").scalar_one()
    assert found == 1


def test_words_follow_the_reader(app: Any, engine: Engine, rules: None):
    page = plain(sign_in(app, engine, "admin", language="ru").get("/automations"))
    assert "Напомнить" in page
    assert "Когда Заказ создан" in page
