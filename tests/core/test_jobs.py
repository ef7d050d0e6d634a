"""Jobs: order, priorities, leases and fences; nothing lost and no step twice, whatever dies in between."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import job_node
import pytest
from job_node import NOON, Node, count_steps, open_database, steps
from sqlalchemy import insert

from core.clock import SystemClock, VirtualClock
from core.db import Database
from core.errors import Conflict, InvalidInput, NotFound, RejectedError, TemporaryError
from core.job_context import JobContext, Unfinished, perform
from core.jobs import CLASSES, LEASE, MOST_LOST
from core.retries import LADDER


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    database.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOON)


@pytest.fixture
def node(db: Database, clock: VirtualClock) -> Node:
    return Node(db, clock)


@pytest.fixture
def live(db: Database) -> Iterator[Node]:
    """A node with running threads and the machine's clock."""
    node = Node(db, SystemClock())
    node.writer.start()
    yield node
    node.queue.stop(5)
    node.writer.stop()


def wait_until(ready: Callable[[], bool], limit_s: float = 30) -> None:
    end = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.005)


def status(node: Node, job: str) -> str:
    return node.jobs.get_job(job).status


def test_job_runs_and_is_done(node: Node) -> None:
    node.jobs.register("add", lambda ctx: {"sum": ctx.args["a"] + ctx.args["b"]}, klass="stock")
    job = node.defer("add", {"a": 2, "b": 3})
    assert node.queue.drain() == 1
    shown = node.jobs.get_job(job)
    assert (shown.status, shown.result, shown.klass, shown.finished_at) == ("done", {"sum": 5}, "stock", NOON)


def test_undone_transaction_hands_nothing_over(node: Node) -> None:
    hints: list[str] = []
    node.jobs.on_ready(lambda: hints.append("ready"))

    def work(tx: Any) -> None:
        node.jobs.defer(tx, "count", {"steps": 1})
        raise InvalidInput("x", "is wrong")

    with pytest.raises(InvalidInput):
        node.writer.do(work)
    assert (node.jobs.list_jobs(), hints) == ([], [])
    node.defer()
    assert hints == ["ready"]


def test_same_job_id_is_one_job(node: Node) -> None:
    ident = "01890000-0000-7000-8000-000000000001"
    assert node.defer(job_id=ident) == node.defer(job_id=ident) == ident
    assert len(node.jobs.list_jobs()) == 1


