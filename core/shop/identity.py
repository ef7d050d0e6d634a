"""Who is who: find the customer that an id, an external id, a phone number or an e-mail address belongs to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, bindparam, literal, select, union_all

from core.errors import NotFound
from core.shop.external_ids import find_ours
from core.shop.rows import Row, chunks, contains, equals, is_storable, rows_in
from core.shop.tables import customer_links, customer_merges, customers, external_ids, tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """All the names under which one wanted customer came."""

    id: str | None
    external: Mapping[str, str]
    phone: str | None
    email: str | None


@dataclass(slots=True, kw_only=True)
class People:
    """The stored customers that a batch may mean; kept up to date while the batch is worked through."""

    rows: dict[str, Row] = field(default_factory=dict)
    #: (kind, value) -> customer
    links: dict[tuple[str, str], str] = field(default_factory=dict)
    #: (system, external id) -> customer
    external: dict[tuple[str, str], str] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, conn: Connection, named: Sequence[Named]) -> "People":
        """Read everybody the batch may mean, in one statement for each kind of name."""
        people = cls()
        people.external = find_ours(conn, "customer", (pair for one in named for pair in one.external.items()))
        for kind in ("phone", "email"):
            values = [value for one in named if (value := getattr(one, kind)) is not None]
            people.links |= _find_links(conn, kind, values)
        ids = [one.id for one in named if one.id is not None]
        people.merged = _find_merged(conn, ids)
        chosen = {*ids, *people.merged.values(), *people.external.values(), *people.links.values()}
        people.rows = {row["id"]: row for row in rows_in(conn, customers.c.id, sorted(chosen), lock=True)}
        return people

    def find(self, named: Named) -> Row | None:
        """Return the row that is meant. The phone decides before the e-mail address, which families share.

        An e-mail address alone finds its holder only when one of the two has no phone number.
        """
        if named.id is not None:
            row = self.rows.get(self.merged.get(named.id, named.id))
            if row is None:
                raise NotFound(f"no customer {named.id!r}")
            return row
        for pair in named.external.items():
            if (row := self._row(self.external.get(pair))) is not None:
                return row
        if (row := self._row(self.links.get(("phone", named.phone or "")))) is not None:
            return row
        row = self._row(self.links.get(("email", named.email or "")))
        if row is not None and named.phone is not None and row["phone"] is not None:
            return None
        return row

    def _row(self, customer: str | None) -> Row | None:
        return None if customer is None else self.rows.get(customer)


def _find_links(conn: Connection, kind: str, values: Iterable[str]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for part in chunks(values):
        chosen = and_(customer_links.c.kind == kind, customer_links.c.value.in_(part))
        for value, customer in conn.execute(select(customer_links.c.value, customer_links.c.customer).where(chosen)):
            found[kind, value] = customer
    return found


def _find_merged(conn: Connection, ids: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in chunks(ids):
        chosen = customer_merges.c.dropped.in_(part)
        wanted = select(customer_merges.c.dropped, customer_merges.c.kept).where(chosen)
        found |= {row.dropped: row.kept for row in conn.execute(wanted)}
    return found


def _build_lookup(*, one_system: bool) -> Any:
    """Build the statement that answers (reference, our id, rank): our own ids before those of other systems."""
    among = bindparam("references", expanding=True)
    own, merged = customers.c.id, customer_merges.c.dropped
    outside = select(external_ids.c.external_id, external_ids.c.object, literal(1)).where(
        external_ids.c.kind == "customer", external_ids.c.external_id.in_(among)
    )
    if one_system:
        outside = outside.where(external_ids.c.system == bindparam("system"))
    return union_all(
        select(own, own, literal(0)).where(own.in_(among)),
        select(merged, customer_merges.c.kept, literal(0)).where(merged.in_(among)),
        outside,
    )


_IN_ALL, _IN_ONE = _build_lookup(one_system=False), _build_lookup(one_system=True)


def find_customer_ids(conn: Connection, references: Iterable[str], *, system: str | None = None) -> dict[str, str]:
    """Return our id for each reference: an id of ours, one that was merged away, or one of another system.

    Without `system`, an external id counts only when all systems that have it mean the same customer.
    """
    found: dict[str, dict[str, int]] = {}
    if system is not None and not is_storable(system):
        system = ""
    statement, named = (_IN_ALL, {}) if system is None else (_IN_ONE, {"system": system})
    for part in chunks(references):
        rows: Any = conn.execute(statement, {"references": part} | named)
        for reference, ours, rank in rows:
            ranks = found.setdefault(reference, {})
            ranks[ours] = min(rank, ranks.get(ours, rank))
    return {reference: ours for reference, ranks in found.items() if (ours := _one(ranks))}


def _one(ranks: Mapping[str, int]) -> str | None:
    best = min(ranks.values())
    ours = [customer for customer, rank in ranks.items() if rank == best]
    return ours[0] if len(ours) == 1 else None


def find_customer_id(conn: Connection, reference: str, *, system: str | None = None) -> str | None:
    """Return our id for one reference, or None."""
    return find_customer_ids(conn, [reference], system=system).get(reference)


def find_customers(conn: Connection, *, text: str | None = None, tag: str | None = None, limit: int = 100) -> list[str]:
    """Return the ids of customers whose names, phone, e-mail or city hold the text, the newest first; stubs too."""
    wanted = select(customers.c.id)
    if text is not None:
        # A number is found however its digits are set apart.
        digits = "".join(letter for letter in text if letter not in " +-()")
        words = digits if digits.isascii() and digits.isdigit() else text
        wanted = wanted.where(contains(customers.c.search, words))
    if tag is not None:
        tagged = select(tags.c.object).where(tags.c.kind == "customer", equals(tags.c.tag, tag))
        wanted = wanted.where(customers.c.id.in_(tagged))
    return list(
        conn.execute(wanted.order_by(customers.c.created_at.desc(), customers.c.id.desc()).limit(limit)).scalars()
    )
