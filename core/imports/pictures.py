"""Pictures of records: all their rows, so that an import can be undone and a later change be noticed."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Column, Connection, Table, and_, select, tuple_

from core.db import Moment
from core.shop.rows import chunks
from core.shop.tables import (
    consents,
    customer_links,
    customer_merges,
    customers,
    external_ids,
    messages,
    notes,
    order_lines,
    orders,
    payments,
    prices,
    products,
    reservations,
    shipments,
    stock,
    tags,
    tasks,
    variants,
)

#: {table: rows}; plain data only.
Picture = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A table that holds rows of a record, and the column that names the record there."""

    table: Table
    owner: Column[Any]
    #: Only rows of this kind, in tables that several nouns share.
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """What a record is made of, parents first, and what may point to it when it is to be deleted."""

    parts: tuple[Part, ...]
    #: (column, what is there)
    references: tuple[tuple[Column[Any], str], ...] = ()


NOUNS: Mapping[str, Noun] = {
    "customer": Noun(
        parts=(
            Part(table=customers, owner=customers.c.id),
            Part(table=customer_links, owner=customer_links.c.customer),
            Part(table=external_ids, owner=external_ids.c.object, kind="customer"),
            Part(table=tags, owner=tags.c.object, kind="customer"),
        ),
        references=(
            (orders.c.customer, "orders"),
            (consents.c.customer, "consents"),
            (customer_merges.c.kept, "merged customers"),
            (messages.c.customer, "messages"),
            (tasks.c.customer, "tasks"),
            (notes.c.object, "notes"),
        ),
    ),
    "product": Noun(
        parts=(
            Part(table=products, owner=products.c.id),
            Part(table=variants, owner=variants.c.product),
            Part(table=external_ids, owner=external_ids.c.object, kind="product"),
            Part(table=tags, owner=tags.c.object, kind="product"),
        ),
        references=((notes.c.object, "notes"),),
    ),
    #: Prices and stock have no id of their own: `variant/list` and `variant/place`.
    "price": Noun(parts=(Part(table=prices, owner=prices.c.variant),)),
    "stock": Noun(parts=(Part(table=stock, owner=stock.c.variant),)),
    "order": Noun(
        parts=(
            Part(table=orders, owner=orders.c.id),
            Part(table=order_lines, owner=order_lines.c.order),
            Part(table=external_ids, owner=external_ids.c.object, kind="order"),
            Part(table=tags, owner=tags.c.object, kind="order"),
        ),
        references=(
            (payments.c.order, "payments"),
            (shipments.c.order, "shipments"),
            (reservations.c.order, "reservations"),
            (messages.c.order, "messages"),
            (tasks.c.order, "tasks"),
            (notes.c.object, "notes"),
        ),
    ),
}
#: In this order records are undone: an order before its customer, a price before its product.
UNDO_ORDER = ("stock", "price", "order", "product", "customer")
_PAIRED: Mapping[str, tuple[Table, Column[Any], Column[Any]]] = {
    "price": (prices, prices.c.variant, prices.c.list),
    "stock": (stock, stock.c.variant, stock.c.place),
}


def pair_id(variant: str, name: str) -> str:
    """Return the id under which a price or a stock level is remembered."""
    return f"{variant}/{name}"


def take_pictures(conn: Connection, noun: str, ids: Iterable[str]) -> dict[str, Picture]:
    """Return each record's rows; a record that is not there has an empty picture."""
    wanted = list(dict.fromkeys(ids))
    if noun in _PAIRED:
        return _take_pairs(conn, noun, wanted)
    found: dict[str, Picture] = {one: no_picture(noun) for one in wanted}
    for part in NOUNS[noun].parts:
        for some in chunks(wanted):
            query = select(part.table).where(_owned(part, part.owner.in_(some))).order_by(*part.table.primary_key)
            for row in conn.execute(query).mappings():
                found[row[part.owner.name]][_plain(part.table.name)].append(_freeze(row))
    return found


