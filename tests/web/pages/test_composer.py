"""Composing as text: saved step by step, checked, tried on real events, published; ready-made automations."""

import re
from typing import Any

import pytest
from engines import make_event, put_rule
from web_pages import PageClient, plain, sign_in

from rules.engine import Engine
from rules.store import get_rule

RULE = """\
rule: greet  # its name
title: Greet
when: {event: order.paid}
if:
  all:
    - {field: order.total, is: at_least, value: 100}
then:
  - do: tasks.create
    with: {title: Greet}
"""


@pytest.fixture
def admin(app: Any, engine: Engine) -> PageClient:
    put_rule(engine, RULE, state="off")
    return sign_in(app, engine, "admin")


def _number(page: str) -> str:
    found = re.search(r'name="number" value="(\d+)"', page)
    assert found
    return found[1]


def _save(browser: PageClient, text: str, *, status: int = 303) -> Any:
    number = _number(browser.get("/automations/greet/edit"))
    return browser.post("/automations/greet/edit", {"text": text, "number": number}, status=status)


def _row(engine: Engine) -> Any:
    with engine.db.read() as conn:
        return get_rule(conn, "greet")


def test_draft_is_saved_checked_and_published(admin: PageClient, engine: Engine):
    _save(admin, RULE.replace("value: 100", "value: 700"))
    page = plain(admin.get("/automations/greet/edit"))
    assert "All is well: it can be published." in page
    assert "# its name" in page
    admin.post("/automations/greet/publish", {"state": "watching", "note": "dearer"})
    row = _row(engine)
    assert (row.version, row.state, row.draft) == (2, "watching", None)
    assert "dearer" in plain(admin.get("/automations/greet"))


def test_wrong_text_is_kept_and_told(admin: PageClient, engine: Engine):
    _save(admin, RULE.replace("tasks.create", "tasks.crate"))
    page = plain(admin.get("/automations/greet/edit"))
    assert "This keeps it from being published" in page
    assert "tasks.crate" in page
    admin.post("/automations/greet/publish", {"state": "on"}, status=422)
    assert _row(engine).version == 1


def test_text_that_is_no_yaml_is_kept_too(admin: PageClient):
    _save(admin, "rule: [greet\n<b>")
    page = admin.get("/automations/greet/edit")
    assert "rule: [greet" in page
    assert "<b>" not in page.split("<textarea", 1)[1].split("</textarea>", 1)[0]


def test_undo_and_redo_survive_a_new_page(admin: PageClient):
    _save(admin, RULE.replace("value: 100", "value: 700"))
    page = admin.get("/automations/greet/edit")
    admin.post("/automations/greet/undo", {"number": _number(page)})
    page = admin.get("/automations/greet/edit")
    assert "value: 100" in page
    admin.post("/automations/greet/redo", {"number": _number(page)})
    assert "value: 700" in admin.get("/automations/greet/edit")


def test_old_page_does_not_overwrite_a_newer_draft(admin: PageClient):
    old = _number(admin.get("/automations/greet/edit"))
    _save(admin, RULE.replace("value: 100", "value: 700"))
    response = admin.post("/automations/greet/edit", {"text": RULE + "owner: me\n", "number": old}, status=409)
    page = response.get_data(as_text=True)
    assert "somebody else changed this draft" in plain(page)
    assert "owner: me" in page
    assert "value: 700" in admin.get("/automations/greet/edit")


def test_second_editor_reads_along_until_taking_over(app: Any, engine: Engine, admin: PageClient):
    admin.post("/automations/greet/seat", status=204)
    other = sign_in(app, engine, "manager")
    assert "Somebody else edits this draft now" in plain(other.get("/automations/greet/edit"))
    other.post("/automations/greet/seat", {"force": "yes"})
    assert "readonly" not in other.get("/automations/greet/edit")
    assert "readonly" in admin.get("/automations/greet/edit")


def test_trial_counts_and_writes_nothing(admin: PageClient, engine: Engine):
    for number, total in enumerate((50, 150, 250)):
        event = make_event(engine, "order.paid", {"order": {"id": f"o{number}", "number": f"{number}", "total": total}})
        engine.writer.do(lambda tx, event=event: engine.intake.take(tx, [event]))
    part = admin.fragment("GET", "/automations/greet/try")
    assert "<html" not in part
    assert "Would act: 2" in plain(part)
    assert "2 / 3" in plain(part)
    with engine.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM runs").scalar_one() == 0


def test_trial_of_a_wrong_text_says_why(admin: PageClient):
    _save(admin, "rule: greet\nwhen: {event: order.paid}\nthen: 5\n")
    assert "It cannot be tried" in plain(admin.fragment("GET", "/automations/greet/try"))


def test_ready_made_automation_becomes_a_draft(admin: PageClient, engine: Engine):
    assert "Thank you for the order" in plain(admin.get("/ready-made"))
    for expected in ("thank-you", "thank-you-2"):
        response = admin.post("/ready-made/thank-you")
        assert response.headers["Location"] == f"/automations/{expected}/edit"
    admin.post("/automations/thank-you/publish", {"state": "on"})
    with engine.db.read() as conn:
        assert get_rule(conn, "thank-you").state == "on"


def test_developers_write_and_do_not_publish(app: Any, engine: Engine, admin: PageClient):
    developer = sign_in(app, engine, "developer")
    _save(developer, RULE.replace("value: 100", "value: 1"))
    developer.post("/automations/greet/publish", {"state": "on"}, status=403)
