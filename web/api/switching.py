"""Rules made live: published, switched on, watching and off, one or many; tested before that."""

from collections.abc import Callable
from typing import Any

from core.errors import Conflict, RuleError, UserError
from core.writer import Tx
from rules.simulate import simulate
from rules.store import get_rule, publish, restore, set_state
from rules.triggers import start_by_hand
from web.api.rules import check_unchanged, live_text, problems_of, reply_with
from web.problems import from_error
from web.routes import Call, Reply, Route
from web.shapes import (
    BULK_RESULT,
    DRY_RUN,
    FLAG,
    ID,
    OBJECT,
    REASON,
    RULE,
    TEXT,
    WHOLE,
    form,
    list_of,
    shape,
)

_STATE = {"enum": ["on", "off", "watching"]}
_MOST_NAMES = 500


def publish_rule(call: Call) -> Reply:
    """Make the draft the newest version, and switch the rule if asked."""

    def work(tx: Tx) -> Reply:
        row = get_rule(tx.conn, call.names["name"])
        check_unchanged(call, row)
        if row.draft is None:
            raise Conflict(f"the rule {row.name!r} has no draft to publish")
        for found in problems_of(call, row.draft, draft=False):
            if found["severity"] == "error":
                raise RuleError(found["path"], found["message"])
        told = {"note": call.fields.get("note"), "state": call.fields.get("state")}
        publish(tx, row.draft, call.engine.book.scope, actor=call.actor, now=call.now, **told)
        return reply_with(call, tx.conn, get_rule(tx.conn, row.name))

    return call.write(work)


def _switch(state: str) -> Callable[[Call], Reply]:
    def switch(call: Call) -> Reply:
        def work(tx: Tx) -> Reply:
            row = get_rule(tx.conn, call.names["name"])
            # Switching off never waits for anybody: no mark is compared.
            if state != "off":
                check_unchanged(call, row)
            set_state(tx, row.name, state, actor=call.actor, now=call.now, reason=call.fields.get("reason"))
            return reply_with(call, tx.conn, get_rule(tx.conn, row.name))

        return call.write(work)

    return switch


def enable_rule(call: Call) -> Reply:
    """Let the published version act."""
    return _switch("on")(call)


def watch_rule(call: Call) -> Reply:
    """Let the published version record what it would do."""
    return _switch("watching")(call)


def disable_rule(call: Call) -> Reply:
    """Switch a rule off; nothing is checked, and it always works."""
    return _switch("off")(call)


def restore_version(call: Call) -> Reply:
    """Make an old version the draft."""

    def work(tx: Tx) -> Reply:
        row = get_rule(tx.conn, call.names["name"])
        check_unchanged(call, row)
        restore(tx, row.name, call.body["version"], actor=call.actor, now=call.now)
        return reply_with(call, tx.conn, get_rule(tx.conn, row.name))

    return call.write(work)


def try_rule(call: Call) -> Reply:
    """Say what the draft (or the live version) would have done; nothing is written or sent."""
    with call.engine.db.read() as conn:
        row = get_rule(conn, call.names["name"])
        text = row.draft if row.draft is not None else live_text(conn, row)
    if text is None:
        raise Conflict(f"the rule {row.name!r} has no text yet")
    event = call.fields.get("event")
    told = simulate(call.engine, text, event=event) if event else simulate(call.engine, text, last=_last(call))
    return Reply(body=call.shown(told))


def start_rule(call: Call) -> Reply:
    """Start a rule that is started by hand, with its form filled in."""

    dry = call.query["dry_run"]

    def work(tx: Tx) -> Reply:
        form_, records = call.fields.get("form", {}), call.fields.get("records", [])
        begun = start_by_hand(call.engine, tx, call.names["name"], form_, records, actor=call.actor)
        told = {"events": [] if dry else [event.id for event in begun], "started": len(begun), "dry_run": dry}
        return Reply(status=200 if dry else 202, body=told)

    return call.try_out(work) if dry else call.write(work)


