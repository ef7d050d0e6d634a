import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from http_fakes import FakeNetwork, FakeResolver, Sent, answer
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from core.clock import VirtualClock
from core.errors import InvalidInput, TemporaryError
from core.http import HttpClient, Rate
from core.http.limits import RateGate

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = {"a.example": [["93.184.216.34"]], "b.example": [["93.184.216.35"]]}
SECOND = timedelta(seconds=1)


def test_many_threads_respect_the_host_limit() -> None:
    lock, now, most = threading.Lock(), 0, 0
    together = threading.Barrier(8)

    def count(request: Request) -> Response:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        # Each group of eight leaves only when all eight slots are in use at once.
        together.wait(10)
        with lock:
            now -= 1
        return Response("ok")

    with HTTPServer(threaded=True) as server, HttpClient() as client, ThreadPoolExecutor(40) as threads:
        server.expect_request("/").respond_with_handler(count)
        session = client.session("probe", allow=[f"{server.host}:{server.port}"])
        answers = list(threads.map(lambda _: session.get(server.url_for("/")).status, range(200)))
    assert (answers, most) == ([200] * 200, 8)


def test_busy_host_is_temporary_and_other_hosts_go_on() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(sent: Sent) -> bytes:
        if sent.headers["host"] == "a.example":
            entered.set()
            leave.wait(10)
        return answer()

    client = HttpClient(resolver=FakeResolver(NAMES), connector=FakeNetwork(hold), per_host=1, wait_s=0.05)
    session = client.session("probe")
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(session.get, "https://a.example/")
        entered.wait(10)
        with pytest.raises(TemporaryError, match=r"a\.example is busy"):
            session.get("https://a.example/")
        assert session.get("https://b.example/").status == 200
        leave.set()
        assert first.result(10).status == 200
    assert session.get("https://a.example/").status == 200


def test_rate_spreads_requests_over_time() -> None:
    clock = VirtualClock(START)
    network = FakeNetwork(lambda _: answer())
    client = HttpClient(resolver=FakeResolver(NAMES), connector=network, clock=clock, sleep=clock.advance)
    for _ in range(7):
        # A session is made for each piece of work; the limit belongs to the account.
        client.session("probe", "shop-1", limits=[Rate(requests=2, per=SECOND)]).get("https://a.example/")
    assert clock.now() - START == timedelta(seconds=2.5)
    client.session("probe", "shop-2", limits=[Rate(requests=2, per=SECOND)]).get("https://a.example/")
    assert clock.now() - START == timedelta(seconds=2.5)


def test_long_wait_goes_back_to_the_queue() -> None:
    clock = VirtualClock(START)
    network = FakeNetwork(lambda _: answer())
    client = HttpClient(resolver=FakeResolver(NAMES), connector=network, clock=clock, sleep=clock.advance, wait_s=10)
    session = client.session("probe", limits=[Rate(requests=1, per=timedelta(minutes=1))])
    session.get("https://a.example/")
    with pytest.raises(TemporaryError, match="too many requests for now") as refused:
        session.get("https://a.example/")
    assert refused.value.after_s == pytest.approx(60)
    clock.advance(60)
    assert session.get("https://a.example/").status == 200


@given(st.integers(1, 20), st.integers(1, 20), st.lists(st.floats(0, 3), min_size=30, max_size=60), st.integers(1, 100))
def test_rate_is_never_passed(requests: int, burst: int, pauses: list[float], seconds: int) -> None:
    gate, now, done = RateGate(), 0.0, []
    rate = Rate(requests=requests, per=timedelta(seconds=seconds), burst=burst)
    for pause in pauses:
        now += pause
        now += gate.reserve("account", [rate], now, 1e9)
        done.append(now)
    for first in range(len(done)):
        for last in range(first, len(done)):
            most = burst + (done[last] - done[first]) / rate.interval_s
            assert last - first + 1 <= most + 1e-6


def test_refused_reservation_takes_nothing() -> None:
    gate, rate = RateGate(), Rate(requests=1, per=SECOND)
    gate.reserve("account", [rate], 0.0, 0.0)
    waits = [gate.reserve("account", [rate], 0.5, 0.1) for _ in range(5)]
    assert waits == [0.5] * 5


@pytest.mark.parametrize("rate", [{"requests": 0, "per": SECOND}, {"requests": 1, "per": timedelta(0)}])
def test_senseless_rate_is_refused(rate: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Rate(**rate)
