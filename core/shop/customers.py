"""Customers: unique by phone number and e-mail address; written one by one or by the thousand in a few statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from core.errors import InvalidInput, Overtaken
from core.ids import new_id
from core.shop.consents import Word, read_words, record_words
from core.shop.external_ids import read_external
from core.shop.identity import Named, People, find_customer_id
from core.shop.merges import merge_rows
from core.shop.rows import Row, insert_all, insert_missing, update_by_id
from core.shop.snapshots import snapshot_customers
from core.shop.tables import customer_links, customers, external_ids
from core.shop.tags import delete_tag, find_tags, insert_tags
from core.shop.wanted import (
    join,
    optional,
    read_all,
    read_code,
    read_day,
    read_email,
    read_fields,
    read_language,
    read_moment,
    read_object,
    read_phone,
    read_tags,
    read_text,
    read_zone,
)
from core.shop.work import Change, Draft, Work
from core.text import fold

_PLAIN = {
    "name": optional(read_text),
    "first_name": optional(read_text),
    "last_name": optional(read_text),
    "language": optional(read_language),
    "zone": optional(read_zone),
    "birthday": optional(read_day),
    "city": optional(read_text),
}
_KNOWN = {*_PLAIN, "id", "external_id", "external_ids", "phone", "email", "fields", "tags", "consents", "created_at"}
_PERSONAL = ("name", "first_name", "last_name", "phone", "email")
_STORED = [column for column in customers.c.keys() if column not in {"id", "source", "created_at"}]  # noqa: SIM118


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCustomer:
    """A wanted customer, read and checked."""

    path: str
    named: Named
    values: Mapping[str, Any]
    fields: Mapping[str, Any]
    tags: Sequence[str] | None
    consents: Sequence[Word]
    created_at: datetime | None


def read_customer(wanted: Any, *, source: str, region: str, path: str = "customer") -> WantedCustomer:
    """Check a wanted customer without storing it; raise InvalidInput naming the first wrong field."""
    read_object(wanted, _KNOWN, path)
    readers = _PLAIN | {"phone": optional(partial(read_phone, region=region)), "email": optional(read_email)}
    values = read_all(wanted, readers, path)
    named = Named(
        id=optional(read_code)(wanted.get("id"), join(path, "id")),
        external=read_external(wanted, source, path),
        phone=values.get("phone"),
        email=values.get("email"),
    )
    if not (named.id or named.external or named.phone or named.email):
        raise InvalidInput(path, "needs a phone number, an e-mail address or an external id, to be told from others")
    return WantedCustomer(
        path=path,
        named=named,
        values=values,
        fields=read_fields(wanted.get("fields", {}), join(path, "fields")),
        tags=read_tags(wanted["tags"], join(path, "tags")) if "tags" in wanted else None,
        consents=read_words(wanted.get("consents", {}), join(path, "consents")),
        created_at=optional(read_moment)(wanted.get("created_at"), join(path, "created_at")),
    )


def upsert_customers(work: Work, wanted: Sequence[Any], *, path: str = "customers") -> list[Change]:
    """Store many wanted customers in a few statements; all of them or, with InvalidInput, none."""
    reads = [
        read_customer(one, source=work.source, region=work.region, path=f"{path}[{index}]" if len(wanted) > 1 else path)
        for index, one in enumerate(wanted)
    ]
    batch = _Batch(work=work, people=People.load(work.conn, [one.named for one in reads]))
    drafts = [batch.draft(one) for one in reads]
    batch.write()
    _say_consents(work, reads, drafts)
    changes = [draft.done() for draft in drafts]
    emit_customers(work, changes)
    return changes


def upsert_customer(work: Work, wanted: Any, *, path: str = "customer") -> Change:
    """Store one wanted customer."""
    return upsert_customers(work, [wanted], path=path)[0]


def emit_customers(work: Work, changes: Sequence[Change]) -> None:
    """Tell the automations about customers that were created or changed."""
    changed = [change for change in changes if change.is_changed]
    if work.emit is None or not changed:
        return
    people = snapshot_customers(work.conn, (change.id for change in changed))
    for change in changed:
        kind = "customer.created" if change.created else "customer.changed"
        data = {"customer": people[change.id], "changes": dict(change.changes)}
        work.emit(kind, data, key=change.id, customer=change.id)


@dataclass(slots=True, kw_only=True)
class _Batch:
    work: Work
    people: People
    new: dict[str, Row] = field(default_factory=dict)
    changed: dict[str, Row] = field(default_factory=dict)
    links: list[Row] = field(default_factory=list)
    dropped_links: list[tuple[str, str]] = field(default_factory=list)
    external: list[Row] = field(default_factory=list)
    #: customer -> tags as they are stored, and as they shall be
    tags_before: dict[str, list[str]] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)

    def draft(self, wanted: WantedCustomer) -> Draft:
        """Compare one wanted customer with what is stored and with the batch so far."""
        row = self.people.find(wanted.named)
        if row is not None and row["stub"]:
            row = self._settle_stub(row, wanted.named)
        draft = Draft(work=self.work, noun="customer", row=row or self._start(wanted), created=row is None)
        if draft.row["stub"] and any(wanted.values.get(name) is not None for name in _PERSONAL):
            draft.row["stub"], draft.created = False, True
        for name, value in wanted.values.items():
            if name in {"phone", "email"}:
                self._set_link(draft, name, value)
            else:
                draft.set(name, value)
        self._set_fields(draft, wanted.fields)
        self._set_external(draft, wanted.named.external)
        if wanted.tags is not None:
            self._set_tags(draft, wanted.tags)
        self._keep(draft)
        return draft

    def _start(self, wanted: WantedCustomer) -> Row:
        row: Row = dict.fromkeys(customers.c.keys())
        created_at = wanted.created_at or self.work.now
        row |= {"id": new_id(), "fields": {}, "stub": False, "search": "", "source": self.work.source}
        row |= {"created_at": created_at, "changed_at": self.work.now}
        self.people.rows[row["id"]] = self.new[row["id"]] = row
        return row

    def _settle_stub(self, stub: Row, named: Named) -> Row:
        """Give what a stub gathered to the real customer that the phone or the address belongs to."""
        holder = self.people.links.get(("phone", named.phone or "")) or self.people.links.get(
            ("email", named.email or "")
        )
        if holder is None or holder == stub["id"] or holder in self.new:
            return stub
        merge_rows(self.work, keep=self.people.rows[holder], drop=stub, actor=self.work.source)
        for pair, customer in self.people.external.items():
            if customer == stub["id"]:
                self.people.external[pair] = holder
        self.people.rows.pop(stub["id"])
        self.people.merged[stub["id"]] = holder
        return self.people.rows[holder]

    def _set_link(self, draft: Draft, kind: str, value: str | None) -> None:
        before, owner = draft.row[kind], self.people.links.get((kind, value or ""))
        if value is not None and owner is not None and owner != draft.row["id"]:
            draft.ignore(kind, f"belongs to customer {owner}: merge the two if they are one person")
            return
        if not draft.set(kind, value):
            return
        if value is None:
            self.people.links.pop((kind, before), None)
            self.links = [link for link in self.links if (link["kind"], link["value"]) != (kind, before)]
            self.dropped_links.append((kind, before))
        elif owner is None:
            self.people.links[kind, value] = draft.row["id"]
            self.links.append({"kind": kind, "value": value, "customer": draft.row["id"]})

    def _set_fields(self, draft: Draft, fields: Mapping[str, Any]) -> None:
        for name, value in fields.items():
            if draft.row["fields"].get(name) == value or not draft.may_write(f"fields.{name}"):
                continue
            draft.note(f"fields.{name}", draft.row["fields"].get(name), value)
            kept = {key: item for key, item in draft.row["fields"].items() if key != name}
            draft.row["fields"] = kept if value is None else kept | {name: value}

    def _set_external(self, draft: Draft, external: Mapping[str, str]) -> None:
        for system, value in external.items():
            owner = self.people.external.get((system, value))
            if owner == draft.row["id"]:
                continue
            if owner is not None:
                draft.ignore(f"external_ids.{system}", f"{value} belongs to customer {owner}")
                continue
            self.people.external[system, value] = draft.row["id"]
            row = {"system": system, "kind": "customer", "external_id": value, "object": draft.row["id"]}
            self.external.append(row | {"at": self.work.now})
            draft.note(f"external_ids.{system}", None, value)

    def _set_tags(self, draft: Draft, wanted: Sequence[str]) -> None:
        customer = draft.row["id"]
        if customer not in self.tags:
            stored = {} if draft.created and customer in self.new else find_tags(self.work.conn, "customer", [customer])
            self.tags_before[customer] = self.tags[customer] = stored.get(customer, [])
        before = self.tags[customer]
        if list(wanted) == before or not draft.may_write("tags"):
            return
        self.tags[customer] = list(wanted)
        draft.note("tags", before, list(wanted))

    def _keep(self, draft: Draft) -> None:
        if not draft.touched and not draft.created:
            return
        row = draft.row
        words = (row[name] for name in (*_PERSONAL, "city"))
        row["search"] = fold(" ".join(word for word in words if word))
        row["changed_at"] = self.work.now
        if row["id"] not in self.new:
            self.changed[row["id"]] = row

    def write(self) -> None:
        """Send the difference to the database."""
        conn = self.work.conn
        insert_all(conn, customers, list(self.new.values()), "customer")
        update_by_id(conn, customers, list(self.changed.values()), _STORED)
        for kind, value in self.dropped_links:
            chosen = (customer_links.c.kind == kind, customer_links.c.value == value)
            conn.execute(customer_links.delete().where(*chosen))
        insert_all(conn, customer_links, self.links, "phone number or e-mail address")
        self._write_external()
        self._write_tags()

    def _write_tags(self) -> None:
        new: list[tuple[str, str]] = []
        for customer, wanted in self.tags.items():
            before = self.tags_before[customer]
            new += [(customer, tag) for tag in wanted if tag not in before]
            for tag in before:
                if tag not in wanted:
                    delete_tag(self.work.conn, "customer", customer, tag)
        insert_tags(self.work.conn, "customer", new, self.work.now)

    def _write_external(self) -> None:
        """Store ids of other systems; a person's second account there becomes an alias."""
        missing = len(self.external)
        for alias in (False, True):
            if missing:
                rows = [row | {"alias": alias} for row in self.external]
                missing -= insert_missing(self.work.conn, external_ids, rows)
        if missing:
            raise Overtaken("another process stored the same customer at this moment; try again")


