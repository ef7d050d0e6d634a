"""Endpoints for machines: /healthz, /readyz, /metrics."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from core.errors import VitrinError
from core.spread import Spread
from rules.engine import Engine
from rules.figures import Figures, read_figures
from rules.pulse import jobs_behind
from web.auth import Gate
from web.dispatch import write_reply
from web.hosts import Hosts, is_loopback
from web.problems import make_problem
from web.routes import Reply, Services, View

#: Open to everybody under every name: it tells nothing but yes or no.
PROBE = "probe"
METRICS = "metrics"
#: Counting looks through tables: asked more often than this, the last figures are told again.
_FRESH_S = 5.0
#: Rules whose cost is told: those that cost most.
_DEAREST = 50


class Machine:
    """The views for machines."""

    def __init__(self, services: Services, gate: Gate, hosts: Hosts, checks: Mapping[str, Callable[[], None]]) -> None:
        self._engine = services.engine
        self._gate = gate
        self._hosts = hosts
        self._checks = {"database": self._ask_database, **checks}
        self._registry = CollectorRegistry()
        self._registry.register(_EngineFigures(services.engine))

    def views(self) -> Iterator[View]:
        yield View("machine.health", "/healthz", ("GET",), PROBE, self.health)
        yield View("machine.ready", "/readyz", ("GET",), PROBE, self.ready)
        yield View("machine.metrics", "/metrics", ("GET",), METRICS, self.metrics)

    def health(self) -> Response:
        """The process is up."""
        return write_reply(Reply(body={"status": "ok"}))

    def ready(self) -> Response:
        """The database answers and has the right shape, and the engine is not stopping."""
        for name, check in self._checks.items():
            try:
                check()
            except VitrinError:
                detail = f"{name} is not ready; the log says why"
                return write_reply(make_problem(503, "unavailable", detail, headers={"Retry-After": "5"}))
        return write_reply(Reply(body={"status": "ready"}))

    def metrics(self) -> Response:
        """Figures for Prometheus: for this machine itself, and for tokens with the scope."""
        forwarded = request.headers.getlist("X-Forwarded-For")
        # A proxy on this machine makes everybody look local: what was forwarded needs a token.
        if forwarded or not is_loopback(request.remote_addr or ""):
            address = self._hosts.client(request.remote_addr, forwarded)
            self._gate.enter(request.headers.get("Authorization"), address).need(METRICS)
        return write_reply(Reply(body=generate_latest(self._registry).decode(), media=CONTENT_TYPE_LATEST))

    def _ask_database(self) -> None:
        with self._engine.db.read() as conn:
            conn.exec_driver_sql("SELECT 1")


class _EngineFigures(Collector):
    """Reads the engine's figures when Prometheus asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._read: tuple[float, Figures, tuple[int, float]] | None = None

    def describe(self) -> list[Any]:
        """Tell nothing beforehand: registering must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        figures, (jobs, oldest_job_s) = self._figures()
        yield GaugeMetricFamily("vitrin_events", "Events stored.", value=figures.events)
        yield GaugeMetricFamily("vitrin_runs_due", "Runs that should go on now.", value=figures.due)
        yield GaugeMetricFamily(
            "vitrin_oldest_due_seconds", "How late the oldest run is that is due.", value=figures.oldest_due_s
        )
        waiting = self._engine.writer.waiting
        yield GaugeMetricFamily("vitrin_writer_waiting", "Pieces of work that wait for their commit.", value=waiting)
        runs = GaugeMetricFamily("vitrin_runs", "Runs stored, by outcome.", labels=["outcome"])
        for outcome, count in sorted(figures.runs.items()):
            runs.add_metric([outcome], count)
        yield runs
        effects = GaugeMetricFamily("vitrin_effects", "Effects stored, by kind and state.", labels=["kind", "state"])
        for (kind, state), count in sorted(figures.effects.items()):
            effects.add_metric([kind, state], count)
        yield effects
        yield GaugeMetricFamily("vitrin_jobs_due", "Jobs that should go on now.", value=jobs)
        yield GaugeMetricFamily(
            "vitrin_oldest_job_seconds", "How late the oldest job is that is due.", value=oldest_job_s
        )
        yield from self._of_this_process()

    def _of_this_process(self) -> Iterator[Metric]:
        written, costs = self._engine.writer.figures, self._engine.runner.costs
        yield _histogram("vitrin_commit_seconds", "From a group's first statement to its commit.", written.commit_s)
        yield _histogram("vitrin_group_size", "Pieces of work in one commit.", written.group)
        yield _histogram("vitrin_batch_runs", "Runs in one batch.", costs.batch)
        yield _histogram("vitrin_run_lag_seconds", "From the moment a run was due to its walk.", costs.lag_s)
        calls = GaugeMetricFamily("vitrin_calls_waiting", "Outside calls that wait for their turn.", labels=["plugin"])
        for plugin, count in sorted(self._engine.runner.calls_waiting().items()):
            calls.add_metric([plugin], count)
        yield calls
        seconds = CounterMetricFamily("vitrin_rule_seconds", "Time that walks of a rule took.", labels=["rule"])
        walks = CounterMetricFamily("vitrin_rule_walks", "Walks of a rule's runs.", labels=["rule"])
        for rule, cost in costs.dearest(_DEAREST):
            seconds.add_metric([rule], cost.seconds)
            walks.add_metric([rule], cost.walks)
        yield seconds
        yield walks

    def _figures(self) -> tuple[Figures, tuple[int, float]]:
        with self._lock:
            now = self._engine.clock.monotonic()
            if self._read is None or now - self._read[0] >= _FRESH_S:
                moment = self._engine.clock.now()
                with self._engine.db.read() as conn:
                    self._read = now, read_figures(conn, moment), jobs_behind(conn, moment)
            return self._read[1:]


def _histogram(name: str, words: str, spread: Spread) -> Metric:
    buckets = [("+Inf" if bound == float("inf") else str(bound), count) for bound, count in spread.at_most()]
    return HistogramMetricFamily(name, words, buckets=buckets, sum_value=spread.sum)
