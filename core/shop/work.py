"""What every writer of the shop is handed: the open transaction, the time, who writes, and where events go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from core.shop.rows import Row


class Emit(Protocol):
    """Appends an event to the same transaction."""

    def __call__(self, kind: str, data: dict[str, Any], /, *, key: str | None, customer: str | None) -> object: ...


@dataclass(slots=True, kw_only=True)
class Work:
    """One writer's surroundings; lives as long as the transaction."""

    conn: Connection
    #: None: nothing is told to the automations (imports).
    emit: Emit | None
    now: datetime
    #: The system whose word this is: names external ids, and is compared with the masters of fields.
    source: str
    #: Where phone numbers without a country code belong.
    region: str = "TR"
    #: {"customer.name": "1c"}: only this source may change the field of a stored record.
    masters: Mapping[str, str] = field(default_factory=dict)
    #: The status machine, read once.
    statuses: dict[str, Row] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a writer did to one record."""

    id: str
    created: bool = False
    #: {"order.status": {"from": "new", "to": "paid"}}; empty for a record just created.
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: What was wanted and not written, with the reason.
    ignored: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_changed(self) -> bool:
        return self.created or bool(self.changes)


@dataclass(slots=True, kw_only=True)
class Draft:
    """A record between what is stored and what is wanted; collects the difference."""

    work: Work
    noun: str
    row: Row
    created: bool = False
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    touched: bool = False

    def set(self, name: str, value: Any, *, shown: Any = None) -> bool:
        """Put the value into the row unless it is there already or another system is the field's master.

        `shown` turns a stored value into what people read in the changes.
        """
        before = self.row.get(name)
        if before == value or not self.may_write(name):
            return False
        self.row[name] = value
        show = shown or (lambda stored: stored.isoformat() if isinstance(stored, datetime) else stored)
        self.note(name, None if before is None else show(before), None if value is None else show(value))
        return True

    def may_write(self, name: str) -> bool:
        """Say whether this source may change the field; a new record may be filled by anyone."""
        path = f"{self.noun}.{name}"
        master = self.work.masters.get(path, self.work.source)
        if self.created or master == self.work.source:
            return True
        self.ignored[path] = f"is kept by {master}"
        return False

    def note(self, name: str, before: Any, after: Any) -> None:
        self.touched = True
        if not self.created:
            self.changes[f"{self.noun}.{name}"] = {"from": before, "to": after}

    def ignore(self, name: str, reason: str) -> None:
        self.ignored[f"{self.noun}.{name}"] = reason

    def done(self) -> Change:
        return Change(id=self.row["id"], created=self.created, changes=self.changes, ignored=self.ignored)
