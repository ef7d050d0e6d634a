"""Spreads count values by size, for histograms and for words such as "nearly all"."""

from hypothesis import given
from hypothesis import strategies as st

from core.spread import Spread

VALUES = st.lists(st.floats(0, 100), max_size=50)


def test_value_on_a_bound_is_at_most_that() -> None:
    spread = Spread((1, 10))
    for value in (0.5, 1, 1.5, 10, 11):
        spread.add(value)
    assert spread.at_most() == [(1, 2), (10, 4), (float("inf"), 5)]
    assert (spread.count, spread.sum, spread.mean) == (5, 24, 4.8)


def test_nothing_seen_is_zero() -> None:
    assert (Spread((1,)).mean, Spread((1,)).percentile(0.5), Spread((1,)).count) == (0, 0, 0)


@given(VALUES, st.sampled_from([0.5, 0.95, 1.0]))
def test_percentile_is_the_first_bound_that_holds(values: list[float], part: float) -> None:
    spread = Spread((1, 10, 50))
    for value in values:
        spread.add(value)
    bound = spread.percentile(part)
    if values:
        assert sum(value <= bound for value in values) >= part * len(values)
        assert all(
            sum(value <= lower for value in values) < part * len(values) for lower in (1, 10, 50) if lower < bound
        )