def _last(call: Call) -> int:
    return call.fields.get("last", 50)


def switch_many(call: Call) -> Reply:
    """Switch many rules; each answers for itself."""
    wanted, dry = call.body["state"], call.query["dry_run"]

    def switch_one(tx: Tx, name: str) -> dict[str, Any]:
        try:
            row = get_rule(tx.conn, name)
            if wanted != "off" and row.version is None:
                raise Conflict(f"rule {name} has no published version yet: publish it first")
            if not dry:
                set_state(tx, row.name, wanted, actor=call.actor, now=call.now, reason=call.fields.get("reason"))
        except UserError as exc:
            return {"name": name, "before": None, "after": None, "changed": False, "problem": _told(exc)}
        return {"name": name, "before": row.state, "after": wanted, "changed": row.state != wanted, "problem": None}

    def work(tx: Tx) -> Reply:
        results = [switch_one(tx, name) for name in dict.fromkeys(call.body["names"])]
        return Reply(body={"data": results, "dry_run": dry})

    return call.write(work)


def _told(exc: Exception) -> dict[str, Any]:
    body = from_error(exc).body
    return {name: body[name] for name in ("status", "code", "detail")}


_REASON = form({}, {"reason": REASON})
_SIMULATION = shape(rule=TEXT, events=WHOLE, counts={"type": "object"}, funnel=list_of(OBJECT), results=list_of(OBJECT))
_STARTED = shape(events=list_of(TEXT), started=WHOLE, dry_run=FLAG)
_EVENT = form(
    {"type": ID, "data": {"type": "object"}},
    {"key": {"type": "string", "maxLength": 255}, "customer": {"type": "string", "maxLength": 255}},
)


def _one(name: str, run: Callable[[Call], Reply], summary: str, body: dict[str, Any], **more: Any) -> Route:
    usual = {"scope": "rules:publish", "answers": {200: RULE}, "headers": ("If-Match",), "body_required": False}
    address = f"/rules/{{name}}/{name}"
    return Route(method="POST", path=address, run=run, summary=summary, body=body, **{**usual, **more})


ROUTES = (
    _one(
        "publish",
        publish_rule,
        "Publish the draft as the newest version",
        form({}, {"note": REASON, "state": _STATE}),
    ),
    _one("enable", enable_rule, "Switch on", _REASON),
    _one("watch", watch_rule, "Switch to watching: what it would do is recorded, nothing is done", _REASON),
    _one("disable", disable_rule, "Switch off; always works", _REASON, headers=()),
    _one(
        "restore",
        restore_version,
        "Make an old version the draft",
        form({"version": {"type": "integer", "minimum": 1, "maximum": 1_000_000}}),
        scope="rules:write",
        body_required=True,
    ),
    _one(
        "test",
        try_rule,
        "Try the rule on recorded events, or on one event; nothing is written or sent",
        form({}, {"last": {"type": "integer", "minimum": 1, "maximum": 500}, "event": _EVENT}),
        scope="rules:read",
        answers={200: _SIMULATION},
        limit="test",
        headers=(),
    ),
    _one(
        "start",
        start_rule,
        "Start a rule by hand, with its form filled in, once or for each record",
        form({}, {"form": OBJECT, "records": {"type": "array", "items": ID, "maxItems": 500, "uniqueItems": True}}),
        query={"dry_run": DRY_RUN},
        scope="events:write",
        answers={200: _STARTED, 202: _STARTED},
        headers=(),
    ),
    Route(
        method="POST",
        path="/rules/bulk",
        scope="rules:publish",
        run=switch_many,
        summary="Switch many rules at once",
        query={"dry_run": DRY_RUN},
        body=form(
            {"names": {"type": "array", "items": ID, "minItems": 1, "maxItems": _MOST_NAMES}, "state": _STATE},
            {"reason": REASON},
        ),
        answers={200: shape(data=list_of(BULK_RESULT), dry_run=FLAG)},
    ),
)
