"""The exchange log: every call to and from other systems, narrowed by system, direction and result."""

from datetime import datetime

from core.db import from_micros, to_micros
from core.traffic import DIRECTIONS, RESULTS, get_exchange, list_systems, page_exchanges
from web.paging import read_cursor, write_cursor
from web.visits import ADMIN, DEVELOPER, MANAGER, Answer, Page, Visit

PAGE = Page("exchange")
_READERS = (ADMIN, MANAGER, DEVELOPER)
_PAGE_SIZE = 50


@PAGE.get("/exchange", _READERS)
def list_all(visit: Visit) -> Answer:
    where = {
        "plugin": visit.query.get("plugin") or None,
        "direction": _one_of(visit.query.get("direction"), DIRECTIONS),
        "result": _one_of(visit.query.get("result"), RESULTS),
    }
    with visit.engine.db.read() as conn:
        rows = page_exchanges(conn, **where, limit=_PAGE_SIZE + 1, before=_before(visit))
        systems = list_systems(conn)
    page = rows[:_PAGE_SIZE]
    more = ""
    if len(rows) > _PAGE_SIZE:
        last = page[-1]
        more = visit.linked(before=write_cursor("exchange", to_micros(last["at"]), last["id"]))
    return visit.render("exchange/list.html", active="exchange", rows=page, systems=systems, where=where, more=more)


@PAGE.get("/exchange/{id}", _READERS)
def show(visit: Visit) -> Answer:
    """Show one exchange: what was asked, what came back, both masked when they were kept."""
    with visit.engine.db.read() as conn:
        found = get_exchange(conn, visit.names["id"])
    return visit.render("exchange/show.html", active="exchange", row=found)


def _one_of(value: str | None, allowed: tuple[str, ...]) -> str | None:
    return value if value in allowed else None


def _before(visit: Visit) -> tuple[datetime, str] | None:
    found = read_cursor(visit.query.get("before") or None, "exchange", int, str)
    return None if found is None else (from_micros(found[0]), found[1])
