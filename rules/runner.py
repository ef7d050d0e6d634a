"""The runner: claims what is due, walks it, and writes what came of it in groups.

Local steps of a whole batch happen inside one transaction. Outside calls are made between two transactions, with the
run leased: whoever finishes must still hold the lease's fencing number.
"""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, Integer, Row, bindparam, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from core.capabilities import ActionCall
from core.clock import Clock
from core.crash import crash_point
from core.db import Database, Moment
from core.effects import Ledger
from core.errors import RuleError, StorageError, TemporaryError, VitrinError
from core.policy.pause import find_pause
from core.writer import Tx, Writer
from rules.intake import Intake, release_queued
from rules.port import Capabilities, EnginePort, is_final
from rules.run import Calling, Done, Ended, Holding, Listening, Pause, Run, Sleeping, picture, take_answer, walk
from rules.steps import Do
from rules.tables import runs, traces, waits

log = structlog.get_logger("vitrin.runner")

#: Waits between tries of an outside action that may yet succeed; after the last one it is a dead letter.
LADDER = (5, 30, 300, 1800, 7200, 18_000, 36_000, 36_000, 86_400)
LEASE = timedelta(seconds=90)


class Outside(Protocol):
    """Calls an outside action; raises an error of the tree, never anything else."""

    def __call__(self, call: ActionCall) -> dict[str, Any]: ...


@dataclass(slots=True)
class _Batch:
    """What a batch writes at its end."""

    port: EnginePort
    updates: list[dict[str, Any]] = field(default_factory=list)
    traces: list[dict[str, Any]] = field(default_factory=list)
    awake: list[str] = field(default_factory=list)
    waits: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[Run, Calling]] = field(default_factory=list)
    released: list[tuple[str, str | None]] = field(default_factory=list)
    #: Runs that failed for good, each with its reason.
    failed: list[tuple[Run, str]] = field(default_factory=list)


