"""`run`: web, worker and clock in one process, until it is told to stop."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import click

from commands.call import FAILED, PROGRAM, Call, pass_call
from commands.noun import Verb
from commands.opening import open_engine
from commands.way_in import make_way_in
from core.errors import Conflict, StorageError
from core.people import People
from core.queues.carriers import make_carrier
from core.schema_version import check
from core.tokens import Tokens
from rules.engine import Engine, Parts, node_name
from web.app import create_app
from web.server import Server, make_server


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
    node = node_name(call.settings)
    parts = Parts(node=node, carrier=make_carrier(call.settings, node))
    with open_engine(call, make=True, parts=parts) as engine:
        server = listen(call, engine)
        stop_on_signals(call, stop)
        engine.start()
        serve_until(call, engine, server, stop)
    call.say("stopped")


def serve_until(call: Call, engine: Engine, server: Server, stop: threading.Event) -> None:
    """Serve until told to stop."""
    web = threading.Thread(target=_serve, args=(server, stop), name="vitrin-web", daemon=True)
    web.start()
    host, port = server.address
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    call.show({"listening": address, "pid": os.getpid()}, lambda: f"listening on {address}")
    way_in = make_way_in(engine, address)
    if way_in and not call.json:
        call.say(f"nobody has a password here yet; this link lets the admin in once: {way_in}")
    stop.wait()
    server.stop()
    web.join(call.settings.stop_s)


def listen(call: Call, engine: Engine) -> Server:
    """Return a server that listens already; raise Conflict where the address is taken."""
    tokens = Tokens(engine.db, engine.writer, engine.clock)
    people = People(engine.db, engine.writer, engine.clock, on_change=tokens.forget)
    try:
        return make_server(engine, create_app(engine, tokens=tokens, checks=_readiness(engine)), people)
    except OSError as exc:
        call.next = f"{PROGRAM} run --port {call.settings.port + 1}"
        where = f"{call.settings.host}:{call.settings.port}"
        raise Conflict(f"cannot listen on {where}: {exc.strerror or exc}") from exc


def _readiness(engine: Engine) -> dict[str, Callable[[], None]]:
    """What must hold, beside a database that answers, for this process to be sent work."""

    def tables() -> None:
        with engine.db.read() as conn:
            if not check(conn):
                raise StorageError(f"the tables are older than this program: run {PROGRAM} db upgrade")

    def stopping() -> None:
        if engine.is_stopping:
            raise StorageError("this process is stopping")

    return {"tables": tables, "stopping": stopping}


def _serve(server: Server, stop: threading.Event) -> None:
    """Serve until told to stop; a server that ends by itself ends the process too."""
    try:
        server.run()
    finally:
        stop.set()


def stop_on_signals(call: Call, stop: threading.Event) -> None:
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
