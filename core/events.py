"""Events and the catalogue of their types.

An event is a CloudEvents 1.0 event plus `key` (the order, customer or SKU that it is about) and `customer`.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from core.db import Moment
from core.errors import InvalidInput, NotFound
from core.schemas import Checker, compile_schema
from core.tables import events


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, as it is stored."""

    id: str
    source: str
    #: The sender's id: (source, external_id) is taken once, whenever it comes again.
    external_id: str
    type: str
    #: When it happened, as the sender says.
    time: datetime
    #: When it was taken in, by our clock: what waits and windows count from.
    received_at: datetime
    key: str | None
    customer: str | None
    data: dict[str, Any]
    #: Length of the chain of rules that led here; the engine stops at its limit.
    depth: int = 0
    #: The run that emitted it.
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """What a plugin says about one type of event."""

    name: str
    #: {"en": ..., "tr": ..., "ru": ...}
    title: Mapping[str, str]
    #: JSON Schema of `data`; property titles are the labels in the composer.
    schema: Mapping[str, Any]
    sample: Mapping[str, Any]
    plugin: str
    #: Dotted paths in `data` from which `key` and `customer` are read when the sender names none.
    key: str = ""
    customer: str = ""
    checker: Checker | None = field(default=None, compare=False, repr=False)


class Catalogue:
    """All event types of the plugins that are on; safe to read while plugins come and go."""

    def __init__(self) -> None:
        self._types: dict[str, EventType] = {}
        self._lock = threading.Lock()

    def add(self, types: Iterable[EventType]) -> None:
        """Take in a plugin's types; two plugins may not claim one name."""
        with self._lock:
            merged = dict(self._types)
            for kind in types:
                taken = merged.get(kind.name)
                if taken and taken.plugin != kind.plugin:
                    raise InvalidInput(kind.name, f"is already an event of the plugin {taken.plugin}")
                merged[kind.name] = kind
            self._types = merged

    def remove(self, plugin: str) -> None:
        with self._lock:
            self._types = {name: kind for name, kind in self._types.items() if kind.plugin != plugin}

    def find(self, name: str) -> EventType | None:
        return self._types.get(name)

    def get(self, name: str) -> EventType:
        """Return the type, or raise NotFound naming the likeliest cause."""
        kind = self._types.get(name)
        if kind is None:
            raise NotFound(f"no event type {name!r}: is the plugin that brings it switched on?")
        return kind

    def __iter__(self) -> Iterator[EventType]:
        return iter(sorted(self._types.values(), key=lambda kind: kind.name))

    def check(self, name: str, data: Any) -> EventType:
        """Check an event's data against its type; raise NotFound or InvalidInput naming the field."""
        kind = self.get(name)
        if not isinstance(data, dict):
            raise InvalidInput("data", "must be an object")
        checker = kind.checker or compile_schema(dict(kind.schema))
        checker.check(data, path="data")
        return kind


def text_at(data: Mapping[str, Any], path: str) -> str | None:
    """Return the text at a dotted path, or None where there is none."""
    value: Any = data
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if value is None or isinstance(value, (dict, list)) else str(value)


def insert_events(conn: Connection, new: Sequence[Event]) -> set[str]:
    """Store events and return the ids of those that were not there yet (by source and external id)."""
    if not new:
        return set()
    insert = (sqlite if conn.dialect.name == "sqlite" else postgresql).insert(events).on_conflict_do_nothing()
    # psycopg forgets an INSERT's count when its cursor closes, unless asked to keep it.
    done = conn.execute(insert, [_to_row(event) for event in new], execution_options={"preserve_rowcount": True})
    ids = {event.id for event in new}
    if done.rowcount == len(new):
        return ids
    return set(conn.execute(select(events.c.id).where(events.c.id.in_(ids))).scalars())


def _to_row(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in events.c.keys()}  # noqa: SIM118 - a column collection is no dict


def read_event(row: Row[Any]) -> Event:
    """Return the event of a full row of the events table."""
    return Event(**row._mapping)


def find_event(conn: Connection, event_id: str) -> Event | None:
    row = conn.execute(events.select().where(events.c.id == event_id)).one_or_none()
    return None if row is None else read_event(row)


# What happened to a customer before

_BEFORE = (
    events.c.customer == bindparam("customer"),
    events.c.type == bindparam("type"),
    events.c.received_at >= bindparam("since", type_=Moment),
    events.c.received_at < bindparam("before", type_=Moment),
)
_COUNT = select(func.count()).select_from(events).where(*_BEFORE)
_LAST = select(func.max(events.c.time)).where(*_BEFORE)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def count_happened(conn: Connection, customer: str, type: str, *, since: datetime | None, before: datetime) -> int:
    """Count a customer's events of a type from `since` (included) up to `before` (not included)."""
    asked = {"customer": customer, "type": type, "since": since or _EVER, "before": before}
    return conn.execute(_COUNT, asked).scalar_one()


def find_last_happened(
    conn: Connection, customer: str, type: str, *, since: datetime | None, before: datetime
) -> datetime | None:
    """Return when the last of these events happened, or None."""
    asked = {"customer": customer, "type": type, "since": since or _EVER, "before": before}
    return conn.execute(_LAST, asked).scalar_one()
