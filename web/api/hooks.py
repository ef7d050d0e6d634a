"""Webhooks of rules: their token made and taken away."""

from core.writer import Tx
from rules.rule_hooks import address_of, drop_token, make_token
from web.routes import Call, Reply, Route
from web.shapes import TEXT, form

_PATH = "/rules/{name}/webhook"


def open_webhook(call: Call) -> Reply:
    """Give the rule's webhook a new token; it is in this answer and nowhere else, ever."""

    def work(tx: Tx) -> Reply:
        token = make_token(call.engine, tx, call.names["name"], actor=call.actor)
        place = address_of(call.engine, tx.conn, call.names["name"])
        base = call.engine.settings.base_url.rstrip("/")
        return Reply(status=201, body={"address": f"{base}/hooks/rule/{place}", "token": token}, once=True)

    return call.write(work)


def close_webhook(call: Call) -> Reply:
    """Take the token away: the webhook is closed."""

    def work(tx: Tx) -> Reply:
        drop_token(call.engine, tx, call.names["name"], actor=call.actor)
        return Reply(status=204)

    return call.write(work)


ROUTES = (
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
