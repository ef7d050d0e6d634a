"""The demo's own folder: its settings file, what may be deleted to start anew, and a port that is free."""

import os
import socket
from dataclasses import replace
from pathlib import Path

from commands.call import PROGRAM, Call
from core.errors import Conflict, InvalidInput, UserError
from core.settings import FILE_NAME, Settings, load_settings

DEFAULT = Path(".vitrin-demo")
PLUGIN = "demo"
_DATABASE, _KEY = "vitrin.db", "secret.key"
#: All that a demo leaves in its folder; nothing else is ever deleted.
_OURS = (FILE_NAME, _KEY, _DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm")
_FILE = f"""\
# Written by '{PROGRAM} demo'. A shop with this line is made up, and may be deleted by '{PROGRAM} demo --fresh'.
demo = true
zone = "Europe/Istanbul"
currency = "TRY"
region = "TR"
plugins_on = ["{PLUGIN}"]
"""


def prepare_demo(call: Call, *, fresh: bool) -> Settings:
    """Return the settings of the demo shop, making its folder and settings file where there are none."""
    if call.flags.get("home") is None and not os.environ.get("VITRIN_HOME"):
        call.flags["home"] = DEFAULT
    home = load_settings({"home": call.flags.get("home")}, _only_home(), None).home
    path = home / FILE_NAME
    _refuse_real_shop(home, path)
    try:
        if fresh:
            for name in _OURS:
                (home / name).unlink(missing_ok=True)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.write_text(_FILE, encoding="utf-8")
    except OSError as exc:
        raise InvalidInput("home", f"the folder {home} cannot be written to: {exc.strerror}") from exc
    settings = call.settings
    # The demo has a database of its own, whatever the environment says of the real one.
    database, key_file = f"sqlite:///{home / _DATABASE}", home / _KEY
    plugins_on = tuple(dict.fromkeys((*settings.plugins_on, PLUGIN)))
    return replace(settings, demo=True, database=database, key_file=key_file, plugins_on=plugins_on)


def _only_home() -> dict[str, str]:
    home = os.environ.get("VITRIN_HOME")
    return {"VITRIN_HOME": home} if home else {}


def _refuse_real_shop(home: Path, path: Path) -> None:
    """Raise Conflict where the folder holds anything that a demo did not make."""
    if not home.exists() or not any(home.iterdir()):
        return
    settings = load_settings({"home": home}, {}, None)
    if not settings.demo or not path.exists():
        raise Conflict(f"the folder {home} is in use and holds no demo shop: name an empty one with --home")


def choose_port(settings: Settings) -> int:
    """Return the port to listen on: the wanted one, or any free one where that was nobody's choice."""
    if _is_free(settings.host, settings.port):
        return settings.port
    if settings.origin("port") != "default":
        raise UserError(f"{settings.host}:{settings.port} is in use; choose another --port, or none")
    with socket.create_server((settings.host, 0)) as probe:
        return probe.getsockname()[1]


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False
