"""Calls of rules' webhooks, many at once: those that come together are checked and taken in one go.

Only what is plainly right is taken here; about the rest `rules.rule_hooks` says what is wrong with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from core.events import Event
from core.ids import new_id
from core.tables import secrets
from core.writer import Tx
from rules.intake import Taken
from rules.own_events import own_event
from rules.rule import OWN_EVENTS
from rules.rule_hooks import KEPT_HEADERS

if TYPE_CHECKING:
    from rules.engine import Engine

_SECRET = "hook"  # noqa: S105 - the name under which a rule's token is kept
#: Headers that name a delivery: one that comes twice is taken once.
DELIVERY = ("webhook-id", "idempotency-key", "x-github-delivery", "x-shopify-webhook-id")
_STORED = select(secrets.c.scope, secrets.c.value).where(
    secrets.c.name == _SECRET, secrets.c.scope.in_(bindparam("scopes", expanding=True))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What came to the address of a rule."""

    address: str
    token: str
    body: Any
    headers: Mapping[str, str]
    #: The caller waits until the rule has gone as far as it goes by itself.
    waits: bool = False


class Calls:
    """Takes calls for one engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        #: Scope of a rule's secrets -> its token's hash as it is stored, and opened.
        self._opened: dict[str, tuple[bytes, str]] = {}
        self._names: dict[str, str] = {}
        self._stamp = -1

    def take(self, call: Call) -> Taken | None:
        """Start the rule that listens; None where that needs another look. Returns after the commit.

        For a caller that waits, the rule's steps are on disk by then, too: up to its first wait or outside call.
        """
        return self._engine.writer.gather(self._take, call).result()

    def _take(self, tx: Tx, calls: Sequence[Call]) -> list[Taken | None]:
        book = self._engine.book
        self._engine.intake.look(tx)
        if book.stamp != self._stamp:
            self._names, self._stamp = _listeners(self._engine), book.stamp
        names = [self._names.get(call.address) for call in calls]
        hashes = self._hashes(tx, {_scope(name) for name in names if name is not None})
        events: list[Event | None] = []
        for call, name in zip(calls, names, strict=True):
            expected = None if name is None else hashes.get(_scope(name))
            if name is None or expected is None or not compare_digest(_hash(call.token), expected):
                events.append(None)
            else:
                events.append(call_event(self._engine, name, call.body, call.headers))
        taken = iter(self._engine.intake.take(tx, [event for event in events if event is not None], looked=True))
        answers = [None if event is None else next(taken) for event in events]
        waited = [
            run for call, answer in zip(calls, answers, strict=True) if call.waits and answer for run in answer.runs
        ]
        if waited:
            self._engine.runner.advance_with(tx, len(waited), only=waited)
        return answers

    def _hashes(self, tx: Tx, scopes: set[str]) -> dict[str, str]:
        """Return the hash of each rule's token; what is stored is opened once."""
        found = {}
        for row in tx.conn.execute(_STORED, {"scopes": list(scopes)}):
            known = self._opened.get(row.scope)
            if known is None or known[0] != row.value:
                known = row.value, self._engine.secrets.get(tx.conn, row.scope, _SECRET)
                self._opened[row.scope] = known
            found[row.scope] = known[1]
        return found


def call_event(engine: "Engine", name: str, body: Any, headers: Mapping[str, str]) -> Event:
    """Return the event that a call of a rule's webhook becomes."""
    kept = {header: headers[header][:500] for header in KEPT_HEADERS if header in headers}
    delivery = next((headers[header] for header in DELIVERY if headers.get(header)), None)
    ident = f"hook/{name}/{_hash(delivery)[:32] if delivery else new_id()}"
    return own_event(engine, OWN_EVENTS["webhook"], ident, {"rule": name, "body": body, "headers": kept})


def _listeners(engine: "Engine") -> dict[str, str]:
    """Return the rules that wait for calls, by address; a rule's own name comes first."""
    names: dict[str, str] = {}
    for rule in engine.book:
        if rule.trigger.kind == "webhook":
            address = rule.trigger.document["webhook"]
            if address == rule.name or address not in names:
                names[address] = rule.name
    return names


def _scope(name: str) -> str:
    return f"rule:{name}"


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
