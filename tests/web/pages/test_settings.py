"""Settings: people and tokens are made, shown once, and ended; the shop's facts and the audit trail are read."""

import re
from typing import Any

import pytest
from web_pages import PageClient, add_person, plain, sign_in

from core.errors import NotAllowed
from core.tokens import Tokens
from rules.engine import Engine

NAUGHTY = "<b onclick=alert(1)>"


@pytest.fixture
def browser(app: Any, engine: Engine) -> PageClient:
    return sign_in(app, engine)


def test_added_person_comes_in_by_the_link_shown_once(browser: PageClient, app: Any):
    fields = {"email": "new@shop.example", "name": NAUGHTY, "role": "staff", "language": "ru"}
    html = browser.post("/settings/users", fields, status=200).get_data(as_text=True)
    assert NAUGHTY not in html
    link = re.search(r"/login/[\w-]{20,}", html)
    assert link
    assert link[0] not in browser.get("/settings")
    stranger = app.test_client()
    assert stranger.post(link[0]).status_code == 303
    assert stranger.post(link[0]).status_code == 403


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"email": "nobody", "role": "staff"}, 422, "This is not an e-mail address."),
        ({"email": "a@shop.example", "role": "king"}, 422, "Choose a role."),
        ({"email": "admin0@shop.example", "role": "staff"}, 409, "This person is a user already."),
    ],
)
def test_wrong_person_is_told_beside_the_field(fields: dict[str, str], status: int, words: str, browser: PageClient):
    html = browser.post("/settings/users", fields, status=status).get_data(as_text=True)
    assert words in html
    assert f'value="{fields["email"]}"' in html


def test_role_and_activity_are_changed(browser: PageClient, engine: Engine):
    user = add_person(engine, "staff")
    browser.post(f"/settings/users/{user.id}/role", {"role": "manager"})
    browser.post(f"/settings/users/{user.id}/active", {"on": ""})
    words = plain(browser.get("/settings"))
    assert "Switched off" in words
    browser.post(f"/settings/users/{user.id}/link")
    assert "Switched off people get no link" in plain(browser.get("/settings"))


def test_last_admin_stays(browser: PageClient, engine: Engine):
    html = browser.get("/settings")
    me = re.search(r"/settings/users/([\w-]+)/role", html)
    assert me
    browser.post(f"/settings/users/{me[1]}/role", {"role": "staff"})
    assert "This is the last active admin" in plain(browser.get("/settings"))


def test_token_is_shown_once_and_revoked(browser: PageClient, engine: Engine):
    fields = {"name": NAUGHTY, "scopes": ["events:write", "runs:read"], "days": "30"}
    html = browser.post("/settings/tokens", fields, status=200).get_data(as_text=True)
    assert NAUGHTY not in html
    text = re.search(r"vt_[0-9a-f]{32}_\w+", html)
    assert text
    tokens = Tokens(engine.db, engine.writer, engine.clock)
    made = tokens.check(text[0])
    assert made.scopes == {"events:write", "runs:read"}
    assert text[0] not in browser.get("/settings/tokens")
    browser.post(f"/settings/tokens/{made.id}/revoke")
    tokens.forget()
    with pytest.raises(NotAllowed):
        tokens.check(text[0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"name": "x"}, "Tick at least one thing"), ({"scopes": "pause"}, "Say in 1 to 100 characters")],
)
def test_unfinished_token_is_told(fields: dict[str, str], words: str, browser: PageClient):
    assert words in browser.post("/settings/tokens", fields, status=422).get_data(as_text=True)


def test_shop_shows_what_was_set_without_passwords(browser: PageClient, engine: Engine):
    words = plain(browser.get("/settings/shop"))
    assert f"Time zone {engine.settings.zone}" in words
    assert "keep_events_days" in words


def test_audit_names_who_did_what(browser: PageClient, engine: Engine):
    user = add_person(engine, "staff")
    browser.post(f"/settings/users/{user.id}/role", {"role": "manager"})
    words = plain(browser.get(f"/settings/audit?about=user:{user.id}"))
    assert "user.role_changed" in words
    assert "Elif Kaya" in words
    browser.get("/settings/audit?before=none")


def test_audit_goes_on_page_by_page(browser: PageClient, engine: Engine):
    user = add_person(engine, "staff")
    for place in range(60):
        browser.post(f"/settings/users/{user.id}/role", {"role": ("manager", "staff")[place % 2]})
    html = browser.get("/settings/audit")
    more = html.partition('class="pager"')[2].partition('href="')[2].partition('"')[0]
    assert more.startswith("/settings/audit?before=")
    assert "user.added" in browser.get(more)


@pytest.mark.parametrize("page", ["/settings", "/settings/tokens", "/settings/audit"])
def test_developers_see_nobody_and_change_nothing(page: str, app: Any, engine: Engine):
    add_person(engine, "staff", name="Ayşe Demir")
    html = sign_in(app, engine, "developer").get(page)
    main = html.partition("<main")[2].partition("</main>")[0]
    assert "Ayşe" not in main
    assert "staff0@shop.example" not in main
    assert "<form" not in main
