"""Failed runs of a rule let go again, however many they are: a job, killed at any place and gone on with."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select

from core.db import Database
from core.errors import UserError
from core.job_context import JobContext
from core.jobs import Jobs
from core.writer import Tx
from rules.runs import list_runs, retry_run
from rules.store import get_rule
from rules.tables import runs

TASK = "retry_runs"
#: Runs that one transaction lets go.
_BATCH = 100
_RETRY = (5, 30, 300)


class Replays:
    """Starts such jobs, and does what they say; `hint` wakes whoever walks runs."""

    def __init__(self, db: Database, jobs: Jobs, *, hint: Callable[[], None]) -> None:
        self._db, self._jobs, self._hint = db, jobs, hint
        jobs.register(TASK, self._perform, klass="bulk", retry=_RETRY)

    def start(self, tx: Tx, rule: str, *, actor: str, where: str = "failed", version: str = "same") -> str:
        """Hand over the job that retries all failed runs of a rule, and return its id; raise NotFound for the rule."""
        name = get_rule(tx.conn, rule).name
        args = {"rule": name, "where": where, "version": version, "actor": actor}
        return self._jobs.defer(tx, TASK, args, key=f"{TASK}:{name}")

    def _perform(self, ctx: JobContext) -> dict[str, Any]:
        """Go from the newest run to the oldest, so that none is met twice, not even one that fails again meanwhile."""
        if ctx.state is None:
            ctx.progress_in(0, self._count(ctx.args["rule"]))
        while self._jobs.writer.do(lambda tx: self._some(tx, ctx)):
            ctx.leave_if_stopping()
        state = ctx.state or {"retried": 0, "refused": 0}
        return {"retried": state["retried"], "refused": state["refused"]}

    def _count(self, rule: str) -> int:
        with self._db.read() as conn:
            failed = (runs.c.rule == get_rule(conn, rule).id) & (runs.c.outcome == "failed")
            return conn.execute(select(func.count()).select_from(runs).where(failed)).scalar_one()

    def _some(self, tx: Tx, ctx: JobContext) -> bool:
        state = ctx.state or {"before": None, "retried": 0, "refused": 0}
        found = list_runs(tx.conn, limit=_BATCH, before=state["before"], rule=ctx.args["rule"], outcome="failed")
        if not found:
            return False
        retried = sum(self._retry(tx, ctx, run["id"]) for run in found)
        moved = {"retried": state["retried"] + retried, "refused": state["refused"] + len(found) - retried}
        ctx.progress_in(sum(moved.values()))
        ctx.checkpoint_in(tx, {"before": found[-1]["id"], **moved})
        tx.after_commit(self._hint)
        return True

    def _retry(self, tx: Tx, ctx: JobContext, run_id: str) -> bool:
        how = {name: ctx.args[name] for name in ("where", "version", "actor")}
        try:
            with tx.conn.begin_nested():
                retry_run(tx, run_id, **how, now=self._jobs.clock.now())
        except UserError:
            return False
        return True
