"""Webhooks of rules: their address, and their token made and taken away."""

from typing import Any

from core.writer import Tx
from rules.rule_hooks import address_of, drop_token, has_token, make_token
from web.routes import Call, Reply, Route
from web.shapes import FLAG, TEXT, form

_PATH = "/rules/{name}/webhook"


def show_webhook(call: Call) -> Reply:
    """Show where the rule's webhook is called, and whether it has a token; never the token."""
    with call.engine.db.read() as conn:
        open_ = has_token(call.engine, conn, call.names["name"])
        return Reply(body={"address": _address(call, conn), "has_token": open_})


def _address(call: Call, conn: Any) -> str:
    base = call.engine.settings.base_url.rstrip("/")
    return f"{base}/hooks/rule/{address_of(call.engine, conn, call.names['name'])}"


def open_webhook(call: Call) -> Reply:
    """Give the rule's webhook a new token; it is in this answer and nowhere else, ever."""

    def work(tx: Tx) -> Reply:
        token = make_token(call.engine, tx, call.names["name"], actor=call.actor)
        return Reply(status=201, body={"address": _address(call, tx.conn), "token": token}, once=True)

    return call.write(work)


def close_webhook(call: Call) -> Reply:
    """Take the token away: the webhook is closed."""

    def work(tx: Tx) -> Reply:
        drop_token(call.engine, tx, call.names["name"], actor=call.actor)
        return Reply(status=204)

    return call.write(work)


ROUTES = (
    Route(
        method="GET",
        path=_PATH,
        scope="rules:read",
        run=show_webhook,
        summary="Where the rule's webhook is called, and whether it has a token",
        answers={200: form({"address": TEXT, "has_token": FLAG})},
    ),
    Route(
        method="POST",
        path=_PATH,
        scope="rules:publish",
        run=open_webhook,
        summary="Give the rule's webhook a new token; the old one ends",
        answers={201: form({"address": TEXT, "token": TEXT})},
    ),
    Route(
        method="DELETE",
        path=_PATH,
        scope="rules:publish",
        run=close_webhook,
        summary="Close the rule's webhook",
        answers={204: None},
    ),
)
