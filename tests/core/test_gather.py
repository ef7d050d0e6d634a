"""Items for the same work are handed over together: one look at the database for all who wait at that moment."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import pytest

from core.db import Database, metadata
from core.errors import Busy, Conflict
from core.marks import read_mark, write_mark
from core.writer import Tx, Writer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    db = Database(database_url, synchronous="off")
    metadata.create_all(db.engine)
    yield db
    db.close()


@pytest.fixture
def writer(db: Database) -> Iterator[Writer]:
    writer = Writer(db, backlog=50)
    yield writer
    writer.stop()


class Desk:
    """Work that takes many: writes each item down, and refuses a group that holds what it does not like."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.undone: list[str] = []

    def take(self, tx: Tx, items: Sequence[str]) -> list[str]:
        self.groups.append(list(items))
        for item in items:
            tx.if_undone(lambda item=item: self.undone.append(item))
            write_mark(tx.conn, item, 1, NOON)
        if "bad" in items:
            raise Conflict("a bad one")
        return [item.upper() for item in items]


def together(writer: Writer, hand_in: Callable[[], list[Future[Any]]]) -> list[Future[Any]]:
    """Hand in while the writer is held up, so that all of it waits at once."""
    opened, entered = threading.Event(), threading.Event()

    def hold(_tx: Tx) -> None:
        entered.set()
        assert opened.wait(10)

    writer.start()
    held = writer.submit(hold)
    assert entered.wait(10)
    try:
        return hand_in()
    finally:
        opened.set()
        held.result(10)


def test_items_that_wait_are_taken_together(writer: Writer) -> None:
    desk = Desk()
    futures = together(writer, lambda: [writer.gather(desk.take, item) for item in "abc"])
    assert [future.result(10) for future in futures] == ["A", "B", "C"]
    assert desk.groups == [["a", "b", "c"]]


def test_item_alone_is_taken_alone(writer: Writer) -> None:
    desk = Desk()
    assert writer.gather(desk.take, "a").result(10) == "A"
    assert desk.groups == [["a"]]


def test_two_kinds_of_work_stay_apart(writer: Writer) -> None:
    one, other = Desk(), Desk()
    together(writer, lambda: [writer.gather(desk.take, item) for desk, item in ((one, "a"), (other, "b"), (one, "c"))])
    writer.stop()
    assert (one.groups, other.groups) == ([["a", "c"]], [["b"]])


def test_bad_item_does_not_spoil_the_others(db: Database, writer: Writer) -> None:
    desk = Desk()
    futures = together(writer, lambda: [writer.gather(desk.take, item) for item in ("a", "bad", "c")])
    assert futures[0].result(10) == "A"
    assert isinstance(futures[1].exception(10), Conflict)
    assert futures[2].result(10) == "C"
    assert desk.groups == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert desk.undone == ["a", "bad", "c", "bad"]
    with db.read() as conn:
        assert [read_mark(conn, name) for name in ("a", "bad", "c")] == [1, None, 1]


def test_bad_item_leaves_other_work_of_its_group(db: Database, writer: Writer) -> None:
    desk = Desk()
    futures = together(
        writer,
        lambda: [
            writer.submit(lambda tx: write_mark(tx.conn, "before", 1, NOON)),
            *[writer.gather(desk.take, item) for item in ("bad", "c")],
        ],
    )
    futures[2].result(10)
    with db.read() as conn:
        assert [read_mark(conn, name) for name in ("before", "bad", "c")] == [1, None, 1]


def test_answer_comes_after_the_commit(db: Database, writer: Writer) -> None:
    desk = Desk()
    seen: list[Any] = []

    def look(_done: Future[Any]) -> None:
        with db.read() as conn:
            seen.append(read_mark(conn, "b"))

    def hand_in() -> list[Future[Any]]:
        futures = [writer.gather(desk.take, item) for item in "ab"]
        futures[0].add_done_callback(look)
        return futures

    for future in together(writer, hand_in):
        future.result(10)
    writer.stop()
    assert seen == [1]


def test_full_queue_says_busy(writer: Writer) -> None:
    desk = Desk()

    def hand_in() -> list[Future[Any]]:
        futures = [writer.gather(desk.take, str(number)) for number in range(50)]
        with pytest.raises(Busy):
            writer.gather(desk.take, "one too many")
        return futures

    assert len([future.result(10) for future in together(writer, hand_in)]) == 50


def test_figures_tell_groups_and_commits(writer: Writer) -> None:
    together(writer, lambda: [writer.submit(lambda _tx: None) for _ in range(4)])
    writer.stop()
    assert writer.figures.group.count == writer.figures.commit_s.count >= 2
    assert writer.figures.group.sum == 5
    assert writer.figures.commit_s.sum > 0
