"""Who may open what: every page against one written-out table, walked by all four roles and by nobody."""

import re
from typing import Any

import pytest
from web_pages import sign_in

from core.people import ROLES
from rules.engine import Engine
from web.nav import MENU
from web.pages import PAGES
from web.visits import ADMIN, DEVELOPER, EDITORS, EVERYBODY, MANAGER, OPEN_PAGE, STAFF

NOT_DEVELOPERS = (ADMIN, MANAGER, STAFF)
NOT_STAFF = (ADMIN, MANAGER, DEVELOPER)
ADMINS_AND_DEVELOPERS = (ADMIN, DEVELOPER)
ADMINS = (ADMIN,)

#: Method and address -> who may. A new page is added here by hand, on purpose.
GOLDEN = {
    # signing in, one's own account, pausing
    "GET /": OPEN_PAGE,
    "GET /sign-in": OPEN_PAGE,
    "POST /sign-in": OPEN_PAGE,
    "GET /login/{secret}": OPEN_PAGE,
    "POST /login/{secret}": OPEN_PAGE,
    "GET /welcome": EVERYBODY,
    "POST /welcome": EVERYBODY,
    "POST /sign-out": EVERYBODY,
    "GET /me": EVERYBODY,
    "POST /me/profile": EVERYBODY,
    "POST /me/password": EVERYBODY,
    "POST /me/language": OPEN_PAGE,
    "POST /me/theme": OPEN_PAGE,
    "POST /pause": EDITORS,
    "POST /resume": EDITORS,
    # today
    "GET /today": EVERYBODY,
    "GET /search": EVERYBODY,
    # automations and switches
    "GET /automations": NOT_STAFF,
    "GET /automations/{name}": EVERYBODY,
    "GET /automations/{name}/compare": NOT_STAFF,
    "POST /automations/{name}/switch": NOT_DEVELOPERS,
    "POST /automations/{name}/watch": EDITORS,
    "POST /automations/{name}/archive": EDITORS,
    "POST /automations/{name}/restore": EDITORS,
    "POST /automations/bulk": EDITORS,
    "GET /switches": EVERYBODY,
    "POST /switches/{name}/ask": (STAFF,),
    # composing
    "GET /ready-made": EDITORS,
    "POST /ready-made/{name}": EDITORS,
    "GET /automations/{name}/edit": NOT_STAFF,
    "POST /automations/{name}/edit": NOT_STAFF,
    "POST /automations/{name}/seat": NOT_STAFF,
    "POST /automations/{name}/undo": NOT_STAFF,
    "POST /automations/{name}/redo": NOT_STAFF,
    "GET /automations/{name}/try": NOT_STAFF,
    "POST /automations/{name}/publish": EDITORS,
    # runs, approvals, events, why
    "GET /runs": EVERYBODY,
    "GET /runs/{id}": EVERYBODY,
    "POST /runs/{id}/retry": EDITORS,
    "POST /runs/{id}/cancel": EDITORS,
    "POST /runs/{id}/release": EDITORS,
    "POST /runs/{id}/decide": EDITORS,
    "GET /approvals": EDITORS,
    "GET /events": NOT_STAFF,
    "GET /events/{id}": NOT_STAFF,
    "GET /why": EVERYBODY,
    # the shop
    "GET /tasks": NOT_DEVELOPERS,
    "POST /tasks/{id}/done": NOT_DEVELOPERS,
    "POST /tasks/{id}/reopen": NOT_DEVELOPERS,
    "GET /orders": NOT_DEVELOPERS,
    "GET /orders/{id}": NOT_DEVELOPERS,
    "GET /customers": NOT_DEVELOPERS,
    "GET /customers/{id}": NOT_DEVELOPERS,
    "GET /products": NOT_DEVELOPERS,
    "GET /imports": EDITORS,
    "POST /imports": EDITORS,
    "GET /imports/{id}": EDITORS,
    "POST /imports/{id}/map": EDITORS,
    "POST /imports/{id}/reading": EDITORS,
    "POST /imports/{id}/check": EDITORS,
    "POST /imports/{id}/fix": EDITORS,
    "POST /imports/{id}/run": EDITORS,
    "POST /imports/{id}/pause": EDITORS,
    "POST /imports/{id}/resume": EDITORS,
    "POST /imports/{id}/cancel": EDITORS,
    "POST /imports/{id}/undo": EDITORS,
    "GET /imports/{id}/errors.csv": EDITORS,
    # plugins
    "GET /plugins": NOT_STAFF,
    "GET /plugins/{name}": NOT_STAFF,
    "GET /plugins/{name}/switch": ADMINS_AND_DEVELOPERS,
    "POST /plugins/{name}/switch": ADMINS_AND_DEVELOPERS,
    "POST /plugins/{name}/draw": ADMINS_AND_DEVELOPERS,
    "POST /plugins/{name}/settings": ADMINS_AND_DEVELOPERS,
    "POST /plugins/{name}/test": ADMINS_AND_DEVELOPERS,
    "POST /plugins/{name}/forget": ADMINS_AND_DEVELOPERS,
    # exchange log
    "GET /exchange": NOT_STAFF,
    "GET /exchange/{id}": NOT_STAFF,
    # for developers
    "GET /dev": ADMINS_AND_DEVELOPERS,
    "POST /dev/events": ADMINS_AND_DEVELOPERS,
    "GET /dev/schemas": ADMINS_AND_DEVELOPERS,
    "GET /dev/api": ADMINS_AND_DEVELOPERS,
    # settings
    "GET /settings": ADMINS_AND_DEVELOPERS,
    "POST /settings/users": ADMINS,
    "POST /settings/users/{id}/link": ADMINS,
    "POST /settings/users/{id}/role": ADMINS,
    "POST /settings/users/{id}/active": ADMINS,
    "GET /settings/tokens": ADMINS_AND_DEVELOPERS,
    "POST /settings/tokens": ADMINS,
    "POST /settings/tokens/{id}/revoke": ADMINS,
    "GET /settings/shop": ADMINS_AND_DEVELOPERS,
    "GET /settings/audit": ADMINS_AND_DEVELOPERS,
}
ROUTES = [route for page in PAGES for route in page.routes]


