"""Many processes: whichever is killed or stopped, and whenever, nothing is lost and nothing happens twice."""

import random
import signal
import time
from collections.abc import Callable

import pytest
from brokers import Broker, free_port

from benchmarks.farm import LINES, Farm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HOUR_S = 3600.0
#: Long enough for two cores that have much else to do.
PATIENCE_S = 120.0


def wait_until(holds: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
    end_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


def wait_ready(farm: Farm) -> None:
    """Wait until every process says that it is there."""
    for name in farm.members:
        assert wait_until(lambda name=name: farm.is_ready(name)), name


def assert_all_done(farm: Farm, count: int) -> None:
    assert farm.wait_fed(PATIENCE_S)
    assert farm.told.count == count
    assert farm.wait_done(PATIENCE_S), farm.ask("SELECT status, count(*) FROM runs GROUP BY 1")
    audit = farm.audit()
    assert audit.faults == {}, (audit, farm.ask("SELECT status, outcome, reason FROM runs WHERE outcome <> 'acted'"))
    assert audit.acknowledged == audit.events == count


def leader(farm: Farm) -> str:
    rows = farm.ask("SELECT owner FROM locks WHERE name = 'schedule'")
    return str(rows[0][0]) if rows else ""


def test_any_process_may_die_at_any_time(make_farm: Callable[..., Farm], rabbit: Broker) -> None:
    farm = make_farm(rabbit)
    for name in ("work1", "work2", "work3"):
        farm.start(name, "work")
    for name in ("clock1", "clock2"):
        farm.start(name, "clock")
    for name in ("web1", "web2"):
        farm.start(name, "web", port=free_port())
    wait_ready(farm)
    farm.feed(15, pause_s=0.1)
    chance = random.Random(20260301)
    # Each dies once, in some order.
    for name in chance.sample(sorted(farm.members), len(farm.members)):
        time.sleep(chance.uniform(0.1, 0.6))
        farm.kill(name)
        farm.again(name)
    assert_all_done(farm, 15 * LINES)


def test_second_clock_takes_over_within_15_seconds(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm()
    farm.start("clock1", "clock")
    assert wait_until(lambda: leader(farm).endswith(":clock:1"))
    farm.start("clock2", "clock")
    wait_ready(farm)
    farm.kill("clock1")
    killed_s = time.monotonic()
    assert wait_until(lambda: leader(farm).endswith(":clock:2"))
    assert time.monotonic() - killed_s < 15


def test_worker_stopped_beyond_its_lease_commits_nothing(make_farm: Callable[..., Farm], rabbit: Broker) -> None:
    farm = make_farm(rabbit)
    farm.start("work1", "work")
    farm.start("web", "web", port=free_port())
    farm.start("clock", "clock")
    wait_ready(farm)
    farm.provider.door.clear()
    farm.feed(1)
    # The other side has its calls, and has not answered.
    assert wait_until(lambda: sum(farm.provider.requests.values()) >= 4)
    farm.signal("work1", signal.SIGSTOP)
    farm.kills += 1
    farm.start("work2", "work")
    farm.provider.door.set()
    assert farm.wait_done(PATIENCE_S)
    done = farm.ask("SELECT id, finished_at, fence FROM runs ORDER BY id")
    farm.signal("work1", signal.SIGCONT)
    log = farm.folder / "work1.log"
    assert wait_until(lambda: "moved on while its call was under way" in log.read_text())
    assert_all_done(farm, LINES)
    assert farm.ask("SELECT id, finished_at, fence FROM runs ORDER BY id") == done


def test_broker_may_die_and_be_wiped(make_farm: Callable[..., Farm], rabbit: Broker) -> None:
    farm = make_farm(rabbit)
    for name, role in (("work1", "work"), ("work2", "work"), ("clock", "clock")):
        farm.start(name, role)
    farm.start("web", "web", port=free_port())
    wait_ready(farm)
    farm.feed(12, pause_s=0.05)
    assert wait_until(lambda: farm.told.count >= 16)
    rabbit.kill()
    # Work goes on without it: everybody looks into the database.
    assert_all_done(farm, 12 * LINES)
    rabbit.wipe()
    farm.feed(4, pause_s=0.05)
    rabbit.start()
    assert_all_done(farm, 16 * LINES)


def test_redis_carries_hints_between_wrong_clocks(make_farm: Callable[..., Farm], redis: Broker) -> None:
    farm = make_farm(redis)
    farm.start("work1", "work", ahead_s=HOUR_S)
    farm.start("work2", "work")
    farm.start("clock", "clock", ahead_s=-HOUR_S)
    farm.start("web", "web", port=free_port(), ahead_s=HOUR_S)
    wait_ready(farm)
    farm.feed(8, pause_s=0.1)
    for name in ("work2", "work1"):
        time.sleep(0.5)
        farm.kill(name)
        farm.again(name)
    redis.kill()
    redis.start()
    assert_all_done(farm, 8 * LINES)
    # A wait of a second is one, whoever's clock is wrong: nobody goes by it.
    waits = "FROM runs JOIN rules ON rules.id = runs.rule WHERE rules.name = 'wait-each'"
    shortest = farm.ask(f"SELECT min(runs.finished_at - runs.started_at) {waits}")
    assert shortest[0][0] >= 1_000_000
    wrong = "abs(started_at / 1000000.0 - extract(epoch FROM now())) > 600"
    assert farm.ask(f"SELECT count(*) FROM runs WHERE {wrong}") == [(0,)]
