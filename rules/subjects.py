"""What runs and events are about, in a few words: the order's number and the customer's name."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from core.events import text_at
from core.tables import events

#: Where an event's data says what it is about; the first that is there.
_RECORDS = ("order.number", "task.title", "product.name", "shipment.tracking", "payment.id", "review.title")
_PEOPLE = ("customer.name", "order.customer.name", "customer.phone", "customer.email")


def read_subjects(conn: Connection, event_ids: Iterable[str], *, people: bool = True) -> dict[str, str]:
    """Return a few words for each event, by its id; without `people`, nothing personal."""
    wanted = sorted(set(event_ids))
    query = select(events.c.id, events.c.data).where(events.c.id.in_(wanted))
    return {row.id: subject_of(row.data, people=people) for row in conn.execute(query)}


def subject_of(data: Mapping[str, Any], *, people: bool = True) -> str:
    """Return "#1042 · Ayşe Demir" from an event's data; empty where it says neither."""
    number = text_at(data, "order.number")
    record = f"#{number}" if number else next(filter(None, (text_at(data, path) for path in _RECORDS)), "")
    person = next(filter(None, (text_at(data, path) for path in _PEOPLE)), "") if people else ""
    return " · ".join(part for part in (record, person) if part)
