"""Rows turned into wanted records: one for each row, or one for all rows of an order."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.imports.fields import CUSTOM
from core.imports.limits import Row
from core.imports.mapping import Mapped, RowError, RowFault

_ITEM = "item_"
_CUSTOMER = "customer_"


@dataclass(slots=True, kw_only=True)
class Unit:
    """What is written together, or not at all."""

    #: Its first and its last row in the file.
    row: int
    last: int
    rows: int = 1
    #: Values by field, as the first row says them.
    values: dict[str, Any] = field(default_factory=dict)
    #: An order's lines.
    items: list[dict[str, Any]] = field(default_factory=list)
    fault: RowFault | None = None
    #: What else is wrong with its rows, beside the first fault.
    also: list[RowFault] = field(default_factory=list)


def read_units(kind: str, rows: Iterable[Row], mapped: Mapped) -> Iterator[Unit]:
    """Yield the file's units in order; rows that cannot be read are units with a fault."""
    units = (_read(row, mapped) for row in rows)
    return _orders(units) if kind == "orders" else units


def _read(row: Row, mapped: Mapped) -> Unit:
    unit = Unit(row=row.number, last=row.number)
    try:
        unit.values = mapped.read(row)
    except RowError as exc:
        unit.fault, *unit.also = exc.faults
        # A row with a wrong price still says to which order it belongs.
        unit.values = exc.values
    return unit


def _orders(units: Iterable[Unit]) -> Iterator[Unit]:
    """Put rows of one order that follow each other together; a row with a fault spoils its order."""
    seen: set[str] = set()
    open_order: Unit | None = None
    for unit in units:
        number = unit.values.get("number")
        if open_order is not None and (number == open_order.values.get("number") or number is None):
            _add_line(open_order, unit)
            continue
        if open_order is not None:
            yield open_order
        if number in seen:
            words = f"the rows of order {number} do not stand together; sort the file by order number"
            unit.fault = RowFault(row=unit.row, column=None, message=words)
        seen |= {number} if number is not None else set()
        open_order = unit
        open_order.items = _line(unit)
    if open_order is not None:
        yield open_order


def _add_line(order: Unit, unit: Unit) -> None:
    order.rows += 1
    order.last = unit.last
    order.items += _line(unit)
    if order.fault is None:
        order.fault, order.also = unit.fault, unit.also
    elif unit.fault is not None:
        order.also += [unit.fault, *unit.also]
    for name, value in unit.values.items():
        order.values.setdefault(name, value)


def _line(unit: Unit) -> list[dict[str, Any]]:
    line = {name.removeprefix(_ITEM): value for name, value in unit.values.items() if name.startswith(_ITEM)}
    return [line] if line else []


# Wanted records, as the shop's writers take them


def _with_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    own = {name.removeprefix(CUSTOM): value for name, value in values.items() if name.startswith(CUSTOM)}
    plain = {name: value for name, value in values.items() if not name.startswith(CUSTOM)}
    return plain | ({"fields": own} if own else {})


def money(value: Any, currency: str) -> Any:
    """Return an amount with its currency."""
    return value if isinstance(value, dict) else {"amount": value, "currency": currency}


def wanted_customer(unit: Unit) -> dict[str, Any]:
    return _with_fields(unit.values)


def wanted_product(unit: Unit, currency: str) -> dict[str, Any]:
    wanted = _with_fields(unit.values)
    currency = wanted.pop("currency", currency)
    if "price" in wanted:
        wanted["price"] = money(wanted["price"], currency)
    return wanted


def wanted_price(unit: Unit, currency: str) -> dict[str, Any]:
    values = dict(unit.values)
    values["price"] = money(values["price"], values.pop("currency", currency))
    return values


def wanted_order(unit: Unit, currency: str) -> dict[str, Any]:
    """Return an order without its customer, who is written before it."""
    values = _with_fields(unit.values)
    currency = values.get("currency", currency)
    left_out = (_ITEM, _CUSTOMER)
    wanted = {name: value for name, value in values.items() if not name.startswith(left_out)}
    wanted |= {"external_id": values["number"], "currency": currency}
    for name in ("discount", "delivery_cost", "total"):
        if name in wanted:
            wanted[name] = money(wanted[name], currency)
    if unit.items:
        wanted["items"] = [_wanted_line(line, currency) for line in unit.items]
    return wanted


def _wanted_line(line: Mapping[str, Any], currency: str) -> dict[str, Any]:
    priced = {name: money(line[name], currency) for name in ("price", "discount") if name in line}
    return {**line, **priced}


def order_customer(unit: Unit) -> dict[str, Any]:
    """Return the customer that an order's rows name; empty where they name none."""
    names = {"customer_id": "external_id"}
    return {
        names.get(name, name.removeprefix(_CUSTOMER)): value
        for name, value in unit.values.items()
        if name.startswith(_CUSTOMER)
    }


#: Where the shop's name of a value differs from the field's.
SHOP_NAMES = {
    "items.sku": "item_sku",
    "items.name": "item_name",
    "items.quantity": "item_quantity",
    "items.price": "item_price",
    "items.discount": "item_discount",
    "customer.external_id": "customer_id",
    "customer.name": "customer_name",
    "customer.phone": "customer_phone",
    "customer.email": "customer_email",
    "items": "item_sku",
}


def identity(kind: str, unit: Unit) -> str:
    """Return by what a record of the file is known: two rows with the same are one record."""
    names = {"customers": ("external_id", "phone", "email"), "orders": ("number",)}.get(kind, ("sku", "place", "list"))
    return "/".join(str(unit.values.get(name, "")) for name in names)
