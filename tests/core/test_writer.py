"""The writer commits pieces of work in groups: each answers for itself, and no answer comes before the disk has it."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from homes import NOON
from sqlalchemy import Connection, event, func, select
from sqlalchemy.exc import IntegrityError

from core.db import Database, metadata
from core.errors import Busy, NotFound, StorageError
from core.marks import read_mark, write_mark
from core.tables import marks
from core.writer import Tx, Writer


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    db = Database(database_url, synchronous="off")
    metadata.create_all(db.engine)
    yield db
    db.close()


class Gate:
    """A piece of work that holds the writer until it is opened, so that others pile up behind it."""

    def __init__(self, writer: Writer) -> None:
        self._open = threading.Event()
        entered = threading.Event()

        def hold(_tx: Tx) -> None:
            entered.set()
            assert self._open.wait(10)

        self.future = writer.submit(hold)
        assert entered.wait(10)

    def open(self) -> None:
        self._open.set()
        self.future.result(10)


@pytest.fixture
def make_writer(db: Database) -> Iterator[Callable[..., Writer]]:
    made: list[Writer] = []

    def make(*, started: bool = True, **options: Any) -> Writer:
        made.append(Writer(db, **options))
        if started:
            made[-1].start()
        return made[-1]

    yield make
    for writer in made:
        writer.stop()


def put(name: str, value: Any = 1) -> Callable[[Tx], str]:
    def work(tx: Tx) -> str:
        write_mark(tx.conn, name, value, NOON)
        return name

    return work


def names(db: Database) -> set[str]:
    with db.read() as conn:
        return set(conn.execute(select(marks.c.name)).scalars())


def fail(exc: BaseException) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        put("half")(tx)
        raise exc

    return work


@pytest.mark.parametrize("started", [True, False])
def test_answer_comes_after_the_commit(db: Database, make_writer: Callable[..., Writer], *, started: bool) -> None:
    writer = make_writer(started=started)
    assert writer.do(put("a")) == "a"
    assert names(db) == {"a"}


# what a piece of work may raise
ERRORS: list[BaseException] = [
    ValueError("x"),
    NotFound("x"),
    KeyError("x"),
    RecursionError(),
    SystemExit(1),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_failing_piece_is_undone_alone(db: Database, make_writer: Callable[..., Writer], error: BaseException) -> None:
    writer = make_writer()
    gate = Gate(writer)
    futures: list[Future[Any]] = [writer.submit(put("a")), writer.submit(fail(error)), writer.submit(put("b"))]
    gate.open()
    assert [futures[0].result(10), futures[2].result(10)] == ["a", "b"]
    with pytest.raises(type(error)) as raised:
        futures[1].result(10)
    assert raised.value is error
    assert names(db) == {"a", "b"}
    assert writer.do(put("c")) == "c"  # and the writer lives


def test_piece_refused_by_the_database_is_undone_alone(db: Database, make_writer: Callable[..., Writer]) -> None:
    writer = make_writer()
    gate = Gate(writer)
    twice = writer.submit(lambda tx: [tx.conn.execute(marks.insert().values(name="x", value=1, at=NOON)) for _ in "ab"])
    others = [writer.submit(put(name)) for name in ("a", "b")]
    gate.open()
    with pytest.raises(StorageError, match="UNIQUE constraint failed|violates unique constraint"):
        twice.result(10)
    assert {other.result(10) for other in others} == names(db) == {"a", "b"}


def test_group_is_one_transaction(db: Database, make_writer: Callable[..., Writer]) -> None:
    commits: list[Connection] = []
    event.listen(db.engine, "commit", commits.append)
    writer = make_writer()
    gate = Gate(writer)
    futures = [writer.submit(put(str(number))) for number in range(100)]
    assert writer.waiting == 100
    gate.open()
    for future in futures:
        future.result(10)
    assert len(commits) == 2  # the gate's, and one for all
    assert len(names(db)) == 100


def test_group_has_a_limit(db: Database, make_writer: Callable[..., Writer]) -> None:
    commits: list[Connection] = []
    event.listen(db.engine, "commit", commits.append)
    writer = make_writer(group=30)
    gate = Gate(writer)
    futures = [writer.submit(put(str(number))) for number in range(100)]
    gate.open()
    for future in futures:
        future.result(10)
    assert len(commits) == 1 + 4


def test_pieces_see_what_earlier_ones_wrote(make_writer: Callable[..., Writer]) -> None:
    writer = make_writer()
    gate = Gate(writer)

    def count_up(tx: Tx) -> int:
        number = (read_mark(tx.conn, "n") or 0) + 1
        write_mark(tx.conn, "n", number, NOON)
        return number

    futures = [writer.submit(count_up) for _ in range(50)]
    gate.open()
    assert [future.result(10) for future in futures] == list(range(1, 51))


def test_calls_after_the_commit_see_it_on_disk(db: Database, make_writer: Callable[..., Writer]) -> None:
    seen: list[set[str]] = []

    def work(tx: Tx) -> None:
        put("a")(tx)
        tx.after_commit(lambda: seen.append(names(db)))
        assert seen == []

    make_writer().do(work)
    assert seen == [{"a"}]


def test_undone_work_calls_nothing_but_its_undo(make_writer: Callable[..., Writer]) -> None:
    called: list[str] = []

    def work(tx: Tx) -> None:
        tx.after_commit(lambda: called.append("after"))
        tx.if_undone(lambda: called.append("undone"))
        raise ValueError("no")

    for writer in (make_writer(), make_writer(started=False)):
        with pytest.raises(ValueError, match="no"):
            writer.do(work)
    assert called == ["undone", "undone"]


def test_undo_runs_for_every_piece_of_a_lost_group(db: Database, make_writer: Callable[..., Writer]) -> None:
    writer = make_writer()
    told: list[str] = []
    gate = Gate(writer)

    def piece(name: str) -> Callable[[Tx], None]:
        def work(tx: Tx) -> None:
            put(name)(tx)
            tx.if_undone(lambda: told.append(f"undone {name}"))
            tx.after_commit(lambda: told.append(f"kept {name}"))

        return work

    futures = [writer.submit(piece("a")), writer.submit(piece("b")), writer.submit(put_twice)]
    gate.open()
    for future in futures[:2]:
        future.result(10)
    with pytest.raises(StorageError):
        futures[2].result(10)
    assert sorted(told) == ["kept a", "kept b", "undone a", "undone b"]


def put_twice(tx: Tx) -> None:
    for _ in range(2):
        tx.conn.execute(marks.insert().values(name="twice", value=1, at=NOON))


def _fail() -> None:
    raise ZeroDivisionError


def test_failing_call_after_the_commit_changes_nothing(db: Database, make_writer: Callable[..., Writer]) -> None:
    def work(tx: Tx) -> str:
        tx.after_commit(_fail)
        return put("a")(tx)

    assert make_writer().do(work) == "a"
    assert names(db) == {"a"}


def test_full_queue_says_busy_and_loses_nothing(db: Database, make_writer: Callable[..., Writer]) -> None:
    writer = make_writer(backlog=3)
    gate = Gate(writer)
    futures = [writer.submit(put(str(number))) for number in range(3)]
    with pytest.raises(Busy, match="try again in a moment") as refusal:
        writer.submit(put("too many"))
    assert refusal.value.after_s > 0
    gate.open()
    assert {future.result(10) for future in futures} == names(db) == {"0", "1", "2"}
    assert writer.do(put("later")) == "later"


def test_write_inside_a_write_is_refused_not_hung(make_writer: Callable[..., Writer]) -> None:
    writer = make_writer()
    with pytest.raises(StorageError, match="hand the open transaction down"):
        writer.do(lambda _tx: writer.do(put("a")))


def test_stop_finishes_what_was_accepted(db: Database, make_writer: Callable[..., Writer]) -> None:
    writer = make_writer()
    gate = Gate(writer)
    futures = [writer.submit(put(str(number))) for number in range(20)]
    gate.open()
    writer.stop()
    assert all(future.done() for future in futures)
    assert len(names(db)) == 20
    assert writer.do(put("after")) == "after"  # in the caller's own thread
    writer.start()
    assert writer.do(put("again")) == "again"


def test_work_handed_in_while_stopping_is_not_forgotten(db: Database, make_writer: Callable[..., Writer]) -> None:
    writer = make_writer()
    gate = Gate(writer)
    stopping = threading.Thread(target=writer.stop)
    stopping.start()
    while writer.waiting == 0:  # the end mark stands in the queue
        threading.Event().wait(0.001)
    late = writer.submit(put("late"))
    gate.open()
    stopping.join(10)
    assert late.result(10) == "late"
    assert names(db) == {"late"}


# The disk


@pytest.mark.sqlite("a PRAGMA stands for the full disk")
def test_full_disk_is_said_in_words_and_recovers(db: Database, make_writer: Callable[..., Writer]) -> None:
    pages = {"most": 1_073_741_823}

    @event.listens_for(db.engine, "begin")
    def limit(conn: Connection) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count={pages['most']}")

    writer = make_writer()
    writer.do(put("before"))
    with db.read() as conn:
        pages["most"] = conn.exec_driver_sql("PRAGMA page_count").scalar_one() + 3
    gate = Gate(writer)
    big = writer.submit(put("big", "x" * 500_000))
    small = writer.submit(put("small"))
    gate.open()
    with pytest.raises(StorageError, match="the disk is full: free some space; nothing that was acknowledged is lost"):
        big.result(10)
    assert small.result(10) == "small"
    assert names(db) == {"before", "small"}
    pages["most"] = 1_073_741_823
    assert writer.do(put("big", "x" * 500_000)) == "big"
    with db.read() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


@pytest.mark.sqlite("its file is locked")
def test_locked_database_is_said_in_words_and_recovers(
    db: Database, make_writer: Callable[..., Writer], tmp_path: Path
) -> None:
    @event.listens_for(db.engine, "connect")
    def be_quick(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA busy_timeout=20")

    db.engine.dispose()
    writer = make_writer()
    other = sqlite3.connect(tmp_path / "vitrin.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="another program holds the database: stop it, or try again in a moment"):
            writer.do(put("a"))
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert writer.do(put("a")) == "a"
    assert names(db) == {"a"}


@pytest.mark.sqlite("its file is read-only")
def test_unwritable_database_is_said_in_words(db: Database, make_writer: Callable[..., Writer]) -> None:
    @event.listens_for(db.engine, "connect")
    def refuse(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA query_only=ON")

    db.engine.dispose()
    with pytest.raises(StorageError, match="is not writable: check its owner and permissions"):
        make_writer().do(put("a"))


def test_many_threads_write_every_piece_once(db: Database, make_writer: Callable[..., Writer]) -> None:
    writer = make_writer(backlog=5)
    busy = threading.Lock()
    refused = [0]

    def insist(number: int) -> None:
        for turn in range(25):
            while True:
                try:
                    writer.do(
                        lambda tx, turn=turn: tx.conn.execute(
                            marks.insert().values(name=f"{number}/{turn}", value=1, at=NOON)
                        )
                    )
                    break
                except Busy:
                    with busy:
                        refused[0] += 1

    threads = [threading.Thread(target=insist, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with db.read() as conn:
        assert conn.execute(select(func.count()).select_from(marks)).scalar_one() == 200


def test_error_behind_a_refusal_is_the_callers_answer(db: Database, make_writer: Callable[..., Writer]) -> None:
    def caught_and_raised(tx: Tx) -> None:
        try:
            put_twice(tx)
        except IntegrityError as exc:
            raise NotFound("no such thing") from exc

    for started in (False, True):
        with pytest.raises(NotFound, match="no such thing"):
            make_writer(started=started).do(caught_and_raised)
    assert names(db) == set()
