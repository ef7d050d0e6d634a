"""The group-committing writer: many pieces of work, one transaction, one trip to the disk.

Work that fails is undone alone (savepoint); the rest of its group is committed. A caller gets its answer only
after the commit, so what was answered is on disk.
"""

import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from core.crash import crash_point
from core.db import LOST, Database, is_in_the_way, storage_error
from core.errors import Busy, Overtaken, StorageError
from core.key_locks import InTheWay, in_group
from core.spread import SECONDS, SIZES, Spread

log = structlog.get_logger("vitrin.writer")

#: How often work is tried that another process stood in the way of: each of two waited for the other (PostgreSQL).
_TRIES = 5
_UNCLEAR = "the database went away at the commit: look whether this was written before you do it again"
T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(slots=True)
class Tx:
    """One piece of work inside the open transaction."""

    conn: Connection
    _after: list[Callable[[], None]] = field(default_factory=list)
    _undone: list[Callable[[], None]] = field(default_factory=list)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this once the transaction is on disk; never if it is undone."""
        self._after.append(call)

    def if_undone(self, call: Callable[[], None]) -> None:
        """Call this if the transaction (or this piece of it) is undone: what memory holds of it must go too."""
        self._undone.append(call)

    def alone(self) -> "Savepoint":
        """Undo what the block of this `with` writes when it raises, and nothing else."""
        return Savepoint(self.conn)

    def run_after_commit(self) -> None:
        for call in self._after:
            call()

    def run_undone(self) -> None:
        for call in self._undone:
            call()


class Savepoint:
    """A part of a transaction that can be undone; several may be open, one inside the other."""

    __slots__ = ("_conn",)

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def __enter__(self) -> None:
        self._say("SAVEPOINT piece")

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._say("RELEASE SAVEPOINT piece")
            return
        if self._conn.invalidated:
            return  # the connection is gone, and all that was written on it; why is on its way up
        try:
            self._say("ROLLBACK TO SAVEPOINT piece")
            self._say("RELEASE SAVEPOINT piece")
        except DBAPIError:
            # The database has undone everything by itself already, and what made it do so is on its way up.
            if not isinstance(exc, (DBAPIError, StorageError)):
                raise

    def _say(self, words: str) -> None:
        conn = self._conn
        if conn.dialect.name != "sqlite":
            conn.exec_driver_sql(words)
            return
        # Past the toolkit, which takes ten times longer for it than the database.
        driver: Any = conn.connection.driver_connection
        base: Any = conn.dialect.loaded_dbapi.Error
        try:
            driver.execute(words)
        except base as exc:
            raise DBAPIError.instance(words, None, exc, base, dialect=conn.dialect) from exc


@dataclass(slots=True)
class _Job:
    work: Callable[[Tx], Any]
    future: Future[Any]
    tx: Tx | None = None
    #: Set where the work is one that takes many items at once: which work, and this job's item.
    many: Callable[[Tx, list[Any]], Sequence[Any]] | None = None
    item: Any = None


@dataclass(slots=True)
class Figures:
    """What the writer did since its start."""

    #: Seconds from the first statement of a group to its commit.
    commit_s: Spread = field(default_factory=lambda: Spread(SECONDS))
    #: Pieces of work in one transaction.
    group: Spread = field(default_factory=lambda: Spread(SIZES))


class Writer:
    """Commits pieces of work in groups on its own thread; before `start` it works in the caller's thread."""

    def __init__(self, db: Database, *, group: int = 256, backlog: int = 10_000) -> None:
        self._db = db
        self._group = group
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=backlog)
        self._thread: threading.Thread | None = None
        self._inline = threading.RLock()
        self._committing = False
        self.figures = Figures()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="vitrin-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what was accepted, then end the thread."""
        if self._thread is None:
            return
        self._jobs.put(None)
        self._thread.join()
        self._thread = None
        # What came in between is written here, or its callers would wait for ever.
        while not self._jobs.empty():
            self._commit([job for job in self._take() if job is not None])

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for their commit."""
        return self._jobs.qsize()

    def submit(self, work: Callable[[Tx], T]) -> Future[T]:
        """Queue work; the future answers after the commit. Raises Busy when the queue is full."""
        return self._hand_in(_Job(work, Future()))

    def gather(self, work: Callable[[Tx, list[Item]], Sequence[T]], item: Item) -> "Future[T]":
        """Queue an item for work that takes many: items that wait for the same work are handed to it together.

        The work answers for each item, in their order. Where it raises, each item is tried alone.
        """
        return self._hand_in(_Job(lambda tx: work(tx, [item])[0], Future(), many=work, item=item))

    def _hand_in(self, job: _Job) -> Future[Any]:
        if self._thread is None:
            with self._inline:
                self._commit([job])
            return job.future
        try:
            self._jobs.put_nowait(job)
        except queue.Full as exc:
            raise Busy("more is being written than the disk can take; try again in a moment") from exc
        return job.future

    def do(self, work: Callable[[Tx], T]) -> T:
        """Run work in a transaction and return its result after the commit."""
        if threading.current_thread() is self._thread:
            raise StorageError("a write inside a write: hand the open transaction down instead")
        return self.submit(work).result()

    def _loop(self) -> None:
        while True:
            jobs = self._take()
            last = jobs[-1] is None
            self._commit(self._gathered([job for job in jobs if job is not None]))
            if last:
                return

    def _take(self) -> list[_Job | None]:
        jobs: list[_Job | None] = [self._jobs.get()]
        while jobs[-1] is not None and len(jobs) < self._group:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _gathered(self, jobs: Sequence[_Job]) -> list[_Job]:
        """Make one job of all that have items for the same work; it stands where the first of them stood."""
        together: dict[Hashable, list[_Job]] = {}
        for job in jobs:
            together.setdefault(job.many or id(job), []).append(job)
        return [self._joined(some) if len(some) > 1 else some[0] for some in together.values()]

    def _joined(self, jobs: Sequence[_Job]) -> _Job:
        many, items = jobs[0].many, [job.item for job in jobs]
        assert many is not None
        joined = _Job(lambda tx: many(tx, items), Future())

        def share_out(done: Future[Any]) -> None:
            if done.exception() is None:
                for job, result in zip(jobs, done.result(), strict=True):
                    job.future.set_result(result)
                return
            for job in jobs:
                self._commit([job])

        joined.future.add_done_callback(share_out)
        return joined

    def _commit(self, jobs: Sequence[_Job], *, tries: int = _TRIES) -> None:
        if not jobs:
            return
        try:
            results = self._in_one_transaction(jobs)
        except BaseException as exc:  # noqa: BLE001 - whatever the work raised is the caller's answer, never our end
            for job in jobs:
                if job.tx is not None:
                    job.tx.run_undone()
            if self._committing and getattr(exc, "connection_invalidated", False):
                # Written or not, nobody can tell: doing it again might do it twice.
                exc = StorageError(_UNCLEAR)
            elif len(jobs) > 1 and (isinstance(exc, LOST) or not isinstance(exc, Exception)):
                # The database undid the whole group (disk full, lost connection): each piece answers for itself.
                for job in jobs:
                    self._commit([job])
                return
            if tries > 1 and (isinstance(exc, Overtaken) or is_in_the_way(exc)):
                self._commit(jobs, tries=tries - 1)
                return
            error = storage_error(exc) if isinstance(exc, LOST) else exc
            for job in jobs:
                job.future.set_exception(error)
            return
        for job, (tx, result) in zip(jobs, results, strict=True):
            self._answer(job, tx, result)

    def _answer(self, job: _Job, tx: Tx, result: Any) -> None:
        if isinstance(result, _Again):
            self._commit([job])
            return
        if isinstance(result, _Failed):
            job.future.set_exception(result.error)
            return
        try:
            tx.run_after_commit()
        except Exception:
            log.exception("a call after the commit failed; what was written stays")
        job.future.set_result(result)

    def _in_one_transaction(self, jobs: Sequence[_Job]) -> list[tuple[Tx, Any]]:
        started_s = time.perf_counter()
        self._committing = False
        with in_group(len(jobs) > 1), self._db.engine.begin() as conn:
            results = [self._guarded(conn, job) for job in jobs] if len(jobs) > 1 else [_alone(conn, jobs[0])]
            crash_point("writer.before_commit")
            self._committing = True
        crash_point("writer.after_commit")
        self.figures.commit_s.add(time.perf_counter() - started_s)
        self.figures.group.add(len(jobs))
        return results

    def _guarded(self, conn: Connection, job: _Job) -> tuple[Tx, Any]:
        tx = job.tx = Tx(conn)
        try:
            with tx.alone():
                result = job.work(tx)
        except LOST:
            raise
        except Overtaken:
            tx.run_undone()
            return tx, _Again()
        except Exception as exc:
            if conn.invalidated:
                raise  # the whole group is gone
            # Whatever the work raised is the caller's answer.
            tx.run_undone()
            return tx, _Failed(exc)
        except InTheWay:
            tx.run_undone()
            return tx, _Again()
        return tx, result


def _alone(conn: Connection, job: _Job) -> tuple[Tx, Any]:
    tx = job.tx = Tx(conn)
    return tx, job.work(tx)


@dataclass(slots=True)
class _Failed:
    error: Exception


class _Again:
    """The piece was undone; it is done once more, alone."""
