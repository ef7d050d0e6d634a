"""The queue port: work that is no run (deliveries, pollers, imports), handed over by the transaction that asks for it.

The database says who owns a job: it is claimed with a lease and a fencing number, and whoever lost the lease cannot
commit any more. The engines in `core.queues` only decide on which thread or machine a claimed job runs.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, or_, select, update

from core.clock import Clock
from core.crash import crash_point
from core.db import Database
from core.errors import Conflict, InvalidInput, NotFound, VitrinError
from core.ids import new_id
from core.jsontext import check_plain
from core.lead import insert_new
from core.retries import LADDER, delay, is_final, wished_s
from core.tables import jobs
from core.writer import Tx, Writer

log = structlog.get_logger("vitrin.jobs")

#: In this order jobs that are due are taken.
CLASSES = ("payments", "stock", "messages", "browser", "bulk")
#: Classes whose jobs take long: they never fill all workers of a process.
SLOW = ("browser", "bulk")
LEASE = timedelta(seconds=90)
#: A job that takes its worker down this often, without getting any further, is dead.
MOST_LOST = 3
OPEN = ("ready", "running")
_MOST_RECOVERED = 100

#: What a task does; it is handed a `core.job_context.JobContext`.
Function = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a job's name stands for in this process."""

    name: str
    function: Function
    klass: str
    #: Seconds between tries.
    retry: Sequence[float]
    #: Whether the row of a job that is done stays, to be looked at.
    keep: bool
    #: A job that shows no sign of life (checkpoint, progress) for so long has its lease taken away.
    silence: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A job in this process's hands, for as long as the fencing number stands."""

    id: str
    task: Task
    key: str | None
    args: Mapping[str, Any]
    state: Any
    #: 1 for the first try.
    attempt: int
    fence: int
    done: int
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is shown."""

    id: str
    task: str
    klass: str
    key: str | None
    #: ready, running, done, dead, canceled
    status: str
    args: Mapping[str, Any]
    done: int
    total: int | None
    result: Any
    error: str | None
    attempts: int
    due_at: datetime
    created_at: datetime
    finished_at: datetime | None


class Jobs:
    """Keeps the jobs of one database; `node` names this process and must be its own."""

    def __init__(
        self, db: Database, writer: Writer, clock: Clock, node: str = "local", *, lease: timedelta = LEASE
    ) -> None:
        self.writer, self.clock, self.lease = writer, clock, lease
        self._db, self._node = db, node
        self._tasks: dict[str, Task] = {}
        self._hints: list[Callable[[], None]] = []
        self._carriers: list[Callable[[str, str], None]] = []
        self._random = random.Random()

    def register(
        self,
        task: str,
        function: Function,
        *,
        klass: str,
        retry: Sequence[float] = LADDER,
        keep: bool = True,
        silence: timedelta = timedelta(minutes=10),
    ) -> None:
        """Say what a task's name stands for; only jobs of registered tasks are claimed here."""
        if klass not in CLASSES:
            raise InvalidInput("klass", f"must be one of {', '.join(CLASSES)}")
        self._tasks[task] = Task(name=task, function=function, klass=klass, retry=retry, keep=keep, silence=silence)

    def on_ready(self, call: Callable[[], None]) -> None:
        """Call this after a commit that made a job ready; it may be called from any thread."""
        self._hints.append(call)

    def on_handed(self, call: Callable[[str, str], None]) -> None:
        """Call this after the commit that handed a job over, with its class and id: other processes may be told."""
        self._carriers.append(call)

    # Handing over

    def defer(
        self,
        tx: Tx,
        task: str,
        args: Mapping[str, Any],
        *,
        key: str | None = None,
        due_at: datetime | None = None,
        klass: str | None = None,
        job_id: str | None = None,
    ) -> str:
        """Hand a job over with the caller's transaction and return its id; a `job_id` given twice is one job.

        Jobs of one key run one after another, in the order they were deferred.
        """
        known = self._tasks.get(task)
        klass = klass or (known.klass if known else None)
        if klass not in CLASSES:
            raise InvalidInput("klass", f"of the task {task!r} must be one of {', '.join(CLASSES)}")
        check_plain(dict(args), path="args")
        now, job_id = self.clock.now(), job_id or new_id()
        values = {"class": klass, "task": task, "args": _document(args), "key": key, "status": "ready"}
        counts = {"attempts": 0, "fence": 0, "due_at": due_at or now, "created_at": now}
        insert_new(tx.conn, jobs, id=job_id, **values, **counts)
        self._hint_after(tx)
        for carry in self._carriers:
            tx.after_commit(partial(carry, klass, job_id))
        return job_id

    def has_open(self, conn: Connection, key: str) -> bool:
        """Tell whether a job of this key is ready or running."""
        open_one = select(jobs.c.id).where(jobs.c.key == key, jobs.c.status.in_(OPEN)).limit(1)
        return conn.execute(open_one).first() is not None

    def _hint_after(self, tx: Tx) -> None:
        for hint in self._hints:
            tx.after_commit(hint)

    # Claiming

    def claim(self, most: int, *, slow: int | None = None, in_hand: Iterable[str] = ()) -> list[Claimed]:
        """Take up to `most` jobs that are due, of the slow classes up to `slow`; those in hand are left alone."""
        mine = frozenset(in_hand)
        if most <= 0 or not self._is_due(mine):
            return []
        found = self.writer.do(lambda tx: self._claim_in(tx, most, most if slow is None else slow, mine))
        crash_point("job.claimed")
        return found

    def _is_due(self, mine: frozenset[str]) -> bool:
        """Look before the writer is asked: an idle process writes nothing."""
        now = self.clock.now()
        with self._db.read() as conn:
            if conn.execute(_lapsed(now, mine).limit(1)).first() is not None:
                return True
            return conn.execute(self._ready(now).limit(1)).first() is not None

    def _claim_in(self, tx: Tx, most: int, slow: int, mine: frozenset[str]) -> list[Claimed]:
        now = self.clock.now()
        lapsed = _lapsed(now, mine).order_by(jobs.c.lease_until).limit(_MOST_RECOVERED)
        self._recover(tx, tx.conn.execute(lapsed.with_for_update(skip_locked=True)).all())
        found: list[Claimed] = []
        for klass in CLASSES:
            room = min(most - len(found), slow) if klass in SLOW else most - len(found)
            if room <= 0:
                continue
            due = self._ready(now).where(jobs.c["class"] == klass).order_by(jobs.c.due_at, jobs.c.id).limit(room)
            rows = tx.conn.execute(due.with_for_update(skip_locked=True, of=jobs)).all()
            taken = [self._take(tx, row, now) for row in rows if _key_is_free(tx, row)]
            found += taken
            slow -= len(taken) if klass in SLOW else 0
        return found

    def _ready(self, now: datetime) -> Select[Any]:
        """Select what may be claimed: due, known here, and the first of its key with none of the key running."""
        other = jobs.alias("other")
        earlier = and_(other.c.created_at == jobs.c.created_at, other.c.id < jobs.c.id)
        in_front = and_(other.c.status == "ready", or_(other.c.created_at < jobs.c.created_at, earlier))
        held_up = exists().where(
            other.c.key == jobs.c.key, other.c.id != jobs.c.id, or_(other.c.status == "running", in_front)
        )
        due = and_(jobs.c.status == "ready", jobs.c.due_at <= now, jobs.c.task.in_(list(self._tasks)))
        # "No key, or": keeps PostgreSQL from joining all jobs with all, where the first few are wanted.
        return select(jobs).where(due, or_(jobs.c.key.is_(None), ~held_up))

    def _take(self, tx: Tx, row: Row[Any], now: datetime) -> Claimed:
        values = {"status": "running", "owner": self._node, "fence": row.fence + 1, "lease_until": now + self.lease}
        tx.conn.execute(update(jobs).where(jobs.c.id == row.id).values(**values))
        return Claimed(
            id=row.id,
            task=self._tasks[row.task],
            key=row.key,
            args=row.args["args"],
            state=row.args["state"],
            attempt=row.attempts + 1,
            fence=row.fence + 1,
            done=row.args["done"],
            total=row.args["total"],
        )

    def release_own(self) -> int:
        """Take back what this node had in hand when it died; only at its start. Return how many jobs that were."""

        def release(tx: Tx) -> int:
            mine = select(jobs).where(jobs.c.status == "running", jobs.c.owner == self._node)
            rows = tx.conn.execute(mine.with_for_update(skip_locked=True)).all()
            self._recover(tx, rows)
            return len(rows)

        return self.writer.do(release)

    def _recover(self, tx: Tx, rows: Sequence[Row[Any]]) -> None:
        """Make jobs of dead workers ready again; one that killed too many of them is dead itself."""
        now = self.clock.now()
        for row in rows:
            lost = row.args["lost"] + 1
            values: dict[str, Any] = {"args": {**row.args, "lost": lost}, "fence": row.fence + 1}
            values |= {"status": "ready", "owner": None, "lease_until": None}
            if lost >= MOST_LOST:
                error = f"its worker died or hung {lost} times at the same place; look into the log, then retry it"
                values |= {"status": "dead", "error": error, "finished_at": now}
            log.warning("a job lost its worker", job=row.id, task=row.task, times=lost, status=values["status"])
            tx.conn.execute(update(jobs).where(jobs.c.id == row.id).values(**values))

    def next_due(self) -> datetime | None:
        """Return when a sleeping job is due or a lease ends; what is due already is not counted."""
        now = self.clock.now()
        due = select(func.min(jobs.c.due_at)).where(jobs.c.status == "ready", jobs.c.due_at > now)
        ends = select(func.min(jobs.c.lease_until)).where(jobs.c.status == "running", jobs.c.lease_until > now)
        with self._db.read() as conn:
            moments = [conn.execute(query).scalar_one() for query in (due, ends)]
        return min((moment for moment in moments if moment is not None), default=None)

    # While it runs

    def renew(self, held: Iterable[Claimed]) -> set[str]:
        """Prolong leases; return the ids of the jobs that are no longer ours."""

        def prolong(tx: Tx) -> set[str]:
            until = self.clock.now() + self.lease
            return {job.id for job in held if not _change(tx, job, lease_until=until)}

        return self.writer.do(prolong)

    def is_held(self, job: Claimed) -> bool:
        """Tell whether the job is still in this worker's hands."""
        held = select(jobs.c.fence).where(jobs.c.id == job.id, jobs.c.status == "running")
        with self._db.read() as conn:
            return conn.execute(held).scalar_one_or_none() == job.fence

    def save_in(self, tx: Tx, job: Claimed, *, state: Any, done: int, total: int | None) -> None:
        """Keep how far a job has come, in the caller's transaction; raise Conflict where it is no longer ours."""
        held = select(jobs.c.args).where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.status == "running")
        document = tx.conn.execute(held.with_for_update()).scalar_one_or_none()
        if document is None:
            raise Conflict(f"the job {job.id} was taken over or canceled; nothing of this step is written")
        check_plain(state, path="state")
        lost = document["lost"] if state == document["state"] else 0
        kept = {**document, "state": state, "done": done, "total": total, "lost": lost}
        until = self.clock.now() + self.lease
        tx.conn.execute(update(jobs).where(jobs.c.id == job.id).values(args=kept, lease_until=until))

    # Ends

    def finish(self, job: Claimed, result: Any = None) -> bool:
        """Record that a job is done; False where it was no longer ours."""
        told = result if isinstance(result, (dict, str, int)) else None

        def end(tx: Tx) -> bool:
            mine = and_(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.status == "running")
            if not job.task.keep:
                ours = tx.conn.execute(delete(jobs).where(mine)).rowcount == 1
            else:
                document = tx.conn.execute(select(jobs.c.args).where(mine)).scalar_one_or_none() or {}
                values = {"args": {**document, "result": told}, "status": "done", "error": None}
                ours = _change(tx, job, **values, finished_at=self.clock.now(), **_FREE)
            self._hint_after(tx)
            return ours

        crash_point("job.before_finish")
        return self.writer.do(end)

    def fail(self, job: Claimed, exc: BaseException) -> bool:
        """Record a failed try: another one later, or the end; False where the job was no longer ours."""
        now, words = self.clock.now(), exc.message if isinstance(exc, VitrinError) else f"{type(exc).__name__}: {exc}"
        values: dict[str, Any] = {"attempts": job.attempt, "error": words[:2_000], **_FREE}
        if is_final(exc) or job.attempt > len(job.task.retry):
            values |= {"status": "dead", "finished_at": now}
        else:
            wait = delay(job.attempt, wished_s(exc), self._random, ladder=job.task.retry)
            values |= {"status": "ready", "due_at": now + wait}
        log.warning("a job failed", job=job.id, task=job.task.name, attempt=job.attempt, error=values["error"])
        return self._end(job, values)

    def give_back(self, job: Claimed) -> bool:
        """Return a job to the others as it stands (a shutdown); this is no failed try."""
        return self._end(job, {"status": "ready", "due_at": self.clock.now(), "fence": job.fence + 1, **_FREE})

    def _end(self, job: Claimed, values: Mapping[str, Any]) -> bool:
        def end(tx: Tx) -> bool:
            self._hint_after(tx)
            return _change(tx, job, **values)

        return self.writer.do(end)

    # For people

    def list_jobs(
        self, *, status: str | None = None, task: str | None = None, before: str | None = None, limit: int = 100
    ) -> list[Job]:
        """Return jobs, the newest first; `before` is the id that the last page ended with."""
        wanted = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
        for column, value in ((jobs.c.status, status), (jobs.c.task, task)):
            wanted = wanted if value is None else wanted.where(column == value)
        if before is not None:
            wanted = wanted.where(jobs.c.id < before)
        with self._db.read() as conn:
            return [_show(row) for row in conn.execute(wanted)]

    def get_job(self, job_id: str) -> Job:
        with self._db.read() as conn:
            row = conn.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise NotFound(f"no job {job_id!r}")
        return _show(row)

    def retry_job(self, tx: Tx, job_id: str) -> None:
        """Start a dead or canceled job again, from its checkpoint; raise Conflict for any other."""
        row = _locked(tx, job_id)
        if row.status not in ("dead", "canceled"):
            raise Conflict(f"the job {job_id} is {row.status}; only a dead or canceled one can be retried")
        values = {"status": "ready", "due_at": self.clock.now(), "attempts": 0, "finished_at": None}
        document = {**row.args, "lost": 0}
        tx.conn.execute(update(jobs).where(jobs.c.id == job_id).values(args=document, **values))
        self._hint_after(tx)

    def cancel_job(self, tx: Tx, job_id: str) -> None:
        """Take a job off; one that runs can commit nothing from now on. Raise Conflict where it has ended."""
        row = _locked(tx, job_id)
        if row.status not in OPEN:
            raise Conflict(f"the job {job_id} is {row.status} already")
        values = {"status": "canceled", "finished_at": self.clock.now(), "fence": row.fence + 1, **_FREE}
        tx.conn.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
        self._hint_after(tx)

    def forget(self, tx: Tx, before: datetime) -> int:
        """Delete jobs that ended before this moment; return how many."""
        ended = and_(jobs.c.status.not_in(OPEN), jobs.c.finished_at < before)
        return tx.conn.execute(delete(jobs).where(ended)).rowcount


