"""The exchange log: narrowed, paged, one exchange with what was asked and answered."""

from datetime import timedelta
from typing import Any

import pytest
from web_pages import PageClient, plain, sign_in

from core.ids import new_id
from core.tables import exchanges
from rules.engine import Engine

NAUGHTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def browser(app: Any, engine: Engine) -> PageClient:
    return sign_in(app, engine, "developer")


def put(engine: Engine, count: int = 1, **more: Any) -> list[str]:
    """Store exchanges; pairs of them at the same moment."""
    begin = engine.clock.now() - timedelta(hours=1)
    rows = [
        {
            "id": new_id(),
            "at": begin + timedelta(seconds=place // 2),
            "plugin": "mail",
            "direction": "out",
            "account": None,
            "method": "POST",
            "url": f"https://mail.example/{place}.",
            "status": 200,
            "error": None,
            "millis": 12,
            "request": "asked",
            "response": "answered",
            **more,
        }
        for place in range(count)
    ]
    engine.writer.do(lambda tx: tx.conn.execute(exchanges.insert(), rows) and None)
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("", {"good", "refused", "silent", "came"}),
        ("?result=ok", {"good", "came"}),
        ("?result=failed", {"refused", "silent"}),
        ("?direction=in", {"came"}),
        ("?plugin=shop", {"came"}),
        ("?plugin=mail&direction=in", set()),
        # What is none of the choices narrows nothing.
        ("?direction=sideways", {"good", "refused", "silent", "came"}),
    ],
)
def test_log_is_narrowed(query: str, seen: set[str], browser: PageClient, engine: Engine):
    put(engine, url="https://x.example/good")
    put(engine, url="https://x.example/refused", status=500)
    put(engine, url="https://x.example/silent", status=None, error="no answer")
    # Neither a status nor an error: nothing is known to be wrong.
    put(engine, url="https://x.example/came", direction="in", plugin="shop", status=None)
    html = browser.get(f"/exchange{query}")
    assert {word for word in ("good", "refused", "silent", "came") if f"x.example/{word}" in html} == seen


def test_pages_hold_every_row_once(browser: PageClient, engine: Engine):
    put(engine, 120)
    seen: list[int] = []
    address = "/exchange?plugin=mail"
    for _ in range(3):
        html = browser.get(address)
        seen += [place for place in range(120) if f"mail.example/{place}.<" in html]
        address = html.partition('class="pager"')[2].partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert sorted(seen) == list(range(120))
    assert address == ""


def test_foreign_cursor_is_refused(browser: PageClient):
    browser.get("/exchange?before=nonsense", status=400)


def test_one_exchange_shows_both_sides_as_text(browser: PageClient, engine: Engine):
    (one,) = put(engine, request=NAUGHTY, response="answered", error=NAUGHTY)
    html = browser.get(f"/exchange/{one}")
    assert NAUGHTY not in html
    assert "onerror" in plain(html)
    browser.get("/exchange/nothing", status=404)


def test_empty_log_says_what_will_stand_here(browser: PageClient):
    assert "each call appears here" in plain(browser.get("/exchange"))
