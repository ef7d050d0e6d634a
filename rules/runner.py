"""The runner: claims what is due, walks it, and writes what came of it in groups.

Local steps of a whole batch happen inside one transaction. Outside calls are made between two transactions, with the
run leased: whoever finishes must still hold the lease's fencing number.
"""

import copy
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, bindparam, func, insert, select, update

from core.bulk import Bulk, inserts
from core.capabilities import ActionCall
from core.clock import Clock
from core.crash import crash_point
from core.db import LOST, Database
from core.effects import Ledger
from core.errors import Busy, RuleError, StorageError, UnclearError, VitrinError
from core.policy.pause import find_pause
from core.retries import LADDER, delay, is_final, wished_s
from core.writer import Tx, Writer
from rules.claims import Claims, Wish
from rules.costs import Costs
from rules.intake import Intake
from rules.leases import Leases
from rules.lines import Line, release_queued
from rules.outside import MOST_WAITING, Pool, lane_of
from rules.port import Capabilities, EnginePort
from rules.run import Calling, Done, Ended, Holding, Listening, Pause, Run, Sleeping, picture, take_answer, walk
from rules.steps import Do
from rules.tables import runs, traces, waits

log = structlog.get_logger("vitrin.runner")

#: How long to wait before the answer of a call is recorded once more.
_RECORD_AGAIN_S = 0.5


