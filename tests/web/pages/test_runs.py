"""Runs and their traces, approvals, events with every rule's verdict, and why."""

from typing import Any

import pytest
from engines import make_event, put_rule
from web_pages import PageClient, plain, sign_in

from rules.engine import Engine
from rules.runs import list_runs

ACTS = """\
rule: greet
title: Greet
when: {event: order.paid}
if:
  all:
    - {field: order.total, is: at_least, value: {amount: "100", currency: TRY}}
then:
  - do: tasks.create
    with: {title: "Greet {{ customer.name }}"}
"""
WAITS = ACTS.replace("greet", "later").replace("then:\n", "then:\n  - wait: {for: 2 days}\n")
ASKS = ACTS.replace("greet", "asks") + "limits: {ask_above: 0 a day}\n"
NAME = "<img src=x onerror=alert(1)>"


@pytest.fixture
def client(app: Any, engine: Engine) -> PageClient:
    for text in (ACTS, WAITS, ASKS):
        put_rule(engine, text)
    engine.sync()
    for number, amount in (("1041", "250.00"), ("1042", "50.00")):
        order = {"id": f"o{number}", "number": number, "total": {"amount": amount, "currency": "TRY"}}
        data = {"order": order, "customer": {"id": "c1", "name": NAME, "phone": "+905321112233"}}
        event = make_event(engine, "order.paid", data, key=f"o{number}")
        engine.writer.do(lambda tx, event=event: engine.intake.take(tx, [event]))
    while engine.runner.advance():
        pass
    return sign_in(app, engine, "admin")


def _run(engine: Engine, rule: str) -> str:
    with engine.db.read() as conn:
        return list_runs(conn, rule=rule, limit=1)[0]["id"]


def test_list_names_orders_and_outcomes(client: PageClient):
    text = plain(client.get("/runs"))
    assert "#1041" in text
    assert "Acted" in text
    assert "Waiting" in plain(client.get("/runs?outcome=waiting"))
    assert "#1041" not in plain(client.get("/runs?outcome=failed"))


def test_trace_tells_every_step(client: PageClient, engine: Engine):
    page = client.get(f"/runs/{_run(engine, 'greet')}")
    text = plain(page)
    assert "It acted." in text
    assert "Create a task" in text
    assert "What else saw this event" in text
    assert "<img src=x" not in page


def test_waiting_run_goes_on_or_ends(client: PageClient, engine: Engine):
    run = _run(engine, "later")
    client.post(f"/runs/{run}/release")
    while engine.runner.advance():
        pass
    assert "It acted." in plain(client.get(f"/runs/{run}"))
    client.post(f"/runs/{run}/cancel", status=409)


def test_held_run_is_approved_with_its_preview(client: PageClient, engine: Engine):
    page = plain(client.get("/approvals"))
    assert "Held because" in page
    assert "Create a task" in page
    run = _run(engine, "asks")
    client.post(f"/runs/{run}/decide", {"approve": "yes", "back": "approvals"})
    while engine.runner.advance():
        pass
    assert "It acted." in plain(client.get(f"/runs/{run}"))
    assert "Nothing waits for approval" in plain(client.get("/approvals"))


def test_finished_run_runs_again(client: PageClient, engine: Engine):
    response = client.post(f"/runs/{_run(engine, 'greet')}/retry", {"where": "start", "version": "newest"})
    assert response.headers["Location"].startswith("/runs/")


def test_event_shows_what_every_rule_made_of_it(client: PageClient, engine: Engine):
    with engine.db.read() as conn:
        small = conn.exec_driver_sql("SELECT id FROM events WHERE key = 'o1042'").scalar_one()
    text = plain(client.get(f"/events/{small}"))
    assert "order.total: at least 100 TRY; it was 50 TRY" in text or "at least" in text
    client.get("/events/no-such-event", status=404)


def test_why_answers_in_one_sentence(client: PageClient):
    text = plain(client.get("/why?rule=greet&about=o1042"))
    assert "at least 100 TRY" in text
    assert "50" in text


def test_developers_see_no_personal_data(app: Any, engine: Engine, client: PageClient):
    developer = sign_in(app, engine, "developer")
    page = developer.get(f"/runs/{_run(engine, 'greet')}")
    assert "+905321112233" not in page
    assert "Personal data is masked" in plain(page)


def test_lists_stay_quick_with_pages(client: PageClient, engine: Engine):
    for number in range(60):
        event = make_event(
            engine, "order.paid", {"order": {"id": f"x{number}", "number": f"x{number}"}}, key=f"x{number}"
        )
        engine.writer.do(lambda tx, event=event: engine.intake.take(tx, [event]))
    first = client.get("/events")
    assert "Show more" in plain(first)
    assert first.count('href="/events/') == 50
