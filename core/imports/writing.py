"""Write a batch of units through the shop's own writers, and remember what was there before."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, insert, select

from core.errors import Busy, InvalidInput, UserError
from core.imports.mapping import Mapped, RowFault
from core.imports.pictures import Picture, hash_of, pair_id, take_pictures
from core.imports.tables import import_rows
from core.imports.units import (
    SHOP_NAMES,
    Unit,
    order_customer,
    wanted_customer,
    wanted_order,
    wanted_price,
    wanted_product,
)
from core.shop import Shop
from core.shop.customers import read_customer
from core.shop.external_ids import find_ours
from core.shop.identity import People
from core.shop.prices import RETAIL
from core.shop.rows import chunks, rows_in
from core.shop.stock import MAIN
from core.shop.tables import orders, variants
from core.shop.work import Change

#: (noun, id)
Object = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Done:
    """What became of one unit."""

    unit: Unit
    #: new, updated, unchanged, errors
    status: str = "unchanged"
    fault: RowFault | None = None
    touched: list[tuple[Object, Change]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The surroundings in which units are written."""

    kind: str
    shop: Shop
    mapped: Mapped
    #: Of amounts that name none.
    currency: str


def write_units(batch: Batch, units: Sequence[Unit]) -> list[Done]:
    """Write the units, each whole or not at all; a unit that the shop refuses carries its fault."""
    done = [Done(unit=unit, fault=unit.fault) for unit in units]
    sound = [one for one in done if one.fault is None]
    if batch.kind == "customers":
        _write_customers(batch, sound)
    else:
        for one in sound:
            _attempt(batch, one, _WRITERS[batch.kind])
    for one in done:
        one.status = _status(one)
    return done


def _status(done: Done) -> str:
    if not done.touched:
        return "errors" if done.fault else "unchanged"
    change = done.touched[-1][1]
    if change.created:
        return "new"
    return "updated" if any(change.is_changed for _, change in done.touched) else "unchanged"


def _attempt(batch: Batch, done: Done, write: Callable[[Batch, Unit], list[tuple[Object, Change]]]) -> None:
    try:
        with batch.shop.conn.begin_nested():
            done.touched = write(batch, done.unit)
    except Busy:
        raise
    except UserError as exc:
        done.fault = _fault(batch, done.unit, exc)
        return
    _note_ignored(batch, done)


def _fault(batch: Batch, unit: Unit, exc: UserError) -> RowFault:
    if isinstance(exc, InvalidInput):
        column = batch.mapped.column_of(exc.path, SHOP_NAMES)
        words = exc.reason if column else exc.message
        return RowFault(row=unit.row, column=column, message=words)
    return RowFault(row=unit.row, column=None, message=exc.message)


def _note_ignored(batch: Batch, done: Done) -> None:
    """Say what was left as it was although the row was written."""
    for _, change in done.touched:
        for path, reason in change.ignored.items():
            column = batch.mapped.column_of(path, SHOP_NAMES)
            done.fault = done.fault or RowFault(row=done.unit.row, column=column, message=f"left as it was: {reason}")


def _write_customers(batch: Batch, sound: list[Done]) -> None:
    """Write all customers in a few statements; one by one where the shop refuses them together."""
    work = batch.shop.work
    wanted: list[tuple[Done, dict[str, Any]]] = []
    for done in sound:
        try:
            read_customer(wanted_customer(done.unit), source=work.source, region=work.region, path="")
        except InvalidInput as exc:
            done.fault = _fault(batch, done.unit, exc)
            continue
        wanted.append((done, wanted_customer(done.unit)))
    try:
        changes = batch.shop.upsert_customers([one for _, one in wanted], path="")
    except Busy:
        raise
    except UserError:
        for done, _ in wanted:
            _attempt(batch, done, _write_customer)
        return
    for (done, _), change in zip(wanted, changes, strict=True):
        done.touched = [(("customer", change.id), change)]
        _note_ignored(batch, done)


def _write_customer(batch: Batch, unit: Unit) -> list[tuple[Object, Change]]:
    change = batch.shop.upsert_customer(wanted_customer(unit), path="")
    return [(("customer", change.id), change)]


