"""Runs: listed, traced, retried, cancelled, approved; and why a rule did or did not act."""

from typing import Any

from werkzeug.exceptions import BadRequest

from core.errors import UserError
from core.writer import Tx
from rules.explain import why
from rules.runs import OUTCOMES, cancel_run, decide, get_run, list_runs, retry_run
from web.api.jobs import STARTED, started
from web.paging import QUERY, cut, page_schema, read_cursor, write_cursor
from web.problems import from_error, pick_language
from web.routes import Call, Reply, Route
from web.shapes import (
    DRY_RUN,
    FILTER,
    FLAG,
    ID,
    ITEM_PROBLEM,
    MAYBE,
    REASON,
    RUN,
    RUN_ROW,
    TEXT,
    VERDICT,
    form,
    list_of,
    shape,
)

_FILTERS = ("rule", "status", "outcome", "key", "customer", "event")
_HOW = {"where": {"enum": ["failed", "start"]}, "version": {"enum": ["same", "newest"]}}
_MOST = 500


def list_all_runs(call: Call) -> Reply:
    """List runs, the newest first."""
    after = read_cursor(call.query.get("cursor"), "runs", str)
    where = {name: call.query.get(name) for name in _FILTERS}
    limit = call.query["limit"]
    with call.engine.db.read() as conn:
        rows = list_runs(conn, limit=limit + 1, before=after[0] if after else None, **where)
    page, following = cut(rows, limit, lambda row: write_cursor("runs", row["id"]))
    return Reply(body={"data": list(page), "next": following})


def show_run(call: Call) -> Reply:
    """Show one run with its trace and effects."""
    with call.engine.db.read() as conn:
        run = get_run(conn, call.names["id"])
    effects = [{str(name): value for name, value in effect.items()} for effect in run["effects"]]
    return Reply(body={**run, "trace": call.shown(run["trace"]), "effects": call.shown(effects)})


def retry_one_run(call: Call) -> Reply:
    """Let a finished run go again."""

    def work(tx: Tx) -> Reply:
        run_id = retry_run(tx, call.names["id"], **call.fields, actor=call.actor, now=call.now)
        _wake(call, tx)
        return Reply(status=202, body={"run": run_id})

    return call.write(work)


def retry_many_runs(call: Call) -> Reply:
    """Let many finished runs go again: those named at once, each answering for itself; all of a rule as a job."""
    how = {name: call.body[name] for name in _HOW if name in call.body}
    dry = call.query["dry_run"]
    if "rule" in call.body and not dry:
        rule = call.body["rule"]
        return call.write(lambda tx: started(call.engine.replays.start(tx, rule, **how, actor=call.actor)))

    def retry_one(tx: Tx, run_id: str) -> dict[str, Any]:
        try:
            if dry:
                found = get_run(tx.conn, run_id)
                return {"id": run_id, "run": None, "problem": _unfinished(found)}
            again = retry_run(tx, run_id, **how, actor=call.actor, now=call.now)
        except UserError as exc:
            return {"id": run_id, "run": None, "problem": _told(exc)}
        return {"id": run_id, "run": again, "problem": None}

    def work(tx: Tx) -> Reply:
        results = [retry_one(tx, run_id) for run_id in _chosen(call, tx.conn)]
        _wake(call, tx)
        return Reply(body={"data": results, "dry_run": dry})

    return call.write(work)


def _chosen(call: Call, conn: Any) -> list[str]:
    if ids := call.body.get("ids"):
        return list(dict.fromkeys(ids))
    return [run["id"] for run in list_runs(conn, limit=_MOST, rule=call.body["rule"], outcome="failed")]


def _unfinished(run: dict[str, Any]) -> dict[str, Any] | None:
    if run["status"] == "done":
        return None
    return {"status": 409, "code": "conflict", "detail": f"the run is still {run['status']}"}


def _told(exc: Exception) -> dict[str, Any]:
    body = from_error(exc).body
    return {name: body[name] for name in ("status", "code", "detail")}


def _wake(call: Call, tx: Tx) -> None:
    tx.after_commit(call.engine.ready.set)


