"""How a value is written into a text: as it is, inside HTML, or inside JSON."""

import html
import json
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from liquid.undefined import is_undefined

from rules.template_formats import check_link, to_text

#: How far back a value looks to see which attribute it lands in.
_TAIL = 1_000

_URL_ATTRIBUTE = re.compile(
    r"""(?:href|src|srcset|action|formaction|poster|cite|background|data)\s*=\s*(?:"([^"]*)|'([^']*)|([^\s"'>]*))$""",
    re.IGNORECASE,
)
_OPEN_TAG = re.compile(r"<[a-zA-Z][^<>]*$")
_BARE_VALUE = re.compile(r"=\s*[^\s\"'<>]*$")
_NOT_BARE = re.compile(r"[^\w.,:;/?#%@+-]")


class Ready(str):
    """Text that is already written for its channel: a captured block."""

    __slots__ = ()


class Channel(Protocol):
    """One way of escaping."""

    def fit(self, run: Any, value: object, buffer: Any) -> str:
        """Return `value` as it may stand at the end of `buffer`."""
        ...

    def unready(self, text: Ready) -> str:
        """Return the plain text behind text that was made ready."""
        ...


@dataclass(frozen=True)
class _Text:
    """Messages without markup: nothing is escaped."""

    def fit(self, run: Any, value: object, buffer: Any) -> str:
        return value if isinstance(value, str) else to_text(run, value)

    def unready(self, text: Ready) -> str:
        return str(text)


@dataclass(frozen=True)
class _Html:
    """Escape everything, and look at links and unquoted attributes more closely."""

    def fit(self, run: Any, value: object, buffer: Any) -> str:
        text = value if isinstance(value, str) else to_text(run, value)
        tag = _OPEN_TAG.search(buffer.tail(_TAIL))
        if tag is None:
            return text if isinstance(text, Ready) else html.escape(text)
        plain = self.unready(text) if isinstance(text, Ready) else text
        if found := _URL_ATTRIBUTE.search(tag.group()):
            check_link(plain, before=html.unescape(next(part for part in found.groups() if part is not None)))
        if _BARE_VALUE.search(tag.group()):
            return _NOT_BARE.sub(lambda match: f"&#{ord(match.group())};", plain)
        return html.escape(plain)

    def unready(self, text: Ready) -> str:
        return html.unescape(str(text))


@dataclass(frozen=True)
class _Json:
    """Text goes between the quotes that the author wrote; numbers stay bare, lists and groups become JSON."""

    def fit(self, run: Any, value: object, buffer: Any) -> str:
        if isinstance(value, Ready):
            return value
        if isinstance(value, (dict, list, tuple)):
            return to_json(run, value)
        return json.dumps(value if isinstance(value, str) else to_text(run, value), ensure_ascii=False)[1:-1]

    def unready(self, text: Ready) -> str:
        try:
            return str(json.loads(f'"{text}"', strict=False))
        except ValueError:
            return str(text)  # the block held more than one value's text


def to_json(run: Any, value: object) -> str:
    """Write a value as JSON piece by piece, so that its size is known before it is built."""
    parts: list[str] = []
    size = 0
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=lambda item: _json_leaf(run, item))
    for part in encoder.iterencode(value):
        size += len(part)
        run.room(size)
        run.tick(1)
        parts.append(part)
    return "".join(parts)


def _json_leaf(run: Any, item: Any) -> Any:
    """Return what JSON has no form for: dates in ISO, exact numbers as text, the absent as null."""
    if is_undefined(item):
        return None
    if isinstance(item, date):
        return item.isoformat()
    return to_text(run, item)


TEXT: Channel = _Text()
HTML: Channel = _Html()
JSON: Channel = _Json()
CHANNELS = {"text": TEXT, "html": HTML, "json": JSON}

#: Names that message plugins use, and how each is escaped.
ALIASES = {"sms": "text", "mail_html": "html"}