def _write_product(batch: Batch, unit: Unit) -> list[tuple[Object, Change]]:
    wanted = wanted_product(unit, batch.currency)
    price = wanted.pop("price", None)
    change = batch.shop.upsert_product(wanted, path="")
    touched: list[tuple[Object, Change]] = []
    if price is not None:
        priced = batch.shop.set_price({"sku": wanted["sku"], "price": price}, path="")
        touched.append((("price", pair_id(priced.id, RETAIL)), priced))
    return [*touched, (("product", change.id), change)]


def _write_price(batch: Batch, unit: Unit) -> list[tuple[Object, Change]]:
    wanted = wanted_price(unit, batch.currency)
    change = batch.shop.set_price(wanted, path="")
    first = any(moved.get("from") is None for moved in change.changes.values())
    told = Change(id=change.id, created=first, changes=change.changes, ignored=change.ignored)
    return [(("price", pair_id(change.id, wanted.get("list", RETAIL))), told)]


def _write_stock(batch: Batch, unit: Unit) -> list[tuple[Object, Change]]:
    change = batch.shop.set_stock(unit.values, path="")
    return [(("stock", pair_id(change.id, unit.values.get("place", MAIN))), change)]


def _write_order(batch: Batch, unit: Unit) -> list[tuple[Object, Change]]:
    wanted, touched = wanted_order(unit, batch.currency), []
    person = order_customer(unit)
    if person:
        change = _write_buyer(batch, person)
        wanted["customer"] = change.id
        touched.append((("customer", change.id), change))
    change = batch.shop.upsert_order(wanted, path="")
    return [*touched, (("order", change.id), change)]


def _write_buyer(batch: Batch, person: Mapping[str, Any]) -> Change:
    if set(person) != {"external_id"}:
        return batch.shop.upsert_customer(person, path="customer")
    # Only a number: known already, or a stub until somebody tells more.
    reference = person["external_id"]
    known = batch.shop.find_customer(reference, system=batch.shop.source)
    if known is not None:
        return Change(id=known)
    return Change(id=batch.shop.open_customer(reference, system=batch.shop.source), created=True)


_WRITERS: Mapping[str, Callable[[Batch, Unit], list[tuple[Object, Change]]]] = {
    "products": _write_product,
    "prices": _write_price,
    "stock": _write_stock,
    "orders": _write_order,
}


# What was there before


def find_present(batch: Batch, units: Iterable[Unit]) -> dict[Object, Picture]:
    """Return pictures of the stored records that these units may change."""
    sound = [unit for unit in units if unit.fault is None]
    objects = _FINDERS[batch.kind](batch, sound)
    pictures: dict[Object, Picture] = {}
    for noun in dict.fromkeys(noun for noun, _ in objects):
        found = take_pictures(batch.shop.conn, noun, [one for kind, one in objects if kind == noun])
        pictures |= {(noun, one): picture for one, picture in found.items()}
    return pictures


def _find_customers(batch: Batch, wanted: Iterable[Mapping[str, Any]]) -> list[Object]:
    work, named = batch.shop.work, []
    for one in wanted:
        try:
            named.append(read_customer(one, source=work.source, region=work.region, path="").named)
        except InvalidInput:
            continue  # refused again, with its reason, when it is written
    people = People.load(work.conn, named)
    rows = [people.find(one) for one in named]
    return [("customer", row["id"]) for row in rows if row is not None]


def _customers_before(batch: Batch, units: list[Unit]) -> list[Object]:
    return _find_customers(batch, map(wanted_customer, units))


def _variants(batch: Batch, units: list[Unit]) -> dict[str, dict[str, Any]]:
    skus = [unit.values["sku"] for unit in units]
    return {row["sku"]: row for row in rows_in(batch.shop.conn, variants.c.sku, skus)}


def _products_before(batch: Batch, units: list[Unit]) -> list[Object]:
    found = _variants(batch, units)
    numbers = [unit.values["external_id"] for unit in units if "external_id" in unit.values]
    ours = find_ours(batch.shop.conn, "product", ((batch.shop.source, number) for number in numbers))
    prices = [("price", pair_id(row["id"], RETAIL)) for row in found.values()]
    return [*prices, *(("product", row["product"]) for row in found.values()), *(("product", o) for o in ours.values())]