def cancel_one_run(call: Call) -> Reply:
    """End an open run."""

    def work(tx: Tx) -> Reply:
        reason = call.fields.get("reason")
        cancel_run(tx, call.names["id"], actor=call.actor, now=call.now, reason=reason)
        return _state(tx, call.names["id"])

    return call.write(work)


def approve_run(call: Call) -> Reply:
    """Let what a run holds happen."""
    return _decide(call, approve=True)


def reject_run(call: Call) -> Reply:
    """Skip what a run holds; the run goes on."""
    return _decide(call, approve=False)


def _decide(call: Call, *, approve: bool) -> Reply:
    def work(tx: Tx) -> Reply:
        decide(tx, call.names["id"], approve=approve, actor=call.actor, now=call.now)
        _wake(call, tx)
        return _state(tx, call.names["id"])

    return call.write(work)


def _state(tx: Tx, run_id: str) -> Reply:
    run = get_run(tx.conn, run_id)
    return Reply(body={name: run[name] for name in RUN_ROW["properties"]})


def explain_why(call: Call) -> Reply:
    """Say in one sentence why a rule did or did not act for an event or an order."""
    query = call.query
    if "rule" not in query or ("event" in query) == ("order" in query):
        raise BadRequest("name a rule, and either an event or an order: ?rule=NAME&order=KEY")
    language = pick_language(call.headers.get("accept-language", ""))
    about = {"event_id": query.get("event"), "key": query.get("order")}
    with call.engine.db.read() as conn:
        told = why(call.engine, conn, query["rule"], **about, language=language)
    return Reply(body=call.shown(told))


_RESULT = shape(id=TEXT, run=MAYBE, problem=ITEM_PROBLEM)

ROUTES = (
    Route(
        method="GET",
        path="/runs",
        scope="runs:read",
        run=list_all_runs,
        summary="List runs, the newest first",
        query={**QUERY, **dict.fromkeys(_FILTERS, FILTER), "outcome": {"enum": list(OUTCOMES)}},
        answers={200: page_schema(RUN_ROW)},
    ),
    Route(
        method="GET",
        path="/runs/{id}",
        scope="runs:read",
        run=show_run,
        summary="Show one run with its trace and effects",
        answers={200: RUN},
    ),
    Route(
        method="POST",
        path="/runs/retry",
        scope="runs:retry",
        run=retry_many_runs,
        summary="Let many finished runs go again: those named, or all failed ones of a rule, as a job",
        query={"dry_run": DRY_RUN},
        body={
            "anyOf": [
                form({"ids": {"type": "array", "items": ID, "minItems": 1, "maxItems": _MOST}}, _HOW),
                form({"rule": ID}, _HOW),
            ]
        },
        answers={200: shape(data=list_of(_RESULT), dry_run=FLAG), 202: STARTED},
    ),
    Route(
        method="POST",
        path="/runs/{id}/retry",
        scope="runs:retry",
        run=retry_one_run,
        summary="Let a finished run go again, from the failed step or from the start",
        body=form({}, _HOW),
        body_required=False,
        answers={202: shape(run=TEXT)},
    ),
    Route(
        method="POST",
        path="/runs/{id}/cancel",
        scope="runs:retry",
        run=cancel_one_run,
        summary="End an open run",
        body=form({}, {"reason": REASON}),
        body_required=False,
        answers={200: RUN_ROW},
    ),
    Route(
        method="POST",
        path="/runs/{id}/approve",
        scope="approvals:write",
        run=approve_run,
        summary="Let what a run holds happen",
        answers={200: RUN_ROW},
    ),
    Route(
        method="POST",
        path="/runs/{id}/reject",
        scope="approvals:write",
        run=reject_run,
        summary="Skip what a run holds; the run goes on",
        answers={200: RUN_ROW},
    ),
    Route(
        method="GET",
        path="/why",
        scope="runs:read",
        run=explain_why,
        summary="Why a rule did or did not act for an event or an order",
        query={"rule": FILTER, "event": FILTER, "order": FILTER},
        answers={200: VERDICT},
    ),
)
