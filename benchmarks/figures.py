"""Figures: what a bench measured, with its spread and the limit of what is possible; as JSON and as a table."""

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from commands.output import columns
from core.errors import NotFound
from core.host import Builtin
from core.settings import Settings

#: Units in which less is better; of the others, more is.
_COSTS = frozenset({"s", "ms", "us", "MB"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a bench is handed."""

    #: Its home is a fresh folder, its database a fresh SQLite file in it.
    settings: Settings
    builtins: Mapping[str, Builtin]
    #: The bench's own flags.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Tells how much is done, of how much.
    moved: Callable[[int, int], None] = lambda _done, _total: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number that was measured."""

    name: str
    value: float
    unit: str
    #: Lowest and highest of the repeats.
    spread: tuple[float, float]
    #: What the least possible work reaches; None where there is nothing to compare with.
    limit: float | None = None

    def as_json(self) -> dict[str, Any]:
        spread = [_round(end) for end in self.spread]
        limit = None if self.limit is None else _round(self.limit)
        return {"name": self.name, "value": _round(self.value), "unit": self.unit, "spread": spread, "limit": limit}

    @property
    def of_limit(self) -> float | None:
        """The part of the limit that was reached; 1 is all of it."""
        if not self.limit or not self.value:
            return None
        return self.limit / self.value if self.unit in _COSTS else self.value / self.limit


def figure(name: str, samples: Sequence[float], unit: str, *, limit: float | None = None) -> Figure:
    """Return the median of the repeats with their spread."""
    spread = min(samples), max(samples)
    return Figure(name=name, value=median(samples), unit=unit, spread=spread, limit=limit)


def as_document(bench: str, figures: Iterable[Figure]) -> dict[str, Any]:
    return {"bench": bench, "figures": [each.as_json() for each in figures]}


def as_table(figures: Iterable[Figure]) -> str:
    """Return the figures in words, each beside its limit."""
    rows = []
    for each in figures:
        low, high = each.spread
        rows.append(
            {
                "figure": each.name,
                "value": _shown(each.value),
                "unit": each.unit,
                "spread": "-" if low == high else f"{_shown(low)} .. {_shown(high)}",
                "limit": None if each.limit is None else _shown(each.limit),
                "of_limit": None if each.of_limit is None else f"{each.of_limit:.0%}",
            }
        )
    return columns(rows, ("figure", "value", "unit", "spread", "limit", "of_limit"))


def _round(value: float) -> float:
    """Four digits and no more: the next ones are noise."""
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def _shown(value: float) -> str:
    rounded = _round(value)
    return f"{rounded:,}" if isinstance(rounded, int) else f"{rounded}"


# Measuring


def cpu_rates(work: Callable[[], int], *, repeats: int = 5) -> list[float]:
    """Return for each repeat how much was done in a CPU second; `work` says how many it did."""
    return _rates(work, time.process_time, repeats)


def wall_rates(work: Callable[[], int], *, repeats: int = 5) -> list[float]:
    """Return for each repeat how much was done in a second of the clock on the wall."""
    return _rates(work, time.perf_counter, repeats)


def _rates(work: Callable[[], int], clock: Callable[[], float], repeats: int) -> list[float]:
    rates = []
    for _ in range(repeats):
        gc.collect()
        started = clock()
        done = work()
        rates.append(done / max(clock() - started, 1e-9))
    return rates


def percentile(samples: Sequence[float], part: float) -> float:
    """Return the value that this part (0..1) of the samples does not exceed."""
    ordered = sorted(samples)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def memory_mb(pid: int | None = None, *, peak: bool = False) -> float:
    """Return the memory that a process (this one) holds now, or at its peak; the kernel's own count."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid or 'self'}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) / 1024
    raise NotFound("this system does not tell how much memory a process holds")
