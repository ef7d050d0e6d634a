"""Pause all: nothing new is done until somebody resumes; events are kept."""

from typing import Any

from core.policy.pause import Pause, find_pause, pause, resume
from core.writer import Tx
from web.routes import Call, Reply, Route
from web.shapes import ID, PAUSE, REASON, form


def show_pause(call: Call) -> Reply:
    """Say whether everything is paused."""
    with call.engine.db.read() as conn:
        return Reply(body=_show(find_pause(conn)))


def pause_all(call: Call) -> Reply:
    """Stop every new effect, except those of the kinds in `still`."""

    def work(tx: Tx) -> Reply:
        still = call.fields.get("still", [])
        pause(tx, reason=call.body["reason"], by=call.actor, now=call.now, still=still)
        return Reply(body=_show(find_pause(tx.conn)))

    return call.write(work)


def resume_all(call: Call) -> Reply:
    """End the pause."""

    def work(tx: Tx) -> Reply:
        resume(tx, by=call.actor, now=call.now)
        tx.after_commit(call.engine.ready.set)
        return Reply(body=_show(find_pause(tx.conn)))

    return call.write(work)


def _show(found: Pause | None) -> dict[str, Any]:
    if found is None:
        return {"paused": False, "reason": None, "by": None, "at": None, "still": []}
    told = {"reason": found.reason, "by": found.by, "at": found.at, "still": sorted(found.still)}
    return {"paused": True, **told}


_REASON = {**REASON, "minLength": 1}

ROUTES = (
    Route(
        method="GET",
        path="/pause",
        scope="runs:read",
        run=show_pause,
        summary="Whether everything is paused",
        answers={200: PAUSE},
    ),
    Route(
        method="POST",
        path="/pause",
        scope="pause",
        run=pause_all,
        summary="Stop every new effect, except those of the kinds in `still`; events are kept",
        body=form({"reason": _REASON}, {"still": {"type": "array", "items": ID, "maxItems": 50}}),
        answers={200: PAUSE},
    ),
    Route(method="POST", path="/resume", scope="pause", run=resume_all, summary="End the pause", answers={200: PAUSE}),
)
