"""The carrier for many machines: hints as Celery messages over RabbitMQ or Redis.

A message holds ids and nothing else, is acknowledged when it arrives, and may be lost: runs and jobs are found in the
database by those who sweep it. So nothing here waits for the broker, stores a result, or plans ahead.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from celery import Celery
from celery.exceptions import CeleryError
from celery.worker import WorkController
from celery.worker import state as worker_state
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.exceptions import KombuError
from kombu.messaging import Producer

from core.errors import VitrinError
from core.jobs import CLASSES
from core.queues.port import JOBS, RUNS, Taker

log = structlog.get_logger("vitrin.carrier")

_TASK = "vitrin.hint"
#: Ids in one message: few enough that several workers share a burst, many enough for one transaction.
BATCH = 50
#: Ids that wait for the broker; what comes above that is found by the sweep.
_MOST_WAITING = 50_000
#: How long nothing is sent after the broker did not answer.
_QUIET_S = 1.0
_STOP_S = 5.0
_CONNECT_S = 4.0
#: RabbitMQ drops hints that nobody fetched: by then the sweep has found what they named.
_BOUNDS = {"x-message-ttl": 300_000, "x-max-length": 20_000}
#: Redis cannot: where this many messages wait, no more are sent.
_MOST_MESSAGES = 20_000
_DEPTH_EVERY_S = 5.0

_OPTIONS: dict[str, Any] = {
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_default_delivery_mode": "transient",
    "task_create_missing_queues": False,
    "task_publish_retry": False,
    "task_acks_late": False,
    "worker_prefetch_multiplier": 1,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_detect_quorum_queues": False,
    "worker_enable_prefetch_count_reduction": False,
    "broker_connection_timeout": _CONNECT_S,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
}


class CeleryCarrier:
    """Tells hints from a thread of its own, and hears those of others on another."""

    def __init__(self, broker: str, node: str) -> None:
        self._node = node
        self._queues = {klass: Queue(f"vitrin.{klass}", queue_arguments=_BOUNDS) for klass in CLASSES}
        self._app = Celery("vitrin", broker=broker, set_as_current=False)
        self._app.conf.update(_OPTIONS, task_queues=list(self._queues.values()))
        self._app.task(self._heard, name=_TASK, shared=False)
        self._app.finalize()
        self._take: Taker | None = None
        self._waiting: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._count = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._quiet_until_s = 0.0
        self._depths: dict[str, tuple[int, float]] = {}

    def start(self) -> None:
        self._run_on_thread(self._send_on, "vitrin-tell")

    def listen(self, take: Taker) -> None:
        self._take = take
        self._run_on_thread(self._listen_on, "vitrin-hear")

    def stop(self) -> None:
        self._stopping.set()
        worker_state.should_stop = 0
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_STOP_S)
        self._threads = []
        worker_state.should_stop = None

    def _run_on_thread(self, work: Any, name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    # Telling

    def tell(self, kind: str, klass: str, ids: Sequence[str]) -> None:
        with self._changed:
            if self._count + len(ids) > _MOST_WAITING:
                return
            self._waiting[kind, klass].extend(ids)
            self._count += len(ids)
            self._changed.notify()

    def _send_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._count or self._stopping.is_set())
                waiting, self._waiting, self._count = self._waiting, defaultdict(list), 0
            if not waiting:
                break
            for kind, klass, ids in _messages(waiting):
                self._send(kind, klass, ids)
        self._disconnect()

    def _send(self, kind: str, klass: str, ids: list[str]) -> None:
        if time.monotonic() < self._quiet_until_s:
            return
        for is_last in (False, True):
            try:
                self._publish(kind, klass, ids)
            except (OSError, KombuError, CeleryError, *self._failures()) as exc:
                # A connection that the broker has closed meanwhile is no news: the second try makes a new one.
                self._disconnect()
                if is_last or self._stopping.is_set():
                    self._quiet_until_s = time.monotonic() + _QUIET_S
                    log.warning("the broker does not take hints; work is found by the sweep", error=type(exc).__name__)
                    return
            else:
                return

    def _publish(self, kind: str, klass: str, ids: list[str]) -> None:
        if self._producer is None:
            # Without heartbeats: this connection is only looked at when there is something to tell.
            limits = {"read_timeout": _CONNECT_S, "write_timeout": _CONNECT_S} if self._is_amqp() else {}
            connection: Connection = self._app.connection_for_write(heartbeat=0, transport_options=limits)
            self._connection = connection
            # Once: by itself it would try for ever, longer and longer.
            connection.connect()
            self._producer = Producer(connection)
        if self._is_full(self._producer, klass):
            return
        queue = self._queues[klass]
        self._app.send_task(_TASK, args=(kind, ids), queue=queue, producer=self._producer, retry=False)

    def _is_amqp(self) -> bool:
        return str(self._app.conf.broker_url).startswith(("amqp", "pyamqp"))

    def _is_full(self, producer: Producer, klass: str) -> bool:
        depth, looked_s = self._depths.get(klass, (0, 0.0))
        if time.monotonic() - looked_s >= _DEPTH_EVERY_S:
            bound = self._queues[klass].bind(producer.channel)
            depth = bound.queue_declare().message_count
            self._depths[klass] = depth, time.monotonic()
        return depth >= _MOST_MESSAGES

    def _failures(self) -> tuple[type[BaseException], ...]:
        known = self._connection
        return (*known.connection_errors, *known.channel_errors) if known is not None else ()

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        self._depths.clear()
        if connection is None:
            return
        try:
            connection.release()
        except OSError as exc:
            log.debug("a connection was dead already", error=str(exc))

    # Hearing

    def _listen_on(self) -> None:
        # Celery looks tasks up in the thread's own application.
        self._app.set_current()
        while not self._stopping.is_set():
            try:
                self._make_worker().start()
            except Exception:
                log.exception("listening for hints met a fault; work is found by the sweep meanwhile")
            self._stopping.wait(_QUIET_S)

    def _make_worker(self) -> WorkController:
        return WorkController(
            app=self._app,
            pool_cls="solo",
            concurrency=1,
            hostname=f"vitrin@{self._node}",
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )

    def _heard(self, kind: str, ids: list[str]) -> None:
        if self._take is None or kind not in (RUNS, JOBS) or not _are_ids(ids):
            log.error("a hint of an unknown kind was thrown away", kind=str(kind)[:40])
            return
        try:
            self._take(kind, ids)
        except VitrinError as exc:
            # What it named stays due in the database.
            log.error("a hint could not be followed; the sweep finds what it named", error=exc.message)
        except Exception:
            log.exception("following a hint met a fault; the sweep finds what it named")


def _are_ids(ids: object) -> bool:
    return isinstance(ids, list) and len(ids) <= BATCH and all(isinstance(one, str) and len(one) <= 64 for one in ids)


def _messages(waiting: dict[tuple[str, str], list[str]]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield what to send, the important classes first."""
    for klass in CLASSES:
        for kind in (RUNS, JOBS):
            ids = list(dict.fromkeys(waiting.get((kind, klass), ())))
            for start in range(0, len(ids), BATCH):
                yield kind, klass, ids[start : start + BATCH]
