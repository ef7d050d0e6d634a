"""Caps over all rules: at most so many effects of a kind, in the whole shop or for one customer."""

import hashlib
from typing import Any

from core.errors import NotFound
from core.policy.caps import ABOVE, KIND, MOST, PER, Cap, find_row, get_cap, list_caps, measure, remove_cap, save_cap
from core.writer import Tx
from web.api.rules import check_match
from web.paging import QUERY, page_of, page_schema
from web.routes import Call, Reply, Route
from web.shapes import TEXT, TIME, WHOLE, form, shape

_PATH = "/caps/{name}"


def list_all_caps(call: Call) -> Reply:
    """List caps with how much of each is used now."""
    with call.engine.db.read() as conn:
        rows = [_show(call, conn, cap) for cap in list_caps(conn)]
    return Reply(body=page_of(rows, call.query, kind="caps"))


def show_cap(call: Call) -> Reply:
    """Show one cap with how much of it is used now."""
    with call.engine.db.read() as conn:
        return _reply(call, conn, get_cap(conn, call.names["name"]))


def write_cap(call: Call) -> Reply:
    """Make or change a cap; it holds for the next effect, in every process."""
    cap = Cap(name=call.names["name"], **call.body)
    kinds = {action.effect for action in call.engine.host.actions.values()}

    def work(tx: Tx) -> Reply:
        check_match(call, _etag(tx.conn, cap.name), "cap")
        new = save_cap(tx, cap, kinds=kinds, actor=call.actor, now=call.now)
        return _reply(call, tx.conn, cap, 201 if new else 200)

    return call.write(work)


def delete_cap(call: Call) -> Reply:
    """Take a cap away; what waits for it goes on when its time has come."""

    def work(tx: Tx) -> Reply:
        name = call.names["name"]
        check_match(call, _etag(tx.conn, name), "cap")
        remove_cap(tx, name, actor=call.actor, now=call.now)
        return Reply(status=204)

    return call.write(work)


def _reply(call: Call, conn: Any, cap: Cap, status: int = 200) -> Reply:
    tag = _etag(conn, cap.name)
    return Reply(status=status, body=_show(call, conn, cap), headers={"ETag": tag} if tag else {})


def _show(call: Call, conn: Any, cap: Cap) -> dict[str, Any]:
    row = find_row(conn, cap.name)
    if row is None:
        raise NotFound(f"no cap {cap.name!r}")
    use = measure(conn, cap, call.now, call.engine.zone)
    # Plain names: those of columns that SQL would quote are no plain text.
    told = {str(name): value for name, value in row._mapping.items()}
    return {**told, "words": cap.words, "used": use.used, "reached": use.reached}


def _etag(conn: Any, name: str) -> str | None:
    """Return the mark that changes with every change to a cap; None where there is no such cap."""
    row = find_row(conn, name)
    return None if row is None else f'"{hashlib.sha256(repr(tuple(row)).encode()).hexdigest()[:24]}"'


_WRITTEN = {
    "kind": {"type": "string", "pattern": f"^{KIND.pattern}$", "description": "The kind of effect: message, task, ..."},
    "per": {"enum": list(PER)},
    "most": {"type": "integer", "minimum": 0, "maximum": MOST},
    "period": {"type": "string", "minLength": 1, "maxLength": 100, "description": "A length of time: 1 day, 24 hours."},
    "above": {"enum": list(ABOVE), "description": "What happens to the one too many."},
}
_CAP = shape(
    name=TEXT,
    kind=TEXT,
    per={"enum": list(PER)},
    most=WHOLE,
    period=TEXT,
    above={"enum": list(ABOVE)},
    changed_at=TIME,
    changed_by=TEXT,
    words=TEXT,
    #: In the period that ends now: of the whole shop, or of the customer with the most.
    used=WHOLE,
    #: 0 or 1 for the shop, or how many customers have reached it.
    reached=WHOLE,
)

ROUTES = (
    Route(
        method="GET",
        path="/caps",
        scope="runs:read",
        run=list_all_caps,
        summary="List caps over all rules, with how much of each is used now",
        query=QUERY,
        answers={200: page_schema(_CAP)},
    ),
    Route(
        method="GET",
        path=_PATH,
        scope="runs:read",
        run=show_cap,
        summary="Show one cap with how much of it is used now",
        answers={200: _CAP},
    ),
    Route(
        method="PUT",
        path=_PATH,
        scope="pause",
        run=write_cap,
        summary="Make or change a cap; If-Match guards against overwriting somebody else's change",
        body=form(_WRITTEN),
        answers={200: _CAP, 201: _CAP},
        headers=("If-Match",),
    ),
    Route(
        method="DELETE",
        path=_PATH,
        scope="pause",
        run=delete_cap,
        summary="Take a cap away",
        answers={204: None},
        headers=("If-Match",),
    ),
)
