"""JSON from and to the outside world: strict on the way in, exact on the way out.

A number with a point becomes a binary float, so money travels as text ("24990.00"), in both directions. Whole numbers
are exact within 64 bits and refused beyond: a sender writes such ids as text.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any

import orjson

from core.errors import InvalidInput

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
#: Whole numbers that every part of the system can hold: signed or unsigned 64 bits, as orjson reads them.
SMALLEST, LARGEST = -(1 << 63), (1 << 64) - 1

#: What can be wrong with a value that is to be JSON, by code.
FLAWS = {
    "not_finite": "is not a finite number (NaN or infinity); leave the field out or send a number",
    "too_big": "is a whole number beyond 64 bits; send it as text",
    "too_deep": "is nested deeper than {limit} levels; send flatter data",
    "bad_text": "holds half of a surrogate pair, which is not text; send whole characters",
    "bad_key": "has a key that is not text; name every field with text",
    "bad_type": "is a {type}, which JSON does not have; give text, a number, true, false, null, a list or an object",
    "naive_time": "is a time without a zone; give it one, best UTC",
}

_DIGITS_TO_ZERO = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_NINETEEN_DIGITS = b"0" * 19
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """The first part of a value that JSON cannot carry; `code` is a key of FLAWS."""

    path: str
    code: str
    detail: dict[str, Any]

    def __str__(self) -> str:
        return FLAWS[self.code].format(**self.detail)


def loads(raw: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, path: str = "body") -> Any:
    """Read one JSON document; raise InvalidInput at `path` for anything doubtful.

    Refused: too many bytes, not UTF-8, a byte order mark, NaN and infinity, numbers that would lose digits before the
    point, half surrogate pairs, NUL characters (databases cannot hold them), a key twice in one object, deep nesting.
    """
    if len(raw) > max_bytes:
        raise InvalidInput(path, f"has {len(raw)} bytes, at most {max_bytes} are read; send less at once")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise InvalidInput(path, _explain(raw, exc, max_depth)) from exc
    written = _write_within(value, max_depth, raw)
    if written is None:
        raise InvalidInput(path, FLAWS["too_deep"].format(limit=max_depth))
    if b"\\u0000" in raw and _has_nul(value):
        raise InvalidInput(path, "holds the character NUL (\\u0000), which databases cannot keep; remove it")
    # The quick reader keeps the last of two equal keys and turns very long whole numbers into floats, both silently.
    # Signs of either send the document through the slow reader, which refuses them: fewer colons after writing it
    # again (an escaped colon, \u003a, would hide one), or nineteen digits in a row.
    if written.count(b":") != raw.count(b":") or b"\\u003" in raw or _NINETEEN_DIGITS in raw.translate(_DIGITS_TO_ZERO):
        return _loads_slowly(raw, path)
    return value


def dumps(value: Any, *, path: str = "") -> bytes:
    """Write compact JSON: Decimal as text, aware times in UTC with Z, dates as text; refuse what has no exact form."""
    try:
        raw = orjson.dumps(value, default=_to_text, option=_OPTIONS)
    except orjson.JSONEncodeError as exc:
        flaw = find_flaw(value, max_depth=250, times=True)
        if flaw is None:
            raise InvalidInput(path, f"cannot be written as JSON: {exc}") from exc
        raise _to_error(flaw, path) from exc
    # orjson writes NaN and infinity as null.
    if b"null" in raw and _has_wild_number(value) and (flaw := find_flaw(value, max_depth=250, times=True)):
        raise _to_error(flaw, path)
    return raw


def check_plain(value: Any, *, path: str = "", max_depth: int = MAX_DEPTH) -> None:
    """Raise InvalidInput unless a value is what JSON can carry (Decimal counts as a number)."""
    flaw = find_plain_flaw(value, max_depth=max_depth)
    if flaw is not None:
        raise _to_error(flaw, path)


def find_plain_flaw(value: Any, *, max_depth: int = MAX_DEPTH) -> Flaw | None:
    """Return what keeps a value from being plain JSON data, or None; costs about a microsecond for a usual order."""
    try:
        raw = orjson.dumps(value, default=_pass_decimal, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return find_flaw(value, max_depth=max_depth)
    if _write_within(value, max_depth, raw) is None or (b"null" in raw and _has_wild_number(value)):
        return find_flaw(value, max_depth=max_depth)
    return None


def find_flaw(value: Any, *, max_depth: int = MAX_DEPTH, times: bool = False) -> Flaw | None:
    """Walk a value and return the first part that JSON cannot carry; `times` allows aware times and dates."""
    stack: list[tuple[Any, _Place]] = [(value, _Place(None, "", 0))]
    while stack:
        item, place = stack.pop()
        code = _find_code(item, times)
        if code is None and isinstance(item, (dict, list, tuple)):
            if place.depth >= max_depth:
                code = "too_deep"
            else:
                stack.extend(reversed(list(_children(item, place))))
        if code is not None:
            return Flaw(path=str(place), code=code, detail={"limit": max_depth, "type": type(item).__name__})
    return None


def join_path(path: str, part: str | int) -> str:
    """Return the path of a child: `lines[2].price`; keys that are no plain words stand in quotes."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    if part.replace("-", "_").replace("$", "_").isidentifier() and len(part) <= 100:
        return f"{path}.{part}" if path else part
    quoted = json.dumps(part if len(part) <= 100 else f"{part[:100]}…", ensure_ascii=not part.isprintable())
    return f"{path}[{quoted}]"


