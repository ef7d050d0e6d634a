"""Named places where a test may kill the process, to prove that nothing is lost there."""

import os
import signal
from collections import Counter

_target, _nth = "", 1
_passed: Counter[str] = Counter()


def arm(spec: str) -> None:
    """Choose the place to die at: `name`, or `name:3` for the third time it is passed; empty for none."""
    global _target, _nth
    _target, _, nth = spec.partition(":")
    _nth = int(nth or 1)
    _passed.clear()


def crash_point(name: str) -> None:
    """Kill the process with SIGKILL where it was armed to die here; otherwise do nothing."""
    if name != _target:
        return
    _passed[name] += 1
    if _passed[name] == _nth:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("VITRIN_CRASH_AT", ""))
