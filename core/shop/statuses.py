"""The order's status machine: which status may follow which, and what an order must have to get there."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from core.errors import Conflict, InvalidInput
from core.shop.rows import Row, insert_missing
from core.shop.tables import statuses
from core.shop.wanted import Reader, optional, read_all, read_choice, read_code, read_count, read_list, read_object
from core.shop.work import Work

FIRST = "new"
GROUPS = ("new", "working", "done", "canceled")
#: What a status may require of an order.
REQUIRABLE = ("customer", "items", "address", "delivery", "seller", "payments", "shipments", "paid")


#: Other systems skip steps, so each status may jump ahead; only the way back is closed.
#: code, group, titles in English, Turkish and Russian, what may follow
DEFAULTS = (
    (
        *("new", "new", "New", "Yeni", "Новый"),
        "awaiting_payment paid packing shipped delivered completed canceled",
    ),
    (
        *("awaiting_payment", "new", "Awaiting payment", "Ödeme bekleniyor", "Ожидает оплаты"),
        "paid packing shipped delivered completed canceled",
    ),
    ("paid", "working", "Paid", "Ödendi", "Оплачен", "packing shipped delivered completed canceled returned"),
    ("packing", "working", "Packing", "Hazırlanıyor", "Собирается", "paid shipped delivered completed canceled"),
    ("shipped", "working", "Shipped", "Kargoda", "Отправлен", "delivered completed canceled returned"),
    ("delivered", "done", "Delivered", "Teslim edildi", "Доставлен", "completed returned"),
    ("completed", "done", "Completed", "Tamamlandı", "Выполнен", "returned"),
    ("canceled", "canceled", "Canceled", "İptal edildi", "Отменён", "new"),
    ("returned", "canceled", "Returned", "İade edildi", "Возвращён", ""),
)


def find_statuses(conn: Connection) -> dict[str, Row]:
    """Return {code: status} in the shop's order; the defaults while nothing is stored."""
    rows = map(dict, conn.execute(select(statuses).order_by(statuses.c.position, statuses.c.code)).mappings())
    return {row["code"]: row for row in rows} or {row["code"]: row for row in _numbered()}


def _numbered() -> list[Row]:
    names = ("code", "group", "en", "tr", "ru", "next")
    rows = [dict(zip(names, row, strict=True)) for row in DEFAULTS]
    return [
        {"code": row["code"], "group": row["group"], "position": position, "next": row["next"].split(), "requires": []}
        | {"title": {language: row[language] for language in ("en", "tr", "ru")}}
        for position, row in enumerate(rows)
    ]


def load_statuses(work: Work) -> dict[str, Row]:
    """Return the statuses for this piece of work; the first order ever stores the defaults."""
    if not work.statuses:
        work.statuses.update(find_statuses(work.conn))
        if work.conn.execute(select(statuses.c.code).limit(1)).first() is None:
            insert_missing(work.conn, statuses, _numbered())
    return work.statuses


def set_status(work: Work, wanted: Any, *, path: str = "status") -> None:
    """Store one status of the machine: code, title, group, next, requires, position."""
    texts: dict[str, Reader] = dict.fromkeys(("en", "tr", "ru"), read_code)
    readers = {
        "code": read_code,
        "title": lambda value, where: read_all(read_object(value, texts, where), texts, where),
        "group": read_choice(GROUPS),
        "next": lambda value, where: [read_code(code, where) for code in read_list(value, where)],
        "requires": lambda value, where: [read_choice(REQUIRABLE)(name, where) for name in read_list(value, where)],
        "position": optional(read_count),
    }
    read_object(wanted, readers, path)
    values = read_all({"next": [], "requires": [], "code": None, "group": "working"} | dict(wanted), readers, path)
    row = load_statuses(work).get(values["code"])
    position = values.get("position")
    values["position"] = position if position is not None else row["position"] if row else len(work.statuses)
    merged: Row = {"title": {"en": values["code"]}} | (row or {}) | values
    if row is None:
        insert_missing(work.conn, statuses, [merged])
    else:
        work.conn.execute(statuses.update().where(statuses.c.code == merged["code"]).values(merged))
    work.statuses[merged["code"]] = merged


def check_transition(machine: Mapping[str, Row], order: str, before: str | None, after: str, path: str) -> None:
    """Raise Conflict when `after` may not follow `before`, InvalidInput for a status that does not exist."""
    if after not in machine:
        raise InvalidInput(path, f"is no status of an order; known are {', '.join(machine)}")
    if before is None or before == after:
        return
    follow = machine[before]["next"] if before in machine else list(machine)
    if after not in follow:
        allowed = f"allowed next: {', '.join(follow)}" if follow else "nothing may follow it"
        raise Conflict(f"order {order} cannot go from {before} to {after}; {allowed}")


def check_requirements(machine: Mapping[str, Row], order: str, status: str, has: Mapping[str, bool]) -> None:
    """Raise Conflict naming the fields that an order lacks for a status."""
    missing = [name for name in machine[status]["requires"] if not has.get(name, False)]
    if missing:
        raise Conflict(f"order {order} cannot become {status} without {', '.join(missing)}; fill that in first")