def _say_consents(work: Work, reads: Sequence[WantedCustomer], drafts: Sequence[Draft]) -> None:
    pairs = zip(reads, drafts, strict=True)
    said = [(draft.row["id"], word) for one, draft in pairs for word in one.consents]
    changed = record_words(work, said)
    for draft in drafts:
        for purpose, (before, after) in changed.pop(draft.row["id"], {}).items():
            draft.note(f"consents.{purpose}", before, after)


def find_or_stub(work: Work, reference: str, *, system: str | None = None) -> str:
    """Return our id of the customer that an event names; one nobody knows yet gets a stub record.

    A stub is no new customer of the shop: nothing is told to the automations until real data comes.
    """
    system = system or work.source
    found = find_customer_id(work.conn, reference, system=system)
    if found is not None:
        return found
    reference = read_code(reference, "customer")
    row: Row = dict.fromkeys(customers.c.keys())
    row |= {"id": new_id(), "fields": {}, "stub": True, "search": "", "source": system}
    row |= {"created_at": work.now, "changed_at": work.now}
    insert_all(work.conn, customers, [row], "customer")
    named = {"system": system, "kind": "customer", "external_id": reference, "object": row["id"]}
    insert_all(work.conn, external_ids, [named | {"alias": False, "at": work.now}], "external id")
    return row["id"]


def add_customer_tag(work: Work, customer: str, tag: str) -> Change:
    """Put a tag on a stored customer."""
    tag = read_code(tag, "tag")
    added = insert_tags(work.conn, "customer", [(customer, tag)], work.now) > 0
    return _tag_change(work, customer, tag, added=added, removed=False)


def remove_customer_tag(work: Work, customer: str, tag: str) -> Change:
    """Take a tag off a stored customer."""
    tag = read_code(tag, "tag")
    removed = delete_tag(work.conn, "customer", customer, tag)
    return _tag_change(work, customer, tag, added=False, removed=removed)


def _tag_change(work: Work, customer: str, tag: str, *, added: bool, removed: bool) -> Change:
    if not (added or removed):
        return Change(id=customer)
    after = find_tags(work.conn, "customer", [customer]).get(customer, [])
    before = [name for name in after if name != tag] if added else sorted({*after, tag})
    change = Change(id=customer, changes={"customer.tags": {"from": before, "to": after}})
    emit_customers(work, [change])
    return change