@pytest.mark.parametrize(
    ("task", "args", "options"),
    [
        ("nobody", {}, {}),  # a task of another process needs its class
        ("count", {}, {"klass": "urgent"}),  # no such class
        ("count", {"at": NOON}, {}),  # not plain data
    ],
)
def test_wrong_job_is_refused(node: Node, task: str, args: dict[str, Any], options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        node.defer(task, args or {"steps": 1}, **options)


def test_unknown_task_is_left_to_others(node: Node) -> None:
    job = node.defer("elsewhere", {}, klass="payments")
    assert node.queue.drain() == 0
    assert status(node, job) == "ready"


def test_classes_come_in_their_order(node: Node) -> None:
    ran: list[str] = []
    for klass in reversed(CLASSES):
        node.jobs.register(klass, lambda ctx: ran.append(ctx.claimed.task.name), klass=klass)
        node.defer(klass, {"n": 1})
        node.defer(klass, {"n": 2})
    node.queue.drain()
    assert ran == [klass for klass in CLASSES for _ in range(2)]


def test_long_jobs_leave_a_worker_free(live: Node) -> None:
    gate, begun = threading.Event(), threading.Semaphore(0)

    def hold(_ctx: JobContext) -> None:
        begun.release()
        assert gate.wait(20)

    live.jobs.register("hold", hold, klass="bulk")
    live.jobs.register("pay", lambda _: None, klass="payments")
    for _ in range(8):
        live.defer("hold", {"n": 1})
    live.queue.start()
    for _ in range(3):
        assert begun.acquire(timeout=20)
    job = live.defer("pay", {"n": 1})
    wait_until(lambda: status(live, job) == "done")
    assert not begun.acquire(timeout=0)  # three of four workers hold long jobs
    gate.set()


def test_sleeping_job_waits_for_its_moment(node: Node, clock: VirtualClock) -> None:
    job = node.defer(due_at=NOON + timedelta(hours=1))
    assert node.queue.drain() == 0
    assert node.jobs.next_due() == NOON + timedelta(hours=1)
    clock.advance(3600)
    assert node.queue.drain() == 1
    assert status(node, job) == "done"


def test_idle_queue_sends_nothing_to_the_writer(live: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    live.queue.start()
    wait_until(lambda: live.queue.running == 0)
    asked: list[Any] = []
    submit = live.writer.submit
    monkeypatch.setattr(live.writer, "submit", lambda work: (asked.append(work), submit(work))[1])
    for _ in range(3):
        live.queue._wake.set()
        threading.Event().wait(0.02)
    assert asked == []


def test_keyed_jobs_keep_their_order_on_four_threads(live: Node) -> None:
    ran: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    busy: set[str] = set()
    faults: list[str] = []

    def run(ctx: JobContext) -> None:
        key = ctx.args["key"]
        if key in busy:
            faults.append(f"two jobs of {key} at once")
        busy.add(key)
        threading.Event().wait(random.random() * 0.004)
        ran[key].append(ctx.args["n"])
        busy.discard(key)

    live.jobs.register("run", run, klass="messages")
    live.queue.start()
    for number in range(25):
        for key in ran:
            live.defer("run", {"key": key, "n": number}, key=key)
    wait_until(lambda: sum(map(len, ran.values())) == 75)
    assert faults == []
    assert ran == {key: list(range(25)) for key in "abc"}


def test_retried_job_holds_up_its_key(node: Node, clock: VirtualClock) -> None:
    ran: list[int] = []

    def run(ctx: JobContext) -> None:
        if ctx.args["n"] == 1 and ctx.attempt == 1:
            raise TemporaryError("", "the other side is busy")
        ran.append(ctx.args["n"])

    node.jobs.register("run", run, klass="stock")
    for number in (1, 2, 3):
        node.defer("run", {"n": number}, key="k")
    assert node.queue.drain() == 1
    clock.advance(10)
    node.queue.drain()
    assert ran == [1, 2, 3]


def test_clock_set_back_runs_no_key_twice_at_once(node: Node, clock: VirtualClock) -> None:
    node.defer(key="k")
    first = node.jobs.claim(1)
    clock.advance(-3600)
    node.defer(key="k")
    assert (len(first), node.jobs.claim(5)) == (1, [])


def test_two_nodes_share_keyed_jobs(db: Database, clock: VirtualClock) -> None:
    nodes = [Node(db, clock, name) for name in ("one", "two")]
    for node in nodes:
        node.writer.start()
    ids = [nodes[0].defer("count", {"steps": 2}, key=str(number % 5)) for number in range(40)]
    threads = [threading.Thread(target=node.queue.drain) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    nodes[0].queue.drain()
    for node in nodes:
        node.writer.stop()
    assert [steps(db, job) for job in ids] == [[0, 1]] * 40
    assert {status(nodes[0], job) for job in ids} == {"done"}


def test_temporary_failures_climb_the_ladder(node: Node, clock: VirtualClock) -> None:
    def fail(_ctx: JobContext) -> None:
        raise TemporaryError("", "no answer")

    node.jobs.register("fail", fail, klass="messages")
    job = node.defer("fail", {"n": 1})
    for wait_s in LADDER:
        assert node.queue.drain() == 1
        waits = (node.jobs.get_job(job).due_at - clock.now()).total_seconds()
        assert wait_s * 0.9 <= waits <= wait_s * 1.1
        clock.advance(waits)
    assert node.queue.drain() == 1
    shown = node.jobs.get_job(job)
    assert (shown.status, shown.attempts, shown.error) == ("dead", len(LADDER) + 1, "no answer")


def test_wish_of_the_other_side_is_kept(node: Node) -> None:
    def fail(_ctx: JobContext) -> None:
        raise TemporaryError("", "come back later", after_s=900)

    node.jobs.register("fail", fail, klass="messages")
    job = node.defer("fail", {"n": 1})
    node.queue.drain()
    assert node.jobs.get_job(job).due_at == NOON + timedelta(seconds=900)


@pytest.mark.parametrize(
    "error",
    [
        RejectedError("", "never"),
        InvalidInput("a", "is wrong"),
        ValueError("a fault of ours"),
        SystemExit(3),  # a task may not end its worker
    ],
)
def test_final_error_is_a_dead_letter(node: Node, error: BaseException) -> None:
    def fail(_ctx: JobContext) -> None:
        raise error

    node.jobs.register("fail", fail, klass="messages")
    job = node.defer("fail", {"n": 1})
    assert node.queue.drain() == 1
    shown = node.jobs.get_job(job)
    assert shown.status == "dead"
    assert shown.error


def test_dead_job_is_retried_from_its_checkpoint(node: Node) -> None:
    seen: list[Any] = []

    def fail_once(ctx: JobContext) -> None:
        seen.append(ctx.state)
        if ctx.state is None:
            ctx.checkpoint({"row": 7})
            raise RejectedError("", "never")

    node.jobs.register("fail", fail_once, klass="bulk")
    job = node.defer("fail", {"n": 1})
    node.queue.drain()
    node.writer.do(lambda tx: node.jobs.retry_job(tx, job))
    node.queue.drain()
    assert (status(node, job), seen) == ("done", [None, {"row": 7}])
    with pytest.raises(Conflict):
        node.writer.do(lambda tx: node.jobs.retry_job(tx, job))


def test_canceled_job_commits_nothing_more(node: Node) -> None:
    def cancel_and_go_on(ctx: JobContext) -> None:
        node.step(ctx, 0)
        node.writer.do(lambda tx: node.jobs.cancel_job(tx, ctx.job_id))
        assert not ctx.is_mine()
        node.step(ctx, 1)

    node.jobs.register("stubborn", cancel_and_go_on, klass="bulk")
    job = node.defer("stubborn", {"steps": 2})
    node.queue.drain()
    assert (status(node, job), steps(node.db, job)) == ("canceled", [0])


def test_job_that_is_not_kept_leaves_no_row(node: Node) -> None:
    node.jobs.register("poll", lambda _: None, klass="bulk", keep=False)
    job = node.defer("poll", {"n": 1})
    node.queue.drain()
    with pytest.raises(NotFound):
        node.jobs.get_job(job)


def test_lease_runs_out_and_another_takes_over(db: Database, clock: VirtualClock) -> None:
    one, two = Node(db, clock, "one"), Node(db, clock, "two")
    job = one.defer("count", {"steps": 4})
    sleeper = JobContext(one.jobs, one.jobs.claim(1)[0])
    one.step(sleeper, 0)
    clock.advance(LEASE - timedelta(seconds=1))
    assert two.queue.drain() == 0
    clock.advance(1)
    assert two.queue.drain() == 1
    with pytest.raises(Conflict):  # the sleeper wakes
        one.step(sleeper, 1)
    assert not sleeper.is_mine()
    assert not one.jobs.finish(sleeper.claimed)
    assert (steps(db, job), status(two, job)) == ([0, 1, 2, 3], "done")


def test_fence_holds_while_the_heir_still_works(db: Database, clock: VirtualClock) -> None:
    one, two = Node(db, clock, "one"), Node(db, clock, "two")
    job = one.defer("count", {"steps": 4})
    sleeper = JobContext(one.jobs, one.jobs.claim(1)[0])
    clock.advance(LEASE)
    heir = JobContext(two.jobs, two.jobs.claim(1)[0])
    with pytest.raises(Conflict):
        one.step(sleeper, 0)
    assert (sleeper.is_mine(), heir.is_mine()) == (False, True)
    assert not one.jobs.finish(sleeper.claimed)
    assert not one.jobs.fail(sleeper.claimed, RejectedError("", "never"))
    assert not one.jobs.give_back(sleeper.claimed)
    two.step(heir, 0)
    assert (steps(db, job), status(two, job)) == ([0], "running")


def test_renewed_lease_is_not_taken(db: Database, clock: VirtualClock) -> None:
    one, two = Node(db, clock, "one"), Node(db, clock, "two")
    one.defer()
    held = one.jobs.claim(1)
    for _ in range(5):
        clock.advance(LEASE / 2)
        assert one.jobs.renew(held) == set()
        assert two.queue.drain() == 0
    clock.advance(LEASE)
    two.queue.drain()
    assert one.jobs.renew(held) == {held[0].id}


def test_job_that_kills_its_workers_is_dead(db: Database, clock: VirtualClock) -> None:
    job = Node(db, clock).defer()
    for life in range(MOST_LOST):
        node = Node(db, clock)
        assert node.jobs.release_own() == (1 if life else 0)
        assert len(node.jobs.claim(1)) == 1
    assert Node(db, clock).jobs.release_own() == 1
    shown = Node(db, clock).jobs.get_job(job)
    assert (shown.status, "died or hung 3 times" in (shown.error or "")) == ("dead", True)


def test_job_that_gets_further_may_lose_many_workers(db: Database, clock: VirtualClock) -> None:
    job = Node(db, clock).defer("count", {"steps": 20})
    for step in range(10):
        node = Node(db, clock)
        node.jobs.release_own()
        ctx = JobContext(node.jobs, node.jobs.claim(1)[0])
        node.step(ctx, step)
    last = Node(db, clock)
    last.jobs.release_own()
    last.queue.drain()
    assert (steps(db, job), status(last, job)) == (list(range(20)), "done")


def test_hung_job_is_let_go_and_others_go_on(db: Database) -> None:
    clock = VirtualClock(NOON)
    node = Node(db, clock, workers=2)
    gate = threading.Event()
    node.jobs.register("hang", lambda _: gate.wait(30), klass="stock", silence=timedelta(minutes=1))
    node.writer.start()
    node.queue.start()
    try:
        hung = [node.defer("hang", {"n": number}) for number in range(2)]
        wait_until(lambda: node.queue.running == 2)
        clock.advance(61)
        node.queue.renew()
        job = node.defer()
        wait_until(lambda: status(node, job) == "done")
        gate.set()  # nobody has taken the two over yet, so what they come back with still counts
        wait_until(lambda: {status(node, one) for one in hung} == {"done"})
    finally:
        gate.set()
        node.queue.stop(5)
        node.writer.stop()


def test_stop_hands_work_back_within_its_time(live: Node) -> None:
    live.queue.start()
    job = live.defer("count", {"steps": 10_000, "nap_s": 0.001})
    wait_until(lambda: count_steps(live.db) > 3)
    begun = time.monotonic()
    live.queue.stop(10)
    assert time.monotonic() - begun < 5
    shown = live.jobs.get_job(job)
    assert (shown.status, shown.attempts) == ("ready", 0)
    assert steps(live.db, job) == list(range(shown.done))


def test_stop_takes_a_stubborn_job_from_its_thread(live: Node) -> None:
    begun, gate, refused = threading.Event(), threading.Event(), threading.Event()

    def stubborn(ctx: JobContext) -> None:
        begun.set()
        gate.wait(30)
        try:
            ctx.checkpoint(1)
        except Conflict:
            refused.set()
            raise

    live.jobs.register("stubborn", stubborn, klass="stock")
    live.queue.start()
    job = live.defer("stubborn", {"n": 1})
    assert begun.wait(10)
    live.queue.stop(0.05)
    assert status(live, job) == "ready"
    gate.set()
    assert refused.wait(10)
    assert (status(live, job), live.jobs.get_job(job).done) == ("ready", 0)


def test_unfinished_job_goes_on_from_its_checkpoint(node: Node) -> None:
    def halves(ctx: JobContext) -> None:
        if ctx.state is None:
            ctx.checkpoint("half")
            raise Unfinished
        assert ctx.state == "half"

    node.jobs.register("halves", halves, klass="bulk")
    job = node.defer("halves", {"n": 1})
    assert perform(node.jobs, JobContext(node.jobs, node.jobs.claim(1)[0]))
    assert status(node, job) == "ready"
    node.queue.drain()
    assert status(node, job) == "done"


def test_ended_jobs_are_forgotten_after_a_while(node: Node, clock: VirtualClock) -> None:
    done = node.defer()
    node.queue.drain()
    clock.advance(timedelta(days=8))
    waiting = node.defer(due_at=clock.now() + timedelta(days=1))
    assert node.writer.do(lambda tx: node.jobs.forget(tx, clock.now() - timedelta(days=7))) == 1
    assert [job.id for job in node.jobs.list_jobs()] == [waiting]
    assert done != waiting


# Processes that are killed


def child(db: Database, when: str, *, crash_at: str = "", name: str = "child") -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "VITRIN_CRASH_AT": crash_at}
    url = db.url.render_as_string(hide_password=False)
    return subprocess.Popen([sys.executable, job_node.__file__, url, name, when], env=environment)


LATER = str(NOON.timestamp())


@pytest.mark.parametrize(
    "place",
    [
        "job.claimed",  # the row says running, nobody runs it
        "job.before_run",
        "writer.before_commit:6",  # a step is written and not committed
        "writer.after_commit:6",  # a step is committed and its caller not told
        "job.before_finish",  # all is done but the job's own row
    ],
)
def test_killed_job_goes_on_exactly_from_its_checkpoint(db: Database, node: Node, place: str) -> None:
    job = node.defer("count", {"steps": 10})
    assert child(db, LATER, crash_at=place).wait(60) == -signal.SIGKILL
    assert status(node, job) == "running"
    before = steps(db, job)
    assert child(db, LATER).wait(60) == 0
    assert (steps(db, job), status(node, job)) == (list(range(10)), "done")
    assert before == list(range(len(before)))


def test_random_kills_lose_and_double_nothing(db: Database, live: Node) -> None:
    jobs = [live.defer("count", {"steps": 40, "nap_s": 0.004}, key=str(number % 3)) for number in range(9)]
    kills = 0
    while not all(status(live, job) == "done" for job in jobs):
        process = child(db, "live")
        seen = count_steps(db)
        # Only after some progress: three kills in one place would make the job dead, and rightly.
        while process.poll() is None and count_steps(db) < seen + 60:
            threading.Event().wait(0.002)
        process.kill()
        kills += process.wait(60) != 0
        assert kills < 60
    assert [steps(db, job) for job in jobs] == [list(range(40))] * 9
    assert kills >= 3


def test_stopped_process_loses_its_job_and_cannot_commit(db: Database) -> None:
    early = Node(db, VirtualClock(NOON))
    job = early.defer("count", {"steps": 30, "nap_s": 0.02})
    process = child(db, LATER, name="sleeper")
    wait_until(lambda: count_steps(db) >= 3)
    process.send_signal(signal.SIGSTOP)
    later = Node(db, VirtualClock(NOON + timedelta(minutes=10)), "heir")
    wait_until(lambda: later.queue.drain() == 1)
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0
    assert (steps(db, job), status(later, job)) == (list(range(30)), "done")


def test_many_ready_jobs_are_claimed_quickly(db: Database, node: Node, clock: VirtualClock) -> None:
    rows = [
        {"id": f"{number:036d}", "class": "bulk", "task": "count", "key": str(number % 1000), "status": "ready"}
        | {"args": {"args": {"steps": 0}, "state": None, "done": 0, "total": None, "lost": 0}}
        | {"due_at": NOON, "attempts": 0, "fence": 0, "created_at": NOON}
        for number in range(20_000)
    ]
    with db.write() as conn:
        conn.execute(insert(job_node.table), rows)
    with db.write() as conn:
        conn.execute(job_node.table.update().where(job_node.table.c.id < f"{5_000:036d}").values(key="one"))
    begun = time.monotonic()
    assert len(node.jobs.claim(100)) == 100
    assert time.monotonic() - begun < 2
