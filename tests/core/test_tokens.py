"""API tokens: never at rest, never longer than allowed, microseconds on the hot path."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from databases import POSTGRESQL, SQLITE, databases
from sqlalchemy import event, insert, update

from core import audit
from core.clock import VirtualClock
from core.db import Database, metadata
from core.errors import InvalidInput, NotAllowed, NotFound
from core.tables import tokens as table
from core.tables import users
from core.tokens import SCOPES, Token, Tokens
from core.writer import Writer


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def writer(db: Database) -> Writer:
    return Writer(db)


@pytest.fixture
def tokens(db: Database, writer: Writer, clock: VirtualClock) -> Tokens:
    return Tokens(db, writer, clock)


def make(tokens: Tokens, writer: Writer, **more: Any) -> str:
    details: dict[str, Any] = {"name": "till", "scopes": ["events:write"], "actor": "cli", **more}
    return writer.do(lambda tx: tokens.make(tx, **details))


@pytest.fixture
def text(tokens: Tokens, writer: Writer) -> str:
    return make(tokens, writer)


def count_queries(db: Database) -> list[str]:
    seen: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    return seen


def test_token_comes_back_with_its_scopes(tokens: Tokens, text: str) -> None:
    token = tokens.check(text)

    assert (token.name, token.scopes) == ("till", {"events:write"})
    assert re.fullmatch(r"vt_[0-9a-f]{32}_[a-z2-7]{52}", text)


def test_database_holds_no_token(text: str, tmp_path: Path) -> None:
    secret = text.split("_")[2].encode()
    on_disk = databases.content(tmp_path)

    assert b"events:write" in on_disk
    assert secret not in on_disk
    assert secret[:16] not in on_disk


def test_second_check_asks_no_database(tokens: Tokens, db: Database, text: str, clock: VirtualClock) -> None:
    tokens.check(text)
    seen = count_queries(db)

    tokens.check(text)
    assert seen == []
    clock.advance(5)
    tokens.check(text)
    assert seen != []


def test_need_names_the_missing_scope(tokens: Tokens, text: str) -> None:
    token = tokens.check(text)
    token.need("events:write")

    with pytest.raises(NotAllowed, match="lacks the scope rules:publish"):
        token.need("rules:publish")


def _changed(text: str) -> dict[str, str]:
    prefix, token_id, secret = text.split("_")
    return {
        "last letter": f"{text[:-1]}{'a' if text[-1] != 'a' else 'b'}",
        "no secret": f"{prefix}_{token_id}_",
        "other id": f"{prefix}_{'0' * 32}_{secret}",
        "other prefix": f"vx_{token_id}_{secret}",
        "a part more": f"{text}_x",
        "upper case": text.upper(),
        "blank behind": f"{text} ",
        "dashed id": f"{prefix}_{token_id[:8]}-{token_id[8:]}_{secret}",
        "nothing": "",
        "half a pair": "vt_\ud83d_x",
        "very long": text + "a" * 10_000,
        "NUL": f"{text}\0",
    }


@pytest.mark.parametrize("what", list(_changed("vt_a_b")))
def test_changed_token_is_refused_alike(tokens: Tokens, text: str, what: str) -> None:
    tokens.check(text)

    with pytest.raises(NotAllowed, match="is not known, has expired or was revoked"):
        tokens.check(_changed(text)[what])


def test_expired_token_is_refused_at_once(tokens: Tokens, writer: Writer, clock: VirtualClock) -> None:
    text = make(tokens, writer, days=1)
    clock.advance(timedelta(days=1, seconds=-2))
    tokens.check(text)

    clock.advance(2)
    with pytest.raises(NotAllowed):
        tokens.check(text)


def test_token_without_end_lives_on(tokens: Tokens, writer: Writer, clock: VirtualClock) -> None:
    text = make(tokens, writer, days=None)
    clock.advance(timedelta(days=4000))

    assert tokens.check(text).expires_at is None


def test_revoked_token_ends_at_once(tokens: Tokens, writer: Writer, text: str) -> None:
    token = tokens.check(text)
    writer.do(lambda tx: tokens.revoke(tx, token.id, actor="cli"))

    with pytest.raises(NotAllowed):
        tokens.check(text)
    with pytest.raises(NotFound, match="that could be revoked"):
        writer.do(lambda tx: tokens.revoke(tx, token.id, actor="cli"))


def test_other_process_learns_within_five_seconds(
    db: Database, writer: Writer, tokens: Tokens, clock: VirtualClock, text: str
) -> None:
    other = Tokens(db, writer, clock)
    token = other.check(text)
    writer.do(lambda tx: tokens.revoke(tx, token.id, actor="cli"))

    clock.advance(5)
    with pytest.raises(NotAllowed):
        other.check(text)


def test_revocation_beats_check_under_way(
    tokens: Tokens, db: Database, writer: Writer, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = tokens._load

    def slow(text: str, digest: str) -> tuple[Token, float]:
        found = load(text, digest)
        if threading.current_thread() is threading.main_thread():
            writer.do(lambda tx: tokens.revoke(tx, found[0].id, actor="cli"))
        return found

    monkeypatch.setattr(tokens, "_load", slow)
    tokens.check(text)
    with pytest.raises(NotAllowed):
        tokens.check(text)


def test_use_is_noted_once_a_minute(tokens: Tokens, clock: VirtualClock, text: str) -> None:
    first = clock.now()
    for _ in range(9):
        tokens.check(text)
        clock.advance(6)
    assert tokens.list_tokens()[0].used_at == first

    clock.advance(6)
    tokens.check(text)
    assert tokens.list_tokens()[0].used_at == first + timedelta(minutes=1)


def test_token_ends_with_its_person(tokens: Tokens, db: Database, writer: Writer, clock: VirtualClock) -> None:
    person = {"email": "a@shop.example", "name": "a", "role": "staff", "language": "en", "generation": 1}
    with db.write() as conn:
        conn.execute(insert(users).values(id="u1", active=True, created_at=clock.now(), **person))
    text = make(tokens, writer, user="u1")
    assert tokens.check(text).user == "u1"

    with db.write() as conn:
        conn.execute(update(users).values(active=False))
    tokens.forget()
    with pytest.raises(NotAllowed):
        tokens.check(text)


@pytest.mark.parametrize(
    ("details", "path"),
    [
        ({"scopes": []}, "scopes"),  # nothing allowed
        ({"scopes": ["events:write", "all"]}, "scopes"),  # no such scope
        ({"name": " "}, "name"),  # no name
        ({"name": "a\nb"}, "name"),  # two lines
        ({"days": 0}, "days"),  # over at once
        ({"days": 9999}, "days"),  # nearly for ever
    ],
)
def test_bad_token_is_refused(tokens: Tokens, writer: Writer, details: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(tokens, writer, **details)
    assert caught.value.path == path


def test_list_shows_no_hash(tokens: Tokens, writer: Writer, text: str) -> None:
    make(tokens, writer, name="second", user="u2")

    assert [row.name for row in tokens.list_tokens()] == ["second", "till"]
    assert [row.name for row in tokens.list_tokens(user="u2")] == ["second"]
    assert tokens.list_tokens()[1].hint == text[-4:]
    assert "hash" not in tokens.list_tokens()[0]._fields


def test_making_and_revoking_is_audited(tokens: Tokens, db: Database, writer: Writer, text: str) -> None:
    token = tokens.check(text)
    writer.do(lambda tx: tokens.revoke(tx, token.id, actor="cli"))

    with db.read() as conn:
        assert [row.action for row in audit.read(conn)] == ["token.revoked", "token.created"]
        assert text.split("_")[2] not in str(audit.read(conn))


def test_cache_stays_small(tokens: Tokens, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.tokens._CACHE_SIZE", 3)
    for _ in range(10):
        tokens.check(make(tokens, writer))

    assert len(tokens._known) <= 3


def test_lost_note_of_use_harms_nobody(tokens: Tokens, db: Database, text: str) -> None:
    refuse = {
        SQLITE: ["CREATE TRIGGER no BEFORE UPDATE ON tokens BEGIN SELECT RAISE(ABORT, 'no'); END"],
        POSTGRESQL: [
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'",
            "CREATE TRIGGER no BEFORE UPDATE ON tokens FOR EACH ROW EXECUTE FUNCTION no()",
        ],
    }
    with db.write() as conn:
        for statement in refuse[databases.kind]:
            conn.exec_driver_sql(statement)

    assert tokens.check(text).name == "till"


def test_every_scope_is_explained() -> None:
    assert all(re.fullmatch(r"[a-z]+(:[a-z]+)?", scope) and words for scope, words in SCOPES.items())
    assert table.c.hash.unique