_FREE = {"owner": None, "lease_until": None}


def _document(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the column `args` holds: what the job was given, how far it has come, and how often a worker died."""
    return {"args": dict(args), "state": None, "done": 0, "total": None, "lost": 0}


def _change(tx: Tx, job: Claimed, **values: Any) -> bool:
    """Write to a job that is still ours; tell whether it was."""
    mine = and_(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.status == "running")
    return tx.conn.execute(update(jobs).where(mine).values(**values)).rowcount == 1


def _lapsed(now: datetime, mine: frozenset[str]) -> Select[Any]:
    # What this process has in hand is alive, whatever a jumping clock says.
    return select(jobs).where(jobs.c.status == "running", jobs.c.lease_until <= now, jobs.c.id.not_in(sorted(mine)))


def _key_is_free(tx: Tx, row: Row[Any]) -> bool:
    """Make sure that nobody claims another job of the key at this moment (PostgreSQL; SQLite has one writer)."""
    if row.key is None or tx.conn.dialect.name != "postgresql":
        return True
    if not tx.conn.execute(select(func.pg_try_advisory_xact_lock(func.hashtextextended(row.key, 0)))).scalar_one():
        return False
    running = select(jobs.c.id).where(jobs.c.key == row.key, jobs.c.status == "running")
    return tx.conn.execute(running.limit(1)).first() is None


def _locked(tx: Tx, job_id: str) -> Row[Any]:
    row = tx.conn.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).one_or_none()
    if row is None:
        raise NotFound(f"no job {job_id!r}")
    return row


def _show(row: Row[Any]) -> Job:
    document = row.args
    named = {name: getattr(row, name) for name in ("id", "task", "key", "status", "error", "attempts", "due_at")}
    return Job(
        **named,
        klass=row._mapping["class"],
        args=document["args"],
        done=document["done"],
        total=document["total"],
        result=document.get("result"),
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
