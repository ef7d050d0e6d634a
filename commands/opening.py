"""What commands work on: the database alone, or the whole engine; a mistyped folder makes no new shop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from commands.call import PROGRAM, Call
from core import logs
from core.errors import Conflict, NotFound
from core.schema_version import CORE, check, current, upgrade
from core.writer import Tx
from rules.engine import Engine, Parts

_SQLITE = "sqlite:///"


@contextmanager
def open_records(call: Call, *, make: bool = False, parts: Parts | None = None) -> Iterator[Engine]:
    """Open the database and nothing else: no plugin is imported. `make` makes or upgrades it where needed."""
    settings = call.settings
    # Whoever names the process means to stay.
    quiet_logs(call, "info" if make or parts else "error")
    if not make:
        _need_file(call)
    engine = Engine(settings, call.builtins, parts)
    try:
        _make_ready(call, engine, make=make)
        yield engine
    finally:
        engine.close()


@contextmanager
def open_engine(call: Call, *, make: bool = False, parts: Parts | None = None) -> Iterator[Engine]:
    """Open the engine with its plugins and rules; nothing runs by itself."""
    with open_records(call, make=make, parts=parts) as engine:
        engine.open()
        yield engine


def write(call: Call, engine: Engine, work: Callable[[Tx], Any]) -> Any:
    """Run work in a transaction and return its result after the commit; a dry run undoes it."""
    if not call.dry_run:
        return engine.writer.do(work)

    def tried(tx: Tx) -> NoReturn:
        raise _Undone(work(tx))

    try:
        engine.writer.do(tried)
    except _Undone as undone:
        return undone.result


def quiet_logs(call: Call, level: str) -> None:
    """Send logs to stderr, from `level` on unless a level was asked for: who asks a question wants the answer only."""
    chosen = call.settings.log_level if call.settings.origin("log_level") != "default" else level
    logs.configure("debug" if call.debug else chosen, call.settings.log_format)


def _need_file(call: Call) -> None:
    address = call.settings.database
    path = Path(address.removeprefix(_SQLITE))
    if address.startswith(_SQLITE) and not path.exists():
        call.next = f"{PROGRAM} db init, or name the shop's folder with --home"
        raise NotFound(f"there is no database at {path} yet")


def _make_ready(call: Call, engine: Engine, *, make: bool) -> None:
    with engine.db.read() as conn:
        if check(conn):
            return
        fresh = current(conn) is None
    if make:
        upgrade(engine.db, CORE)
        return
    call.next = f"{PROGRAM} db {'init' if fresh else 'upgrade'}"
    state = "is empty" if fresh else "is older than this program"
    raise Conflict(f"the database {call.settings.shown('database')} {state}")


class _Undone(Exception):
    """Carries the result of a dry run out of the transaction that is undone."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result
