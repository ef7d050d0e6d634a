"""Spreads: how many of the values seen so far were at most this large; what a histogram is drawn from."""

import threading
from bisect import bisect_left
from collections.abc import Sequence

#: Bounds for times in seconds and for sizes of batches.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Spread:
    """Counts values by size; any thread may add."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        place = bisect_left(self.bounds, value)
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    @property
    def sum(self) -> float:
        """All values added up."""
        return self._sum

    @property
    def count(self) -> int:
        return sum(self._counts)

    @property
    def mean(self) -> float:
        """The average; 0 while nothing was seen."""
        count = self.count
        return self._sum / count if count else 0.0

    def at_most(self) -> list[tuple[float, int]]:
        """Return for each bound how many values were at most that large; the last bound is infinite."""
        with self._lock:
            counts = list(self._counts)
        found, total = [], 0
        for bound, count in zip((*self.bounds, float("inf")), counts, strict=True):
            total += count
            found.append((bound, total))
        return found

    def percentile(self, part: float) -> float:
        """Return the smallest bound that this part (0..1) of the values does not exceed; 0 while nothing was seen."""
        steps = self.at_most()
        total = steps[-1][1]
        return next((bound for bound, count in steps if total and count >= part * total), 0.0)