def test_every_page_stands_in_the_table():
    assert {f"{route.method} {route.address}": route.roles for route in ROUTES} == GOLDEN


@pytest.mark.parametrize("role", ROLES)
def test_pages_are_closed_to_other_roles(role: str, app: Any, engine: Engine):
    browser = sign_in(app, engine, role)
    for route in ROUTES:
        if route.roles == OPEN_PAGE or role in route.roles:
            continue
        address = re.sub(r"\{\w+\}", "x", route.address)
        data = {"form_key": browser.form_key} if route.method == "POST" else None
        status = browser.open(route.method, address, data=data).status_code
        assert (address, status) == (address, 403)


def test_pages_send_strangers_to_sign_in(app: Any):
    client = app.test_client()
    for route in ROUTES:
        if route.roles == OPEN_PAGE:
            continue
        response = client.open(re.sub(r"\{\w+\}", "x", route.address), method=route.method)
        assert (route.address, response.status_code) == (route.address, 303)
        assert response.headers["Location"].startswith("/sign-in")


@pytest.mark.parametrize("role", ROLES)
def test_menu_leads_to_pages_that_open(role: str, app: Any, engine: Engine):
    browser = sign_in(app, engine, role)
    addresses = {route.address for route in ROUTES if route.method == "GET"}
    for item in MENU:
        if role in item.roles:
            assert item.address in addresses
            browser.get(item.address)


def test_no_form_is_taken_without_its_key(app: Any, engine: Engine):
    browser = sign_in(app, engine, ADMIN)
    other = sign_in(app, engine, ADMIN)
    for route in ROUTES:
        if route.method == "GET" or (route.roles == OPEN_PAGE and "sign-in" in route.address):
            continue
        address = re.sub(r"\{\w+\}", "x", route.address)
        for data in ({}, {"form_key": "made up"}, {"form_key": other.form_key}):
            assert (address, browser.open("POST", address, data=data).status_code) == (address, 403)
