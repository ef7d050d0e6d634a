"""Time-ordered ids: UUID version 7 (RFC 9562, section 5.7), as canonical text."""

import os
import threading
import time
from collections.abc import Callable

_lock = threading.Lock()
_last = 0
_now_ns: Callable[[], int] = time.time_ns


def take_time_from(now_ns: Callable[[], int]) -> None:
    """Let the ids of this process sort with those of other machines: by a time that all of them share."""
    global _now_ns
    _now_ns = now_ns


def new_id() -> str:
    """Return a UUIDv7; ids made in one process sort in the order they were made."""
    global _last
    # 48 bits of milliseconds and 12 bits of fraction (method 3 of RFC 9562, section 6.2), then 62 random bits.
    millis, rest = divmod(_now_ns(), 1_000_000)
    stamp = (millis << 12) | (rest << 12) // 1_000_000
    with _lock:
        stamp = _last = stamp if stamp > _last else _last + 1
    tail = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    head = f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}"
    text = f"{head}{tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def id_after(other: str) -> str:
    """Return an id that sorts right behind another one: for what came later by a clock that is behind."""
    number = int(other.replace("-", ""), 16) + 1 + int.from_bytes(os.urandom(4), "big")
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
