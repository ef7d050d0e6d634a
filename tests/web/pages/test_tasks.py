"""The page of tasks: groups by due date, done and undone with one press, mine and everybody's, the run behind a task."""

from datetime import timedelta
from typing import Any

from engines import put_rule
from shared_files import vectors
from shop_stage import ASKS, in_shop, put_order
from web_pages import plain, sign_in

from core.shop.tasks import find_tasks, get_task
from rules.engine import Engine


def put_task(engine: Engine, title: str, **more: Any) -> str:
    return in_shop(engine, lambda shop: shop.create_task({"title": title, **more})).id


def open_titles(engine: Engine) -> list[str]:
    with engine.db.read() as conn:
        return [task["title"] for task in find_tasks(conn, status="open")]


def test_tasks_stand_in_groups_by_due_date(app: Any, engine: Engine):
    now = engine.clock.now()
    for title, due in [("Any time", None), ("Next week", timedelta(days=7)), ("Tonight", timedelta(hours=5))]:
        put_task(engine, title, due=None if due is None else (now + due).isoformat())
    put_task(engine, "Yesterday", due=(now - timedelta(days=1)).isoformat())
    text = plain(sign_in(app, engine, "staff").get("/tasks"))
    order = ["Late", "Yesterday", "Due today", "Tonight", "Later", "Next week", "Without a date", "Any time"]
    places = [text.index(words, text.index("Automations create tasks too")) for words in order]
    assert places == sorted(places)


def test_done_task_goes_and_comes_back(app: Any, engine: Engine):
    task = put_task(engine, "Call back")
    browser = sign_in(app, engine, "staff")
    response = browser.post(f"/tasks/{task}/done", {"whose": "mine"})
    assert response.headers["Location"] == "/tasks?whose=mine"
    assert open_titles(engine) == []
    with engine.db.read() as conn:
        assert get_task(conn, task)["done_by"].startswith("user:")
    page = browser.get("/tasks")
    assert "Done: Call back" in plain(page)
    assert f'action="/tasks/{task}/reopen"' in page
    browser.post(f"/tasks/{task}/reopen")
    assert open_titles(engine) == ["Call back"]


def test_task_leads_to_the_run_that_made_it(app: Any, engine: Engine):
    put_rule(engine, ASKS)
    order = put_order(engine, emit=True)
    engine.drain()
    page = sign_in(app, engine, "staff").get("/tasks")
    assert "Pack order 1042" in plain(page)
    assert "Pack what was ordered" in plain(page)
    assert f'href="/orders/{order}"' in page
    with engine.db.read() as conn:
        run = conn.exec_driver_sql("SELECT id FROM runs").scalar_one()
    assert f'href="/runs/{run}"' in page


def test_mine_are_those_of_my_name_and_role(app: Any, engine: Engine):
    put_task(engine, "For my name", assignee="Elif Kaya")
    put_task(engine, "For my role", role="staff")
    put_task(engine, "For packers", role="warehouse")
    put_task(engine, "For somebody else", assignee="Bora", role="staff")
    text = plain(sign_in(app, engine, "staff").get("/tasks?whose=mine"))
    assert "For my name" in text
    assert "For my role" in text
    assert "For packers" not in text
    assert "For somebody else" not in text


def test_pages_of_tasks_hold_each_task_once(app: Any, engine: Engine):
    due = engine.clock.now().isoformat()
    for number in range(70):
        put_task(engine, f"Task {number:03}.", **({"due": due} if number % 2 else {}))
    browser = sign_in(app, engine, "staff")
    first = browser.get("/tasks")
    following = first.split('aria-label="Pages"><a class="btn" href="')[1].split('"')[0].replace("&amp;", "&")
    second = browser.get(following)
    for number in range(70):
        assert (f"Task {number:03}." in first) != (f"Task {number:03}." in second)
    browser.get("/tasks?cursor=nonsense", status=400)


def test_unknown_task_is_told_so(app: Any, engine: Engine):
    browser = sign_in(app, engine, "staff")
    browser.post("/tasks/nothing/done", status=404)


def test_strange_titles_are_shown_as_text(app: Any, engine: Engine):
    html = [row["value"] for row in vectors("naughty_strings")["rows"] if "<" in row.get("value", "")]
    for text in [*html[:20], "<script>alert(1)</script>"]:
        put_task(engine, text)
    page = sign_in(app, engine, "staff").get("/tasks")
    assert "<script>alert" not in page
    for text in html[:20]:
        assert text not in page
    assert "&lt;script&gt;alert(1)" in page
