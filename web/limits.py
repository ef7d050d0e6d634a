"""Rate limits: how often one token, or one address, may do what; told in RateLimit headers and refused with 429."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from flask import Flask
from flask_limiter import Limiter
from limits import parse

from core.errors import Busy

#: Name -> how often, for one token (`failed` and `hook`: for one address).
LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "read": "6000/minute",
        "write": "1200/minute",
        "events": "120000/minute",
        #: Costly for us, or for somebody else's system.
        "test": "60/minute",
        "hook": "12000/minute",
        "failed": "60/minute",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How much of a limit is used up."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


class Limits:
    """Counts calls in the memory of this process."""

    def __init__(self, app: Flask, limits: Mapping[str, str] = LIMITS) -> None:
        self._limiter = Limiter(lambda: "", app=app, storage_uri="memory://")
        self._items = {name: parse(text) for name, text in {**LIMITS, **limits}.items()}

    def count(self, name: str, who: str) -> Standing:
        """Count one call; raise Busy above the limit."""
        item = self._items[name]
        within = self._limiter.limiter.hit(item, name, who)
        window = self._limiter.limiter.get_window_stats(item, name, who)
        reset_s = max(1, math.ceil(window.reset_time - time.time()))
        if not within:
            raise Busy(f"more than {item.amount} of these calls in {item.get_expiry()} s; slow down", reset_s)
        return Standing(limit=item.amount, remaining=window.remaining, reset_s=reset_s)
