"""Jobs: long work that the API starts and others ask for; how far it is, and what came of it."""

from dataclasses import asdict
from typing import Any

from core.audit import Entry, record
from core.jobs import Job
from core.writer import Tx
from web.paging import QUERY, cut, page_schema, read_cursor, write_cursor
from web.routes import Call, Reply, Route
from web.shapes import ANY, FILTER, MAYBE, TEXT, TIME, TIME_OR_NULL, WHOLE, shape

_STATUSES = ("ready", "running", "done", "dead", "canceled")
JOB = shape(
    id=TEXT,
    task=TEXT,
    status={"enum": list(_STATUSES)},
    done=WHOLE,
    total={"type": ["integer", "null"]},
    result=ANY,
    error=MAYBE,
    attempts=WHOLE,
    due_at=TIME,
    created_at=TIME,
    finished_at=TIME_OR_NULL,
)
#: What a call answers that starts one.
STARTED = shape(job=TEXT)


def started(job_id: str) -> Reply:
    """Return the answer of a call that began a job, with the address to ask how far it is."""
    return Reply(status=202, body={"job": job_id}, headers={"Location": f"/api/v1/jobs/{job_id}"})


def list_all_jobs(call: Call) -> Reply:
    """List jobs, the newest first."""
    after = read_cursor(call.query.get("cursor"), "jobs", str)
    limit, where = call.query["limit"], {name: call.query.get(name) for name in ("status", "task")}
    rows = call.engine.jobs.list_jobs(**where, before=after[0] if after else None, limit=limit + 1)
    page, following = cut(rows, limit, lambda job: write_cursor("jobs", job.id))
    return Reply(body={"data": [_show(call, job) for job in page], "next": following})


def show_job(call: Call) -> Reply:
    """Show one job: its state, how far it is, and what came of it."""
    return Reply(body=_show(call, call.engine.jobs.get_job(call.names["id"])))


def retry_one_job(call: Call) -> Reply:
    """Start a dead or canceled job again."""

    def work(tx: Tx) -> Reply:
        call.engine.jobs.retry_job(tx, call.names["id"])
        _note(call, tx, "job.retried")
        return started(call.names["id"])

    return call.write(work)


def cancel_one_job(call: Call) -> Reply:
    """Take a job off; what it has committed stays."""

    def work(tx: Tx) -> Reply:
        call.engine.jobs.cancel_job(tx, call.names["id"])
        _note(call, tx, "job.canceled")
        return Reply(status=204)

    return call.write(work)


def _note(call: Call, tx: Tx, action: str) -> None:
    record(tx, Entry(actor=call.actor, action=action, object=f"job:{call.names['id']}"), call.now)


def _show(call: Call, job: Job) -> dict[str, Any]:
    """Return what everybody may see of a job: not what it was given, which may be a whole letter."""
    told = asdict(job)
    return {name: told[name] for name in JOB["properties"]} | {"result": call.shown(job.result)}


ROUTES = (
    Route(
        method="GET",
        path="/jobs",
        scope="jobs:read",
        run=list_all_jobs,
        summary="List jobs, the newest first",
        query={**QUERY, "status": {"enum": list(_STATUSES)}, "task": FILTER},
        answers={200: page_schema(JOB)},
    ),
    Route(
        method="GET",
        path="/jobs/{id}",
        scope="jobs:read",
        run=show_job,
        summary="Show one job: its state, how far it is, and what came of it",
        answers={200: JOB},
    ),
    Route(
        method="POST",
        path="/jobs/{id}/retry",
        scope="jobs:write",
        run=retry_one_job,
        summary="Start a dead or canceled job again, from where it was",
        answers={202: STARTED},
    ),
    Route(
        method="POST",
        path="/jobs/{id}/cancel",
        scope="jobs:write",
        run=cancel_one_job,
        summary="Take a job off; what it has committed stays",
        answers={204: None},
    ),
)
