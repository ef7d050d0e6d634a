"""`run`: web, worker and clock in one process, until it is told to stop."""

import os
import signal
import threading
from types import FrameType

import click

from commands.call import FAILED, Call, pass_call
from commands.noun import Verb
from commands.opening import open_engine
from web.server import serve as serve_web


@click.command(
    cls=Verb,
    settings=True,
    examples=("run", "run --home ./shop --port 8480 --zone Europe/Istanbul --currency TRY", "run --host 0.0.0.0"),
)
@pass_call
def run(call: Call) -> None:
    """Start the engine: web, worker and clock in one process; Ctrl-C or SIGTERM ends it in order.

    The database is made, or brought up to this program, at the start.
    """
    stop = threading.Event()
    with open_engine(call, make=True) as engine:
        _stop_on_signals(call, stop)
        engine.start()
        serve_web(engine, stop)
    call.say("stopped")


def _stop_on_signals(call: Call, stop: threading.Event) -> None:
    """End in order on the first signal, and at once on the second or when the time for it is over."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        call.say("stopping: finishing what is in hand")
        stop.set()
        late = threading.Timer(call.settings.stop_s, _give_up, (call,))
        late.daemon = True
        late.start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def _give_up(call: Call) -> None:
    # Safe: what was answered is on disk, and a run that was under way is taken up again by its lease.
    call.say(f"not everything ended within {call.settings.stop_s} s; what was under way goes on at the next start")
    os._exit(FAILED)


serve = run
