"""This process's name among those that share the database: unique among the living, and the same after a restart.

At its start a process takes back what its name had in hand when it died, so no other living process may have it.
"""

import fcntl
import os
import platform
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Node:
    """A name, held by a lock on a file for as long as the process lives."""

    name: str
    handle: int

    def release(self) -> None:
        os.close(self.handle)


def take_node(settings: Settings, role: str) -> Node:
    """Take the first free name of this role on this machine."""
    folder = settings.home / "nodes"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    machine = platform.node()
    for number in count(1):
        handle = _lock(folder / f"{machine}.{role}.{number}")
        if handle is not None:
            return Node(name=f"{machine}:{settings.home.resolve()}:{role}:{number}", handle=handle)
    raise AssertionError  # `count` never ends


def _lock(path: Path) -> int | None:
    """Lock a file; the system lets go of it with the process, however that ends."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
