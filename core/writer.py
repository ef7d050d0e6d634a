"""The group-committing writer: many pieces of work, one transaction, one trip to the disk.

Work that fails is undone alone (savepoint); the rest of its group is committed. A caller gets its answer only
after the commit, so what was answered is on disk.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from core.crash import crash_point
from core.db import Database, storage_error
from core.errors import Busy, StorageError

log = structlog.get_logger("vitrin.writer")
T = TypeVar("T")


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

    def run_after_commit(self) -> None:
        for call in self._after:
            call()

    def run_undone(self) -> None:
        for call in self._undone:
            call()


@dataclass(slots=True)
class _Job:
    work: Callable[[Tx], Any]
    future: Future[Any]
    tx: Tx | None = None


class Writer:
    """Commits pieces of work in groups on its own thread; before `start` it works in the caller's thread."""

    def __init__(self, db: Database, *, group: int = 256, backlog: int = 10_000) -> None:
        self._db = db
        self._group = group
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=backlog)
        self._thread: threading.Thread | None = None
        self._inline = threading.RLock()

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
        job = _Job(work, Future())
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
            self._commit([job for job in jobs if job is not None])
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

    def _commit(self, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        try:
            results = self._in_one_transaction(jobs)
        except BaseException as exc:  # noqa: BLE001 - whatever the work raised is the caller's answer, never our end
            for job in jobs:
                if job.tx is not None:
                    job.tx.run_undone()
            if len(jobs) > 1 and (isinstance(exc, DBAPIError) or not isinstance(exc, Exception)):
                # The database undid the whole group (disk full, lost connection): each piece answers for itself.
                for job in jobs:
                    self._commit([job])
                return
            error = storage_error(exc) if isinstance(exc, DBAPIError) else exc
            for job in jobs:
                job.future.set_exception(error)
            return
        for job, (tx, result) in zip(jobs, results, strict=True):
            self._answer(job, tx, result)

    def _answer(self, job: _Job, tx: Tx, result: Any) -> None:
        if isinstance(result, _Failed):
            job.future.set_exception(result.error)
            return
        try:
            tx.run_after_commit()
        except Exception:
            log.exception("a call after the commit failed; what was written stays")
        job.future.set_result(result)

    def _in_one_transaction(self, jobs: Sequence[_Job]) -> list[tuple[Tx, Any]]:
        with self._db.engine.begin() as conn:
            results = [self._guarded(conn, job) for job in jobs] if len(jobs) > 1 else [_alone(conn, jobs[0])]
            crash_point("writer.before_commit")
        crash_point("writer.after_commit")
        return results

    def _guarded(self, conn: Connection, job: _Job) -> tuple[Tx, Any]:
        tx = job.tx = Tx(conn)
        savepoint = conn.begin_nested()
        try:
            result = job.work(tx)
        except DBAPIError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever the work raised is the caller's answer
            savepoint.rollback()
            tx.run_undone()
            return tx, _Failed(exc)
        savepoint.commit()
        return tx, result


def _alone(conn: Connection, job: _Job) -> tuple[Tx, Any]:
    tx = job.tx = Tx(conn)
    return tx, job.work(tx)


@dataclass(slots=True)
class _Failed:
    error: Exception
