"""The pool of outside calls: who is slow holds up himself, and the classes take turns."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait

import pytest

from rules.outside import Pool, lane_of

SLOW, QUICK = ("slow", "", ""), ("quick", "", "")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def pool(gate: threading.Event) -> Iterator[Pool]:
    pool = Pool(2)
    yield pool
    gate.set()
    pool.stop()


def _fail() -> None:
    raise ZeroDivisionError


def test_call_is_made_and_told(pool: Pool) -> None:
    made: list[int] = []
    pool.submit("bulk", QUICK, lambda: made.append(1)).result(10)
    assert made == [1]


def test_error_of_a_call_is_its_own(pool: Pool) -> None:
    assert isinstance(pool.submit("bulk", QUICK, _fail).exception(10), ZeroDivisionError)
    pool.submit("bulk", QUICK, lambda: None).result(10)


def _hang(gate: threading.Event) -> None:
    gate.wait(10)


def test_slow_plugin_does_not_hold_up_another(pool: Pool, gate: threading.Event) -> None:
    hung = [pool.submit("payments", SLOW, lambda: _hang(gate)) for _ in range(50)]
    quick = [pool.submit("bulk", QUICK, lambda: None) for _ in range(50)]
    assert not wait(quick, 10).not_done
    assert not any(call.done() for call in hung)
    assert pool.waiting()["slow"] == 48


def test_slow_host_does_not_hold_up_another_of_its_plugin(pool: Pool, gate: threading.Event) -> None:
    for _ in range(10):
        pool.submit("bulk", lane_of("hooks", None, "https://slow.example/a"), lambda: _hang(gate))
    pool.submit("bulk", lane_of("hooks", None, "https://quick.example/a"), lambda: None).result(10)


def test_lane_has_so_many_calls_and_no_more(pool: Pool, gate: threading.Event) -> None:
    entered = threading.Semaphore(0)

    def hold() -> None:
        entered.release()
        gate.wait(10)

    calls = [pool.submit("bulk", SLOW, hold) for _ in range(9)]
    assert [entered.acquire(timeout=10) for _ in range(2)] == [True, True]
    assert not entered.acquire(blocking=False)
    assert pool.under_way == 2
    gate.set()
    assert not wait(calls, 10).not_done


def fill(pool: Pool, gate: threading.Event) -> Callable[[], None]:
    """Take all threads but one; return what opens the last one, too."""
    for number in range(7):
        pool.submit("payments", (f"other-{number}", "", ""), lambda: _hang(gate))
    last = threading.Event()
    entered = threading.Event()

    def hold() -> None:
        entered.set()
        last.wait(10)

    pool.submit("payments", ("last", "", ""), hold)
    assert entered.wait(10)
    return last.set


def test_payments_go_before_messages_before_the_rest(pool: Pool, gate: threading.Event) -> None:
    open_last = fill(pool, gate)
    done: list[str] = []
    classes = ["bulk", "messages", "payments"] * 20
    calls = [pool.submit(klass, (klass, "", ""), lambda klass=klass: done.append(klass)) for klass in classes]
    open_last()
    assert not wait(calls, 10).not_done
    assert done[0] == "payments"
    # By weight 16, 4 and 1: nobody waits for all of the others.
    assert [done[:21].count(klass) for klass in ("payments", "messages", "bulk")] == [16, 4, 1]


def test_lanes_of_a_class_take_turns(pool: Pool, gate: threading.Event) -> None:
    open_last = fill(pool, gate)
    done: list[str] = []
    lanes = ["a"] * 10 + ["b"] * 2
    calls = [pool.submit("bulk", (lane, "", ""), lambda lane=lane: done.append(lane)) for lane in lanes]
    open_last()
    assert not wait(calls, 10).not_done
    assert done[:4].count("b") == 2


def test_room_is_told_when_half_of_a_full_lane_is_gone(gate: threading.Event) -> None:
    told = threading.Event()
    pool = Pool(1, on_room=told.set)
    for _ in range(250):
        pool.submit("bulk", QUICK, lambda: _hang(gate))
    assert not told.is_set()
    gate.set()
    assert told.wait(10)
    pool.stop()


def test_stop_drops_what_waits(gate: threading.Event) -> None:
    pool = Pool(1)
    entered = threading.Event()

    def hold() -> None:
        entered.set()
        gate.wait(10)

    first = pool.submit("bulk", QUICK, hold)
    assert entered.wait(10)
    second = pool.submit("bulk", QUICK, lambda: None)
    second.add_done_callback(lambda _second: gate.set())
    pool.stop()
    assert first.done()
    assert second.cancelled()


# address, its host in the lane
ADDRESSES = [
    ("https://user:pw@Shop.example:8443/a", "shop.example"),
    ("", ""),
    ("no address", ""),
    ("http://[broken", ""),  # the plugin says what is wrong with it
]


@pytest.mark.parametrize(("address", "host"), ADDRESSES)
def test_lane_is_that_of_plugin_account_and_host(address: str, host: str) -> None:
    assert lane_of("hooks", None, address) == ("hooks", "", host)
