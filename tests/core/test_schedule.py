"""The tick under faults: clocks that jump, owners that fail, plans that change."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from schedule_node import (
    MINUTE,
    NOON,
    FaultyClock,
    Node,
    assert_none_twice,
    forget_all,
    next_at,
    open_database,
    runs,
    together,
)
from shared_files import vectors
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from core.clock import SystemClock
from core.db import Database
from core.errors import InvalidInput, StorageError
from core.schedule import REMEMBERED, Entry, Scheduler
from core.tables import schedules, ticks
from core.timetable import Missed
from core.writer import Tx, Writer


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    database.close()


@pytest.fixture
def node(db: Database) -> Node:
    return Node(db, FaultyClock())


def play(node: Node, script: list[list[Any]]) -> None:
    """Do what a row of the table tells: its words are run, jump, stop, set and jitter."""
    for word, amount in script:
        match word:
            case "run_for_s":
                node.run(amount)
            case "jump_s":
                node.clock.jump(amount)
            case "set_utc":
                node.clock.jump((datetime.fromisoformat(amount) - node.clock.now()).total_seconds())
            case "stop_for_s":
                node.clock.stop(amount)
            case "jitter_s":
                pytest.fail("jitter goes with a way of running; see play_with_jitter")
            case _:
                pytest.fail(f"the table has a new word: {word}")


def play_with_jitter(node: Node, jitter_s: float, seconds: float) -> None:
    signs = (1, -1, -1, 1)
    for minute in range(int(seconds / 60)):
        node.clock.jump(jitter_s * signs[minute % 4])
        node.run(60)


def fill(node: Node) -> None:
    """A schedule of each kind, under each policy."""
    node.put("half-hour", {"at": (NOON + 30 * MINUTE).isoformat()})
    node.put("daily", "every day at 09:00")
    for missed in Missed:
        node.put(f"minute-{missed}", "every minute", missed=missed)
    node.put("cron", "*/7 * * * *")
    node.put("rrule", "FREQ=HOURLY;BYMINUTE=10,40")
    node.sweep()


def test_no_script_of_the_table_runs_anything_twice(db: Database) -> None:
    rows = [row for row in vectors("time_cases")["rows"] if row["class"] == "clock"]
    assert rows
    for row in rows:
        words = dict(row["script"])
        forget_all(db)
        skew = words.pop("two_nodes_skew_s", None)
        node = Node(db, FaultyClock())
        fill(node)
        if skew is not None:
            other = Node(db, FaultyClock(NOON + timedelta(seconds=skew)), "two")
            together([node, other], 600)
        elif "jitter_s" in words:
            play_with_jitter(node, words["jitter_s"], words["run_for_s"])
        else:
            play(node, row["script"])
        node.run(120)
        assert_none_twice(db)
        assert len(runs(db, "minute-last")) >= 1, row["id"]


def test_clock_set_back_two_hours_while_a_job_waits(node: Node, db: Database) -> None:
    fill(node)
    play(node, [["run_for_s", 600], ["jump_s", -7200], ["run_for_s", 1800]])
    assert runs(db, "half-hour") == []  # its wall time has not come
    node.run(7200, step=10)
    assert runs(db, "half-hour") == [NOON + 30 * MINUTE]
    minutes = runs(db, "minute-last")
    # On the new clock every minute between the jump's landing and now ran, and none of them twice.
    landed = NOON - 110 * MINUTE
    assert minutes[0] == landed + MINUTE
    assert minutes == [landed + count * MINUTE for count in range(1, len(minutes) + 1)]
    assert_none_twice(db)


def test_clock_forward_30_days_and_back_keeps_running(node: Node, db: Database) -> None:
    fill(node)
    node.run(120)
    play(node, [["jump_s", 2_592_000], ["run_for_s", 60]])
    ahead = len(runs(db, "minute-last"))
    assert ahead == 2 + 2  # two before; one late run for all that was missed, and one of its own minute
    play(node, [["jump_s", -2_592_000], ["run_for_s", 300]])
    assert len(runs(db, "minute-last")) == ahead + 5
    assert len(runs(db, "minute-none")) >= 2 + 5  # dropped minutes do not stay ahead either
    assert next_at(db, "daily") == datetime(2026, 1, 16, 9, tzinfo=UTC)
    assert_none_twice(db)


def test_clock_in_2040_warns_and_goes_on(node: Node, db: Database) -> None:
    fill(node)
    with capture_logs() as logs:
        play(node, [["set_utc", "2040-01-01T00:00:00Z"], ["run_for_s", 30]])
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["the clock jumped"]
    assert runs(db, "daily") == [datetime(2039, 12, 31, 9, tzinfo=UTC)]
    assert runs(db, "minute-last") == [datetime(2040, 1, 1, tzinfo=UTC)]
    assert next_at(db, "cron") == datetime(2040, 1, 1, 0, 7, tzinfo=UTC)


def test_jitter_neither_loses_nor_adds_a_minute(db: Database) -> None:
    for policy in (Missed.ALL, Missed.LAST):
        node = Node(db, FaultyClock(NOON + timedelta(seconds=30)))
        node.put(policy, "every minute", missed=policy)
        node.sweep()
        play_with_jitter(node, 3, 3600)
        assert runs(db, policy) == [NOON + count * MINUTE for count in range(1, 61)]


def test_stop_of_26_hours_follows_each_policy(node: Node, db: Database) -> None:
    fill(node)
    node.clock.stop(93_600)
    restarted = Node(db, node.clock)
    now = node.clock.now()
    while restarted.sweep():
        pass
    assert runs(db, "daily") == [datetime(2026, 1, 16, 9, tzinfo=UTC)]
    assert runs(db, "minute-last") == [now]
    assert runs(db, "minute-none") == [now]  # the one that is on time
    assert runs(db, "minute-all") == [NOON + count * MINUTE for count in range(1, 1561)]
    restarted.run(60)
    assert runs(db, "minute-last") == [now, now + MINUTE]


def test_dropped_moments_stay_dropped(node: Node, db: Database) -> None:
    node.put("daily", "every day at 09:00", missed=Missed.NONE)
    node.run(26 * 3600 - 60, step=26 * 3600 - 60)
    assert runs(db, "daily") == []
    assert next_at(db, "daily") == datetime(2026, 1, 17, 9, tzinfo=UTC)


def test_failing_owner_stops_only_itself(node: Node, db: Database) -> None:
    def fail(tx: Tx, schedule_id: str, planned_at: datetime) -> None:
        raise ValueError("the poller is broken")

    node.scheduler.on("poller", fail)
    entry = Entry(id="bad", owner="poller", name="bad", spec="every minute", zone="UTC")
    node.writer.do(lambda tx: node.scheduler.put(tx, entry))
    node.put("good", "every minute")
    with capture_logs() as logs:
        node.run(600)
    assert len(runs(db, "good")) == 10
    assert node.scheduler.failing == {"bad": len(logs)}
    assert 4 <= len(logs) <= 9  # tried again, with growing pauses
    assert next_at(db, "bad") == NOON + MINUTE  # nothing of it is lost
    node.scheduler.on("poller", node.record)
    node.run(400)
    assert len(runs(db, "bad")) >= 1
    assert node.scheduler.failing == {}


def test_failed_work_leaves_no_tick(node: Node, db: Database) -> None:
    def write_and_fail(tx: Tx, schedule_id: str, planned_at: datetime) -> None:
        node.record(tx, schedule_id, planned_at)
        raise ValueError("after the write")

    node.scheduler.on("rule", write_and_fail)
    node.put("bad", "every minute")
    node.run(60)
    with db.read() as conn:
        assert conn.execute(select(func.count()).select_from(ticks)).scalar() == 0
    assert runs(db, "bad") == []


def test_schedule_without_owner_waits_for_it(node: Node, db: Database) -> None:
    entry = Entry(id="p", owner="poller", name="p", spec="every minute", zone="UTC")
    node.writer.do(lambda tx: node.scheduler.put(tx, entry))
    assert node.run(300) == 0
    node.scheduler.on("poller", node.record)
    assert node.run(5) == 1


def test_putting_the_same_again_keeps_what_is_missed(node: Node, db: Database) -> None:
    node.put("daily", "every day at 13:00")
    node.clock.stop(7200)
    assert node.put("daily", "every day at 13:00") == NOON + 60 * MINUTE
    node.sweep()
    assert runs(db, "daily") == [NOON + 60 * MINUTE]


def test_putting_another_plan_starts_from_now(node: Node, db: Database) -> None:
    node.put("daily", "every day at 13:00")
    node.clock.stop(7200)
    assert node.put("daily", "every day at 13:30") == datetime(2026, 1, 16, 13, 30, tzinfo=UTC)
    assert node.sweep() == 0


def test_zone_decides_the_moment(node: Node) -> None:
    assert node.put("daily", {"every": "day", "at": "16:00"}, zone="Europe/Istanbul") == NOON + 60 * MINUTE


def test_bad_schedule_is_not_stored(node: Node, db: Database) -> None:
    with pytest.raises(InvalidInput):
        node.put("bad", "now and then")
    with pytest.raises(InvalidInput):
        node.put("bad", "every 10 seconds")
    with db.read() as conn:
        assert conn.execute(select(schedules)).all() == []


def test_removed_schedule_is_silent(node: Node, db: Database) -> None:
    node.put("minutes", "every minute")
    node.run(60)
    node.writer.do(lambda tx: node.scheduler.remove(tx, "minutes"))
    assert node.run(300) == 0


def test_switched_off_time_is_not_caught_up(node: Node, db: Database) -> None:
    node.put("minutes", "every minute", missed=Missed.ALL)
    node.writer.do(lambda tx: node.scheduler.switch(tx, "minutes", on=False))
    assert node.run(300) == 0
    node.writer.do(lambda tx: node.scheduler.switch(tx, "minutes", on=True))
    assert node.run(120) == 2
    assert runs(db, "minutes") == [NOON + 6 * MINUTE, NOON + 7 * MINUTE]


def test_old_ticks_are_forgotten(node: Node, db: Database) -> None:
    node.put("daily", "every day at 13:00", missed=Missed.ALL)
    for _ in range(100):
        node.run(86_400, step=86_400)
    with db.read() as conn:
        kept = conn.execute(select(ticks.c.planned_at)).scalars().all()
    assert len(runs(db, "daily")) == 100
    assert REMEMBERED.days <= len(kept) <= REMEMBERED.days + 1


def test_stored_plan_that_no_longer_reads_is_reported(node: Node, db: Database) -> None:
    node.put("bad", "every minute")
    node.put("good", "every minute")
    with db.write() as conn:
        conn.execute(update(schedules).where(schedules.c.id == "bad").values(zone="Europe/Atlantis"))
    with capture_logs() as logs:
        node.run(60)
    assert len(runs(db, "good")) == 1
    assert {entry["event"]: entry["schedule"] for entry in logs} == {
        "a stored schedule cannot be read": "bad",
        "a schedule failed and stays due": "bad",
    }


def test_thread_keeps_ticking_while_the_wall_clock_jumps(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    swept = threading.Semaphore(0)
    monkeypatch.setattr(Scheduler, "sweep", lambda _scheduler, _now: swept.release())
    untouched = Database(database_url)
    scheduler = Scheduler(untouched, Writer(untouched), SystemClock(), "one")
    begin = datetime.now(UTC)
    with time_machine.travel(begin) as travel:
        scheduler.start()
        try:
            for days in (0, -30, 5000, 0):  # stock APScheduler sleeps 30 days, then lists 860 million missed ticks
                travel.move_to(begin + timedelta(days=days))
                for _ in range(2):
                    assert swept.acquire(timeout=5)
        finally:
            scheduler.stop()


def test_thread_runs_what_is_due_and_survives_refusals(db: Database) -> None:
    ran = threading.Event()
    writer = Writer(db)
    writer.start()
    scheduler = Scheduler(db, writer, SystemClock(), "one")
    refusals = iter([StorageError("the disk is full")])

    def work(tx: Tx, schedule_id: str, planned_at: datetime) -> None:
        for refusal in refusals:
            raise refusal
        tx.after_commit(ran.set)

    scheduler.on("rule", work)
    entry = Entry(id="r", owner="rule", name="r", spec={"every": "1 s"}, zone="UTC", least=timedelta(seconds=1))
    writer.do(lambda tx: scheduler.put(tx, entry))
    scheduler.start()
    try:
        assert ran.wait(10)
    finally:
        scheduler.stop()
        writer.stop()
    assert scheduler.failing == {}
