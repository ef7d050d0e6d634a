"""Retention: what is old enough is deleted once a day, in small pieces that hold nobody up."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, delete, select

from core.settings import Settings
from core.tables import answers, effects, events, exchanges
from core.writer import Tx, Writer
from rules.tables import runs, traces, waits

#: Rows of one piece.
_PIECE = 2_000
#: Outcomes whose runs did something worth a long memory.
_WEIGHTY = ("acted", "held", "skipped", "cancelled")
_ANSWERS_KEPT = timedelta(hours=24)


def forget_old(writer: Writer, settings: Settings, now: datetime) -> dict[str, int]:
    """Delete what is past its retention and return how much of each."""

    def days(count: int) -> datetime:
        return now - timedelta(days=count)

    weighty, dead = runs.c.outcome.in_(_WEIGHTY), runs.c.outcome == "failed"
    acted = _forget_runs(writer, weighty & (runs.c.finished_at < days(settings.keep_acted_days)))
    failed = _forget_runs(writer, dead & (runs.c.finished_at < days(settings.keep_dead_days)))
    light = ~weighty & ~dead
    stopped = _forget_runs(writer, light & (runs.c.finished_at < days(settings.keep_stopped_days)))
    return {
        "runs": acted + failed + stopped,
        "events": _forget(writer, events, _unused_event(days(settings.keep_events_days))),
        "effects": _forget(writer, effects, effects.c.at < days(settings.keep_events_days)),
        "exchanges": _forget(writer, exchanges, exchanges.c.at < days(settings.keep_exchanges_days)),
        "answers": _forget_answers(writer, now - _ANSWERS_KEPT),
    }


def _unused_event(before: datetime) -> Any:
    """An event stays as long as an open run began with it."""
    used = select(runs.c.event).where(runs.c.finished_at.is_(None))
    return (events.c.received_at < before) & events.c.id.not_in(used)


def _forget_runs(writer: Writer, condition: Any) -> int:
    def piece(tx: Tx) -> int:
        ids = list(tx.conn.execute(select(runs.c.id).where(condition).limit(_PIECE)).scalars())
        for table, column in ((traces, traces.c.run), (waits, waits.c.run), (runs, runs.c.id)):
            tx.conn.execute(delete(table).where(column.in_(ids)))
        return len(ids)

    return _repeat(writer, piece)


def _forget(writer: Writer, table: Table, condition: Any) -> int:
    def piece(tx: Tx) -> int:
        ids = list(tx.conn.execute(select(table.c.id).where(condition).limit(_PIECE)).scalars())
        tx.conn.execute(delete(table).where(table.c.id.in_(ids)))
        return len(ids)

    return _repeat(writer, piece)


def _forget_answers(writer: Writer, before: datetime) -> int:
    return writer.do(lambda tx: tx.conn.execute(delete(answers).where(answers.c.at < before)).rowcount)


def _repeat(writer: Writer, piece: Callable[[Tx], int]) -> int:
    total = 0
    while count := writer.do(piece):
        total += count
        if count < _PIECE:
            break
    return total