def _prices_before(batch: Batch, units: list[Unit]) -> list[Object]:
    return _pairs_before(batch, units, "price", "list", RETAIL)


def _stock_before(batch: Batch, units: list[Unit]) -> list[Object]:
    return _pairs_before(batch, units, "stock", "place", MAIN)


def _pairs_before(batch: Batch, units: list[Unit], noun: str, name: str, usual: str) -> list[Object]:
    found = _variants(batch, units)
    known = [unit.values for unit in units if unit.values["sku"] in found]
    return [(noun, pair_id(found[values["sku"]]["id"], values.get(name, usual))) for values in known]


def _orders_before(batch: Batch, units: list[Unit]) -> list[Object]:
    conn, source = batch.shop.conn, batch.shop.source
    numbers = [unit.values["number"] for unit in units]
    found = set(find_ours(conn, "order", ((source, number) for number in numbers)).values())
    for some in chunks(numbers):
        named = and_(orders.c.source == source, orders.c.number.in_(some))
        found |= set(conn.execute(select(orders.c.id).where(named)).scalars())
    people = [person for unit in units if (person := order_customer(unit))]
    return [*(("order", one) for one in sorted(found)), *_find_customers(batch, people)]


_FINDERS: Mapping[str, Callable[[Batch, list[Unit]], list[Object]]] = {
    "customers": _customers_before,
    "products": _products_before,
    "prices": _prices_before,
    "stock": _stock_before,
    "orders": _orders_before,
}


def remember(batch: Batch, import_id: str, done: Sequence[Done], before: Mapping[Object, Picture]) -> None:
    """Store what each unit changed or why it was refused; a record's first change keeps how it was before."""
    conn = batch.shop.conn
    changed = [key for one in done for key, change in one.touched if change.is_changed]
    known = _known(batch, import_id, changed)
    after: dict[Object, str] = {}
    for noun in dict.fromkeys(noun for noun, _ in changed):
        pictures = take_pictures(conn, noun, [one for kind, one in changed if kind == noun])
        after |= {(noun, one): hash_of(picture) for one, picture in pictures.items()}
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for one in done:
        for (noun, ours), change in one.touched:
            if change.is_changed:
                first = (noun, ours) not in known
                known.add((noun, ours))
                row = _row(import_id, one, noun, status="new" if change.created else "updated")
                row |= {"object": ours, "first": first, "after": after[noun, ours]}
                row |= {"before": before.get((noun, ours)) if first else None}
                rows[one.unit.row, noun] = row
        if one.fault is not None:
            noun = one.touched[-1][0][0] if one.touched else _NOUN[batch.kind]
            row = rows.setdefault((one.unit.row, noun), _row(import_id, one, noun, status="error"))
            row |= {"column": one.fault.column, "error": one.fault.message[:1_000]}
            row["status"] = "error" if not one.touched else row["status"]
    if rows:
        conn.execute(insert(import_rows), list(rows.values()))


_NOUN = {"customers": "customer", "products": "product", "prices": "price", "stock": "stock", "orders": "order"}


def _row(import_id: str, done: Done, noun: str, *, status: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(import_rows.c.keys())
    return row | {
        "import": import_id,
        "row": done.unit.row,
        "noun": noun,
        "status": status,
        "rows": done.unit.rows,
        "first": False,
    }


def _known(batch: Batch, import_id: str, objects: Sequence[Object]) -> set[Object]:
    """Return which of these records the import has changed before."""
    known: set[Object] = set()
    for noun in dict.fromkeys(noun for noun, _ in objects):
        for some in chunks(one for kind, one in objects if kind == noun):
            mine = and_(import_rows.c["import"] == import_id, import_rows.c.noun == noun)
            query = select(import_rows.c.object).where(mine, import_rows.c.object.in_(some))
            known |= {(noun, one) for one in batch.shop.conn.execute(query).scalars()}
    return known
