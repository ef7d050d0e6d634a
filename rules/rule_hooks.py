"""Webhooks of rules: /hooks/rule/NAME starts a rule whose trigger is a webhook, with a token of its own."""

import hashlib
import secrets as random
from collections.abc import Mapping
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from core.audit import Entry, record
from core.errors import Conflict, NotAllowed, NotFound
from core.ids import new_id
from core.writer import Tx
from rules.intake import Taken
from rules.rule import OWN_EVENTS, Rule
from rules.store import find_rule, get_rule
from rules.triggers import own_event

if TYPE_CHECKING:
    from rules.engine import Engine

_SECRET = "hook"  # noqa: S105 - the name under which it is kept
#: Headers that are stored with the event: never a credential, a cookie or an address.
KEPT_HEADERS = (
    "content-type",
    "user-agent",
    "x-event",
    "x-event-type",
    "x-github-event",
    "x-gitlab-event",
    "x-request-id",
    "x-shopify-topic",
    "x-topic",
    "x-wc-webhook-event",
    "x-wc-webhook-topic",
)
#: Headers that name a delivery: one that comes twice is taken once.
_DELIVERY = ("webhook-id", "idempotency-key", "x-github-delivery", "x-shopify-webhook-id")


def make_token(engine: "Engine", tx: Tx, name: str, *, actor: str) -> str:
    """Give the rule's webhook a new token and return it, this once; the old one ends."""
    row = get_rule(tx.conn, name)
    text = f"vh_{random.token_urlsafe(32)}"
    engine.secrets.put(tx, _scope(row.name), _SECRET, _hash(text))
    entry = Entry(actor=actor, action="rule.webhook_token_made", object=f"rule:{row.name}")
    record(tx, entry, engine.clock.now())
    return text


def drop_token(engine: "Engine", tx: Tx, name: str, *, actor: str) -> None:
    """Close the rule's webhook."""
    row = get_rule(tx.conn, name)
    if not engine.secrets.delete(tx, _scope(row.name), _SECRET):
        raise NotFound(f"the rule {row.name!r} has no webhook token")
    entry = Entry(actor=actor, action="rule.webhook_token_dropped", object=f"rule:{row.name}")
    record(tx, entry, engine.clock.now())


def has_token(engine: "Engine", conn: Connection, name: str) -> bool:
    """Tell whether the rule's webhook is open: whether it was given a token."""
    return _SECRET in engine.secrets.names(conn, _scope(get_rule(conn, name).name))


def check_call(engine: "Engine", conn: Connection, address: str, token: str | None) -> str:
    """Return the name of the rule that listens at this address, when the token opens it.

    Raise NotFound where no live rule waits for calls, Conflict where it has no token yet, NotAllowed for a wrong one.
    """
    name = _listener(engine, conn, address)
    if _SECRET not in engine.secrets.names(conn, _scope(name)):
        raise Conflict("this webhook is closed until it is given a token")
    expected = engine.secrets.get(conn, _scope(name), _SECRET)
    if not compare_digest(_hash(token or "").encode(), expected.encode()):
        raise NotAllowed("the token of this call is missing or wrong")
    return name


def address_of(engine: "Engine", conn: Connection, name: str) -> str:
    """Return the address that a rule listens at: the one that its document names, else its name."""
    row = get_rule(conn, name)
    rule = engine.book.version(conn, row.id, row.version) if row.version is not None else None
    return rule.trigger.document["webhook"] if rule is not None and rule.trigger.kind == "webhook" else row.name


def _listener(engine: "Engine", conn: Connection, address: str) -> str:
    engine.book.refresh(conn)
    row = find_rule(conn, address)
    # Most addresses are the rule's own name; only for others all live rules are looked through.
    named = engine.book.matcher.get(row.id) if row is not None else None
    if named is not None and _listens(named, address):
        return named.name
    for rule in engine.book:
        if _listens(rule, address):
            return rule.name
    raise NotFound("no rule waits for calls here")


def _listens(rule: Rule, address: str) -> bool:
    return rule.trigger.kind == "webhook" and rule.trigger.document["webhook"] == address


def take_call(engine: "Engine", tx: Tx, name: str, body: Any, headers: Mapping[str, str]) -> Taken:
    """Start the rule with what was sent, in this transaction."""
    kept = {header: headers[header][:500] for header in KEPT_HEADERS if header in headers}
    delivery = next((headers[header] for header in _DELIVERY if headers.get(header)), None)
    ident = f"hook/{name}/{_hash(delivery)[:32] if delivery else new_id()}"
    event = own_event(engine, OWN_EVENTS["webhook"], ident, {"rule": name, "body": body, "headers": kept})
    return engine.intake.take(tx, [event])[0]


def _scope(name: str) -> str:
    return f"rule:{name}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