#: Calls in hand for each thread that makes them; whoever has more leaves work to other processes.
_CALLS_A_THREAD = 8


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
    released: set[Line] = field(default_factory=set)
    #: Runs that failed for good, each with its reason.
    failed: list[tuple[Run, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Finished:
    """An outside call that came back."""

    run: Run
    call: Calling
    answer: dict[str, Any] | VitrinError


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
        self.leases = Leases(clock)
        self.costs = Costs()
        self._claims = Claims(intake, host, clock)
        self._pool = Pool(workers, on_room=intake.wake)
        self._flying: set[Future[None]] = set()
        self._most_flying = workers * _CALLS_A_THREAD
        self._stopping = threading.Event()
        self._random = random.Random()

    # The loop's steps

    def release_own(self) -> int:
        """Make the runs that this node had in hand when it died ready again; only at its start."""

        def release(tx: Tx) -> int:
            mine = update(runs).where(runs.c.status == "running", runs.c.owner == self._node)
            return tx.conn.execute(mine.values(due_at=self._clock.now())).rowcount

        return self._writer.do(release)

    def advance(self, limit: int = 200, *, until: datetime | None = None, only: Sequence[str] | None = None) -> int:
        """Take up to `limit` runs that are due (of those named, where they are), and walk them; return how many.

        Outside calls go to the pool.
        """
        return self._writer.do(lambda tx: self.advance_with(tx, limit, until=until, only=only))

    def advance_with(
        self, tx: Tx, limit: int, *, until: datetime | None = None, only: Sequence[str] | None = None
    ) -> int:
        """Do the same as part of the caller's transaction; the outside calls are made once it is on disk."""
        taken_s = self._clock.monotonic()
        count, calls = self.advance_in(tx, limit, until=until, only=only)
        if calls:
            tx.after_commit(lambda: self._make_calls(calls, taken_s))
        return count

    def _make_calls(self, calls: Sequence[tuple[Run, Calling]], taken_s: float) -> None:
        for run, call in calls:
            self.leases.take(run.id, run.fence, taken_s)
            flying = self._hand_out(run, call)
            self._flying.add(flying)
            flying.add_done_callback(self._flying.discard)

    def _hand_out(self, run: Run, call: Calling) -> Future[None]:
        action = self._host.find_action(call.step.action)
        host = call.params.get("url")
        lane = lane_of(action.plugin if action else "", call.step.account, host if isinstance(host, str) else "")
        return self._pool.submit(self._claims.class_of(run.rule), lane, lambda: self._call(run, call))

    def next_due(self) -> datetime | None:
        """Return when the next run is due."""
        with self._db.read() as conn:
            return self.next_due_in(conn)

    def next_due_in(self, conn: Connection) -> datetime | None:
        """Return the same as this connection sees it: with what its open transaction has written."""
        return conn.execute(_NEXT_DUE).scalar_one()

    def calls_waiting(self) -> Counter[str]:
        """Return how many outside calls of each plugin wait for their turn."""
        return self._pool.waiting()

    def wait_for_calls(self) -> None:
        """Return when no outside call is under way."""
        for flying in list(self._flying):
            flying.result()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Return when few enough outside calls wait for their turn, or after a while; tell whether it is so."""
        flying = list(self._flying)
        if len(flying) < self._most_flying:
            return True
        wait(flying, timeout_s, return_when=FIRST_COMPLETED)
        return len(self._flying) < self._most_flying

    def stop(self) -> None:
        self._stopping.set()
        self._pool.stop()

    # Inside the transaction

    def advance_in(
        self,
        tx: Tx,
        limit: int,
        *,
        until: datetime | None = None,
        pace: Callable[[datetime], None] | None = None,
        only: Sequence[str] | None = None,
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
        full = {plugin for plugin, waiting in self._pool.waiting().items() if waiting >= MOST_WAITING}
        wish = Wish(now=until or now, limit=limit, only=only, in_order=pace is not None, held=self.leases, full=full)
        claimed = self._claims.take(tx, wish)
        if claimed:
            self.costs.batch.add(len(claimed))
            self.costs.lag_s.add(max((now - min(due for _, due in claimed)).total_seconds(), 0.0))
        self._prefetch(port, [run for run, _ in claimed])
        for run, due in claimed:
            if pace is not None:
                pace(due)
            if run.rule.mode.run == "restart" and self._is_over(tx, run):
                continue
            started_s = time.perf_counter()
            self._settle(batch, run, self._walk(run, port))
            self.costs.add(run.rule.name, time.perf_counter() - started_s)
        self._write(tx, batch)
        return len(claimed), batch.calls

    def _is_over(self, tx: Tx, run: Run) -> bool:
        """Tell whether a run of this batch was ended meanwhile by an event that another run of it emitted."""
        return tx.conn.execute(select(runs.c.finished_at).where(runs.c.id == run.id)).scalar_one() is not None

    def _prefetch(self, port: EnginePort, claimed: Sequence[Run]) -> None:
        fresh = [run for run in claimed if run.rule.condition.needs_runner and not run.vars.get("checked")]
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
            except (StorageError, *LOST):
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
            until = self._clock.now() + delay(run.attempts, wished_s(exc), self._random)
            run.tell("retry", path, reason=exc.message, attempt=run.attempts, until=until)
            return Sleeping(until, reason=exc.message)
        if not isinstance(step, Do):
            run.tell("failed", path, reason=exc.message)
            return Ended("failed", exc.message)
        return take_answer(run, step, Done(None, "failed", exc.message), {}, run.step_key(step.path))

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
                    batch.released.add((run.rule.id, run.key))
            case Sleeping(until, status, reason):
                values |= {"status": status, "due_at": until, "reason": reason}
            case Listening():
                values |= {"due_at": pause.until}
            case Holding(reason):
                values |= {"status": "held", "outcome": "held", "reason": reason}
            case Calling():
                run.fence += 1
                values |= {
                    "status": "running",
                    "due_at": now + self.leases.length,
                    "owner": self._node,
                    "fence": run.fence,
                }
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
        _INSERT_TRACES.run(tx.conn, batch.traces)
        _UPDATE.run(tx.conn, batch.updates)
        batch.port.drop_waits(batch.awake)
        if batch.waits:
            tx.conn.execute(insert(waits), batch.waits)
        self._release(tx, batch.released)
        for run, reason in batch.failed:
            self._tell_failure(tx, run, reason)
        crash_point("run.before_commit")

    def _release(self, tx: Tx, lines: Collection[Line]) -> None:
        if lines:
            self._intake.tell_ready(tx, release_queued(tx.conn, lines, self._clock.now()))

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
        try:
            following = self._call_once(run, call)
        finally:
            self.leases.drop(run.id)
        for next_run, next_call in following:
            self.leases.take(next_run.id, next_run.fence, self._clock.monotonic())
            self._call(next_run, next_call)

    def _call_once(self, run: Run, call: Calling) -> list[tuple[Run, Calling]]:
        action = self._host.find_action(call.step.action)
        if action is None or not self.leases.is_fresh(run.id):
            return []
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
        return self._record(_Finished(run, call, answer))

    def _record(self, done: "_Finished") -> list[tuple[Run, Calling]]:
        """Record an answer, again and again while the database is away: what was done outside is not done twice."""
        end_s = self._clock.monotonic() + self.leases.length.total_seconds()
        while True:
            try:
                return self._writer.gather(self._record_all, done).result()
            except (Busy, StorageError) as exc:
                log.error("what a call answered could not be recorded", run=done.run.id, error=exc.message)
                if self._stopping.wait(_RECORD_AGAIN_S) or self._clock.monotonic() > end_s:
                    raise

    def record_in(
        self, tx: Tx, run: Run, call: Calling, answer: dict[str, Any] | VitrinError
    ) -> list[tuple[Run, Calling]]:
        """Record what an outside call answered, and walk on; return the next outside calls."""
        return self._record_all(tx, [_Finished(run, call, answer)])[0]

    def _record_all(self, tx: Tx, finished: Sequence[_Finished]) -> list[list[tuple[Run, Calling]]]:
        """Do the same for calls that ended at about the same time."""
        # Locked: whoever is about to take a run over waits, or has taken it already.
        rows = tx.conn.execute(_HELD, {"ids": [done.run.id for done in finished]})
        held = {row.id: row.fence for row in rows}
        port = EnginePort(tx, self._host, self._intake, self._clock, find_pause(tx.conn))
        batch = _Batch(port)
        following: list[list[tuple[Run, Calling]]] = []
        for done in finished:
            before = len(batch.calls)
            is_over = done.run.rule.mode.run == "restart" and len(finished) > 1 and self._is_over(tx, done.run)
            if is_over or held.get(done.run.id) != done.run.fence:
                log.warning("a run moved on while its call was under way", run=done.run.id)
                self._record_late(tx, done.call, done.answer)
            else:
                self._go_on(batch, done)
            following.append(batch.calls[before:])
        self._write(tx, batch)
        return following

    def _go_on(self, batch: _Batch, done: _Finished) -> None:
        # A copy: where the transaction is undone, the answer is recorded once more, on the run as it was.
        run = replace(done.run, vars=copy.deepcopy(done.run.vars), lines=list(done.run.lines))
        call, answer, port = done.call, done.answer, batch.port
        if isinstance(answer, VitrinError):
            pause = self._refused(run, call, port, answer)
        else:
            port.ledger.settle(call.key, {"state": "done", "reason": None, **_told(answer)})
            pause = take_answer(run, call.step, Done(answer), call.params, call.key)
        self._settle(batch, run, pause or self._walk(run, port))

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
        if pause is not None:
            # What was refused was not done; where no answer came, the next try may be a second one.
            run.vars["answered"] = not isinstance(exc, UnclearError)
        return pause


_HELD = (
    select(runs.c.id, runs.c.fence)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)), runs.c.status == "running")
    .order_by(runs.c.id)
    .with_for_update()
)
_WAITS_OF = select(waits.c.run, waits.c.happened).where(waits.c.run.in_(bindparam("ids", expanding=True)))
#: "Not null" lets the database look into the index of what is due, and nowhere else.
_NEXT_DUE = select(func.min(runs.c.due_at)).where(runs.c.due_at.is_not(None))
_INSERT_TRACES = inserts(traces)
_MOVED = ("status", "outcome", "reason", "due_at", "owner", "finished_at", "fence")
_WALKED = ("cursor", "vars", "at", "attempts", "acted")
_UPDATE = Bulk(
    lambda _dialect: update(runs).where(runs.c.id == bindparam("b_id"), runs.c.fence == bindparam("b_fence")),
    ("b_id", "b_fence", *_WALKED, *_MOVED),
)


def _told(result: dict[str, Any]) -> dict[str, Any]:
    return {"result": result, "object": result.get("object"), "cost": result.get("cost"), "undo": result.get("undo")}
