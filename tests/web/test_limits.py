"""Rate limits count a minute at a time, for each caller apart, in bounded memory."""

import pytest

from core.errors import Busy
from web import limits
from web.limits import LIMITS, WINDOW_S, Limits


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_minute_after_the_limit_begins_anew():
    time = Time()
    counted = Limits({"read": 2}, time)
    assert [counted.count("read", "a").remaining for _ in range(2)] == [1, 0]
    time.now += 20
    with pytest.raises(Busy) as refused:
        counted.count("read", "a")
    assert refused.value.after_s == WINDOW_S - 20
    time.now += WINDOW_S - 20
    assert counted.count("read", "a").remaining == 1


def test_callers_and_kinds_are_counted_apart():
    counted = Limits({"read": 1, "write": 1}, Time())
    assert [counted.count(kind, who).remaining for kind in ("read", "write") for who in ("a", "b")] == [0, 0, 0, 0]


def test_flood_from_many_addresses_stays_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "_MOST_CALLERS", 10)
    counted = Limits({"failed": 5}, Time())
    for number in range(15):
        counted.count("failed", str(number))
    with pytest.raises(Busy):
        counted.count("failed", "one more")
    assert counted.count("failed", "3").remaining == 3


def test_every_limit_is_generous_enough_for_one_person():
    assert all(most >= 60 for most in LIMITS.values())
