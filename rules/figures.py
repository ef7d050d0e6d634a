"""Figures of the engine for graphs and alarms, read from the database."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from core.tables import effects, events
from rules.tables import runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How much there is, and how far behind the engine is."""

    events: int
    #: By outcome; open runs by their status.
    runs: dict[str, int]
    due: int
    #: Seconds since the oldest run that is due should have gone on.
    oldest_due_s: float
    #: By kind and state.
    effects: dict[tuple[str, str], int]


def read_figures(conn: Connection, now: datetime) -> Figures:
    """Count; costs a look through indexes, so ask for it every some seconds, not on each call."""
    outcome = func.coalesce(runs.c.outcome, runs.c.status)
    due = runs.c.due_at.is_not(None) & (runs.c.due_at <= now)
    waiting, oldest = conn.execute(select(func.count(), func.min(runs.c.due_at)).where(due)).one()
    by_kind = select(effects.c.kind, effects.c.state, func.count()).group_by(effects.c.kind, effects.c.state)
    by_outcome = select(outcome, func.count()).group_by(outcome)
    return Figures(
        events=conn.execute(select(func.count()).select_from(events)).scalar_one(),
        runs={str(word): int(count) for word, count in conn.execute(by_outcome)},
        due=waiting,
        oldest_due_s=max((now - oldest).total_seconds(), 0.0) if oldest else 0.0,
        effects={(kind, state): count for kind, state, count in conn.execute(by_kind)},
    )