def _take_pairs(conn: Connection, noun: str, wanted: list[str]) -> dict[str, Picture]:
    table, first, second = _PAIRED[noun]
    found: dict[str, Picture] = {one: no_picture(noun) for one in wanted}
    for some in chunks(wanted, 400):
        pairs = [tuple(one.split("/", 1)) for one in some]
        query = select(table).where(tuple_(first, second).in_(pairs)).order_by(*table.primary_key)
        for row in conn.execute(query).mappings():
            found[pair_id(row[first.name], row[second.name])][_plain(table.name)].append(_freeze(row))
    return found


def _owned(part: Part, test: Any) -> Any:
    return test if part.kind is None else and_(test, part.table.c.kind == part.kind)


def no_picture(noun: str) -> Picture:
    """Return the picture of a record that is not there."""
    return {_plain(part.table.name): [] for part in NOUNS[noun].parts}


def hash_of(picture: Picture) -> str:
    """Return what two pictures have in common exactly when they are equal."""
    return hashlib.sha256(orjson.dumps(picture, option=orjson.OPT_SORT_KEYS)).hexdigest()


def find_references(conn: Connection, noun: str, pictures: Mapping[str, Picture]) -> dict[str, str]:
    """Say for each of these records what keeps it from being deleted; those that nothing keeps are left out."""
    owners = {one: one for one in pictures}
    found = _find_pointers(conn, NOUNS[noun].references, owners)
    if noun == "product":
        owners = {row["id"]: one for one, picture in pictures.items() for row in picture["variants"]}
        found |= _find_pointers(conn, _OF_VARIANTS, owners)
    return found


def _find_pointers(
    conn: Connection, references: Iterable[tuple[Column[Any], str]], owners: Mapping[str, str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for column, words in references:
        for some in chunks(owners):
            pointing = select(column).where(column.in_(some)).distinct()
            found |= {owners[one]: words for one in conn.execute(pointing).scalars()}
    return found


_OF_VARIANTS = (
    (stock.c.variant, "stock"),
    (reservations.c.variant, "reservations"),
    (prices.c.variant, "prices of its own"),
)


def restore_picture(conn: Connection, noun: str, now: Picture, before: Picture) -> None:
    """Bring a record's rows back to what they were: those that came are deleted, those that changed are set back."""
    tables: dict[str, Table] = {part.table.name: part.table for part in NOUNS[noun].parts}
    for name, table in reversed(tables.items()):
        gone = _by_key(table, now[name]).keys() - _by_key(table, before[name]).keys()
        for key in gone:
            if name == "variants":
                conn.execute(order_lines.update().where(order_lines.c.variant == key[0]).values(variant=None))
            conn.execute(table.delete().where(_is(table, key)))
    for name, table in tables.items():
        present = _by_key(table, now[name])
        for key, row in _by_key(table, before[name]).items():
            if key not in present:
                conn.execute(table.insert().values(_thaw(table, row)))
            elif present[key] != row:
                conn.execute(table.update().where(_is(table, key)).values(_thaw(table, row)))


def _by_key(table: Table, rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    names = [column.name for column in table.primary_key]
    return {tuple(row[name] for name in names): row for row in rows}


def _is(table: Table, key: tuple[Any, ...]) -> Any:
    return and_(*(column == value for column, value in zip(table.primary_key, key, strict=True)))


def _plain(name: str) -> str:
    """Return a column's or table's name as mere text: theirs is a kind of text that JSON does not take."""
    return "".join(name)


def _freeze(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {_plain(name): value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _thaw(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    read: Callable[[str, Any], Any] = lambda name, value: (  # noqa: E731 - one expression, used once
        datetime.fromisoformat(value) if value is not None and isinstance(table.c[name].type, Moment) else value
    )
    return {name: read(name, value) for name, value in row.items()}
