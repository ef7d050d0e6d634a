"""People, tokens and the doctor, from the command line."""

from datetime import timedelta

import pytest
from command_line import RULE, CommandLine
from engines import make_engine, make_event, put_rule

from core.clock import SystemClock, VirtualClock

ELIF = "elif@shop.example"
PASSWORD = "a long sentence that nobody guesses"


def test_person_is_added_and_changed(shop: CommandLine):
    assert shop.json("users", "add", ELIF, "--role", "admin", "--name", "Elif", "--language", "tr")["role"] == "admin"
    assert shop("users", "password", ELIF, "--password-file", "-", stdin=PASSWORD + "\n").code == 0
    (user,) = shop.json("users", "list")
    assert (user["email"], user["has_password"], user["active"]) == (ELIF, True, True)
    assert "password" not in user
    assert shop("users", "role", ELIF, "staff").code == 5  # the last admin stays one
    shop("users", "add", "b@shop.example", "--role", "admin")
    assert shop.json("users", "role", ELIF, "staff")["role"] == "staff"
    assert shop.json("users", "deactivate", ELIF)["active"] is False
    assert shop.json("users", "deactivate", ELIF, "--undo")["active"] is True


@pytest.mark.parametrize("password", ["short", "password1234", ""])
def test_weak_password_is_refused(shop: CommandLine, password: str):
    shop("users", "add", ELIF)
    answer = shop("users", "password", ELIF, "--password-file", "-", stdin=password)
    assert answer.code == 2
    assert password not in answer.err or not password


def test_password_is_never_a_flag(shop: CommandLine):
    shop("users", "add", ELIF)
    assert shop("users", "password", ELIF, "--password", PASSWORD).code == 2
    answer = shop("users", "password", ELIF)
    assert answer.code == 1
    assert "--password-file -" in answer.err


def test_link_is_made_for_known_people_only(shop: CommandLine):
    shop("users", "add", ELIF)
    assert shop("users", "link", ELIF).out.startswith("http://127.0.0.1:8480/login/")
    assert shop("users", "link", "lost@shop.example").code == 3


def test_token_is_shown_once(shop: CommandLine):
    made = shop("tokens", "create", "site", "--scope", "events:write", "--scope", "runs:read", "--days", "30")
    token = made.out.strip()
    assert token.startswith("vt_")
    assert "not shown again" in made.err
    (row,) = shop.json("tokens", "list")
    assert (row["name"], row["scopes"]) == ("site", ["events:write", "runs:read"])
    assert token not in shop("tokens", "list", "--json").out
    assert shop("tokens", "revoke", row["id"]).code == 0
    assert shop("tokens", "revoke", row["id"]).code == 3
    assert shop.json("tokens", "list")[0]["revoked_at"] is not None


def test_token_needs_scopes_that_exist(shop: CommandLine):
    assert "events:write" in shop("tokens", "create", "site").err
    answer = shop("tokens", "create", "site", "--scope", "everything")
    assert answer.code == 2
    assert "'everything' is none of" in answer.err


def look(shop: CommandLine, code: int = 0) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in shop.json("doctor", code=code)}


def test_doctor_finds_a_well_shop_well(shop: CommandLine):
    found = look(shop)
    assert {name: row["state"] for name, row in found.items() if row["state"] != "ok"} == {"zone": "warning"}
    wanted = {
        "disk",
        "key_file",
        "zone",
        "database",
        "clock",
        "pause",
        "due",
        "dead_letters",
        "admin",
        "plugins",
        "rules",
    }
    assert wanted <= set(found)


def test_doctor_names_an_open_key_file(shop: CommandLine):
    (shop.home / "secret.key").chmod(0o644)
    row = look(shop, code=1)["key_file"]
    assert (row["state"], row["next"]) == ("error", f"chmod 600 {shop.home / 'secret.key'}")


@pytest.mark.sqlite("its file is removed")
def test_doctor_without_a_database_says_what_to_do(shop: CommandLine):
    (shop.home / "vitrin.db").unlink()
    row = look(shop, code=1)["database"]
    assert row["state"] == "error"
    assert "db init" in row["next"]


def test_doctor_names_runs_that_nobody_works_off(shop: CommandLine):
    engine = make_engine(shop.home, clock=VirtualClock(SystemClock().now() - timedelta(hours=1)))
    put_rule(engine, RULE.format(name="thanks"))
    data = {"order": {"id": "7", "total": {"amount": "250", "currency": "TRY"}}}
    engine.take([make_event(engine, "order.approved", data)])
    engine.close()
    row = look(shop)["due"]
    assert (row["state"], row["message"][:9]) == ("warning", "1 run due")
    assert "./vitrin run" in row["next"]


def test_doctor_notices_a_clock_set_back(shop: CommandLine):
    engine = make_engine(shop.home, clock=VirtualClock(SystemClock().now() + timedelta(days=1)))
    engine.take([make_event(engine, "order.approved", {"order": {"id": "7"}})])
    engine.close()
    assert look(shop, code=1)["clock"]["state"] == "error"
