"""Pollers: asked on their schedule, never two at once; news and cursor are written together or not at all."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import poll_node
import pytest
from poll_node import EACH, SETTINGS, START, Polled
from sqlalchemy import func, select

from core import polling
from core.accounts import Account, delete_account, save_account
from core.marks import read_mark
from core.shop.tables import customers
from core.tables import jobs, schedules

ID = "poller:feed:default:poll_numbers"


@pytest.fixture
def opened() -> Iterator[list[Polled]]:
    """What a test opened, to be closed after it."""
    all_of_them: list[Polled] = []
    yield all_of_them
    for polled in all_of_them:
        polled.polling.settle()
        polled.engine.close()


@pytest.fixture
def start(tmp_path: Path, opened: list[Polled]) -> Any:
    def make(*given: Any, **options: Any) -> Polled:
        opened.append(Polled(tmp_path, *given, **options))
        return opened[-1]

    return make


def scheduled(polled: Polled) -> list[str]:
    with polled.db.read() as conn:
        pollers = select(schedules.c.id).where(schedules.c.owner == polling.OWNER).order_by(schedules.c.id)
        return list(conn.execute(pollers).scalars())


def mark(polled: Polled, name: str = ID) -> dict[str, Any]:
    with polled.db.read() as conn:
        return read_mark(conn, name) or {}


def connect(polled: Polled, account: str, token: str) -> None:
    told = Account(plugin="feed", name=account, settings={"token": token})
    now = polled.clock.now()
    polled.writer.do(lambda tx: save_account(tx, polled.engine.secrets, SETTINGS, told, actor="test", now=now))
    polled.polling.rebuild()


def test_news_and_cursor_go_on_from_poll_to_poll(start: Any) -> None:
    polled = start()
    assert polled.run(15) == 3
    assert polled.numbers() == list(range(3 * EACH))
    assert mark(polled)["cursor"] == 3 * EACH
    assert polled.polling.list_pollers()[0]["error"] is None


def test_news_start_runs_like_any_event(start: Any) -> None:
    polled = start()
    polled.run(5)
    with polled.db.read() as conn:
        found = conn.execute(select(poll_node.events)).all()
    assert {(row.source, row.type, row.key) for row in found} == {("feed", "number.drawn", str(n)) for n in range(3)}


def test_known_id_is_taken_once(start: Any) -> None:
    polled = start(lambda ctx, _: ctx.emit("number.drawn", {"number": 7}, id="seven"))
    polled.run(20)
    assert polled.numbers() == [7]


def test_poll_that_is_under_way_is_not_doubled(start: Any) -> None:
    polled = start()
    for _ in range(10):
        polled.clock.advance(300)
        polled.scheduler.sweep(polled.clock.now())
    with polled.db.read() as conn:
        assert conn.execute(select(func.count()).select_from(jobs)).scalar_one() == 1
    assert polled.queue.drain() == 1
    assert polled.numbers() == [0, 1, 2]


def test_poll_can_be_asked_for_at_once(start: Any) -> None:
    polled = start()
    assert polled.writer.do(lambda tx: polled.polling.ask(tx, ID))
    assert polled.writer.do(lambda tx: polled.polling.ask(tx, ID)) is None
    assert polled.queue.drain() == 1
    assert polled.numbers() == [0, 1, 2]


def test_schedules_follow_plugins_and_accounts(start: Any) -> None:
    polled = start(settings=SETTINGS)
    assert scheduled(polled) == []  # needs a token first
    connect(polled, "north: 1", "t")
    connect(polled, "south", "t")
    assert scheduled(polled) == ["poller:feed:north: 1:poll_numbers", "poller:feed:south:poll_numbers"]
    polled.run(5)
    assert sorted(polled.numbers()) == [0, 0, 1, 1, 2, 2]
    now = polled.clock.now()
    polled.writer.do(lambda tx: delete_account(tx, polled.engine.secrets, "feed", "south", actor="t", now=now))
    polled.polling.rebuild()
    assert scheduled(polled) == ["poller:feed:north: 1:poll_numbers"]
    polled.host.disable("feed", actor="test")
    polled.polling.settle()
    assert scheduled(polled) == []
    polled.host.enable("feed", actor="test")
    polled.polling.settle()
    polled.run(5)
    assert mark(polled, "poller:feed:north: 1:poll_numbers")["cursor"] == 2 * EACH


def test_plugin_switched_off_inside_a_transaction_blocks_nothing(start: Any) -> None:
    polled = start()
    polled.writer.do(lambda _tx: polled.host.set_aside("feed", "raised in the middle"))
    polled.polling.settle()
    assert scheduled(polled) == []


def test_job_of_a_plugin_that_went_off_ends_quietly(start: Any) -> None:
    polled = start()
    polled.writer.do(lambda tx: polled.polling.ask(tx, ID))
    polled.host.disable("feed", actor="test")
    assert polled.queue.drain() == 1
    assert (polled.numbers(), polled.jobs.list_jobs()) == ([], [])


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError"),
        (lambda ctx, _: ctx.emit("number.drawn", {"number": "seven"}), "wrong number.drawn"),
        (lambda ctx, _: ctx.emit("nothing.known", {}), "wrong nothing.known"),
        (lambda *_: {1, 2}, "no plain data"),
        (lambda *_: sys.exit(3), "SystemExit"),
        (lambda ctx, _: [ctx.emit("number.drawn", {"number": n}) for n in range(5000)], "more than 1000"),
        (lambda ctx, _: [ctx.store.put("a", n) for n in range(5000)], "more than 1000"),
        (lambda ctx, _: ctx.shop.upsert_customer({"phone": "nonsense"}), "phone"),
        (lambda ctx, _: ctx.shop.nothing(), "nothing"),
    ],
)
def test_faulty_poller_writes_nothing(start: Any, run: Any, words: str) -> None:
    def draw_and_fail(ctx: Any, cursor: Any) -> Any:
        ctx.emit("number.drawn", {"number": 1})
        return run(ctx, cursor)

    polled = start(draw_and_fail)
    polled.run(5)
    assert polled.numbers() == []
    assert words in mark(polled)["error"]
    assert "cursor" not in mark(polled)


def test_poller_that_fails_again_and_again_is_quarantined(start: Any) -> None:
    polled = start(lambda *_: 1 / 0)
    polled.run(30)
    assert "5 errors in a row" in (polled.host.get("feed").quarantine or "")
    polled.polling.settle()
    assert scheduled(polled) == []


def test_poller_that_hangs_is_quarantined(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "LIMIT_S", 0.05)
    gate = threading.Event()
    polled = start(lambda *_: gate.wait(20))
    polled.run(5)
    gate.set()
    assert "did not come back" in (polled.host.get("feed").quarantine or "")
    assert polled.numbers() == []


def test_busy_remote_is_asked_again_when_it_wishes(start: Any) -> None:
    asked: list[int] = []

    def busy_once(ctx: Any, cursor: Any) -> Any:
        asked.append(1)
        if len(asked) == 1:
            ctx.retry_later("too many requests", after_s=1200)
        return poll_node.poll_numbers(ctx, cursor)

    polled = start(busy_once)
    polled.run(24)
    assert len(asked) == 1
    polled.run(2)
    assert polled.numbers()[:3] == [0, 1, 2]
    assert mark(polled)["error"] is None


def test_refused_sign_in_waits_for_a_person(start: Any) -> None:
    tokens: list[str] = []

    def sign_in(ctx: Any, cursor: Any) -> Any:
        tokens.append(ctx.settings["token"])
        if ctx.settings["token"] != "new":
            ctx.sign_in_again("the token was revoked")
        return poll_node.poll_numbers(ctx, cursor)

    polled = start(sign_in, settings=SETTINGS)
    connect(polled, "default", "old")
    polled.run(60)
    assert tokens == ["old"]
    polled.clock.advance(timedelta(seconds=1))
    connect(polled, "default", "new")
    polled.run(5)
    assert tokens == ["old", "new"]
    assert polled.numbers() == [0, 1, 2]


def test_shop_and_store_are_written_with_the_news(start: Any) -> None:
    seen: list[Any] = []

    def write(ctx: Any, cursor: Any) -> Any:
        seen.append((ctx.store.get("last"), ctx.shop.find_customer("c-1"), ctx.conn))
        ctx.shop.upsert_customer({"external_id": "c-1", "name": "Ada"})
        ctx.store.put("last", (cursor or 0) + 1)
        return (cursor or 0) + 1

    polled = start(write)
    polled.run(10)
    with polled.db.read() as conn:
        ours = conn.execute(select(customers.c.id)).scalars().all()
        kinds = conn.execute(select(poll_node.events.c.type)).scalars().all()
    assert seen == [(None, None, None), (1, ours[0], None)]
    assert (len(ours), list(kinds), mark(polled)["cursor"]) == (1, ["customer.created"], 2)


@pytest.mark.parametrize(
    "place",
    [
        "poll.before_write:2",  # the plugin has answered, nothing is written
        "job.claimed:3",
        "job.before_finish:2",  # all is written but the job's end
        *(f"writer.before_commit:{n}" for n in (9, 10, 11)),
        *(f"writer.after_commit:{n}" for n in (9, 10, 11)),
    ],
)
def test_killed_poll_neither_loses_nor_doubles(tmp_path: Path, start: Any, place: str) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "VITRIN_CRASH_AT": place}
    command = [sys.executable, poll_node.__file__, str(tmp_path), str(START.timestamp())]
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == -signal.SIGKILL
    polled = start(start=START + timedelta(minutes=40))
    polled.jobs.release_own()
    polled.queue.drain()
    polled.run(30)
    numbers = polled.numbers()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 5 * EACH
    assert mark(polled)["cursor"] == len(numbers)
