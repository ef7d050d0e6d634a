"""`web`, `work` and `clock`: the parts of `run`, each in a process of its own, on any number of machines."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from commands.call import Call, pass_call
from commands.noun import Verb
from commands.opening import open_engine
from commands.run import listen, serve_until, stop_on_signals
from core.node import take_node
from core.queues.carriers import make_carrier, need_shared_database
from core.settings import prepare_home
from rules.engine import CLOCK, WEB, WORK, Engine, Parts


@click.command(cls=Verb, settings=True, examples=("web --home /var/lib/vitrin --host 0.0.0.0",))
@pass_call
def web(call: Call) -> None:
    """Start the web API alone; any number may run, behind one proxy.

    `work` and `clock` run beside it or elsewhere, on the same PostgreSQL database, whose tables must be there already.
    """
    stop = threading.Event()
    with _open_part(call, WEB) as engine:
        server = listen(call, engine)
        stop_on_signals(call, stop)
        engine.start(WEB)
        serve_until(call, engine, server, stop)
    call.say("stopped")


@click.command(cls=Verb, settings=True, examples=("work --home /var/lib/vitrin", "work --queue celery --workers 8"))
@pass_call
def work(call: Call) -> None:
    """Start a worker alone: it walks runs and does jobs; any number may run."""
    _run_part(call, WORK)


@click.command(cls=Verb, settings=True, examples=("clock --home /var/lib/vitrin",))
@pass_call
def clock(call: Call) -> None:
    """Start a clock alone: schedules, and what is due. Start two: one leads, the other takes over within 15 seconds."""
    _run_part(call, CLOCK)


def _run_part(call: Call, role: str) -> None:
    stop = threading.Event()
    with _open_part(call, role) as engine:
        stop_on_signals(call, stop)
        engine.start(role)
        call.show({"role": role, "node": engine.node, "pid": os.getpid()}, lambda: f"{role}: {engine.node}")
        stop.wait()
    call.say("stopped")


@contextmanager
def _open_part(call: Call, role: str) -> Iterator[Engine]:
    """Open an engine that shares the database with those of other processes."""
    settings = call.settings
    need_shared_database(settings, f"'{role}' in a process of its own")
    prepare_home(settings)
    node = take_node(settings, role)
    try:
        with open_engine(call, parts=Parts(node=node.name, carrier=make_carrier(settings, node.name))) as engine:
            yield engine
    finally:
        node.release()
