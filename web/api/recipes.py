"""Recipes: the ready-made rules, what they need here, tried on recorded events, and a draft made of one."""

from core.writer import Tx
from rules.recipes import describe, find_offered, offered, try_recipe, use_recipe
from rules.store import get_rule
from web.api.rules import reply_with
from web.problems import pick_language
from web.routes import Call, Reply, Route
from web.shapes import FLAG, MAYBE, NAME, OBJECT, RULE, TEXT, WHOLE, form, list_of, shape

_NEED = shape(
    kind={"enum": ["event", "action", "fact", "operator", "field", "rule", "engine"]},
    name=TEXT,
    plugin=MAYBE,
    missing=MAYBE,
)
_RECIPE = shape(
    name=TEXT,
    title=TEXT,
    about=TEXT,
    area=TEXT,
    plugin=TEXT,
    needs=list_of(_NEED),
    missing=list_of(TEXT),
    usable=FLAG,
    used=FLAG,
)


def list_all_recipes(call: Call) -> Reply:
    """List the ready-made rules."""
    language = pick_language(call.headers.get("accept-language", ""))
    with call.engine.db.read() as conn:
        found = [describe(call.engine, conn, recipe, language=language) for recipe in offered(call.engine)]
    return Reply(body={"data": found})


def make_from_recipe(call: Call) -> Reply:
    """Make a draft of a recipe."""
    recipe = find_offered(call.engine, call.names["name"])

    def work(tx: Tx) -> Reply:
        name = use_recipe(tx, recipe, call.fields.get("as"), actor=call.actor, now=call.now)
        reply = reply_with(call, tx.conn, get_rule(tx.conn, name), 201)
        return Reply(status=201, body=reply.body, headers={**reply.headers, "Location": f"/api/v1/rules/{name}"})

    return call.write(work)


def try_one_recipe(call: Call) -> Reply:
    """Say what a recipe would have done on this shop's last events; nothing is written or sent."""
    told = try_recipe(call.engine, find_offered(call.engine, call.names["name"]), last=call.fields.get("last", 50))
    return Reply(body=call.shown(told))


_TOLD = shape(rule=TEXT, events=WHOLE, counts=OBJECT, funnel=list_of(OBJECT), results=list_of(OBJECT))

ROUTES = (
    Route(
        method="GET",
        path="/recipes",
        scope="rules:read",
        run=list_all_recipes,
        summary="List the ready-made rules with what they need, and what of that is missing here",
        answers={200: shape(data=list_of(_RECIPE))},
    ),
    Route(
        method="POST",
        path="/recipes/{name}/use",
        scope="rules:write",
        run=make_from_recipe,
        summary="Make a draft of a ready-made rule, under its own or another name",
        body=form({}, {"as": NAME}),
        body_required=False,
        answers={201: RULE},
    ),
    Route(
        method="POST",
        path="/recipes/{name}/test",
        scope="rules:read",
        run=try_one_recipe,
        summary="Try a ready-made rule on recorded events; nothing is written or sent",
        body=form({}, {"last": {"type": "integer", "minimum": 1, "maximum": 500}}),
        body_required=False,
        answers={200: _TOLD},
        limit="test",
    ),
)
