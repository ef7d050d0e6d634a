"""People: who may come in, who may not, and what a guesser learns."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from core import audit
from core.attempts import Attempts
from core.clock import VirtualClock
from core.db import Database, metadata
from core.errors import Busy, Conflict, InvalidInput, NotAllowed, NotFound
from core.people import People, User, normal_email
from core.tables import marks, users
from core.writer import Writer

PASSWORD = "four words and İstanbul"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


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
def changes() -> list[int]:
    return []


@pytest.fixture
def people(db: Database, writer: Writer, clock: VirtualClock, changes: list[int]) -> People:
    return People(db, writer, clock, hasher=CHEAP, on_change=lambda: changes.append(1))


def add(people: People, writer: Writer, email: str = "elif@shop.example", role: str = "staff") -> User:
    user = writer.do(lambda tx: people.add(tx, email, role=role, actor="cli"))
    writer.do(lambda tx: people.set_password(tx, user.id, PASSWORD, actor="cli"))
    return user


@pytest.fixture
def elif_(people: People, writer: Writer) -> User:
    return add(people, writer)


def test_right_password_lets_in(people: People, elif_: User) -> None:
    user = people.authenticate(" ELIF@shop.example ", PASSWORD, source="10.0.0.1")

    assert (user.id, user.role, user.has_password) == (elif_.id, "staff", True)


def test_password_is_equal_however_it_was_typed(people: People, writer: Writer, elif_: User) -> None:
    writer.do(lambda tx: people.set_password(tx, elif_.id, "Éclairs à la crème", actor="cli"))

    assert people.authenticate("elif@shop.example", "E\u0301clairs a\u0300 la cre\u0300me", source="x")


REFUSED: list[tuple[str, str]] = [
    ("elif@shop.example", "another password"),  # wrong
    ("elif@shop.example", PASSWORD + "x"),  # longer
    ("elif@shop.example", PASSWORD[:-1]),  # shorter
    ("elif@shop.example", ""),  # empty
    ("elif@shop.example", "x" * 1_000_000),  # endless
    ("elif@shop.example", "half a pair \ud83d"),  # no text
    ("nobody@shop.example", PASSWORD),  # unknown
    ("elif@shop.example\0", PASSWORD),  # NUL
    ("", ""),  # nothing at all
    ("off@shop.example", PASSWORD),  # switched off
    ("new@shop.example", "a password that nobody has"),  # has no password yet
]


@pytest.mark.parametrize(("email", "password"), REFUSED)
def test_refusals_read_alike(people: People, writer: Writer, elif_: User, email: str, password: str) -> None:
    off = add(people, writer, "off@shop.example")
    writer.do(lambda tx: people.set_active(tx, off.id, False, actor="cli"))
    writer.do(lambda tx: people.add(tx, "new@shop.example", role="staff", actor="cli"))

    with pytest.raises(NotAllowed, match=r"^the e-mail address or the password is wrong$"):
        people.authenticate(email, password, source="10.0.0.1")


def test_unknown_address_takes_as_long(db: Database, writer: Writer, clock: VirtualClock) -> None:
    people = People(db, writer, clock, hasher=PasswordHasher(time_cost=2, memory_cost=8192, parallelism=1))
    add(people, writer)

    def seconds(email: str, step: int) -> float:
        began = time.perf_counter()
        with pytest.raises(NotAllowed):
            people.authenticate(email, "wrong password", source=f"10.0.0.{step}")
        return time.perf_counter() - began

    # In turn, so that a busy machine slows both.
    pairs = [(seconds("elif@shop.example", step), seconds("nobody@shop.example", step)) for step in range(15)]
    known, unknown = (median(times) for times in zip(*pairs, strict=True))
    # The hash takes 10 ms and more, the rest about one: without the same work it would be a tenth.
    assert 1 / 3 < unknown / known < 3


@pytest.mark.parametrize(
    "password",
    [
        "short 7",  # seven characters
        "x" * 129 + "yz",  # more than 128
        "Password1",  # among the commonest, whatever the case
        "ＰＡＳＳＷＯＲＤ１",  # the same in wide letters
        "aaaaaaaaaaaa",  # one letter
        "ababababab",  # two letters
        "ELIF@shop.example",  # the address
        "half a pair \ud83d",  # no text
    ],
)
def test_weak_password_is_refused_unshown(people: People, writer: Writer, elif_: User, password: str) -> None:
    with pytest.raises(InvalidInput, match="password:") as caught:
        writer.do(lambda tx: people.set_password(tx, elif_.id, password, actor="cli"))
    assert password not in str(caught.value)


@pytest.mark.parametrize("password", ["8 chars!", "ş" * 120 + "12345678"])  # the shortest, and the longest
def test_password_counts_to_its_last_character(people: People, writer: Writer, elif_: User, password: str) -> None:
    writer.do(lambda tx: people.set_password(tx, elif_.id, password, actor="cli"))

    assert people.authenticate("elif@shop.example", password, source="a")
    with pytest.raises(NotAllowed):
        people.authenticate("elif@shop.example", password[:-1] + "_", source="a")


def test_login_brings_hash_to_present_cost(db: Database, people: People, writer: Writer, clock: VirtualClock) -> None:
    add(people, writer)
    dearer = People(db, writer, clock, hasher=PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    assert dearer.authenticate("elif@shop.example", PASSWORD, source="a").generation == 2

    with db.read() as conn:
        assert "t=2" in str(conn.scalar(select(users.c.password)))
    assert people.authenticate("elif@shop.example", PASSWORD, source="a")


def change_password(people: People, tx: Any, user_id: str) -> None:
    people.set_password(tx, user_id, "another four words", actor="cli")


def change_role(people: People, tx: Any, user_id: str) -> None:
    people.set_role(tx, user_id, "manager", actor="cli")


def switch_off(people: People, tx: Any, user_id: str) -> None:
    people.set_active(tx, user_id, False, actor="cli")


@pytest.mark.parametrize("change", [change_password, change_role, switch_off])
def test_change_ends_older_sessions(
    people: People, db: Database, writer: Writer, elif_: User, changes: list[int], change: Any
) -> None:
    with db.read() as conn:
        before = people.get(conn, elif_.id).generation
    changes.clear()
    writer.do(lambda tx: change(people, tx, elif_.id))

    with db.read() as conn:
        assert people.get(conn, elif_.id).generation == before + 1
        assert audit.read(conn)[0].object == f"user:{elif_.id}"
        assert audit.verify(conn) is None
    assert changes == [1]


def attempt(people: People, source: str = "10.0.0.1", email: str = "elif@shop.example", password: str = "") -> str:
    try:
        people.authenticate(email, password, source=source)
    except NotAllowed:
        return "refused"
    except Busy as exc:
        return f"wait {exc.after_s:g}"
    return "in"


@pytest.mark.parametrize("email", ["elif@shop.example", "nobody@shop.example"])  # known and unknown alike
def test_hundred_tries_are_slowed_down(people: People, elif_: User, clock: VirtualClock, email: str) -> None:
    began = clock.now()
    outcomes = []
    while outcomes.count("refused") < 25:
        outcome = attempt(people, email=email)
        outcomes.append(outcome)
        clock.advance(float(outcome.removeprefix("wait ")) if outcome.startswith("wait") else 0)

    assert outcomes[:6] == ["refused"] * 5 + ["wait 1"]
    # A hundred tries would take more than a day.
    assert (clock.now() - began) > timedelta(hours=2)


def test_tries_at_once_are_counted(people: People, elif_: User) -> None:
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda _: attempt(people), range(40)))

    assert outcomes.count("refused") == 5


def test_owner_comes_in_from_elsewhere(people: People, elif_: User, clock: VirtualClock) -> None:
    for _ in range(20):
        attempt(people, "10.0.0.1")

    assert attempt(people, "10.0.0.2", password=PASSWORD) == "in"


def test_many_sources_slow_the_account(people: People, elif_: User, clock: VirtualClock) -> None:
    outcomes = [attempt(people, f"10.0.0.{step}") for step in range(60)]

    assert outcomes.count("refused") == 50
    clock.advance(30)
    assert attempt(people, "10.0.1.1", password=PASSWORD) == "in"


def test_one_source_with_many_accounts_is_slowed(people: People, elif_: User) -> None:
    outcomes = [attempt(people, email=f"p{step}@shop.example") for step in range(30)]

    assert outcomes.count("refused") == 20


def test_login_clears_the_count(people: People, elif_: User) -> None:
    for _ in range(3):
        outcomes = [attempt(people) for _ in range(4)]
        assert [*outcomes, attempt(people, password=PASSWORD)] == ["refused"] * 4 + ["in"]


def test_failures_are_forgotten_in_time(people: People, elif_: User, clock: VirtualClock) -> None:
    for _ in range(6):
        attempt(people)
    clock.advance(3601)

    assert [attempt(people) for _ in range(5)] == ["refused"] * 5


def test_table_of_attempts_is_bounded(clock: VirtualClock) -> None:
    attempts = Attempts(clock)
    for step in range(6000):
        attempts.enter(f"a{step}", f"s{step}")

    assert len(attempts) == 10_000


def test_link_lets_in_once(people: People, db: Database, writer: Writer, elif_: User, tmp_path: Path) -> None:
    text = writer.do(lambda tx: people.make_login_link(tx, elif_.id, actor="cli"))
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert text.encode() not in on_disk
    assert writer.do(lambda tx: people.use_login_link(tx, text)).id == elif_.id
    with pytest.raises(NotAllowed, match="used already or has expired"):
        writer.do(lambda tx: people.use_login_link(tx, text))


def test_link_used_by_many_lets_one_in(people: People, writer: Writer, elif_: User) -> None:
    text = writer.do(lambda tx: people.make_login_link(tx, elif_.id, actor="cli"))
    writer.start()
    tries = [writer.submit(lambda tx: people.use_login_link(tx, text)) for _ in range(20)]
    outcomes = [future.exception() for future in tries]
    writer.stop()

    assert outcomes.count(None) == 1


def test_link_expires_after_an_hour(people: People, writer: Writer, elif_: User, clock: VirtualClock) -> None:
    text = writer.do(lambda tx: people.make_login_link(tx, elif_.id, actor="cli"))
    clock.advance(3600)

    with pytest.raises(NotAllowed):
        writer.do(lambda tx: people.use_login_link(tx, text))


def make_newer_link(people: People, tx: Any, user_id: str) -> None:
    people.make_login_link(tx, user_id, actor="cli")


@pytest.mark.parametrize("change", [change_password, change_role, switch_off, make_newer_link])
def test_link_ends_with_any_change(people: People, db: Database, writer: Writer, elif_: User, change: Any) -> None:
    text = writer.do(lambda tx: people.make_login_link(tx, elif_.id, actor="cli"))
    writer.do(lambda tx: change(people, tx, elif_.id))

    with pytest.raises(NotAllowed):
        writer.do(lambda tx: people.use_login_link(tx, text))


def test_link_of_another_row_is_worth_nothing(people: People, db: Database, writer: Writer, elif_: User) -> None:
    text = writer.do(lambda tx: people.make_login_link(tx, elif_.id, actor="cli"))
    with db.write() as conn:
        conn.execute(update(users).values(generation=9))

    for guess in (text, text + "x", "", "login_link:", "\ud83d"):
        with pytest.raises(NotAllowed):
            writer.do(lambda tx, guess=guess: people.use_login_link(tx, guess))
    with db.read() as conn:
        assert len(conn.execute(select(marks)).all()) == 1


def test_shop_is_claimed_by_first_admin(people: People, db: Database, writer: Writer) -> None:
    def claimed() -> bool:
        with db.read() as conn:
            return people.is_claimed(conn)

    add(people, writer)
    admin = writer.do(lambda tx: people.add(tx, "owner@shop.example", role="admin", actor="cli"))
    assert not claimed()
    writer.do(lambda tx: people.set_password(tx, admin.id, PASSWORD, actor="cli"))
    assert claimed()


def test_last_admin_stays(people: People, writer: Writer) -> None:
    first = add(people, writer, "owner@shop.example", "admin")

    with pytest.raises(Conflict, match="last active admin"):
        writer.do(lambda tx: people.set_active(tx, first.id, False, actor="cli"))
    with pytest.raises(Conflict, match="last active admin"):
        writer.do(lambda tx: people.set_role(tx, first.id, "staff", actor="cli"))
    add(people, writer, "second@shop.example", "admin")
    writer.do(lambda tx: people.set_active(tx, first.id, False, actor="cli"))


def test_address_is_taken_once(people: People, writer: Writer, elif_: User) -> None:
    with pytest.raises(Conflict, match="is a user already"):
        writer.do(lambda tx: people.add(tx, "Elif@Shop.Example", role="staff", actor="cli"))


@pytest.mark.parametrize(
    "email",
    [
        "",  # nothing
        "elif",  # no @
        "a@b@c",  # two
        "a b@shop.example",  # a blank
        "a@shop..example",  # an empty label
        "a@shop.example\r\nBcc: x@y.z",  # a header
        "<a@shop.example>",  # brackets
        "a\0@shop.example",  # NUL
        "x" * 300 + "@shop.example",  # too long
    ],
)
def test_odd_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidInput, match="is not an e-mail address"):
        normal_email(email)


@pytest.mark.parametrize("email", ["elif+a@shop.example.tr", "борис@пример.рф", "o'hara@localhost"])
def test_ordinary_address_is_taken(email: str) -> None:
    assert normal_email(email) == email


def test_bad_role_and_unknown_user_are_named(people: People, writer: Writer, elif_: User) -> None:
    with pytest.raises(InvalidInput, match="role: 'owner' is none of admin"):
        writer.do(lambda tx: people.set_role(tx, elif_.id, "owner", actor="cli"))
    with pytest.raises(NotFound, match="no user nobody"):
        writer.do(lambda tx: people.set_role(tx, "nobody", "staff", actor="cli"))


def test_repr_shows_no_hash(people: People, db: Database, elif_: User) -> None:
    with db.read() as conn:
        listed = people.list_people(conn)
    assert [user.email for user in listed] == ["elif@shop.example"]
    assert "argon2" not in repr(listed)
