"""Developer pages: a test event like one from outside, schemas, the routes of the API."""

import json
import re
from html import unescape
from typing import Any

import pytest
from web_pages import PageClient, plain, sign_in

from core.events import find_event
from rules.engine import Engine
from web.api.tables import ROUTES


@pytest.fixture
def browser(app: Any, engine: Engine) -> PageClient:
    return sign_in(app, engine, "developer")


def test_sample_of_every_type_can_be_sent_as_it_is(browser: PageClient, engine: Engine):
    for kind in engine.host.catalogue:
        if kind.plugin == "engine":
            continue
        html = browser.get(f"/dev?type={kind.name}")
        found = re.search(r'<textarea[^>]*name="data"[^>]*>\n(.*?)</textarea>', html, re.DOTALL)
        assert found, kind.name
        text = unescape(found[1])
        assert json.loads(text) == json.loads(json.dumps(kind.sample)), kind.name
        answer = browser.post("/dev/events", {"type": kind.name, "data": text})
        with engine.db.read() as conn:
            event = find_event(conn, answer.headers["Location"].removeprefix("/events/"))
        assert event is not None
        assert (event.type, event.source) == (kind.name, "test")


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("hooked.received", "{", "This is not JSON"),
        ("hooked.received", "[]", "data: must be an object"),
        ("hooked.received", '{"said": 7}', "data.said"),
        ("nothing.happened", "{}", "Choose a kind of event"),
    ],
)
def test_wrong_event_is_told_and_kept(kind: str, data: str, words: str, browser: PageClient):
    html = browser.post("/dev/events", {"type": kind, "data": data}, status=422).get_data(as_text=True)
    assert words in unescape(html)
    assert data in unescape(html)


@pytest.mark.parametrize("what", ["events", "actions", "facts", "nonsense"])
def test_schemas_are_browsed(what: str, browser: PageClient, engine: Engine):
    html = browser.get(f"/dev/schemas?what={what}")
    found = {"actions": engine.host.actions, "facts": engine.host.facts}.get(what)
    for name in found or [kind.name for kind in engine.host.catalogue]:
        assert f">{name}<" in html


def test_every_route_of_the_api_is_listed(browser: PageClient):
    words = plain(browser.get("/dev/api"))
    for route in ROUTES:
        assert f"{route.method} {route.path} {route.summary}" in words
