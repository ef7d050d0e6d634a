"""Logs: one line a record, as JSON or in words, without secrets or personal data, whatever the locale."""

import json
import logging
import math
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from core.clock import Clock, SystemClock
from core.masking import mask_json, mask_text

#: Libraries that tell at INFO what we tell better, or must not tell at all (httpx: whole addresses).
_QUIET = ("httpx", "httpcore", "urllib3", "apscheduler", "sqlalchemy", "alembic", "waitress", "celery", "kombu")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LONGEST = 16 * 1024
_DEEPEST = 8


def configure(
    level: str = "info",
    form: str = "auto",
    *,
    stream: TextIO | None = None,
    secrets: Callable[[], Iterable[str]] = tuple,
    clock: Clock | None = None,
) -> None:
    """Send every record of ours and of the libraries to `stream` (stderr).

    `form` is json, words, or auto: words on a terminal. `secrets` answers the values that are to be cut out.
    """
    out = stream or sys.stderr
    in_words = form == "words" or (form == "auto" and out.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars],
        processors=[
            _add_origin(clock or SystemClock()),
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _mask(secrets),
            _to_words if in_words else _to_json,
        ],
    )
    handler = LineHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, _LEVELS[level]))
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def log_uncaught() -> None:
    """Log what nobody caught, in threads too, instead of letting Python print it unmasked."""

    def report(kind: Any, error: Any, trace: Any, where: str) -> None:
        logging.getLogger("vitrin").error("an error that nobody caught, in %s", where, exc_info=(kind, error, trace))

    def in_thread(args: Any) -> None:
        report(args.exc_type, args.exc_value, args.exc_traceback, args.thread.name if args.thread else "a thread")

    def in_main(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        report(kind, error, trace, "the main thread")

    threading.excepthook = in_thread
    sys.excepthook = in_main


class LineHandler(logging.StreamHandler):
    """Writes what the stream's encoding cannot say as an escape, and never raises into the caller."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as exc:  # noqa: BLE001 - a foreign object in a record must not stop the work it tells of
            line = f'{{"level": "error", "event": "a record of {ascii(record.name)[1:-1]} could not be told: '
            line += f'{type(exc).__name__}"}}'
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        try:
            self.stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + self.terminator)
            self.flush()
        except (OSError, ValueError):
            # The disk is full or the stream was closed: there is nowhere left to say so.
            self.failed = True

    #: True once a record could not be written.
    failed = False


def _add_origin(clock: Clock) -> Processor:
    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:
        record: logging.LogRecord = event["_record"]
        first = {"at": clock.now().isoformat(timespec="milliseconds"), "level": record.levelname.lower()}
        return {**first, "logger": record.name, "event": event.pop("event", ""), **event}

    return add


def _mask(secrets: Callable[[], Iterable[str]]) -> Processor:
    def mask(_logger: Any, _method: str, event: EventDict) -> EventDict:
        known = tuple(secrets())
        plain = {name: _plain(value, known) for name, value in event.items()}
        kept = {name: plain.pop(name) for name in ("at", "level", "logger") if name in plain}
        return {**kept, **mask_json(plain)}

    return mask


def _plain(value: Any, known: tuple[str, ...], depth: int = 0) -> Any:
    """Return plain data of bounded size, without the known secrets."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {_text(key, known): _plain(member, known, depth + 1) for key, member in list(value.items())[:100]}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_plain(member, known, depth + 1) for member in list(value)[:100]]
    return _text(value, known)


def _text(value: Any, known: tuple[str, ...]) -> str:
    try:
        text = value.isoformat() if isinstance(value, datetime) else str(value)
    except Exception:  # noqa: BLE001 - __str__ of a foreign object is foreign code
        text = f"<{type(value).__name__} that cannot be shown>"
    if known:
        text = mask_text(text[: 2 * _LONGEST], known, one_line=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _to_json(_logger: Any, _method: str, event: EventDict) -> str:
    # ASCII only: whole under every locale, and no character in it can end the line.
    return json.dumps(event, ensure_ascii=True, default=str)


def _to_words(_logger: Any, _method: str, event: EventDict) -> str:
    at, level, name, said = (str(event.pop(key, "")) for key in ("at", "level", "logger", "event"))
    trace = event.pop("exception", None)
    pairs = [f"{key}={_value_in_words(value)}" for key, value in event.items()]
    parts = [at, f"{level:7}", f"{name}:", said, *pairs, *([str(trace)] if trace else [])]
    return _printable(" ".join(parts))


def _value_in_words(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if text and " " not in text else json.dumps(text, ensure_ascii=False)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
