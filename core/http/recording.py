"""The port through which every outgoing call is told to the exchange log, already masked."""

import logging
from dataclasses import dataclass
from typing import Protocol

from core.masking import mask_text

log = logging.getLogger("vitrin.http")

BODY_LIMIT = 4_096
_TEXT_TYPES = ("json", "text", "xml", "x-www-form-urlencoded", "javascript", "csv")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One exchange with an outside system; nothing in it is secret."""

    plugin: str
    account: str | None
    method: str
    #: Without query and user info, long tokens of the path hidden.
    url: str
    #: None where no answer came; then `error` says why.
    status: int | None
    error: str | None
    seconds: float
    request_bytes: int
    response_bytes: int
    request_body: str
    response_body: str


class Recorder(Protocol):
    """Keeps calls; must be quick, for it is called on the thread that makes the request."""

    def record(self, call: Call) -> None: ...


class NoRecorder:
    """Drop every call."""

    def record(self, call: Call) -> None:
        """Do nothing: somebody else keeps the log, or nobody."""


def tell(recorder: Recorder, call: Call) -> None:
    """Hand a call over; a recorder that fails costs a line in the log, never the request."""
    try:
        recorder.record(call)
    except Exception:
        log.exception("the exchange log failed on %s %s of plugin %s", call.method, call.url, call.plugin)


def body_text(content: bytes, content_type: str, secrets: tuple[str, ...] = (), limit: int = BODY_LIMIT) -> str:
    """Return a body as it may be kept: masked and cut, files only by their size."""
    if not content:
        return ""
    kind = content_type.partition(";")[0].strip().lower()
    if not any(word in kind for word in _TEXT_TYPES) and not (not kind and content[:1] in b"{[<"):
        return f"({len(content)} bytes of {kind or 'unknown type'})"
    # Masking before the cut: half a secret at the edge would not be recognised.
    text = mask_text(content[: limit * 4].decode("utf-8", "replace"), secrets, one_line=False)
    return text if len(text) <= limit and len(content) <= limit * 4 else f"{text[:limit]}... ({len(content)} bytes)"
