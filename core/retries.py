"""How long to wait before the next try, and which errors are worth one."""

import random
from collections.abc import Sequence
from datetime import timedelta

from core.errors import Busy, Overtaken, StorageError, TemporaryError, VitrinError

#: Seconds between tries of what may yet succeed; after the last one it is a dead letter.
LADDER = (5, 30, 300, 1800, 7200, 18_000, 36_000, 36_000, 86_400)


def delay(attempt: int, after_s: float | None, source: random.Random, *, ladder: Sequence[float] = LADDER) -> timedelta:
    """Return the wait after a failed try: the ladder's with jitter, or longer where the other side asked for it."""
    base = ladder[min(attempt, len(ladder)) - 1] * source.uniform(0.9, 1.1)
    return timedelta(seconds=max(base, after_s or 0))


def is_final(exc: BaseException) -> bool:
    """Tell whether the same work would fail the same way again; what is no error of our tree is a fault, and final."""
    if not isinstance(exc, VitrinError):
        return True
    return not isinstance(exc, (TemporaryError, StorageError, Busy, Overtaken))


def wished_s(exc: BaseException) -> float | None:
    """Return the wait that an error itself asks for."""
    return exc.after_s if isinstance(exc, (TemporaryError, Busy)) else None
