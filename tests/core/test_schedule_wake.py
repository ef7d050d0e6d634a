"""Alarms: what plans its own next moment is woken once, at that moment."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from engines import make_engine

from core.clock import VirtualClock
from core.durations import find_zone
from core.windows import next_stretch, parse_window
from rules.engine import Engine

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Sleeper:
    """Wakes, notes when, and sets its next alarm as the test says."""

    def __init__(self, home: Path) -> None:
        self.clock = VirtualClock(NOON)
        self.engine: Engine = make_engine(home, clock=self.clock)
        self.woken: list[datetime] = []
        self.following: list[datetime] = []
        self.engine.scheduler.on("test", self.ring)

    def ring(self, tx: Any, schedule_id: str, planned_at: datetime) -> None:
        self.woken.append(planned_at)
        if self.following:
            self.engine.scheduler.wake(tx, schedule_id, self.following.pop(0), owner="test", name="x")

    def wake(self, at: datetime) -> None:
        self.engine.writer.do(lambda tx: self.engine.scheduler.wake(tx, "test:x", at, owner="test", name="x"))

    def sweep(self, minutes: float = 0) -> None:
        self.clock.advance(timedelta(minutes=minutes))
        self.engine.scheduler.sweep(self.clock.now())


@pytest.fixture
def sleeper(tmp_path: Path) -> Any:
    made = Sleeper(tmp_path)
    yield made
    made.engine.close()


def test_alarm_rings_once_at_its_moment(sleeper: Sleeper) -> None:
    sleeper.wake(NOON + timedelta(minutes=5))
    sleeper.sweep(4)
    assert sleeper.woken == []
    for _ in range(3):
        sleeper.sweep(1)
    assert sleeper.woken == [NOON + timedelta(minutes=5)]


def test_new_alarm_takes_the_place_of_the_old_one(sleeper: Sleeper) -> None:
    sleeper.wake(NOON + timedelta(minutes=5))
    sleeper.wake(NOON + timedelta(minutes=2))
    sleeper.wake(NOON + timedelta(minutes=9))
    sleeper.sweep(6)
    assert sleeper.woken == []
    sleeper.sweep(6)
    assert sleeper.woken == [NOON + timedelta(minutes=9)]


def test_alarm_of_the_past_rings_at_once(sleeper: Sleeper) -> None:
    sleeper.wake(NOON - timedelta(days=3))
    sleeper.sweep()
    assert len(sleeper.woken) == 1


def test_handler_sets_its_own_next_alarm(sleeper: Sleeper) -> None:
    sleeper.following = [NOON + timedelta(minutes=7), NOON + timedelta(minutes=8)]
    sleeper.wake(NOON)
    for _ in range(12):
        sleeper.sweep(1)
    assert sleeper.woken == [NOON + timedelta(minutes=minute) for minute in (0, 7, 8)]


def test_alarm_for_the_moment_that_rang_rings_again(sleeper: Sleeper) -> None:
    """A page of work that did not fit: the next one is wanted now, and a planned moment runs only once."""
    sleeper.following = [NOON, NOON]
    sleeper.wake(NOON)
    for _ in range(4):
        sleeper.sweep(0.001)
    assert [moment - NOON for moment in sleeper.woken] == [timedelta(microseconds=number) for number in range(3)]


# moment, hours, window, from when it stays open for so long (UTC)
STRETCHES = [
    ("12:00", 2, ("10:00", "22:00"), "02 12:00"),
    ("09:00", 2, ("10:00", "22:00"), "02 10:00"),
    ("20:00", 2, ("10:00", "22:00"), "02 20:00"),
    ("20:01", 2, ("10:00", "22:00"), "03 10:00"),
    ("23:00", 2, ("22:00", "02:00"), "02 23:00"),
    ("12:00", 24, ("00:00", "24:00"), "03 00:00"),
]


@pytest.mark.parametrize(("moment", "hours", "hours_of_day", "start"), STRETCHES)
def test_stretch_fits_into_one_opening(moment: str, hours: int, hours_of_day: tuple[str, str], start: str) -> None:
    found = next_stretch(
        datetime.fromisoformat(f"2026-03-02T{moment}:00+00:00"),
        timedelta(hours=hours),
        parse_window(hours_of_day),
        find_zone("UTC"),
    )
    assert f"{found:%d %H:%M}" == start
