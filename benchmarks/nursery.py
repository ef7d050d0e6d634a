"""A process that has imported everything and forks the program's processes on demand: to kill many, many must start.

Reads lines of JSON {"argv": [...], "log": PATH, "ahead_s": 0} and answers each with the process's id.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from benchmarks.idle_plugin import IDLE
from commands.line import run_line
from core import clock
from core.host import Builtin
from plugins import BUILTINS

#: Imported before the first fork, so that no process pays for it again.
AHEAD = ("commands.run", "commands.processes", "web.app", "core.queues.local")
#: Celery is an extra.
AHEAD_IF_THERE = {"celery": "core.queues.celery"}
#: Plugins that only benches have.
EXTRA = {
    "provider": Builtin(name="provider", module="benchmarks.provider", summary="counts what is sent", on=True),
    "idle": IDLE,
}


def main(lines: Iterable[str]) -> None:
    for name in (*AHEAD, *(module for library, module in AHEAD_IF_THERE.items() if find_spec(library))):
        import_module(name)
    for plugin in BUILTINS.values():
        import_module(plugin.module)
    # Nobody asks how they ended: the system buries them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    tell("ready")
    for line in lines:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            live(order)
        tell(str(child))


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def live(order: Mapping[str, Any]) -> None:
    """Be one process of the program, to its end."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for handle, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(handle, number)
    if order["ahead_s"]:
        set_wrong(order["ahead_s"])
    os._exit(run_line(MappingProxyType({**BUILTINS, **EXTRA}), order["argv"]))


def set_wrong(by_s: float) -> None:
    """Make the wall clock wrong by so many seconds, as this process sees it."""
    right, right_ns = clock.SystemClock.now, time.time_ns
    clock.SystemClock.now = lambda self: right(self) + timedelta(seconds=by_s)
    time.time_ns = lambda: right_ns() + int(by_s * 1e9)


if __name__ == "__main__":
    main(sys.stdin)
