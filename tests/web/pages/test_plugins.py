"""Plugins: the gallery, permissions before switching on, settings with secrets that never come back."""

from typing import Any

import pytest
from engines import put_rule
from hooked_plugin import SECRET
from web_pages import PageClient, plain, sign_in

from core.accounts import find_account
from rules.engine import Engine

HERE = "/plugins/hooked"
RULE = """
rule: answer
title: Answer <b> at once
when: {event: hooked.received}
then:
  - do: shop.create_task
    with: {title: Look}
"""
NAUGHTY = "<script>alert(1)</script>"


@pytest.fixture
def browser(app: Any, engine: Engine) -> PageClient:
    return sign_in(app, engine)


def save(browser: PageClient, *, status: int = 303, **settings: str) -> str:
    fields = {f"/{name}": value for name, value in settings.items()}
    return browser.post(f"{HERE}/settings", fields, status=status).get_data(as_text=True)


def stored(engine: Engine, account: str = "default") -> dict[str, Any]:
    with engine.db.read() as conn:
        found = find_account(conn, "hooked", account)
        assert found is not None
        secrets = engine.secrets.names(conn, f"plugin:hooked:{account}")
    return {**found.settings, "secrets": secrets}


def test_gallery_says_how_each_plugin_stands(browser: PageClient, engine: Engine):
    engine.host.disable("mail", actor="test")
    engine.host.set_aside("history", "five errors in a row")
    words = plain(browser.get("/plugins"))
    for text in ("Needs settings", "Ready", "Off", "Broken", "five errors in a row", "Send messages to customers"):
        assert text in words
    # Stand-ins of the demo have no place in a real shop.
    assert "Demo shop" not in words


def test_permissions_are_shown_before_switching_on(browser: PageClient, engine: Engine):
    engine.host.disable("mail", actor="test")
    words = plain(browser.get("/plugins/mail/switch"))
    assert "It will be allowed to Send messages to customers" in words
    browser.post("/plugins/mail/switch", {"on": "yes"})
    assert engine.host.get("mail").brought is not None


def test_switching_off_shows_its_automations_and_works(browser: PageClient, engine: Engine):
    assert "No automation uses it." in plain(browser.get(f"{HERE}/switch"))
    browser.post(f"{HERE}/switch", {"on": ""})
    assert engine.host.get("hooked").brought is None
    assert "It is off" in plain(browser.get(HERE))


def test_automations_that_use_a_plugin_are_named(browser: PageClient, engine: Engine):
    put_rule(engine, RULE)
    for page in (HERE, f"{HERE}/switch"):
        assert "Answer &lt;b&gt; at once" in browser.get(page)
    assert "Answer" not in browser.get("/plugins/mail/switch")
    browser.post(f"{HERE}/switch", {"on": ""})
    assert engine.host.get("hooked").brought is None


def test_broken_plugin_tells_why_and_is_tried_again(browser: PageClient, engine: Engine):
    engine.host.set_aside("hooked", f"it hung {NAUGHTY}")
    html = browser.get(HERE)
    assert "it hung" in html
    assert NAUGHTY not in html
    browser.post(f"{HERE}/switch", {"on": "yes"})
    assert engine.host.get("hooked").quarantine is None


def test_settings_are_saved_and_secrets_stay_inside(browser: PageClient, engine: Engine):
    save(browser, secret=SECRET, label=NAUGHTY)
    assert stored(engine) == {"label": NAUGHTY, "secrets": {"secret": SECRET[-4:]}}
    html = browser.get(HERE)
    assert SECRET not in html
    assert NAUGHTY not in html
    assert f"Stored, ends in {SECRET[-4:]}" in plain(html)
    save(browser, label="Other")
    assert stored(engine) == {"label": "Other", "secrets": {"secret": SECRET[-4:]}}


def test_errors_stand_below_fields_and_input_is_kept(browser: PageClient):
    html = save(browser, status=422, label="typed by hand")
    assert 'value="typed by hand"' in html
    assert 'id="h-f-secret">' in html
    assert "Is required" in html


def test_rejected_form_never_brings_the_secret_back(browser: PageClient):
    save(browser, secret=SECRET, base_url="https://shop.example")
    html = save(browser, status=422, base_url="https://evil.example")
    assert "a stored secret never follows to a new one" in html
    html = browser.post(f"{HERE}/draw", {"/secret": SECRET}, status=200).get_data(as_text=True)
    assert SECRET not in html


def test_connection_is_tested_with_unsaved_values(browser: PageClient, engine: Engine):
    html = browser.fragment("POST", f"{HERE}/test", {"form_key": browser.form_key, "/secret": SECRET})
    assert "connected to shop 1" in html
    assert SECRET not in html
    with engine.db.read() as conn:
        assert find_account(conn, "hooked", "default") is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"/secret": SECRET, "/label": "refuse"}, "the other side refused"), ({}, "these fields need a look first")],
)
def test_failed_test_is_told_in_words(fields: dict[str, str], words: str, browser: PageClient):
    assert words in browser.fragment("POST", f"{HERE}/test", {"form_key": browser.form_key, **fields})


def test_accounts_are_added_and_forgotten(browser: PageClient, engine: Engine):
    save(browser, secret=SECRET)
    browser.post(f"{HERE}/settings", {"account": "second", "/secret": SECRET})
    assert stored(engine, "second")["secrets"]
    assert "second" in plain(browser.get(HERE))
    browser.post(f"{HERE}/forget", {"account": "second"})
    assert "second" not in plain(browser.get(HERE))


def test_odd_account_name_is_refused(browser: PageClient):
    assert "small letters" in browser.post(
        f"{HERE}/settings", {"account": NAUGHTY, "/secret": SECRET}, status=422
    ).get_data(as_text=True)


def test_manager_reads_and_changes_nothing(app: Any, engine: Engine):
    manager = sign_in(app, engine, "manager")
    html = manager.get(HERE)
    assert "<fieldset disabled>" in html
    assert "Switch off…" not in html


@pytest.mark.parametrize("language", ["tr", "ru"])
def test_pages_of_every_plugin_open(language: str, app: Any, engine: Engine):
    browser = sign_in(app, engine, language=language)
    for plugin in engine.host:
        browser.get(f"/plugins/{plugin.name}")
        browser.get(f"/plugins/{plugin.name}/switch")


def test_unknown_plugin_is_not_found(browser: PageClient):
    browser.get("/plugins/nothing", status=404)
