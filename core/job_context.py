"""What a running job is handed, and how one is run: the same for every queue engine."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from core.crash import crash_point
from core.errors import VitrinError
from core.jobs import Claimed, Jobs
from core.writer import Tx

log = structlog.get_logger("vitrin.jobs")

#: Seconds between two writes of a progress that comes without a checkpoint.
_PROGRESS_S = 1.0


class Unfinished(Exception):
    """Raised by a job that was asked to stop: it goes on later, from its last checkpoint."""


class JobContext:
    """One try of one job. Its function runs outside any transaction."""

    def __init__(self, jobs: Jobs, claimed: Claimed, *, stopping: Callable[[], bool] = lambda: False) -> None:
        self.claimed = claimed
        #: What the last checkpoint kept; None where there is none yet.
        self.state: Any = claimed.state
        #: Set from outside when the lease is gone.
        self.lost = False
        self._jobs = jobs
        self._stopping = stopping
        self._done, self._total = claimed.done, claimed.total
        #: When the job last showed that it lives (monotonic).
        self.alive_s = self._written_s = jobs.clock.monotonic()

    @property
    def args(self) -> Mapping[str, Any]:
        return self.claimed.args

    @property
    def job_id(self) -> str:
        return self.claimed.id

    @property
    def attempt(self) -> int:
        return self.claimed.attempt

    @property
    def stopping(self) -> bool:
        """Whether the job should end soon: the process stops, or another worker has taken over."""
        return self.lost or self._stopping()

    def is_mine(self) -> bool:
        """Ask the database whether this worker still owns the job."""
        return self._jobs.is_held(self.claimed)

    def checkpoint(self, state: Any) -> None:
        """Keep `state`, from which a killed job goes on; raise Unfinished when the process stops.

        Raises Conflict where another worker has taken over.
        """
        self._jobs.writer.do(lambda tx: self.checkpoint_in(tx, state))
        crash_point("job.checkpoint")
        self.leave_if_stopping()

    def checkpoint_in(self, tx: Tx, state: Any) -> None:
        """Keep `state` with the work that led to it, in one transaction: neither is there without the other."""
        self._jobs.save_in(tx, self.claimed, state=state, done=self._done, total=self._total)
        self.state = state
        self._show_life()

    def progress_in(self, done: int, total: int | None = None) -> None:
        """Say how far the job is, to be written with the checkpoint that follows in the same transaction."""
        self._done, self._total = done, total if total is not None else self._total

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the job is; written with the next checkpoint, or after a second."""
        self.progress_in(done, total)
        self.alive_s = self._jobs.clock.monotonic()
        if self.alive_s - self._written_s >= _PROGRESS_S:
            self._jobs.writer.do(lambda tx: self.checkpoint_in(tx, self.state))

    def leave_if_stopping(self) -> None:
        """Raise Unfinished when the process stops."""
        if self.stopping:
            raise Unfinished

    def _show_life(self) -> None:
        self.alive_s = self._written_s = self._jobs.clock.monotonic()


def perform(jobs: Jobs, ctx: JobContext) -> bool:
    """Run a claimed job and record how it ended; False where another worker has it by now."""
    job = ctx.claimed
    crash_point("job.before_run")
    try:
        result = job.task.function(ctx)
    except Unfinished:
        kept = jobs.give_back(job)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as exc:  # a task may raise anything, and its worker must live on
        if not isinstance(exc, VitrinError):
            log.error("a job raised what is no error of ours", job=job.id, task=job.task.name, exc_info=exc)
        kept = jobs.fail(job, exc)
    else:
        kept = jobs.finish(job, result)
    if not kept:
        log.warning("a job was taken over or canceled while it ran", job=job.id, task=job.task.name)
    return kept
