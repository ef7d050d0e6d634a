"""`bench match`: events a CPU second through the index, at 10 to 100,000 rules."""

import gc
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Any

import click

from benchmarks.by_hand import one_lambda_a_rule, one_loop_for_all
from benchmarks.figures import Figure, Task, figure, memory_mb
from benchmarks.workload import EVENT_TYPE, Document, Workload
from core.jsontext import dumps, loads
from rules.match import Matcher
from rules.rule import Rule, compile_rule

SIZES = (10, 100, 1_000, 10_000, 100_000)
_SHOP = {"zone": "UTC", "currency": "TRY", "language": "en"}
_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_EVENTS = 10_000
#: Events that are read before they are matched: few enough to be still in the processor's cache then.
_BATCH = 20
_SWITCHES = 50
#: Returns the rules that concern an event, or their names.
Find = Callable[[Document], list[Any]]

OPTIONS = (
    click.Option(["--most"], type=click.IntRange(min=10), default=SIZES[-1], show_default=True, help="Most rules."),
    click.Option(["--repeats"], type=click.IntRange(min=1), default=9, show_default=True, help="Repeats of each."),
)


def run(task: Task) -> Iterator[Figure]:
    """Measure each size against what was written by hand for it, turn by turn."""
    sizes = [size for size in SIZES if size <= task.options["most"]]
    for done, size in enumerate(sizes):
        task.moved(done, len(sizes))
        yield from _measure(size, task.options["repeats"], last=size == sizes[-1])
    task.moved(len(sizes), len(sizes))


def _measure(size: int, repeats: int, *, last: bool) -> Iterator[Figure]:
    load = Workload(size)
    documents = load.documents()
    events = [dumps(data) for data in load.orders(_EVENTS)]
    first = _picture(events[0])
    hand = one_lambda_a_rule(documents) if size == SIZES[0] else one_loop_for_all(documents)
    compiling = time.process_time()
    rules = [compile_rule(document, id=f"{number:08}") for number, document in enumerate(documents)]
    compiling = time.process_time() - compiling
    matcher, build_s, built_mb = _build(rules, first)
    match = partial(matcher.match, EVENT_TYPE)
    _ensure_equal(match, hand, events)
    rates, limits = _side_by_side(match, hand, events, repeats)
    yield figure(f"match.{size}", rates, "events/cpu_s", limit=median(limits))
    if not last:
        return
    yield figure("match.build_s", [build_s], "s", limit=_dictionary_s(rules))
    yield figure("match.build_mb", [built_mb], "MB")
    yield figure("match.compile_s", [compiling], "s")
    yield figure("match.switch_ms", _switches(matcher, rules, first), "ms")


def _build(rules: list[Rule], picture: Document) -> tuple[Matcher, float, float]:
    """File all rules; the first event waits until that is done."""
    gc.collect()
    held, started = memory_mb(), time.process_time()
    matcher = Matcher()
    for rule in rules:
        matcher.add(rule)
    matcher.match(EVENT_TYPE, picture)
    return matcher, time.process_time() - started, memory_mb() - held


def _dictionary_s(rules: list[Rule]) -> float:
    """Return how long it takes to put the rules into a dictionary and no more."""
    started = time.process_time()
    assert {rule.id: (rule, rule.condition) for rule in rules}
    return time.process_time() - started


def _ensure_equal(match: Find, hand: Find, events: list[bytes]) -> None:
    for picture in map(_picture, events[:500]):
        assert [rule.name for rule in match(picture)] == sorted(hand(picture)), "matcher and loop by hand disagree"


def _side_by_side(match: Find, hand: Find, events: list[bytes], repeats: int) -> tuple[list[float], list[float]]:
    """Return rates of both, taken in turns, so that what else the machine does slows both."""
    rates: list[float] = []
    limits: list[float] = []
    gc.collect()
    gc.freeze()
    for _ in range(repeats):
        rates.append(_rate(match, events))
        limits.append(_rate(hand, events))
    gc.unfreeze()
    return rates, limits


def _rate(find: Find, events: list[bytes]) -> float:
    """Return events a CPU second; each batch has just been read, as it has where an event is matched for good."""
    spent = 0.0
    for start in range(0, len(events), _BATCH):
        pictures = [_picture(text) for text in events[start : start + _BATCH]]
        started = time.process_time()
        for picture in pictures:
            find(picture)
        spent += time.process_time() - started
    return len(events) / spent


def _picture(text: bytes) -> Document:
    """Return what conditions read of an event (see `rules.intake.event_picture`)."""
    return {**loads(text), "event": {}, "shop": _SHOP, "now": _NOW, "facts": {}, "steps": {}}


def _switches(matcher: Matcher, rules: list[Rule], picture: Document) -> list[float]:
    """Switch rules off and on again, each time with the event that comes next."""
    spent = []
    for rule in rules[:: max(len(rules) // _SWITCHES, 1)]:
        started = time.process_time()
        matcher.remove(rule.id)
        matcher.match(EVENT_TYPE, picture)
        matcher.add(rule)
        matcher.match(EVENT_TYPE, picture)
        spent.append((time.process_time() - started) * 1_000)
    return spent
