"""Calls into plugin code that cannot take the engine with them: bounded in time, errors translated."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import OperationalError, PendingRollbackError

from core.db import is_in_the_way, storage_error
from core.errors import PluginError, VitrinError
from core.key_locks import InTheWay

log = structlog.get_logger("vitrin.host")
T = TypeVar("T")

#: What SQLite says when the machine is to blame.
_STORAGE = ("disk is full", "disk i/o error", "database is locked", "readonly database", "unable to open")
#: Calls of one plugin that may hang at once before no more of them are started.
_MOST_HANGING = 4


class HungError(PluginError):
    """A plugin did not come back in time."""

    code = "plugin_hung"


class Guard:
    """Runs plugin code on threads of its own with a time limit; a thread that hangs is left behind."""

    def __init__(self) -> None:
        self._hanging: Counter[str] = Counter()
        self._lock = threading.Lock()

    def call(self, plugin: str, work: Callable[[], T], *, limit_s: float) -> T:
        """Return what `work` answers; raise HungError after `limit_s`, PluginError for anything unexpected."""
        if self._hanging[plugin] >= _MOST_HANGING:
            raise HungError(plugin, f"{_MOST_HANGING} earlier calls never came back; switch it off and on again")
        box: list[Any] = []
        done = threading.Event()

        def run() -> None:
            try:
                box.append((True, translated(plugin, work)))
            except VitrinError as exc:
                box.append((False, exc))
            except BaseException as exc:  # noqa: BLE001 - on this thread even KeyboardInterrupt is the plugin's own
                box.append((False, PluginError(plugin, _told(exc))))
            finally:
                done.set()
                with self._lock:
                    self._hanging[plugin] -= 1

        with self._lock:
            self._hanging[plugin] += 1
        threading.Thread(target=run, name=f"vitrin-plugin-{plugin}", daemon=True).start()
        if not done.wait(limit_s):
            raise HungError(plugin, f"did not come back within {limit_s:g} s")
        ok, value = box[0]
        if not ok:
            raise value
        return value


def translated(plugin: str, work: Callable[[], T]) -> T:
    """Run plugin code; errors of our tree pass, everything else becomes PluginError with the plugin's name."""
    try:
        return work()
    except VitrinError:
        raise
    except (KeyboardInterrupt, GeneratorExit, InTheWay):
        raise
    except PendingRollbackError as exc:
        raise storage_error(exc) from exc
    except OperationalError as exc:
        # The disk or the database, not the plugin: the whole piece of work is undone and comes again.
        if is_in_the_way(exc):
            raise
        if exc.connection_invalidated or any(mark in str(exc.orig).lower() for mark in _STORAGE):
            raise storage_error(exc) from exc
        raise PluginError(plugin, _told(exc)) from exc
    except BaseException as exc:
        log.warning("a plugin raised", plugin=plugin, error=type(exc).__name__, exc_info=exc)
        raise PluginError(plugin, _told(exc)) from exc


def _told(exc: BaseException) -> str:
    """Say what was raised; an error of a plugin may fail even at that."""
    try:
        return f"raised {type(exc).__name__}: {exc}"[:500]
    except Exception:  # noqa: BLE001 - its own __str__ raised
        return f"raised {type(exc).__name__}"
