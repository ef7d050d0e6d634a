"""The calls to other systems: a bounded pool of threads in which no plugin or host can take all places.

Calls wait in lanes, one for each plugin, account and host. A lane has only so many calls under way at once; among the
lanes that may go on, the classes take turns by weight, and within a class the lanes one after another.
"""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from rules.turns import WEIGHTS

#: Threads for each worker of the setting; a lane has as many as there are workers.
_LANES = 4
#: Calls that may wait in the lanes of one plugin; more are not claimed until half of them are gone.
MOST_WAITING = 200


@dataclass(slots=True)
class _Lane:
    plugin: str
    klass: str
    waiting: deque[tuple[Callable[[], None], Future[None]]] = field(default_factory=deque)
    under_way: int = 0


class Pool:
    """Runs calls on threads of its own, started when they are needed."""

    def __init__(self, workers: int, *, on_room: Callable[[], None] = lambda: None) -> None:
        """`on_room` is called when a lane that was full has room again."""
        self._on_room = on_room
        self._per_lane = workers
        self._most = workers * _LANES
        self._lanes: OrderedDict[tuple[str, ...], _Lane] = OrderedDict()
        self._credit: Counter[str] = Counter()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._stopping = False
        self._changed = threading.Condition()

    def submit(self, klass: str, lane: tuple[str, ...], work: Callable[[], None]) -> Future[None]:
        """Queue work in a lane (its first part is the plugin); the future ends with it."""
        future: Future[None] = Future()
        with self._changed:
            queue = self._lanes.setdefault((klass, *lane), _Lane(lane[0], klass))
            queue.waiting.append((work, future))
            if not self._idle and len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name="vitrin-outside", daemon=True)
                self._threads.add(thread)
                thread.start()
            self._changed.notify()
        return future

    def waiting(self) -> Counter[str]:
        """Return how many calls of each plugin wait for their turn."""
        with self._changed:
            found: Counter[str] = Counter()
            for lane in self._lanes.values():
                found[lane.plugin] += len(lane.waiting)
            return found

    @property
    def under_way(self) -> int:
        with self._changed:
            return sum(lane.under_way for lane in self._lanes.values())

    def stop(self) -> None:
        """Drop what waits, and return when what is under way has ended."""
        with self._changed:
            self._stopping = True
            for lane in self._lanes.values():
                for _, future in lane.waiting:
                    future.cancel()
                lane.waiting.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            lane, work, future = taken
            try:
                if future.set_running_or_notify_cancel():
                    _run(work, future)
            finally:
                with self._changed:
                    lane.under_way -= 1
                    self._changed.notify_all()

    def _take(self) -> tuple[_Lane, Callable[[], None], Future[None]] | None:
        """Return the next call, waiting for one; None when the pool ends."""
        with self._changed:
            while not self._stopping:
                lane = self._next_lane()
                if lane is not None:
                    lane.under_way += 1
                    work, future = lane.waiting.popleft()
                    if len(lane.waiting) == MOST_WAITING // 2:
                        self._on_room()
                    return lane, work, future
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            self._threads.discard(threading.current_thread())
            return None

    def _next_lane(self) -> _Lane | None:
        free: dict[str, tuple[str, ...]] = {}
        for name, lane in list(self._lanes.items()):
            if not lane.waiting and not lane.under_way:
                del self._lanes[name]
            elif lane.waiting and lane.under_way < self._per_lane:
                free.setdefault(lane.klass, name)
        if not free:
            return None
        # Every class that waits gains by its weight; who has most goes, and pays for it.
        for klass in free:
            self._credit[klass] += WEIGHTS[klass]
        chosen = max(free, key=lambda klass: (self._credit[klass], WEIGHTS[klass]))
        self._credit[chosen] -= sum(WEIGHTS[klass] for klass in free)
        self._lanes.move_to_end(free[chosen])
        return self._lanes[free[chosen]]


def _run(work: Callable[[], None], future: Future[None]) -> None:
    try:
        work()
    except BaseException as exc:  # noqa: BLE001 - whoever waits for the call is told; the thread lives on
        future.set_exception(exc)
    else:
        future.set_result(None)


def lane_of(plugin: str, account: str | None, address: str) -> tuple[str, ...]:
    """Return the lane of a call: its plugin, account and, where its parameters name an address, that one's host."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None  # no address; the plugin will say so
    return (plugin, account or "", host or "")
