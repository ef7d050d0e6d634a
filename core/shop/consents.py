"""Consents by purpose: append-only, the latest word counts, and at the same moment the withdrawal does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from core.errors import InvalidInput
from core.ids import new_id
from core.shop.rows import Row, rows_in
from core.shop.tables import consents as table
from core.shop.wanted import join, optional, read_body, read_code, read_flag, read_moment, read_object
from core.shop.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person said about one purpose; without `at` it is said now."""

    purpose: str
    granted: bool
    at: datetime | None = None
    source: str | None = None
    evidence: str | None = None


def read_words(value: Any, path: str) -> list[Word]:
    """Read `{"marketing": true}` or `{"marketing": {"granted": true, "at": ..., "source": ..., "evidence": ...}}`."""
    if not isinstance(value, Mapping):
        raise InvalidInput(path, "must be an object of purpose and true or false")
    return [_read_word(read_code(purpose, path), said, path) for purpose, said in value.items()]


def _read_word(purpose: str, said: Any, path: str) -> Word:
    where = join(path, purpose)
    if isinstance(said, bool):
        return Word(purpose=purpose, granted=said)
    read_object(said, ("granted", "at", "source", "evidence"), where)
    return Word(
        purpose=purpose,
        granted=read_flag(said.get("granted"), join(where, "granted")),
        at=optional(read_moment)(said.get("at"), join(where, "at")),
        source=optional(read_code)(said.get("source"), join(where, "source")),
        evidence=optional(read_body)(said.get("evidence"), join(where, "evidence")),
    )


def record_words(work: Work, said: Sequence[tuple[str, Word]]) -> dict[str, dict[str, tuple[bool | None, bool]]]:
    """Append what (customer, word) pairs say; return {customer: {purpose: (before, after)}} of what that changed.

    A word that repeats what counts already, or is on record with the same moment, is not written again.
    """
    if not said:
        return {}
    rows = rows_in(work.conn, table.c.customer, (customer for customer, _ in said))
    before = _states(rows)
    new: list[Row] = []
    for customer, word in said:
        at = word.at or work.now
        entry = _entry(work, customer, word, at)
        if word.at is None and _states(rows).get(customer, {}).get(word.purpose) == word.granted:
            continue
        if any(_is_same(entry, row) for row in rows):
            continue
        rows.append(entry)
        new.append(entry)
    if new:
        work.conn.execute(table.insert(), new)
    after = _states(rows)
    return {
        customer: {
            purpose: (before.get(customer, {}).get(purpose), granted)
            for purpose, granted in purposes.items()
            if before.get(customer, {}).get(purpose) != granted
        }
        for customer, purposes in after.items()
    }


def find_consents(conn: Connection, customers: Iterable[str]) -> dict[str, dict[str, bool]]:
    """Return {customer: {purpose: granted}} as it counts now."""
    return _states(rows_in(conn, table.c.customer, customers))


def find_consent(conn: Connection, customer: str, purpose: str) -> bool | None:
    """Return what counts for one purpose; None when the customer never said."""
    return find_consents(conn, [customer]).get(customer, {}).get(purpose)


def _states(rows: Iterable[Row]) -> dict[str, dict[str, bool]]:
    states: dict[str, dict[str, bool]] = {}
    for row in sorted(rows, key=lambda row: (row["at"], not row["granted"])):
        states.setdefault(row["customer"], {})[row["purpose"]] = row["granted"]
    return states


def _is_same(one: Row, other: Row) -> bool:
    return all(one[name] == other[name] for name in ("customer", "purpose", "granted", "at"))


def _entry(work: Work, customer: str, word: Word, at: datetime) -> Row:
    return {
        "id": new_id(),
        "customer": customer,
        "purpose": word.purpose,
        "granted": word.granted,
        "source": word.source or work.source,
        "evidence": word.evidence,
        "at": at,
        "recorded_at": work.now,
    }
