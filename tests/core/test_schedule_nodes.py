"""Several nodes with one database: leading, racing and dying, without losing or doubling a run."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from schedule_node import MINUTE, NOON, RUNS, FaultyClock, Node, assert_none_twice, open_database, runs, together
from sqlalchemy import select

from core.db import Database
from core.lead import Lead
from core.timetable import Missed


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    database.close()


@pytest.fixture
def node(db: Database) -> Node:
    return Node(db, FaultyClock())


def test_two_nodes_90_seconds_apart_run_each_moment_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for led in (True, False):
        if not led:  # even where both believe they lead
            monkeypatch.setattr(Lead, "hold", lambda _lead: True)
        nodes = [Node(db, FaultyClock(), "one"), Node(db, FaultyClock(NOON + timedelta(seconds=90)), "two")]
        nodes[0].put(f"minutes-{led}", "every minute", missed=Missed.ALL)
        together(nodes, 600)
        minutes = runs(db, f"minutes-{led}")
        assert minutes == [NOON + count * MINUTE for count in range(1, len(minutes) + 1)]
        assert len(minutes) >= 10
    assert_none_twice(db)


def test_only_the_leader_sweeps(db: Database) -> None:
    one, two = Node(db, FaultyClock(), "one"), Node(db, FaultyClock(), "two")
    one.put("minutes", "every minute")
    together([one, two], 300)
    with db.read() as conn:
        assert set(conn.execute(select(RUNS.c.node)).scalars()) == {"one"}


@pytest.mark.parametrize("skew_s", [0, 90, -90, 2_592_000])  # the dead leader's clock against the heir's
def test_another_node_takes_over_within_15_seconds(db: Database, skew_s: float) -> None:
    one, two = Node(db, FaultyClock(NOON + timedelta(seconds=skew_s)), "one"), Node(db, FaultyClock(), "two")
    one.put("minutes", "every 10 minutes")
    together([one, two], 20)
    two.put("soon", {"at": two.clock.now().isoformat()})
    two.put("soon", {"at": (two.clock.now() + timedelta(seconds=1)).isoformat()})
    assert two.run(8, step=0.5) == 0  # the lease still lives
    two.run(7, step=0.5)
    assert len(runs(db, "soon")) == 1


def test_stopped_leader_hands_over_at_once(db: Database) -> None:
    one, two = Node(db, FaultyClock(), "one"), Node(db, FaultyClock(), "two")
    together([one, two], 5)
    one.scheduler.start()
    one.scheduler.stop()
    two.put("soon", {"at": (two.clock.now() + timedelta(seconds=1)).isoformat()})
    assert two.run(1, step=1) == 1


def test_woken_leader_finds_its_lease_taken(db: Database) -> None:
    one, two = (Node(db, FaultyClock(), name) for name in ("one", "two"))
    leads = [Lead(db, node.writer, node.clock, name="x", node_id=node.name) for node in (one, two)]
    assert leads[0].hold()
    assert not leads[1].hold()
    two.clock.run(10)
    assert leads[1].hold()
    one.clock.run(60)  # one slept meanwhile
    assert not leads[0].hold()
    assert leads[1].hold()
    assert (leads[0].fence, leads[1].fence) == (0, 2)


def test_one_of_many_wins_an_empty_lock(db: Database) -> None:
    nodes = [Node(db, FaultyClock(), str(number)) for number in range(8)]
    leads = [Lead(db, node.writer, node.clock, name="x", node_id=node.name) for node in nodes]
    won: list[bool] = []
    at_once(*(lambda lead=lead: won.append(lead.hold()) for lead in leads))
    assert won.count(True) == 1


def at_once(*calls: Callable[[], Any]) -> None:
    gate = threading.Barrier(len(calls))

    def go(call: Callable[[], Any]) -> None:
        gate.wait()
        call()

    threads = [threading.Thread(target=go, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_sweeps_at_the_same_time_share_the_work(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lead, "hold", lambda _lead: True)
    nodes = [Node(db, FaultyClock(), str(number)) for number in range(4)]
    for number in range(10):
        nodes[0].put(f"s{number}", "every minute", missed=Missed.ALL)
    for node in nodes:
        node.writer.start()
    try:
        for _ in range(10):
            for node in nodes:
                node.clock.run(60)
            at_once(*(node.sweep for node in nodes))
        nodes[0].sweep()
    finally:
        for node in nodes:
            node.writer.stop()
    for number in range(10):
        assert runs(db, f"s{number}") == [NOON + count * MINUTE for count in range(1, 11)]


CHILD = """
import sys
from datetime import datetime, timedelta
from sqlalchemy import text
from core.clock import VirtualClock
from core.db import Database
from core.lead import Lead
from core.schedule import Scheduler
from core.writer import Writer

url, name, start, skew_s, steps, alone = sys.argv[1:]
if alone == "no":
    Lead.hold = lambda self: True
db = Database(url)
clock = VirtualClock(datetime.fromisoformat(start) + timedelta(seconds=float(skew_s)))
writer = Writer(db)
scheduler = Scheduler(db, writer, clock, name)
row = text("INSERT INTO test_runs VALUES (:id, :at, :node)")
scheduler.on("rule", lambda tx, id, at: tx.conn.execute(row, {"id": id, "at": at.isoformat(), "node": name}))
for _ in range(int(steps)):
    clock.advance(60)
    scheduler.sweep(clock.now())
"""


def child(db: Database, name: str, *, skew_s: int = 0, steps: int = 10, alone: bool, crash_at: str = "") -> Any:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "VITRIN_CRASH_AT": crash_at}
    url = db.url.render_as_string(hide_password=False)
    arguments = [url, name, NOON.isoformat(), str(skew_s), str(steps), "yes" if alone else "no"]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], env=environment)


def test_two_processes_run_each_moment_once(db: Database, node: Node) -> None:
    for number in range(10):
        node.put(f"s{number}", "every minute", missed=Missed.ALL)
    children = [child(db, "a", steps=30, alone=False), child(db, "b", skew_s=90, steps=30, alone=False)]
    assert [each.wait(60) for each in children] == [0, 0]
    for number in range(10):
        minutes = runs(db, f"s{number}")
        assert minutes == [NOON + count * MINUTE for count in range(1, 32)]


@pytest.mark.parametrize("place", ["schedule.moved:3", "writer.before_commit:4", "writer.after_commit:4"])
def test_killed_scheduler_neither_loses_nor_doubles(db: Database, node: Node, place: str) -> None:
    node.put("minutes", "every minute", missed=Missed.ALL)
    assert child(db, "a", alone=True, crash_at=place).wait(60) == -signal.SIGKILL
    assert len(runs(db, "minutes")) < 10
    assert child(db, "b", alone=True).wait(60) == 0
    assert runs(db, "minutes") == [NOON + count * MINUTE for count in range(1, 11)]
