"""The demo's own folder: its settings file, what may be deleted to start anew, and a port that is free."""

import fcntl
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from commands.call import PROGRAM, Call
from core.errors import Conflict, InvalidInput, UserError
from core.settings import FILE_NAME, Settings, load_settings

DEFAULT = Path(".vitrin-demo")
PLUGIN = "demo"
_HOST = "127.0.0.1"
_DATABASE, _KEY, _LOCK = "vitrin.db", "secret.key", "demo.lock"
#: All that a demo leaves in its folder; nothing else is ever deleted.
_OURS = (FILE_NAME, _KEY, _DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm")
_FILE = f"""\
# Written by '{PROGRAM} demo'. A shop with this line is made up, and '{PROGRAM} demo --fresh' deletes it.
demo = true
zone = "Europe/Istanbul"
currency = "TRY"
region = "TR"
plugins_on = ["{PLUGIN}"]
"""


@contextmanager
def open_home(call: Call, *, fresh: bool) -> Iterator[Settings]:
    """Hold the demo's folder, made where there is none, and yield the settings of its shop."""
    if call.flags.get("home") is None and not os.environ.get("VITRIN_HOME"):
        call.flags["home"] = DEFAULT
    own = {name: value for name, value in os.environ.items() if name == "VITRIN_HOME"}
    home = load_settings({"home": call.flags.get("home")}, own).home
    _refuse_other_shop(home)
    lock = _open_lock(home)
    try:
        _take(lock, home)
        _lay_out(home, fresh=fresh)
        yield _demo_settings(call.settings)
    finally:
        os.close(lock)


def _open_lock(home: Path) -> int:
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(home / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as exc:
        raise InvalidInput("home", f"the folder {home} cannot be written to: {exc.strerror}") from exc


def _refuse_other_shop(home: Path) -> None:
    """Raise Conflict where the folder holds anything that no demo made."""
    if home.is_dir() and any(home.iterdir()) and not (home / _LOCK).exists():
        raise Conflict(f"the folder {home} is in use and holds no demo shop: name an empty one with --home")


def _take(lock: int, home: Path) -> None:
    # The system drops the lock with the process, so a killed demo leaves none behind.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise Conflict(f"a demo is running in {home} already: stop it, or name another folder with --home") from exc


def _lay_out(home: Path, *, fresh: bool) -> None:
    if fresh:
        for name in _OURS:
            (home / name).unlink(missing_ok=True)
    path = home / FILE_NAME
    if not path.exists():
        path.write_text(_FILE, encoding="utf-8")


def _demo_settings(settings: Settings) -> Settings:
    home, port = settings.home, _choose_port(settings)
    return replace(
        settings,
        demo=True,
        # A database of its own, whatever the environment says of the real one; and never for other machines.
        database=f"sqlite:///{home / _DATABASE}",
        key_file=home / _KEY,
        host=_HOST,
        port=port,
        base_url=f"http://{_HOST}:{port}",
        plugins_on=tuple(dict.fromkeys((*settings.plugins_on, PLUGIN))),
    )


def _choose_port(settings: Settings) -> int:
    """Return the port to listen on: the wanted one, or any free one where that was nobody's choice."""
    if _is_free(settings.port):
        return settings.port
    if settings.origin("port") != "default":
        raise UserError(f"{_HOST}:{settings.port} is in use; choose another --port, or none")
    with socket.create_server((_HOST, 0)) as probe:
        return probe.getsockname()[1]


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((_HOST, port)):
            return True
    except OSError:
        return False


def show_home(home: Path) -> str:
    """Return the folder as people type it from here."""
    here = Path.cwd()
    return shlex.quote(str(home.relative_to(here) if home.is_relative_to(here) else home))
