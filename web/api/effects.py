"""Effects: the ledger of everything that was done, to what, by which rule."""

from typing import Any

from core.db import from_micros, to_micros
from core.listing import EFFECT_FILTERS, page_effects
from rules.store import get_rule
from web.paging import QUERY, cut, page_schema, read_cursor, write_cursor
from web.routes import Call, Reply, Route
from web.shapes import EFFECT, FILTER

#: Beyond any moment that is stored.
_LAST_MICROS = 1 << 53


def list_all_effects(call: Call) -> Reply:
    """List effects, the newest first."""
    after = read_cursor(call.query.get("cursor"), "effects", int, str)
    before = (from_micros(min(abs(after[0]), _LAST_MICROS)), after[1]) if after else None
    limit, where = call.query["limit"], dict(call.query)
    with call.engine.db.read() as conn:
        if "rule" in where:
            where["rule"] = get_rule(conn, where["rule"]).id
        rows = page_effects(conn, where, limit=limit + 1, before=before)
    page, following = cut(rows, limit, lambda row: write_cursor("effects", to_micros(row["at"]), row["id"]))
    shown = [{**row, **_masked(call, row)} for row in page]
    return Reply(body={"data": shown, "next": following})


def _masked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return {name: call.shown(row[name]) for name in ("params", "result", "undo", "cost")}


ROUTES = (
    Route(
        method="GET",
        path="/effects",
        scope="runs:read",
        run=list_all_effects,
        summary="List effects, the newest first: the answer to why an object is as it is",
        query={**QUERY, **dict.fromkeys(EFFECT_FILTERS, FILTER)},
        answers={200: page_schema(EFFECT)},
    ),
)
