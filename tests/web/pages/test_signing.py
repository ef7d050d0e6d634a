"""Signing in and out, what cookies are like, and where a browser is sent."""

from typing import Any

import pytest
from shared_files import vectors
from web_pages import QUICK, add_person, plain, sign_in

from core.clock import VirtualClock
from core.people import People
from rules.engine import Engine
from web.addresses import is_local
from web.app import create_app

PASSWORD = "four quiet words here"


@pytest.fixture
def people(engine: Engine) -> People:
    return People(engine.db, engine.writer, engine.clock, hasher=QUICK)


@pytest.fixture
def client(engine: Engine, people: People) -> Any:
    """Return a browser where admin0@shop.example has a password."""
    user = add_person(engine, "admin")
    engine.writer.do(lambda tx: people.set_password(tx, user.id, PASSWORD, actor="test"))
    return create_app(engine, people=people).test_client()


def _enter(client: Any, password: str = PASSWORD, **more: str) -> Any:
    return client.post("/sign-in", data={"email": "admin0@shop.example", "password": password, **more})


def test_password_opens_a_session(client: Any):
    response = _enter(client)
    assert (response.status_code, response.headers["Location"]) == (303, "/today")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("vitrin=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "admin0@shop.example" in client.get("/me").get_data(as_text=True)


def test_cookie_over_https_is_bound_to_the_host(engine: Engine, people: People):
    user = add_person(engine, "admin")
    engine.writer.do(lambda tx: people.set_password(tx, user.id, PASSWORD, actor="test"))
    object.__setattr__(engine.settings, "base_url", "https://localhost")
    response = _enter(create_app(engine, people=people).test_client())
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-vitrin=")
    assert "Secure" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize("email", ["admin0@shop.example", "nobody@shop.example"])
def test_refusals_all_read_alike(email: str, client: Any):
    response = client.post("/sign-in", data={"email": email, "password": "wrong words here"})
    assert response.status_code == 403
    assert "The e-mail address or the password is wrong." in plain(response.get_data(as_text=True))


def test_guessing_has_to_wait(client: Any):
    answers = [_enter(client, "wrong words here") for _ in range(8)]
    assert "Too many tries" in answers[-1].get_data(as_text=True)
    assert _enter(client).status_code == 403


def test_sign_in_gives_a_new_session(client: Any):
    first = _enter(client).headers["Set-Cookie"].split(";")[0]
    second = (
        client.post(
            "/sign-in",
            data={"email": "admin0@shop.example", "password": PASSWORD, "form_key": _key_of(client)},
        )
        .headers["Set-Cookie"]
        .split(";")[0]
    )
    assert first != second
    fresh = client.application.test_client()
    assert fresh.get("/me", headers={"Cookie": first}).status_code == 303


def test_cookie_is_worth_nothing_after_sign_out(client: Any):
    cookie = _enter(client).headers["Set-Cookie"].split(";")[0]
    assert client.post("/sign-out", data={"form_key": _key_of(client)}).status_code == 303
    assert client.application.test_client().get("/me", headers={"Cookie": cookie}).status_code == 303


def _key_of(client: Any) -> str:
    return client.get("/me").get_data(as_text=True).split('name="form_key" value="')[1].split('"')[0]


@pytest.mark.parametrize("change", ["password", "role", "activity"])
def test_sessions_end_when_rights_change(change: str, engine: Engine, client: Any, people: People):
    add_person(engine, "admin")
    cookie = _enter(client).headers["Set-Cookie"].split(";")[0]
    with engine.db.read() as conn:
        user = people.find_by_email(conn, "admin0@shop.example")
    assert user is not None
    changes = {
        "password": lambda tx: people.set_password(tx, user.id, "four other quiet words", actor="test"),
        "role": lambda tx: people.set_role(tx, user.id, "staff", actor="test"),
        "activity": lambda tx: people.set_active(tx, user.id, False, actor="test"),
    }
    engine.writer.do(changes[change])
    assert client.application.test_client().get("/me", headers={"Cookie": cookie}).status_code == 303


def test_idle_session_ends(engine: Engine, app: Any):
    browser = sign_in(app, engine)
    browser.get("/me")
    assert isinstance(engine.clock, VirtualClock)
    engine.clock.advance(13 * 3600)
    assert browser.open("GET", "/me").status_code == 303


def test_login_link_is_not_used_up_by_looking(engine: Engine, app: Any):
    user = add_person(engine, "staff")
    people = People(engine.db, engine.writer, engine.clock, hasher=QUICK)
    secret = engine.writer.do(lambda tx: people.make_login_link(tx, user.id, actor="test"))
    client = app.test_client()
    assert [client.get(f"/login/{secret}").status_code for _ in range(3)] == [200, 200, 200]
    assert client.post(f"/login/{secret}").headers["Location"] == "/welcome"
    assert app.test_client().post(f"/login/{secret}").status_code == 403


def test_open_redirects_stay_at_home(client: Any):
    for row in vectors("open_redirects")["rows"]:
        kept = row["expect"] != "safe_default"
        local = is_local(row["next"])
        if not kept:
            location = _enter(client.application.test_client(), next=row["next"]).headers["Location"]
            assert (row["id"], location) == (row["id"], "/today")
            assert not local, row["id"]


def test_page_is_shown_after_sign_in(client: Any):
    response = client.get("/me?tab=keys")
    assert response.headers["Location"] == "/sign-in?next=%2Fme%3Ftab%3Dkeys"
    assert _enter(client, next="/me?tab=keys").headers["Location"] == "/me?tab=keys"


def test_form_of_another_site_is_refused(client: Any):
    _enter(client)
    data = {"form_key": _key_of(client), "theme": "dark"}
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ):
        assert client.post("/me/theme", data=data, headers=headers).status_code == 403
    assert (
        client.post("/me/theme", data=data, headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"}).status_code
        == 303
    )
    assert client.post("/me/theme", data=data, headers={"Origin": "null"}).status_code == 403


def test_pages_carry_strict_headers(client: Any):
    for address in ("/sign-in", "/nothing-here", "/me"):
        headers = client.get(address, headers={"Accept": "text/html"}).headers
        policy = headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


def test_unknown_page_has_a_way_on(app: Any, engine: Engine):
    text = sign_in(app, engine).get("/nothing", status=404)
    assert "Go to Today" in text
    assert "Request" in plain(text)


def test_unknown_address_of_the_api_stays_json(app: Any):
    response = app.test_client().get("/api/v1/nothing", headers={"Accept": "text/html"})
    assert response.content_type == "application/problem+json"


def test_language_follows_the_person(app: Any, engine: Engine):
    browser = sign_in(app, engine, language="tr")
    assert 'lang="tr"' in browser.get("/me")
    browser.post("/me/language", {"language": "ru", "back": "/me"})
    assert 'lang="ru"' in browser.get("/me")


def test_name_of_a_person_is_shown_as_text(app: Any, engine: Engine):
    browser = sign_in(app, engine)
    for text in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}"):
        browser.post("/me/profile", {"name": text, "language": "en"})
        html = browser.get("/me")
        assert text in plain(html) or "<" in text
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "49" not in plain(html)


def test_static_files_are_served_whole_and_no_others(app: Any):
    client = app.test_client()
    packed = client.get("/static/ui.css", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    for name in ("../app.py", "..%2fapp.py", "vendor/../../app.py", "/etc/passwd", "nothing.css"):
        assert client.get(f"/static/{name}").status_code in (400, 404)


def test_first_page_is_light(app: Any):
    html = app.test_client().get("/sign-in").get_data()
    names = [
        "tokens.css",
        "ui.css",
        "ui.js",
        "vendor/htmx.min.js",
        "fonts/inter-latin.woff2",
        "fonts/inter-latin-ext.woff2",
    ]
    sizes = [len(app.test_client().get(f"/static/{name}", headers={"Accept-Encoding": "gzip"}).data) for name in names]
    assert len(html) + sum(sizes) <= 180_000
