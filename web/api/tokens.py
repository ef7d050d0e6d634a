"""API tokens: made, listed, revoked. A token never makes one that may do more, or lives longer, than itself."""

from typing import Any

from core.errors import InvalidInput, NotAllowed, NotFound
from core.tokens import SCOPES
from core.writer import Tx
from web.paging import QUERY, cut, page_schema, read_cursor, write_cursor
from web.routes import Call, Reply, Route
from web.shapes import TEXT, TOKEN, form

_MOST_DAYS = 3650
SCOPE_READ, SCOPE_WRITE = "tokens:read", "tokens:write"


def list_tokens(call: Call) -> Reply:
    """List the tokens of the caller's person, the newest first; never their text."""
    after = read_cursor(call.query.get("cursor"), "tokens", str)
    rows = [row for row in _own(call) if after is None or row["id"] < after[0]]
    limit = call.query["limit"]
    page, following = cut(rows[: limit + 1], limit, lambda row: write_cursor("tokens", row["id"]))
    return Reply(body={"data": page, "next": following})


def make_token(call: Call) -> Reply:
    """Make a token; its text is in this answer and nowhere else, ever."""
    scopes, days = call.body["scopes"], call.body.get("days", 365)
    more = sorted(set(scopes) - call.token.scopes)
    if more:
        raise NotAllowed(f"the API token {call.token.name!r} has no scope {more[0]} to pass on")
    own_end = call.token.expires_at
    if own_end is not None and days > (left := max((own_end - call.now).days, 0)):
        raise InvalidInput("days", f"is longer than the API token lives that makes it: at most {left}")

    def work(tx: Tx) -> Reply:
        told = {"name": call.body["name"], "scopes": scopes, "user": call.token.user, "days": days}
        text = call.services.tokens.make(tx, **told, actor=call.actor)
        return Reply(status=201, body={"name": told["name"], "scopes": sorted(set(scopes)), "token": text}, once=True)

    return call.write(work)


def revoke_token(call: Call) -> Reply:
    """End a token of the caller's person, at once."""
    token_id = call.names["id"]
    if token_id not in {row["id"] for row in _own(call)}:
        raise NotFound("no API token with this id")

    def work(tx: Tx) -> Reply:
        call.services.tokens.revoke(tx, token_id, actor=call.actor)
        return Reply(status=204)

    return call.write(work)


def _own(call: Call) -> list[dict[str, Any]]:
    """Return what this token may see: its person's tokens; one without a person sees those without one."""
    rows = call.services.tokens.list_tokens(user=call.token.user)
    # Plain names: those of columns that SQL would quote are no plain text.
    return [{str(name): value for name, value in row._mapping.items()} for row in rows if row.user == call.token.user]


_SCOPE = {"enum": sorted(SCOPES)}

ROUTES = (
    Route(
        method="GET",
        path="/tokens",
        scope=SCOPE_READ,
        run=list_tokens,
        summary="List one's own tokens; never their text",
        query=QUERY,
        answers={200: page_schema(TOKEN)},
    ),
    Route(
        method="POST",
        path="/tokens",
        scope=SCOPE_WRITE,
        run=make_token,
        summary="Make a token with scopes of the caller's; its text is in this answer only",
        body=form(
            {
                "name": {"type": "string", "minLength": 1, "maxLength": 100},
                "scopes": {"type": "array", "items": _SCOPE, "minItems": 1, "maxItems": 50},
            },
            {"days": {"type": "integer", "minimum": 1, "maximum": _MOST_DAYS}},
        ),
        answers={201: form({"name": TEXT, "scopes": {"type": "array", "items": TEXT}, "token": TEXT})},
    ),
    Route(
        method="DELETE",
        path="/tokens/{id}",
        scope=SCOPE_WRITE,
        run=revoke_token,
        summary="End a token, at once",
        answers={204: None},
    ),
)