class Runner:
    """Advances runs; one per process, used by any number of threads."""

    def __init__(
        self,
        db: Database,
        writer: Writer,
        host: Capabilities,
        intake: Intake,
        clock: Clock,
        *,
        outside: Outside,
        node: str = "local",
        workers: int = 4,
    ) -> None:
        self._db = db
        self._writer = writer
        self._host = host
        self._intake = intake
        self._clock = clock
        self._outside = outside
        self._node = node
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="vitrin-outside")
        self._flying: set[Future[None]] = set()
        self._random = random.Random()

    # The loop's steps

    def release_own(self) -> int:
        """Make the runs that this node had in hand when it died ready again; only at its start."""

        def release(tx: Tx) -> int:
            mine = update(runs).where(runs.c.status == "running", runs.c.owner == self._node)
            return tx.conn.execute(mine.values(due_at=self._clock.now())).rowcount

        return self._writer.do(release)

    def advance(self, limit: int = 200, *, until: datetime | None = None) -> int:
        """Take up to `limit` runs that are due, and walk them; outside calls go to the pool. Return how many."""
        count, calls = self._writer.do(lambda tx: self.advance_in(tx, limit, until=until))
        for run, call in calls:
            flying = self._pool.submit(self._call, run, call)
            self._flying.add(flying)
            flying.add_done_callback(self._flying.discard)
        return count

    def next_due(self) -> datetime | None:
        """Return when the next run is due."""
        with self._db.read() as conn:
            return self.next_due_in(conn)

    def next_due_in(self, conn: Connection) -> datetime | None:
        """Return the same as this connection sees it: with what its open transaction has written."""
        return conn.execute(select(func.min(runs.c.due_at))).scalar_one()

    def wait_for_calls(self) -> None:
        """Return when no outside call is under way."""
        for flying in list(self._flying):
            flying.result()

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    # Inside the transaction

    def advance_in(
        self,
        tx: Tx,
        limit: int,
        *,
        until: datetime | None = None,
        pace: Callable[[datetime], None] | None = None,
    ) -> tuple[int, list[tuple[Run, Calling]]]:
        """Claim and walk due runs inside the caller's transaction; return how many, and the outside calls to make.

        `pace` is told each run's due moment before its walk: a virtual clock follows the runs.
        """
        now = self._clock.now()
        pause = find_pause(tx.conn)
        if pause is not None and not pause.still:
            return 0, []
        if self._intake.book.refresh(tx.conn):
            tx.if_undone(self._intake.book.forget)
        port = EnginePort(tx, self._host, self._intake, self._clock, pause)
        batch = _Batch(port)
        claimed = self._claim(tx, until or now, limit)
        self._prefetch(port, [run for run, _ in claimed])
        for run, due in claimed:
            if pace is not None:
                pace(due)
            if run.rule.mode.run == "restart" and self._is_over(tx, run):
                continue
            self._settle(batch, run, self._walk(run, port))
        self._write(tx, batch)
        return len(claimed), batch.calls

    def _claim(self, tx: Tx, now: datetime, limit: int) -> list[tuple[Run, datetime]]:
        query = _DUE_LOCKED if tx.conn.dialect.name == "postgresql" else _DUE
        found = []
        for row in tx.conn.execute(query, {"now": now, "most": limit}).all():
            run = self._load(tx, row)
            if run is not None:
                found.append((run, row.due_at))
        return found

    def _load(self, tx: Tx, row: Row[Any]) -> Run | None:
        """Return a claimed run; one whose rule or event is gone is ended, so that it cannot block the others."""
        event = self._intake.cache.get(tx.conn, row.event)
        try:
            rule = self._intake.book.version(tx.conn, row.rule, row.version)
        except VitrinError as exc:
            self._give_up(tx, row, f"its rule cannot be read: {exc}")
            return None
        if event is None:
            self._give_up(tx, row, "its event is no longer stored")
            return None
        return Run(
            id=row.id,
            rule=rule,
            event=event,
            key=row.key,
            watching=row.watching,
            cursor=row.cursor,
            vars={**row.vars, "was": row.status},
            at=row.at,
            attempts=row.attempts,
            acted=row.acted,
            fence=row.fence,
        )

    def _is_over(self, tx: Tx, run: Run) -> bool:
        """Tell whether a run of this batch was ended meanwhile by an event that another run of it emitted."""
        return tx.conn.execute(select(runs.c.finished_at).where(runs.c.id == run.id)).scalar_one() is not None

    def _give_up(self, tx: Tx, row: Row[Any], reason: str) -> None:
        ended = {"status": "done", "outcome": "failed", "reason": reason, "due_at": None}
        tx.conn.execute(update(runs).where(runs.c.id == row.id).values(**ended, finished_at=self._clock.now()))
        release_queued(tx.conn, row.rule, row.key, self._clock.now())

    def _prefetch(self, port: EnginePort, claimed: Sequence[Run]) -> None:
        fresh = [run for run in claimed if run.rule.condition.facts and not run.vars.get("checked")]
        port.prefetch((run, picture(run, port)) for run in fresh)
        listening = [run.id for run in claimed if run.vars.get("until") and run.vars["was"] in ("waiting", "ready")]
        if listening:
            rows = port.tx.conn.execute(_WAITS_OF, {"ids": listening})
            port.came_with.update({row.run: row.happened for row in rows})

    def _walk(self, run: Run, port: EnginePort) -> Pause:
        """Walk one run; what a plugin or rule got wrong ends or delays this run alone."""
        run.vars.pop("was", None)
        crash_point("run.before_walk")
        while True:
            try:
                return walk(run, port)
            except (StorageError, DBAPIError):
                raise
            except VitrinError as exc:
                error = exc
            except Exception as exc:
                log.exception("a run met a fault of the engine", run=run.id, rule=run.rule.name)
                error = RuleError("", f"a fault of the engine: {type(exc).__name__}: {exc}"[:500])
            # The walk stands at the step that failed; what the steps before it did stays done.
            end = self._failed(run, error)
            if end is not None:
                return end

    def _failed(self, run: Run, exc: VitrinError) -> Pause | None:
        """Decide what a failed step means: another try later, the end, or (None) on with the next step."""
        in_condition = not run.vars.get("checked") or run.vars.get("recheck")
        done = run.cursor >= len(run.rule.program)
        step = None if in_condition or done else run.rule.program[run.cursor]
        path = step.path if step is not None else "if" if in_condition else "then"
        run.attempts += 1
        retry = run.rule.failure.retry != "none" and (not isinstance(step, Do) or step.on_failure in (None, "retry"))
        if retry and not is_final(exc) and run.attempts <= len(LADDER):
            until = self._clock.now() + self._delay(run.attempts, exc)
            run.tell("retry", path, reason=exc.message, attempt=run.attempts, until=until)
            return Sleeping(until, reason=exc.message)
        if not isinstance(step, Do):
            run.tell("failed", path, reason=exc.message)
            return Ended("failed", exc.message)
        return take_answer(run, step, Done(None, "failed", exc.message), {}, run.step_key(step.path))

    def _delay(self, attempt: int, exc: VitrinError) -> timedelta:
        wish = exc.after_s if isinstance(exc, TemporaryError) else None
        base = LADDER[min(attempt, len(LADDER)) - 1] * self._random.uniform(0.9, 1.1)
        return timedelta(seconds=max(base, wish or 0))

    # Writing

    def _settle(self, batch: _Batch, run: Run, pause: Pause) -> None:
        """Turn what a walk ended with into the run's new row."""
        now = self._clock.now()
        values: dict[str, Any] = {
            "status": "waiting",
            "outcome": "waiting",
            "reason": None,
            "due_at": None,
            "owner": None,
            "finished_at": None,
            "fence": run.fence,
            "b_fence": run.fence,
        }
        match pause:
            case Ended(outcome, reason):
                values |= {"status": "done", "outcome": outcome, "reason": reason, "finished_at": now}
                if outcome == "failed":
                    batch.failed.append((run, reason or "failed"))
                live = self._intake.book.matcher.get(run.rule.id)
                if "queued" in (run.rule.mode.run, live.mode.run if live else None):
                    batch.released.append((run.rule.id, run.key))
            case Sleeping(until, status, reason):
                values |= {"status": status, "due_at": until, "reason": reason}
            case Listening():
                values |= {"due_at": pause.until}
            case Holding(reason):
                values |= {"status": "held", "outcome": "held", "reason": reason}
            case Calling():
                run.fence += 1
                values |= {"status": "running", "due_at": now + LEASE, "owner": self._node, "fence": run.fence}
                batch.calls.append((run, pause))
        self._track_waits(batch, run, pause)
        done = values["status"] == "done" and values["outcome"] != "failed"
        batch.updates.append(
            {
                "b_id": run.id,
                "cursor": run.cursor,
                "vars": {} if done else run.vars,
                "at": run.at,
                "attempts": run.attempts,
                "acted": run.acted,
                **values,
            }
        )
        if run.lines:
            number = run.vars.get("traced", 0)
            batch.traces.append({"run": run.id, "number": number, "at": now, "lines": run.lines})
            run.vars["traced"] = number + 1
            run.lines = []

    def _track_waits(self, batch: _Batch, run: Run, pause: Pause) -> None:
        if run.vars.pop("listens", False):
            batch.awake.append(run.id)
        if isinstance(pause, Listening):
            run.vars["listens"] = True
            batch.waits.append(batch.port.wait_row(run, pause))

    def _write(self, tx: Tx, batch: _Batch) -> None:
        batch.port.ledger.flush()
        if batch.traces:
            tx.conn.execute(insert(traces), batch.traces)
        if batch.updates:
            tx.conn.execute(_UPDATE, batch.updates)
        batch.port.drop_waits(batch.awake)
        if batch.waits:
            tx.conn.execute(insert(waits), batch.waits)
        for rule, key in set(batch.released):
            release_queued(tx.conn, rule, key, self._clock.now())
        for run, reason in batch.failed:
            self._tell_failure(tx, run, reason)
        crash_point("run.before_commit")

    def _tell_failure(self, tx: Tx, run: Run, reason: str) -> None:
        """A failure is an event that rules may hear; where the rule asks for it, its owner gets a task."""
        cause = f"{run.id}/failed/{run.vars.get('traced', 0)}"
        emit = self._intake.emitter(tx, "vitrin/rules", cause=cause, run=run)
        owner = run.rule.owner
        data = {"rule": run.rule.name, "run": run.id, "reason": reason, "owner": owner, "event": run.event.id}
        emit("run.failed", data, key=run.key, customer=run.event.customer)
        if run.rule.failure.then == "notify_owner":
            task = {"title": f"The automation {run.rule.name} failed: {reason}"[:200], "idempotency_key": cause}
            self._host.create_task(tx, emit, {**task, "assignee": owner, "run": run.id} if owner else task)

    # Outside

    def _call(self, run: Run, call: Calling) -> None:
        """Call an outside action and record what came; a lost lease means another worker has the run."""
        action = self._host.find_action(call.step.action)
        if action is None:
            return
        request = ActionCall(
            action=action,
            params=call.params,
            key=call.key,
            event=run.event,
            account=call.step.account,
            attempt=run.attempts + 1,
        )
        crash_point("run.before_call")
        try:
            answer: dict[str, Any] | VitrinError = self._outside(request)
        except VitrinError as exc:
            answer = exc
        crash_point("run.after_call")
        more = self._writer.do(lambda tx: self.record_in(tx, run, call, answer))
        for next_run, next_call in more:
            self._call(next_run, next_call)

    def record_in(
        self, tx: Tx, run: Run, call: Calling, answer: dict[str, Any] | VitrinError
    ) -> list[tuple[Run, Calling]]:
        """Record what an outside call answered, and walk on; return the next outside calls."""
        held = tx.conn.execute(select(runs.c.fence).where(runs.c.id == run.id, runs.c.status == "running"))
        if held.scalar_one_or_none() != run.fence:
            log.warning("a run moved on while its call was under way", run=run.id)
            self._record_late(tx, call, answer)
            return []
        port = EnginePort(tx, self._host, self._intake, self._clock, find_pause(tx.conn))
        batch = _Batch(port)
        if isinstance(answer, VitrinError):
            pause = self._refused(run, call, port, answer)
        else:
            port.ledger.settle(call.key, {"state": "done", "reason": None, **_told(answer)})
            pause = take_answer(run, call.step, Done(answer), call.params, call.key)
        self._settle(batch, run, pause or self._walk(run, port))
        self._write(tx, batch)
        return batch.calls

    def _record_late(self, tx: Tx, call: Calling, answer: dict[str, Any] | VitrinError) -> None:
        """Keep the ledger true when the run no longer waits for the answer: what was done was done."""
        ledger = Ledger(tx.conn)
        row = ledger.find(call.key)
        if row is None or row.state not in ("started", "unclear"):
            return
        if isinstance(answer, VitrinError):
            told = {"state": "failed", "reason": answer.message} if is_final(answer) else {"reason": answer.message}
        else:
            told = {"state": "done", "reason": "the run had moved on before the answer came", **_told(answer)}
        ledger.settle(call.key, told)

    def _refused(self, run: Run, call: Calling, port: EnginePort, exc: VitrinError) -> Pause | None:
        pause = self._failed(run, exc)
        state = "started" if isinstance(pause, Sleeping) else "failed"
        port.ledger.settle(call.key, {"state": state, "reason": exc.message, "at": self._clock.now()})
        if isinstance(pause, Sleeping):
            run.vars["answered"] = True
        return pause


_DUE = (
    select(runs)
    .where(runs.c.due_at <= bindparam("now", type_=Moment))
    .order_by(runs.c.due_at, runs.c.id)
    .limit(bindparam("most", type_=Integer))
)
_DUE_LOCKED = _DUE.with_for_update(skip_locked=True)
_WAITS_OF = select(waits.c.run, waits.c.happened).where(waits.c.run.in_(bindparam("ids", expanding=True)))
#: The other columns are those that each row of the batch names.
_UPDATE = update(runs).where(runs.c.id == bindparam("b_id"), runs.c.fence == bindparam("b_fence"))


def _told(result: dict[str, Any]) -> dict[str, Any]:
    return {"result": result, "object": result.get("object"), "cost": result.get("cost"), "undo": result.get("undo")}
