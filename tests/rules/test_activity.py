"""What rules did lately: counts by day and hour equal a plain count over the rows, on both databases."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from engines import START, make_engine, put_rule

from core.ids import new_id
from rules.activity import DAYS, day_starts, read_activity, read_hours
from rules.engine import Engine
from rules.store import get_rule
from rules.tables import runs

ZONE = ZoneInfo("Europe/Istanbul")
RULE = "rule: greet\nwhen: {event: order.paid}\nthen: [{do: tasks.create, with: {title: Hi}}]\n"


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = make_engine(tmp_path)
    put_rule(engine, RULE)
    yield engine
    engine.close()


def _add(engine: Engine, *told: tuple[datetime, str | None, str]) -> str:
    with engine.db.read() as conn:
        rule = get_rule(conn, "greet").id
    rows = [
        {
            "id": new_id(),
            "rule": rule,
            "version": 1,
            "event": new_id(),
            "status": status,
            "outcome": outcome,
            "watching": False,
            "cursor": 0,
            "vars": {},
            "at": at,
            "attempts": 0,
            "acted": 0,
            "fence": 0,
            "started_at": at,
            "finished_at": at if status == "done" else None,
        }
        for at, outcome, status in told
    ]
    engine.writer.do(lambda tx: tx.conn.execute(runs.insert(), rows) and None)
    return rule


def test_days_begin_at_the_shops_midnight():
    now = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
    starts = day_starts(now, ZONE)
    assert len(starts) == DAYS
    assert starts[-1].astimezone(UTC) == datetime(2026, 3, 2, 21, 0, tzinfo=UTC)


def test_days_keep_their_midnight_over_summer_time():
    zone = ZoneInfo("Europe/Berlin")
    starts = day_starts(datetime(2026, 3, 31, 12, tzinfo=UTC), zone)
    assert {start.astimezone(zone).hour for start in starts} == {0}


def test_runs_are_counted_by_day_and_outcome(engine: Engine):
    hours = timedelta(hours=1)
    rule = _add(
        engine,
        (START, "acted", "done"),
        (START - hours, "stopped", "done"),
        (START - 24 * hours, "acted", "done"),
        (START - 24 * hours, "failed", "done"),
        (START - 24 * 20 * hours, "acted", "done"),
        (START, None, "waiting"),
        (START, "held", "held"),
    )
    with engine.db.read() as conn:
        found = read_activity(conn, START, ZONE)[rule]
    assert found.days == (0, 0, 0, 0, 0, 1, 1)
    assert (found.failed, found.today, found.waiting, found.held) == (1, 4, 1, 1)
    assert (found.seen_at, found.acted_at, found.acted_today) == (START, START, 1)


def test_hours_add_up_to_all_runs_of_a_day(engine: Engine):
    told = [
        (START - timedelta(minutes=37 * number), ("acted", "stopped", "failed")[number % 3], "done")
        for number in range(60)
    ]
    _add(engine, *told)
    with engine.db.read() as conn:
        hours = read_hours(conn, START)
    inside = [(at, outcome) for at, outcome, _ in told if at >= hours[0].begins]
    assert [hour.begins for hour in hours] == sorted(hour.begins for hour in hours)
    for hour in hours:
        mine = [outcome for at, outcome in inside if hour.begins <= at < hour.begins + timedelta(hours=1)]
        counted = (hour.acted, hour.stopped, hour.failed)
        assert counted == tuple(mine.count(word) for word in ("acted", "stopped", "failed"))


def test_quiet_rule_has_nothing_to_tell(engine: Engine):
    with engine.db.read() as conn:
        assert read_activity(conn, START, ZONE) == {}
