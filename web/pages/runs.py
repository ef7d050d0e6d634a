"""Runs: history, one with its trace, what a person may do with it; and what waits for approval."""

from collections.abc import Callable
from typing import Any

from core.events import find_event
from core.masking import mask_json
from core.writer import Tx
from rules.explain import verdicts
from rules.labels import Labels
from rules.runs import OUTCOMES, cancel_run, decide, get_run, list_runs, release_run, retry_run
from rules.subjects import read_subjects, subject_of
from rules.titles import read_titles
from rules.trace_view import read_steps
from web.visits import DEVELOPER, EDITORS, EVERYBODY, Answer, Page, Visit

PAGE = Page("runs")
_PAGE_SIZE = 50
_FILTERS = ("rule", "outcome", "key", "customer")


@PAGE.get("/runs", EVERYBODY)
def list_all(visit: Visit) -> Answer:
    """List runs, the newest first; the filter stands in the address."""
    where = {name: visit.query.get(name) or None for name in _FILTERS}
    if where["outcome"] not in OUTCOMES:
        where["outcome"] = None
    return _list(visit, "runs/list.html", "runs", **where)


@PAGE.get("/approvals", EDITORS)
def list_held(visit: Visit) -> Answer:
    """List what waits for somebody to approve or refuse it."""
    return _list(visit, "runs/approvals.html", "approvals", rule=visit.query.get("rule") or None, status="held")


def _list(visit: Visit, template: str, active: str, **where: str | None) -> Answer:
    with visit.engine.db.read() as conn:
        rows = list_runs(conn, limit=_PAGE_SIZE + 1, before=visit.query.get("before") or None, **where)
        page = rows[:_PAGE_SIZE]
        titles = read_titles(conn, {row["rule"] for row in page}, visit.language)
        subjects = read_subjects(conn, {row["event"] for row in page}, people=not visit.may(DEVELOPER))
        held = {row["id"]: get_run(conn, row["id"])["effects"] for row in page if where.get("status") == "held"}
    return visit.render(
        template,
        active=active,
        runs=page,
        titles=titles,
        subjects=subjects,
        held=held,
        where=where,
        labels=Labels(visit.engine, visit.language),
        outcomes=OUTCOMES,
        more=visit.linked(before=page[-1]["id"]) if len(rows) > _PAGE_SIZE else "",
    )


@PAGE.get("/runs/{id}", EVERYBODY)
def show(visit: Visit) -> Answer:
    """Show one run: what it decided and did, step by step, and what else saw its event."""
    labels = Labels(visit.engine, visit.language)
    hides = visit.may(DEVELOPER)
    with visit.engine.db.read() as conn:
        run = get_run(conn, visit.names["id"])
        event = find_event(conn, run["event"])
        others = verdicts(visit.engine, conn, run["event"], language=visit.language) if event else []
        titles = read_titles(conn, {run["rule"], *(other["rule"] for other in others)}, visit.language)
    data: Any = event.data if event else {}
    trace = mask_json(run["trace"]) if hides else run["trace"]
    return visit.render(
        "runs/show.html",
        active="runs",
        run=run,
        event=event,
        data=mask_json(data) if hides else data,
        subject=subject_of(data, people=not hides),
        steps=read_steps(trace, labels),
        others=[other for other in others if other["rule"] != run["rule"]],
        titles=titles,
        labels=labels,
    )


def _act(visit: Visit, work: Callable[[Tx], Any], words: str, back: str = "") -> Answer:
    def whole(tx: Tx) -> Any:
        tx.after_commit(visit.engine.ready.set)
        return work(tx)

    visit.write(whole)
    return visit.go(back or f"/runs/{visit.names['id']}", words)


@PAGE.post("/runs/{id}/retry", EDITORS)
def retry(visit: Visit) -> Answer:
    """Let a finished run go again, from where it failed or from the start, with its version or the newest."""
    where = "start" if visit.field("where") == "start" else "failed"
    version = "newest" if visit.field("version") == "newest" else "same"

    def work(tx: Tx) -> None:
        retry_run(tx, visit.names["id"], where=where, version=version, actor=visit.actor, now=visit.now)

    return _act(visit, work, visit.say("It runs again; steps that were done are not repeated."))


@PAGE.post("/runs/{id}/cancel", EDITORS)
def cancel(visit: Visit) -> Answer:
    return _act(
        visit,
        lambda tx: cancel_run(tx, visit.names["id"], actor=visit.actor, now=visit.now),
        visit.say("Cancelled: nothing more happens in it."),
    )


@PAGE.post("/runs/{id}/release", EDITORS)
def release(visit: Visit) -> Answer:
    """End the wait of a run now."""
    return _act(
        visit,
        lambda tx: release_run(tx, visit.names["id"], actor=visit.actor, now=visit.now),
        visit.say("Its wait is over: it goes on now."),
    )


@PAGE.post("/runs/{id}/decide", EDITORS)
def approve(visit: Visit) -> Answer:
    """Let what a run holds happen, or skip it."""
    yes = visit.field("approve") == "yes"
    words = visit.say("Approved: it goes on now.") if yes else visit.say("Refused: the step is skipped.")
    back = "/approvals" if visit.field("back") == "approvals" else ""

    def work(tx: Tx) -> None:
        decide(tx, visit.names["id"], approve=yes, actor=visit.actor, now=visit.now)

    return _act(visit, work, words, back)
