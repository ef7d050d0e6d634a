"""Caps over all rules: at most so many effects of a kind, in the whole shop or for one customer.

They lie in the database and are read in every transaction that acts, so a change holds at once, in every process.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, case, delete, func, insert, select, update

from core.audit import Entry, record
from core.durations import Duration, add, parse_duration, period_words
from core.effects import REAL
from core.errors import InvalidInput, NotFound
from core.policy.guard import CapRule
from core.tables import caps, effects
from core.writer import Tx

PER = ("shop", "customer")
ABOVE = ("skip", "later", "hold")
MOST = 1_000_000_000
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
KIND = re.compile(r"[a-z][a-z0-9_.-]{0,59}")
#: Kinds whose name cannot be counted.
_NOUNS = {"money": "money transfer", "stock": "stock change", "status": "status change"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """At most `most` effects of a kind in a period, whichever rules they come from."""

    name: str
    kind: str
    #: shop: all of them together; customer: those for one person.
    per: str
    most: int
    #: As people write it: 1 day.
    period: str
    #: What happens to the one too many: skip, later, hold.
    above: str

    @property
    def length(self) -> Duration:
        return parse_duration(self.period, path="period")

    @property
    def words(self) -> str:
        """Say it: at most 2 messages a day per customer."""
        noun = _NOUNS.get(self.kind, self.kind) + ("" if self.most == 1 else "s")
        whom = " per customer" if self.per == "customer" else ""
        return f"at most {self.most} {noun} {_span(self.length)}{whom}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How much of a cap is used now."""

    #: Effects in the period: of the whole shop, or of the customer with the most.
    used: int
    #: How many have reached it: 0 or 1 for the shop, or a number of customers.
    reached: int


# Kept


def list_caps(conn: Connection) -> list[Cap]:
    """Return all caps by name."""
    return [_read(row) for row in conn.execute(select(caps).order_by(caps.c.name))]


def find_row(conn: Connection, name: str) -> Row[Any] | None:
    """Return a cap's whole row: with when it was changed, and by whom."""
    return conn.execute(select(caps).where(caps.c.name == name)).one_or_none()


def get_cap(conn: Connection, name: str) -> Cap:
    row = find_row(conn, name)
    if row is None:
        raise NotFound(f"no cap {name!r}")
    return _read(row)


def save_cap(tx: Tx, cap: Cap, *, kinds: Collection[str], actor: str, now: datetime) -> bool:
    """Make or change a cap and return whether it is new; `kinds` are those of the actions that are there."""
    _check(tx.conn, cap, kinds)
    row = find_row(tx.conn, cap.name)
    values = {**asdict(cap), "changed_at": now, "changed_by": actor}
    if row is None:
        tx.conn.execute(insert(caps).values(**values))
    elif _read(row) == cap:
        return False
    else:
        tx.conn.execute(update(caps).where(caps.c.name == cap.name).values(**values))
    before = None if row is None else asdict(_read(row))
    entry = Entry(actor=actor, action="cap.saved", object=f"cap:{cap.name}", before=before, after=asdict(cap))
    record(tx, entry, now)
    return row is None


def remove_cap(tx: Tx, name: str, *, actor: str, now: datetime) -> None:
    """Take a cap away; what waits for it goes on when its time has come."""
    cap = get_cap(tx.conn, name)
    tx.conn.execute(delete(caps).where(caps.c.name == name))
    record(tx, Entry(actor=actor, action="cap.removed", object=f"cap:{name}", before=asdict(cap)), now)


def _read(row: Row[Any]) -> Cap:
    return Cap(name=row.name, kind=row.kind, per=row.per, most=row.most, period=row.period, above=row.above)


def _check(conn: Connection, cap: Cap, kinds: Collection[str]) -> None:
    if not NAME.fullmatch(cap.name):
        raise InvalidInput("name", "needs 1 to 80 small letters, digits and dashes")
    for path, value, words in (("per", cap.per, PER), ("above", cap.above, ABOVE)):
        if value not in words:
            raise InvalidInput(path, f"must be one of {', '.join(words)}")
    if not 0 <= cap.most <= MOST:
        raise InvalidInput("most", f"must be from 0 to {MOST}")
    if cap.most == 0 and cap.above == "later":
        raise InvalidInput("above", "cannot be later where not one is allowed: choose skip or hold")
    length = cap.length
    if not (length.years or length.months or length.fixed.total_seconds() > 0):
        raise InvalidInput("period", "must be longer than nothing")
    _check_kind(conn, cap.kind, kinds)


def _check_kind(conn: Connection, kind: str, kinds: Collection[str]) -> None:
    """Refuse a kind that nothing has: a cap that was mistyped would never be felt."""
    known = sorted(kinds)
    if KIND.fullmatch(kind) and (kind in kinds or _was_done(conn, kind)):
        return
    close = difflib.get_close_matches(kind, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    raise InvalidInput("kind", f"no action of a plugin that is on has the kind {kind!r}; {hint}")


def _was_done(conn: Connection, kind: str) -> bool:
    return conn.execute(select(effects.c.id).where(effects.c.kind == kind).limit(1)).first() is not None


def _span(length: Duration) -> str:
    words = period_words(length, "en")
    one = re.fullmatch(r"1 ([a-z]+)", words)
    return f"in {words}" if one is None else f"{'an' if one[1] == 'hour' else 'a'} {one[1]}"


# Asked


def caps_on(found: Iterable[Cap], *, kind: str, customer: str | None, watching: bool) -> list[CapRule]:
    """Return what the caps mean for one effect that is about to happen.

    What rules only watch is not counted against those that act, but is shown against everything.
    """
    asked = []
    for cap in found:
        if cap.kind != kind or (cap.per == "customer" and customer is None):
            continue
        whose = (("customer", customer),) if cap.per == "customer" else ()
        asked.append(
            CapRule(
                name=cap.name,
                count=cap.most,
                period=cap.length,
                where=(("kind", kind), *whose),
                above=cap.above,
                counted=f"{kind}:{customer if whose else ''}",
                states=() if watching else REAL,
                words=f"{cap.words}: reached",
            )
        )
    return asked


def measure(conn: Connection, cap: Cap, now: datetime, zone: ZoneInfo) -> Use:
    """Count what a cap counts, now."""
    since = add(now, -cap.length, zone)
    counted = select(func.count().label("n")).where(
        effects.c.kind == cap.kind, effects.c.at > since, effects.c.state.in_(REAL)
    )
    if cap.per == "customer":
        counted = counted.where(effects.c.customer.is_not(None)).group_by(effects.c.customer)
    each = counted.subquery()
    full = case((each.c.n >= max(cap.most, 1), 1), else_=0)
    row = conn.execute(select(func.max(each.c.n).label("used"), func.sum(full).label("reached"))).one()
    return Use(used=row.used or 0, reached=int(row.reached or 0))
