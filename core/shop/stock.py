"""Stock by place: on hand, reserved and free. Every step is one conditional update, so nothing is sold twice."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, select

from core.errors import Conflict, InvalidInput, NotFound, Overtaken
from core.ids import new_id
from core.shop.prices import get_variant
from core.shop.rows import Row, chunks, equals, insert_missing, row_of
from core.shop.snapshots import snapshot_variants
from core.shop.tables import places, reservations, stock
from core.shop.wanted import (
    join,
    optional,
    read_code,
    read_flag,
    read_moment,
    read_object,
    read_quantity,
    read_title,
    show_quantity,
)
from core.shop.work import Change, Work

MAIN = "main"


def set_place(work: Work, wanted: Any, *, path: str = "place") -> None:
    """Store a place: code, name, and whether it may go below zero."""
    read_object(wanted, ("code", "name", "below_zero"), path)
    code = read_code(wanted.get("code"), join(path, "code"))
    row: Row = {"code": code, "name": read_title(wanted.get("name", code), join(path, "name"))}
    row["below_zero"] = read_flag(wanted.get("below_zero", False), join(path, "below_zero"))
    if insert_missing(work.conn, places, [row]) == 0:
        work.conn.execute(places.update().where(places.c.code == code).values(row))


def set_stock(work: Work, wanted: Any, *, path: str = "stock") -> Change:
    """Store what a place has on hand: sku, place (main when not given), on_hand. Reservations stay."""
    read_object(wanted, ("sku", "variant", "place", "on_hand"), path)
    variant = get_variant(work, wanted, path)
    place = _open_place(work, wanted, path)
    on_hand = read_quantity(wanted.get("on_hand"), join(path, "on_hand"), negative=True)
    if on_hand < 0 and not place["below_zero"]:
        raise InvalidInput(join(path, "on_hand"), f"is below zero, which the place {place['code']} does not allow")
    before = _get_level(work, variant["id"], place["code"], lock=True)
    if before["on_hand"] == on_hand:
        return Change(id=variant["id"])
    master = work.masters.get("stock.on_hand", work.source)
    if master != work.source:
        return Change(id=variant["id"], ignored={"stock.on_hand": f"is kept by {master}"})
    chosen = and_(stock.c.variant == variant["id"], stock.c.place == place["code"])
    work.conn.execute(stock.update().where(chosen).values(on_hand=on_hand, changed_at=work.now))
    return _tell(work, variant, place["code"], before)


def reserve(work: Work, wanted: Any, *, path: str = "reservation") -> Change:
    """Hold a quantity: sku, place, quantity, order, until, idempotency_key. Raises Conflict when less is free.

    With a key that was used before, the reservation made then is returned.
    """
    known = ("sku", "variant", "place", "quantity", "order", "until", "idempotency_key")
    read_object(wanted, known, path)
    variant = get_variant(work, wanted, path)
    place = _open_place(work, wanted, path)
    quantity = read_quantity(wanted.get("quantity", 1), join(path, "quantity"))
    if quantity == 0:
        raise InvalidInput(join(path, "quantity"), "must be above zero")
    row = {
        "id": new_id(),
        "variant": variant["id"],
        "place": place["code"],
        "quantity": quantity,
        "order": optional(read_code)(wanted.get("order"), join(path, "order")),
        "state": "held",
        "until": optional(read_moment)(wanted.get("until"), join(path, "until")),
        "idempotency_key": optional(read_code)(wanted.get("idempotency_key"), join(path, "idempotency_key")),
        "created_at": work.now,
        "closed_at": None,
    }
    if insert_missing(work.conn, reservations, [row]) == 0:
        first = row_of(work.conn, reservations.c.idempotency_key, row["idempotency_key"])
        if first is None:
            raise Overtaken("another process stored the same reservation at this moment; try again")
        return Change(id=first["id"])
    before = _get_level(work, variant["id"], place["code"], lock=True)
    if not _move(work, row, reserved=quantity, free=quantity, below_zero=place["below_zero"]):
        free = before["on_hand"] - before["reserved"]
        raise Conflict(
            f"{variant['sku']}: {show_quantity(free)} free at {place['code']}, {show_quantity(quantity)} wanted"
        )
    told = _tell(work, variant, place["code"], before)
    return Change(id=row["id"], created=True, changes=told.changes)


def release(work: Work, reservation: str) -> Change:
    """Give a held quantity back; one that is released already changes nothing."""
    return _close(work, reservation, "released")


def ship(work: Work, reservation: str) -> Change:
    """Take a held quantity out of the stock for good; once shipped, doing it again changes nothing."""
    return _close(work, reservation, "shipped")


def release_due(work: Work, *, limit: int = 500) -> list[Change]:
    """Release reservations whose time is over."""
    chosen = and_(reservations.c.state == "held", reservations.c.until <= work.now)
    due = work.conn.execute(select(reservations.c.id).where(chosen).order_by(reservations.c.until).limit(limit))
    return [release(work, reservation) for reservation in due.scalars().all()]


def _close(work: Work, reservation: str, state: str) -> Change:
    row = row_of(work.conn, reservations.c.id, reservation, lock=True)
    if row is None:
        raise NotFound(f"no reservation {reservation!r}")
    if row["state"] == state:
        return Change(id=row["id"])
    held = and_(reservations.c.id == row["id"], reservations.c.state == "held")
    closed = reservations.update().where(held).values(state=state, closed_at=work.now)
    if work.conn.execute(closed).rowcount == 0:
        raise Conflict(f"the reservation {reservation} is {row['state']} already")
    before = _get_level(work, row["variant"], row["place"], lock=True)
    gone = row["quantity"] if state == "shipped" else 0
    below_zero = _may_go_below(work, row["place"])
    if not _move(work, row, reserved=-row["quantity"], on_hand=-gone, has=gone, below_zero=below_zero):
        raise Conflict(f"{show_quantity(before['on_hand'])} on hand at {row['place']}, {show_quantity(gone)} to ship")
    variant = get_variant(work, {"variant": row["variant"]}, "reservation")
    told = _tell(work, variant, row["place"], before)
    return Change(id=row["id"], changes=told.changes)


def _may_go_below(work: Work, place: str) -> bool:
    row = row_of(work.conn, places.c.code, place)
    return row is not None and row["below_zero"]


def _move(
    work: Work,
    row: Mapping[str, Any],
    *,
    reserved: int,
    on_hand: int = 0,
    free: int = 0,
    has: int = 0,
    below_zero: bool,
) -> bool:
    """Change one level if enough is free and on hand; the database decides, not what was read before."""
    chosen = and_(stock.c.variant == row["variant"], stock.c.place == row["place"])
    if free and not below_zero:
        chosen = and_(chosen, stock.c.on_hand - stock.c.reserved >= free)
    if has and not below_zero:
        chosen = and_(chosen, stock.c.on_hand >= has)
    changed = (
        stock.update()
        .where(chosen)
        .values(on_hand=stock.c.on_hand + on_hand, reserved=stock.c.reserved + reserved, changed_at=work.now)
    )
    return work.conn.execute(changed).rowcount == 1


def _open_place(work: Work, wanted: Mapping[str, Any], path: str) -> Row:
    """Return the place that is named; a new one is opened under its code."""
    code = read_code(wanted.get("place", MAIN), join(path, "place"))
    row = row_of(work.conn, places.c.code, code)
    if row is None:
        row = {"code": code, "name": code, "below_zero": False}
        insert_missing(work.conn, places, [row])
    return row


def _get_level(work: Work, variant: str, place: str, *, lock: bool) -> Row:
    chosen = and_(stock.c.variant == variant, stock.c.place == place)
    wanted = select(stock).where(chosen)
    found = work.conn.execute(wanted.with_for_update() if lock else wanted).mappings().first()
    if found is not None:
        return dict(found)
    row = {"variant": variant, "place": place, "on_hand": 0, "reserved": 0, "changed_at": work.now}
    insert_missing(work.conn, stock, [row])
    return row


def _tell(work: Work, variant: Row, place: str, before: Row) -> Change:
    after = _get_level(work, variant["id"], place, lock=False)
    moved = {name for name in ("on_hand", "reserved") if before[name] != after[name]}
    changes = {
        f"stock.{name}": {"from": show_quantity(before[name]), "to": show_quantity(after[name])}
        for name in sorted(moved)
    }
    was, now_free = (show_quantity(level["on_hand"] - level["reserved"]) for level in (before, after))
    if was != now_free:
        changes["stock.available"] = {"from": was, "to": now_free}
    if work.emit is not None and changes:
        level = {
            "place": place,
            "on_hand": show_quantity(after["on_hand"]),
            "reserved": show_quantity(after["reserved"]),
        }
        product = snapshot_variants(work.conn, [variant["id"]])[variant["id"]]
        data = {"product": product, "stock": level | {"available": now_free}, "changes": changes}
        work.emit("stock.changed", data, key=variant["sku"], customer=None)
    return Change(id=variant["id"], changes=changes)


def find_stock(conn: Connection, ids: Iterable[str], *, place: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return {variant id: levels by place}."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part in chunks(ids):
        wanted = select(stock).where(stock.c.variant.in_(part)).order_by(stock.c.place)
        for row in conn.execute(wanted if place is None else wanted.where(equals(stock.c.place, place))).mappings():
            level = {name: show_quantity(row[name]) for name in ("on_hand", "reserved")}
            level["available"] = show_quantity(row["on_hand"] - row["reserved"])
            found.setdefault(row["variant"], []).append({"place": row["place"]} | level)
    return found
