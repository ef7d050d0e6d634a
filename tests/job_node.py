"""One process of ours for the tests of jobs: counts steps into a table without keys, so that doing one twice shows."""

import sys
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select

from core.clock import Clock, SystemClock, VirtualClock
from core.db import Database, metadata
from core.job_context import JobContext
from core.jobs import Jobs
from core.queues.local import LocalQueue
from core.tables import jobs as table
from core.writer import Tx, Writer

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
STEPS = Table("test_steps", MetaData(), Column("job", Text), Column("step", Integer), Column("node", Text))


def open_database(url: str) -> Database:
    """Return a database with the jobs' table and the record of steps."""
    db = Database(url, synchronous="off")
    metadata.create_all(db.engine, tables=[table])
    STEPS.create(db.engine)
    return db


class Node:
    """A process: its jobs, its queue, and a task `count` that takes `args["steps"]` steps, each with a checkpoint."""

    def __init__(self, db: Database, clock: Clock, name: str = "one", *, workers: int = 4) -> None:
        self.db, self.clock, self.name = db, clock, name
        self.writer = Writer(db)
        self.jobs = Jobs(db, self.writer, clock, name)
        self.queue = LocalQueue(self.jobs, workers=workers)
        self.jobs.register("count", self.count, klass="bulk")

    def count(self, ctx: JobContext) -> None:
        for step in range(ctx.state or 0, ctx.args["steps"]):
            self.step(ctx, step)
            ctx.leave_if_stopping()

    def step(self, ctx: JobContext, step: int) -> None:
        def work(tx: Tx) -> None:
            tx.conn.execute(insert(STEPS).values(job=ctx.job_id, step=step, node=self.name))
            ctx.checkpoint_in(tx, step + 1)

        time.sleep(ctx.args.get("nap_s", 0))
        ctx.progress(step + 1, ctx.args["steps"])
        self.writer.do(work)

    def defer(self, task: str = "count", args: dict[str, Any] | None = None, **options: Any) -> str:
        return self.writer.do(lambda tx: self.jobs.defer(tx, task, args or {"steps": 3}, **options))


def steps(db: Database, job: str) -> list[int]:
    with db.read() as conn:
        return list(conn.execute(select(STEPS.c.step).where(STEPS.c.job == job).order_by(STEPS.c.step)).scalars())


def count_steps(db: Database) -> int:
    with db.read() as conn:
        return conn.execute(select(func.count()).select_from(STEPS)).scalar_one()


def main() -> None:
    """Work off what is due, then end: `python job_node.py URL NAME live|SECONDS_LATER`."""
    url, name, when = sys.argv[1:]
    db = Database(url)
    clock = SystemClock() if when == "live" else VirtualClock(datetime.fromtimestamp(float(when), UTC))
    node = Node(db, clock, name)
    node.writer.start()
    if when == "live":
        node.queue.start()
        while any(job.status in ("ready", "running") for job in node.jobs.list_jobs()):
            time.sleep(0.01)
        node.queue.stop()
    else:
        node.jobs.release_own()
        node.queue.drain()
    node.writer.stop()


if __name__ == "__main__":
    main()
