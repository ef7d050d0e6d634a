"""Named places where a test may kill the process, to prove that nothing is lost there."""

import os
import signal
from collections import Counter

_target, _, _nth = os.environ.get("VITRIN_CRASH_AT", "").partition(":")
_passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Kill the process with SIGKILL when VITRIN_CRASH_AT names this place (`name` or `name:3` for the third pass)."""
    if name != _target:
        return
    _passed[name] += 1
    if _passed[name] == int(_nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
