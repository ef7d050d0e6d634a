"""What came back, as plain data: nothing in it leads to the request and its secrets."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Self

from core.errors import RejectedError, SignInError, TemporaryError

MAX_RETRY_AFTER_S = 7 * 24 * 3600.0
#: Answers that the same request may overcome later.
_TEMPORARY = frozenset({408, 409, 425, 429})


class Headers(Mapping[str, str]):
    """Headers by name in any case; a repeated one reads as its values joined by commas."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in items:
            self._values.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return f"Headers({', '.join(self._values)})"

    def all(self, name: str) -> list[str]:
        """Return each value of a header that may come several times (Set-Cookie, Link)."""
        return list(self._values.get(name.lower(), ()))


@dataclass(frozen=True, kw_only=True)
class Response:
    """One answer, whole and unpacked."""

    status: int
    headers: Headers = field(repr=False)
    content: bytes = field(repr=False)
    #: The address that answered, after redirects; it may hold secrets, `where` does not.
    url: str = field(repr=False)
    elapsed_s: float
    plugin: str
    #: Method and masked address, for messages.
    where: str
    #: The other side's wish (Retry-After) in seconds, at most seven days.
    retry_after_s: float | None = None
    #: The beginning of a refusal's body, masked, on one line.
    reason: str = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        charset = re.search(r"charset=[\"']?([\w\-]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        return self.content.decode(_codec(charset[1] if charset else "utf-8"), "replace")

    def json(self, *, exact: bool = False) -> Any:
        """Return the parsed body; `exact` reads fractions as Decimal. Anything but JSON is a TemporaryError."""
        try:
            return json.loads(self.content, parse_float=Decimal if exact else None, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as exc:
            message = f"{self.where} answered {self.status} with {self._kind()} instead of JSON"
            raise TemporaryError(self.plugin, message, self.retry_after_s) from exc

    def raise_for_status(self) -> Self:
        """Return this answer where it is a success; else raise what its status means for the queue."""
        if self.is_success:
            return self
        message = f"{self.where} answered {self.status}" + (f": {self.reason}" if self.reason else "")
        if self.status == 401:
            raise SignInError(self.plugin, f"{message}; sign in again")
        if self.status in _TEMPORARY or self.status >= 500:
            raise TemporaryError(self.plugin, message, self.retry_after_s)
        raise RejectedError(self.plugin, message)

    def _kind(self) -> str:
        head = self.content[:200].lstrip().lower()
        if not head:
            return "an empty body"
        if head.startswith((b"<!doctype html", b"<html")):
            return "an HTML page"
        if head.startswith(b"<"):
            return "XML or HTML"
        return "cut or malformed JSON" if head[:1] in b"{[" else "other text"


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read Retry-After (seconds or an HTTP date) as seconds from `now`; None where it says nothing usable."""
    if not value:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,9})?", value):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _codec(name: str) -> str:
    try:
        info = codecs.lookup(name)
    except LookupError:
        return "utf-8"
    # Some codecs turn bytes into bytes (zlib, base64): an answer must not choose those.
    return info.name if getattr(info, "_is_text_encoding", True) else "utf-8"
