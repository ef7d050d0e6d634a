"""Rates that hold over all processes: token buckets in the database (`limits`), where many processes share the work."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update

from core.clock import Clock
from core.http.limits import Rate
from core.key_locks import lock_names
from core.lead import insert_new
from core.tables import limits
from core.writer import Tx, Writer


class SharedRates:
    """Stands where `core.http.limits.RateGate` stands in one process."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer, self._clock = writer, clock

    def reserve(self, account: object, rates: Sequence[Rate], now: float, most_s: float) -> float:
        """Take a place and return the seconds to wait for it; a wait above `most_s` takes nothing."""
        named = {f"{account}:{rate.requests}/{rate.per.total_seconds():g}s:{rate.burst}": rate for rate in rates}
        return self._writer.do(lambda tx: self._reserve_in(tx, named, most_s))

    def _reserve_in(self, tx: Tx, named: dict[str, Rate], most_s: float) -> float:
        lock_names(tx.conn, (f"rate:{name}" for name in named))
        now = self._clock.now()
        stored = select(limits.c.name, limits.c.full_at).where(limits.c.name.in_(list(named)))
        known = {row.name: row.full_at for row in tx.conn.execute(stored)}
        full_at = {name: _sane(known.get(name, now), now, rate, most_s) for name, rate in named.items()}
        wait_s = max((_wait_s(full_at[name] - now, rate) for name, rate in named.items()), default=0.0)
        if wait_s > most_s:
            return wait_s
        for name, rate in named.items():
            moment = full_at[name] + timedelta(seconds=rate.interval_s)
            if name in known or not insert_new(tx.conn, limits, name=name, full_at=moment):
                tx.conn.execute(update(limits).where(limits.c.name == name).values(full_at=moment))
        return wait_s


def _wait_s(empty_for: timedelta, rate: Rate) -> float:
    # A token is there as soon as the bucket lacks fewer than all of them.
    wait_s = empty_for.total_seconds() - rate.interval_s * ((rate.burst or rate.requests) - 1)
    return wait_s if wait_s > 1e-6 else 0.0


def _sane(full_at: datetime, now: datetime, rate: Rate, most_s: float) -> datetime:
    """Bring back what a clock wrote that has been set back since: nobody reserves further ahead than this."""
    furthest = timedelta(seconds=rate.interval_s * (rate.burst or rate.requests) + most_s)
    return min(max(full_at, now), now + furthest)