def _measure_writer() -> int:
    value: list[Any] = []
    for depth in range(1, 10_000):
        try:
            orjson.dumps(value, default=_pass_decimal)
        except orjson.JSONEncodeError:
            return depth - 1
        value = [value]
    return 0


def _write_within(value: Any, max_depth: int, text: bytes) -> bytes | None:
    """Write a value, or return None when it is nested too deep; `text` is any JSON text of it."""
    if text.count(b"{") + text.count(b"[") > max_depth:
        # The writer has a limit of its own: wrapped in enough lists, a value reaches it at ours, in one quick pass.
        for _ in range(_WRITER_DEPTH - max_depth):
            value = [value]
    try:
        return orjson.dumps(value, default=_pass_decimal, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a walk stands; its words are put together only when something is wrong there."""

    parent: "_Place | None"
    part: Any
    depth: int

    def __str__(self) -> str:
        parts, place = [], self
        while place.parent is not None:
            parts.append(place.part)
            place = place.parent
        text = ""
        for part in reversed(parts):
            text = join_path(text, part)
        return text


def _children(item: dict[Any, Any] | list[Any] | tuple[Any, ...], place: _Place) -> Iterator[tuple[Any, _Place]]:
    pairs = item.items() if isinstance(item, dict) else enumerate(item)
    for part, child in pairs:
        yield child, _Place(place, part, place.depth + 1)


def _find_code(item: Any, times: bool) -> str | None:
    for kinds, find in _CODES:
        if isinstance(item, kinds):
            return find(item)
    if times and isinstance(item, datetime):
        return "naive_time" if item.utcoffset() is None else None
    return None if times and isinstance(item, date) else "bad_type"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


#: In this order: a bool is an int as well.
_CODES: tuple[tuple[Any, Callable[[Any], str | None]], ...] = (
    ((bool, NoneType, list, tuple), lambda _: None),
    (str, lambda item: None if _is_text(item) else "bad_text"),
    (int, lambda item: None if SMALLEST <= item <= LARGEST else "too_big"),
    (float, lambda item: None if math.isfinite(item) else "not_finite"),
    (Decimal, lambda item: None if item.is_finite() else "not_finite"),
    (dict, lambda item: None if all(isinstance(key, str) and _is_text(key) for key in item) else "bad_key"),
)


def _has_wild_number(value: Any) -> bool:
    """Tell whether there is a NaN or an infinity anywhere; the value is known to be shallow."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            continue
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            return True
    return False


def _has_nul(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str) and "\0" in item:
            return True
    return False


def _pass_decimal(value: Any) -> int:
    if isinstance(value, Decimal) and value.is_finite():
        return 0
    raise TypeError("not plain data")


_WRITER_DEPTH = _measure_writer()


def _to_text(value: Any) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        # Plain digits, unless that would write thousands of zeros for one exponent.
        small = isinstance(exponent := value.as_tuple().exponent, int) and -60 < exponent < 60
        return format(value, "f") if small else str(value)
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return to_rfc3339(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_rfc3339(moment: datetime) -> str:
    """Return an aware time as RFC 3339 text in UTC, with Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _to_error(flaw: Flaw, path: str) -> InvalidInput:
    joint = "" if not path or not flaw.path or flaw.path.startswith("[") else "."
    return InvalidInput(f"{path}{joint}{flaw.path}", str(flaw))


def _explain(raw: bytes, exc: orjson.JSONDecodeError, max_depth: int) -> str:
    reason = str(exc)
    if not raw.strip():
        return "is empty; send a JSON document"
    if "byte order mark" in reason or raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "begins with a byte order mark; send UTF-8 without one"
    if "surrogate in string" in reason:
        return FLAWS["bad_text"]
    if "not valid UTF-8" in reason:
        return "is not valid UTF-8; send JSON as UTF-8"
    if "infinity" in reason:
        return "holds a number beyond 1.8e308; send it as text"
    if "depth" in reason or "recursion" in reason.lower():
        return FLAWS["too_deep"].format(limit=max_depth)
    place = f"line {exc.lineno}, column {exc.colno}"
    return f"is not JSON: {reason.partition(': line')[0]} at {place}; NaN, comments and text after the end are not JSON"


def _loads_slowly(raw: bytes, path: str) -> Any:
    """Read again, looking at every key and number; nesting is known to be shallow and the text to be valid."""

    def read_whole(text: str) -> int:
        # Long texts of digits are not even converted: that takes quadratic time.
        if len(text) > 20 or not SMALLEST <= (number := int(text)) <= LARGEST:
            raise InvalidInput(path, f"{text[:24]} {FLAWS['too_big']}")
        return number

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))
            raise InvalidInput(path, f"has the key {twice[:100]!r} twice in one object; send it once")
        return found

    return json.loads(raw, parse_int=read_whole, object_pairs_hook=read_object)
