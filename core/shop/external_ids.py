"""Ids of other systems: one of ours for each of theirs, and one of theirs for each of ours."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, bindparam, false, select

from core.errors import Conflict, InvalidInput
from core.shop.rows import chunks, insert_all, is_storable
from core.shop.tables import external_ids as table
from core.shop.wanted import join, read_code
from core.shop.work import Work

_OURS = select(table.c.external_id, table.c.object).where(
    table.c.system == bindparam("system"),
    table.c.kind == bindparam("kind"),
    table.c.external_id.in_(bindparam("external_ids", expanding=True)),
)
_THEIRS = (
    select(table.c.object, table.c.system, table.c.external_id)
    .where(table.c.object.in_(bindparam("objects", expanding=True)), table.c.kind == bindparam("kind"))
    .where(table.c.alias == false())
    .order_by(table.c.system)
)


def read_external(wanted: Mapping[str, Any], source: str, path: str) -> dict[str, str]:
    """Return {system: id} of a wanted record: `external_id` (of the source) and `external_ids`."""
    found: dict[str, str] = {}
    for system, external in _members(wanted.get("external_ids"), join(path, "external_ids")):
        name = read_code(system, join(path, "external_ids"))
        found[name] = read_code(external, join(path, f"external_ids.{name}"))
    if wanted.get("external_id") is not None:
        found[source] = read_code(wanted["external_id"], join(path, "external_id"))
    return found


def _members(value: Any, path: str) -> Iterable[tuple[Any, Any]]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise InvalidInput(path, "must be an object of system and id")
    return value.items()


def find_ours(conn: Connection, kind: str, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return our id for each (system, external id) that is known."""
    by_system: dict[str, list[str]] = {}
    for system, external in wanted:
        by_system.setdefault(system, []).append(external)
    found: dict[tuple[str, str], str] = {}
    for system, externals in by_system.items():
        if not is_storable(system):
            continue
        for part in chunks(externals):
            named = {"system": system, "kind": kind, "external_ids": part}
            for external, ours in conn.execute(_OURS, named):
                found[system, external] = ours
    return found


def find_our_id(conn: Connection, kind: str, external: Mapping[str, str]) -> str | None:
    """Return our id for a record named by {system: id}; raise Conflict when the ids name different records."""
    ours = set(find_ours(conn, kind, external.items()).values()) if external else set()
    if len(ours) > 1:
        raise Conflict(
            f"the external ids {dict(external)} belong to different {kind} records: {', '.join(sorted(ours))}"
        )
    return ours.pop() if ours else None


def find_external(conn: Connection, kind: str, objects: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return {our id: {system: external id}}, without aliases."""
    found: dict[str, dict[str, str]] = {}
    for part in chunks(objects):
        for ours, system, external in conn.execute(_THEIRS, {"kind": kind, "objects": part}):
            found.setdefault(ours, {})[system] = external
    return found


def link(work: Work, kind: str, object_id: str, external: Mapping[str, str]) -> dict[str, str]:
    """Connect a record with ids of other systems; return those that are new.

    Raises Conflict when an id belongs to another record, or the record has another id in that system.
    """
    if not external:
        return {}
    owners = find_ours(work.conn, kind, external.items())
    new = {system: value for system, value in external.items() if (system, value) not in owners}
    for (system, value), owner in owners.items():
        if owner != object_id:
            raise Conflict(f"{kind} {value!r} of {system} is {owner} here already, not {object_id}")
    known = find_external(work.conn, kind, [object_id]).get(object_id, {}) if new else {}
    for system, value in new.items():
        if system in known:
            raise Conflict(f"{kind} {object_id} is {known[system]!r} in {system} already and cannot be {value!r} too")
    insert_all(work.conn, table, [_row(work, kind, object_id, *pair) for pair in new.items()], "external id")
    return new


def link_alias(work: Work, kind: str, object_id: str, system: str, external: str) -> None:
    """Let a further id of the same system resolve to the record."""
    row = _row(work, kind, object_id, system, external) | {"alias": True}
    insert_all(work.conn, table, [row], "external id")


def move_links(conn: Connection, kind: str, drop: str, keep: str) -> None:
    """Let the ids of one record resolve to another; where both have one in a system, the kept record's is sent back."""
    taken = select(table.c.system).where(table.c.object == keep, table.c.kind == kind, table.c.alias == false())
    of_dropped = and_(table.c.object == drop, table.c.kind == kind)
    systems = list(conn.execute(taken).scalars())
    conn.execute(table.update().where(of_dropped, table.c.system.in_(systems)).values(alias=True))
    conn.execute(table.update().where(of_dropped).values(object=keep))


def _row(work: Work, kind: str, object_id: str, system: str, external: str) -> dict[str, Any]:
    return {
        "system": system,
        "kind": kind,
        "external_id": external,
        "object": object_id,
        "alias": False,
        "at": work.now,
    }
