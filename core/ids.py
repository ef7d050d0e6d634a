"""Time-ordered ids: UUID version 7 (RFC 9562, section 5.7), as canonical text."""

import os
import threading
import time

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """Return a UUIDv7; ids made in one process sort in the order they were made."""
    global _last
    # 48 bits of milliseconds and 12 bits of fraction (method 3 of RFC 9562, section 6.2), then 62 random bits.
    millis, rest = divmod(time.time_ns(), 1_000_000)
    stamp = (millis << 12) | (rest << 12) // 1_000_000
    with _lock:
        stamp = _last = stamp if stamp > _last else _last + 1
    tail = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    head = f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}"
    text = f"{head}{tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
