"""The queue in the process: worker threads that sleep until a hint comes or the next job is due."""

import queue
import threading
import time
from collections.abc import Callable

import structlog

from core.errors import StorageError, VitrinError
from core.job_context import JobContext, perform
from core.jobs import SLOW, Jobs

log = structlog.get_logger("vitrin.queue")

#: The longest sleep: other processes may have handed jobs over, and nobody told us.
_LONGEST_SLEEP_S = 1.0


class LocalQueue:
    """Claims due jobs and runs them on threads of this process."""

    def __init__(self, jobs: Jobs, *, workers: int = 4) -> None:
        self._jobs = jobs
        self._workers = workers
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._in_hand: set[JobContext] = set()
        self._handed: queue.SimpleQueue[JobContext | None] = queue.SimpleQueue()
        self._keepers: list[threading.Thread] = []
        self._crew: list[threading.Thread] = []
        jobs.on_ready(self._wake.set)

    def start(self) -> None:
        """Take back what this node left behind when it died, and start working."""
        self._jobs.release_own()
        for _ in range(self._workers):
            self._hire()
        self._keepers = [_started(self._dispatch_on, "vitrin-jobs"), _started(self._renew_on, "vitrin-leases")]

    def stop(self, stop_s: float = 20.0) -> None:
        """Let running jobs reach a checkpoint, for up to `stop_s`; what is not done by then is handed back."""
        end_s = time.monotonic() + stop_s
        self._stopping.set()
        self._wake.set()
        for _ in self._crew:
            self._handed.put(None)
        for thread in [*self._keepers, *self._crew]:
            thread.join(max(0.0, end_s - time.monotonic()))
        with self._lock:
            left = list(self._in_hand)
        for ctx in left:
            ctx.lost = True
            self._try(lambda claimed=ctx.claimed: self._jobs.give_back(claimed))
        self._keepers, self._crew = [], []

    def drain(self) -> int:
        """Run what is due in the caller's thread, one by one; for tests, replay and one-shot commands."""
        count = 0
        while claimed := self._jobs.claim(1):
            perform(self._jobs, JobContext(self._jobs, claimed[0], stopping=self._stopping.is_set))
            count += 1
        return count

    def wake(self) -> None:
        """Look for jobs now: another process says that one is ready."""
        self._wake.set()

    @property
    def running(self) -> int:
        """How many jobs are in hand."""
        return len(self._in_hand)

    # Threads

    def _hire(self) -> None:
        self._crew.append(_started(self._work_on, "vitrin-job"))

    def _dispatch_on(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                if self._dispatch():
                    continue
                due = self._jobs.next_due()
            except VitrinError as exc:
                log.error("jobs could not be looked at; it is tried again", error=exc.message)
                self._stopping.wait(_LONGEST_SLEEP_S)
                continue
            except Exception:
                # A fault of ours must not end the only thread that hands jobs out.
                log.exception("the queue met a fault; it tries again")
                self._stopping.wait(_LONGEST_SLEEP_S)
                continue
            wait_s = _LONGEST_SLEEP_S if due is None else (due - self._jobs.clock.now()).total_seconds()
            self._wake.wait(min(max(wait_s, 0.005), _LONGEST_SLEEP_S))

    def _dispatch(self) -> int:
        """Claim as much as there are free workers; long jobs leave one worker to the others."""
        with self._lock:
            held = list(self._in_hand)
        slow = sum(ctx.claimed.task.klass in SLOW for ctx in held)
        room = max(1, self._workers - 1) - slow
        claimed = self._jobs.claim(self._workers - len(held), slow=room, in_hand=[ctx.job_id for ctx in held])
        for job in claimed:
            ctx = JobContext(self._jobs, job, stopping=self._stopping.is_set)
            with self._lock:
                self._in_hand.add(ctx)
            self._handed.put(ctx)
        return len(claimed)

    def _work_on(self) -> None:
        while (ctx := self._handed.get()) is not None:
            self._perform(ctx)
            with self._lock:
                replaced = ctx not in self._in_hand
                self._in_hand.discard(ctx)
            self._wake.set()
            if replaced:
                return  # another thread took this one's place while the job hung

    def _perform(self, ctx: JobContext) -> None:
        if self._stopping.is_set():
            self._try(lambda: self._jobs.give_back(ctx.claimed))
            return
        self._try(lambda: perform(self._jobs, ctx))

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except StorageError as exc:
            # Nothing of the end is written: the lease runs out, and the job goes on from its checkpoint.
            log.error("how a job ended could not be written; it runs again", error=exc.message)
        except Exception:
            log.exception("a worker could not record how a job ended; it runs again")

    def _renew_on(self) -> None:
        while not self._stopping.wait(self._jobs.lease.total_seconds() / 3):
            try:
                self.renew()
            except VitrinError as exc:
                log.error("leases could not be renewed; it is tried again", error=exc.message)
            except Exception:
                log.exception("renewing leases met a fault; it is tried again")

    def renew(self) -> None:
        """Prolong the leases of jobs that live, and let go of those that hang or were taken away."""
        now_s = self._jobs.clock.monotonic()
        with self._lock:
            held = list(self._in_hand)
        hung = {ctx.job_id for ctx in held if now_s - ctx.alive_s > ctx.claimed.task.silence.total_seconds()}
        living = [ctx.claimed for ctx in held if ctx.job_id not in hung]
        gone = hung | (self._jobs.renew(living) if living else set())
        for ctx in held:
            if ctx.job_id in gone:
                self._let_go(ctx, hung=ctx.job_id in hung)

    def _let_go(self, ctx: JobContext, *, hung: bool) -> None:
        """Leave a job to whoever claims it next; its thread can commit nothing, and another takes its place."""
        ctx.lost = True
        with self._lock:
            if ctx not in self._in_hand:
                return
            self._in_hand.remove(ctx)
        reason = "shows no sign of life" if hung else "was taken over or canceled"
        log.error("a running job is let go", job=ctx.job_id, task=ctx.claimed.task.name, reason=reason)
        self._hire()
        self._wake.set()


def _started(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
