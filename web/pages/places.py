"""Places in lists that are sorted by a moment and an id, as they stand in addresses."""

from datetime import datetime

from core.db import from_micros, to_micros
from web.paging import read_cursor, write_cursor
from web.visits import Visit

#: Beyond any moment that is stored.
_LAST_MICROS = 1 << 53
#: Stands for a row without a moment; those come last.
_NEVER = -1


def read_place(visit: Visit, kind: str) -> tuple[datetime, str] | None:
    """Return the place behind which the page of this list goes on; None at its beginning."""
    found = read_open_place(visit, kind)
    return None if found is None or found[0] is None else (found[0], found[1])


def read_open_place(visit: Visit, kind: str) -> tuple[datetime | None, str] | None:
    """Return the place in a list whose rows may have no moment."""
    found = read_cursor(visit.query.get("cursor") or None, kind, int, str)
    if found is None:
        return None
    micros, ours = found
    return (None if micros == _NEVER else from_micros(min(abs(micros), _LAST_MICROS))), ours


def next_place(visit: Visit, kind: str, at: datetime | None, ours: str) -> str:
    """Return the address of this list's next page, behind the row with this moment and id."""
    return visit.linked(cursor=write_cursor(kind, _NEVER if at is None else to_micros(at), ours))
