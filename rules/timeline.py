"""The story of one customer or one order: every event, run, message, payment and effect, the newest first."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, not_, or_, select

from core.shop.rows import chunks, equals
from core.shop.snapshots import show_money
from core.shop.tables import messages, orders, payments
from core.tables import effects, events
from rules.tables import rules, runs

#: Moment and id of the entry that the page before ended with.
Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened; what `name` and `state` mean depends on its kind."""

    #: event, run, message, payment, effect
    kind: str
    id: str
    at: datetime
    #: The event's type, the rule, the channel, the provider, the action.
    name: str
    state: str = ""
    #: What a person reads besides: a message's words, the reason of a run's end.
    text: str = ""
    #: The run behind it.
    run: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where entries of one kind come from."""

    wanted: Any
    at: ColumnElement[Any]
    id: ColumnElement[Any]
    show: Callable[[Any], Entry]


def read_timeline(
    conn: Connection,
    *,
    customer: str | None = None,
    order: str | None = None,
    limit: int,
    before: Place | None = None,
) -> list[Entry]:
    """Return the newest entries of one customer or one order: one statement for each kind, merged by time."""
    found: list[Entry] = []
    for source in _of_order(order) if order is not None else _of_customer(customer or ""):
        wanted = source.wanted
        if before is not None:
            at, ours = before
            wanted = wanted.where(or_(source.at < at, and_(source.at == at, source.id < ours)))
        found += map(source.show, conn.execute(wanted.order_by(source.at.desc(), source.id.desc()).limit(limit)))
    return sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True)[:limit]


def find_rules_of(conn: Connection, run_ids: Iterable[str]) -> dict[str, str]:
    """Return {run: its rule's name}; runs that are gone are left out."""
    found: dict[str, str] = {}
    named = select(runs.c.id, rules.c.name).join(rules, rules.c.id == runs.c.rule)
    for part in chunks(run_ids):
        found |= {row.id: row.name for row in conn.execute(named.where(runs.c.id.in_(part)))}
    return found


def _of_customer(customer: str) -> Iterator[_Source]:
    paid = payments.join(orders, payments.c.order == orders.c.id)
    yield _events(_EVENTS.where(equals(events.c.customer, customer)))
    yield _runs(_RUNS.where(equals(runs.c.customer, customer)))
    yield _messages(select(messages).where(equals(messages.c.customer, customer)))
    yield _payments(_PAYMENTS.select_from(paid).where(equals(orders.c.customer, customer)))
    yield _effects(_EFFECTS.where(equals(effects.c.customer, customer)))


def _of_order(order: str) -> Iterator[_Source]:
    """Runs and effects are found over the order's events, which have an index of their keys."""
    buyer = select(orders.c.customer).where(equals(orders.c.id, order))
    paid = payments.join(orders, payments.c.order == orders.c.id)
    of_order = equals(events.c.key, order)
    yield _events(_EVENTS.where(of_order))
    yield _runs(_RUNS.where(runs.c.event.in_(select(events.c.id).where(of_order))))
    yield _messages(select(messages).where(messages.c.customer.in_(buyer), equals(messages.c.order, order)))
    yield _payments(_PAYMENTS.select_from(paid).where(equals(payments.c.order, order)))
    heard = select(runs.c.id).where(runs.c.event.in_(select(events.c.id).where(of_order)))
    yield _effects(_EFFECTS.where(effects.c.run.in_(heard)))


_EVENTS = select(events.c.id, events.c.type, events.c.source, events.c.received_at)
_RUNS = select(runs, rules.c.name.label("rule_name")).join(rules, rules.c.id == runs.c.rule)
_PAYMENTS = select(payments, orders.c.number.label("number"))
# A message that was handed over stands in the timeline itself.
_EFFECTS = (
    select(effects, rules.c.name.label("rule_name"))
    .outerjoin(rules, rules.c.id == effects.c.rule)
    .where(or_(effects.c.object.is_(None), not_(effects.c.object.startswith("message:"))))
)


def _events(wanted: Any) -> _Source:
    def show(row: Any) -> Entry:
        return Entry(kind="event", id=row.id, at=row.received_at, name=row.type, more={"source": row.source})

    return _Source(wanted=wanted, at=events.c.received_at, id=events.c.id, show=show)


def _runs(wanted: Any) -> _Source:
    def show(row: Any) -> Entry:
        state = row.outcome or "waiting"
        text = row.reason or ""
        return Entry(kind="run", id=row.id, at=row.started_at, name=row.rule_name, state=state, text=text, run=row.id)

    return _Source(wanted=wanted, at=runs.c.started_at, id=runs.c.id, show=show)


def _messages(wanted: Any) -> _Source:
    def show(row: Any) -> Entry:
        told = {"subject": row.subject, "error": row.error, "address": row.address}
        main = {"id": row.id, "at": row.created_at, "name": row.channel, "state": row.status, "text": row.body}
        return Entry(kind="message", run=row.run, more=told, **main)

    return _Source(wanted=wanted, at=messages.c.created_at, id=messages.c.id, show=show)


def _payments(wanted: Any) -> _Source:
    def show(row: Any) -> Entry:
        told: dict[str, Any] = {"amount": show_money(row.amount, row.currency), "order": row.order}
        told |= {"number": row.number, "refunded": show_money(row.refunded, row.currency) if row.refunded else None}
        main = {"id": row.id, "at": row.created_at, "name": row.provider, "state": row.state}
        return Entry(kind="payment", more=told, **main)

    return _Source(wanted=wanted, at=payments.c.created_at, id=payments.c.id, show=show)


def _effects(wanted: Any) -> _Source:
    def show(row: Any) -> Entry:
        main = {"id": row.id, "at": row.at, "name": row.action, "state": row.state, "text": row.reason or ""}
        return Entry(kind="effect", run=row.run, more={"rule": row.rule_name, "object": row.object}, **main)

    return _Source(wanted=wanted, at=effects.c.at, id=effects.c.id, show=show)
