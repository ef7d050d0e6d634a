"""CloudEvents 1.0 over HTTP, in and out: structured, batched and binary mode, and our own short form.

Data of an event is always an object here. What is none is wrapped: another JSON value as {"value": ...}, text as
{"text": ...}, other bytes as {"base64": ...}.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from core.errors import InvalidInput
from core.events import Event
from core.ids import new_id
from core.jsontext import MAX_BYTES, dumps, join_path, loads, to_rfc3339
from core.schemas import compile_schema

SPEC_VERSION = "1.0"
JSON_TYPE = "application/json"
STRUCTURED_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"

MAX_EVENTS = 500
MAX_TEXT = 255
MAX_EXTENSIONS = 30
MAX_EXTENSION_TEXT = 4096
#: The source of short-form events that name none.
DEFAULT_SOURCE = "/api"
#: Our extension attribute: how many rules led to the event. Whoever sends it back to us sends the chain's length along.
DEPTH = "vitrindepth"
#: Of the CloudEvents correlation extension: here the run that emitted the event.
CAUSE = "causationid"

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """An event as a sender told it, checked for form; whether its type exists and its data fits is asked later."""

    source: str
    id: str
    type: str
    #: Aware, in UTC; None when the sender named none.
    time: datetime | None = None
    #: What the event is about (`key` in the short form).
    subject: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    #: Media type of the data, when the sender named one.
    content_type: str | None = None
    data_schema: str | None = None
    extensions: dict[str, str | int | bool] = field(default_factory=dict)


def read_http(
    content_type: str | None,
    headers: Mapping[str, str],
    body: bytes,
    *,
    default_source: str = DEFAULT_SOURCE,
    max_bytes: int = MAX_BYTES,
) -> list[Incoming | InvalidInput]:
    """Read the events of one request; a bad event stands in the answer as its own error, at its place.

    InvalidInput is raised, not returned, when the request as a whole cannot be read: unknown media type, not JSON, too
    big, more than MAX_EVENTS. `headers` are needed for binary mode; names are compared without regard to case.
    """
    media, charset = _parse_media_type(content_type)
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise InvalidInput("content-type", f"has the charset {charset[:40]!r}; send UTF-8")
    if media.startswith("application/cloudevents"):
        if media not in (STRUCTURED_TYPE, BATCH_TYPE):
            raise InvalidInput("content-type", f"is {media[:80]!r}; of CloudEvents only the JSON formats are read")
        document = loads(body, max_bytes=max_bytes)
        if media == STRUCTURED_TYPE:
            return [_try(_read_structured, _need_object(document, "body"), "")]
        return _read_list(document, _read_structured)
    attributes = _read_attribute_headers(headers)
    if not attributes.keys().isdisjoint(("specversion", "id", "source", "type")):
        if len(body) > max_bytes:
            raise InvalidInput("body", f"has {len(body)} bytes, at most {max_bytes} are read; send less at once")
        data = _read_bytes(body, content_type or None, "body")
        return [_try(lambda item, _: _read_binary(item, content_type, data), attributes, "")]
    if media != JSON_TYPE:
        raise InvalidInput("content-type", f"is {media[:80]!r}; send {JSON_TYPE}, {STRUCTURED_TYPE} or {BATCH_TYPE}")

    def read_short(item: Any, path: str) -> Incoming:
        return _read_short(item, path, default_source)

    document = loads(body, max_bytes=max_bytes)
    if isinstance(document, list):
        if not document:
            raise InvalidInput("body", "is an empty list; send at least one event")
        return _read_list(document, read_short)
    return [_try(read_short, _need_object(document, "body"), "")]


def to_structured(event: Event) -> dict[str, Any]:
    """Return an event as a CloudEvents JSON object, to be written with `jsontext.dumps`."""
    return {**_to_attributes(event), "datacontenttype": JSON_TYPE, "data": event.data}


def to_batch(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return events as a CloudEvents JSON batch."""
    return [to_structured(event) for event in events]


def to_binary(event: Event) -> tuple[dict[str, str], bytes]:
    """Return headers and body of an event in binary mode."""
    headers = {f"ce-{name}": _escape(str(value)) for name, value in _to_attributes(event).items()}
    return {**headers, "content-type": JSON_TYPE}, dumps(event.data, path="data")


def parse_time(text: Any, path: str) -> datetime:
    """Return an RFC 3339 time in UTC; fractions beyond microseconds are cut, a leap second is the second after it."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidInput(path, "is not an RFC 3339 time with a zone; write it like 2026-01-31T09:30:00Z")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    sign, zone_hours, zone_minutes = match.group(8, 9, 10)
    leap = second == 60
    try:
        offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0)) * (-1 if sign == "-" else 1)
        micros = 0 if leap else int((match[7] or "")[:6].ljust(6, "0"))
        local = datetime(year, month, day, hour, minute, 59 if leap else second, micros, timezone(offset))
        moment = local.astimezone(UTC) + timedelta(seconds=leap)
    except (ValueError, OverflowError) as exc:
        raise InvalidInput(path, "names a day or a time of day that does not exist") from exc
    if leap and (moment.hour, moment.minute, moment.second) != (0, 0, 0):
        raise InvalidInput(path, "has second 60 where there is no leap second")
    if not EARLIEST <= moment < LATEST:
        raise InvalidInput(path, f"must lie between {EARLIEST.year} and {LATEST.year}")
    return moment


_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,30}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EXTENSION = re.compile(r"[a-z0-9]{1,40}")
#: What CloudEvents forbids in text: control characters, half surrogate pairs, and code points that are no characters.
_FORBIDDEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufdd0-\\ufdef"
    + "".join(f"\\U{plane:04x}fffe\\U{plane:04x}ffff" for plane in range(17))
    + "]"
)
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_TO_ESCAPE = re.compile(r'[^\x21-\x7e]|["%]')
_SHORT_FIELDS = ("type", "source", "id", "time", "key", "data")
_IS_REFERENCE = compile_schema({"type": "string", "format": "uri-reference"}).is_valid


def _try(read: Callable[[Any, str], Incoming], item: Any, path: str) -> Incoming | InvalidInput:
    try:
        return read(item, path)
    except InvalidInput as exc:
        return exc


def _read_list(document: Any, read: Callable[[Any, str], Incoming]) -> list[Incoming | InvalidInput]:
    if not isinstance(document, list):
        raise InvalidInput("body", "must be a list of events")
    if len(document) > MAX_EVENTS:
        raise InvalidInput("body", f"has {len(document)} events, at most {MAX_EVENTS} are taken at once; split it")
    return [_try(read, item, f"[{i}]") for i, item in enumerate(document)]


def _need_object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(path, "must be an object with the fields of an event")
    return value


def _read_structured(item: Any, path: str) -> Incoming:
    fields = {name: value for name, value in _need_object(item, path).items() if value is not None}
    data = fields.pop("data", None)
    encoded = fields.pop("data_base64", None)
    content_type = fields.get("datacontenttype")
    if encoded is not None:
        if data is not None:
            raise InvalidInput(join_path(path, "data_base64"), "cannot stand beside 'data'; send one of them")
        raw = _decode_base64(encoded, join_path(path, "data_base64"))
        data = _read_bytes(raw, content_type, join_path(path, "data_base64"))
    elif data is None:
        data = {}
    elif isinstance(data, str) and not _is_json(content_type):
        data = {"text": data}
    elif not isinstance(data, dict):
        data = {"value": data}
    return _build(fields, data, lambda name: join_path(path, name))


def _read_short(item: Any, path: str, default_source: str) -> Incoming:
    fields = _need_object(item, path)
    unknown = next((name for name in fields if name not in _SHORT_FIELDS), None)
    if unknown is not None:
        hint = f"; a CloudEvent is sent as {STRUCTURED_TYPE}" if unknown == "specversion" else ""
        raise InvalidInput(
            join_path(path, unknown), f"is not a known field; known are {', '.join(_SHORT_FIELDS)}{hint}"
        )
    data = fields.get("data", {})
    if not isinstance(data, dict):
        raise InvalidInput(join_path(path, "data"), "must be an object")
    attributes = {
        "specversion": SPEC_VERSION,
        "source": default_source,
        "id": fields["id"] if "id" in fields else new_id(),
    }
    attributes |= {name: fields[name] for name in ("source", "type", "time") if fields.get(name) is not None}
    if fields.get("key") is not None:
        attributes["subject"] = _check_text(fields["key"], join_path(path, "key"))
    return _build(attributes, data, lambda name: join_path(path, name))


def _read_binary(attributes: dict[str, str], content_type: str | None, data: dict[str, Any]) -> Incoming:
    fields: dict[str, Any] = {name: _unescape(value, f"ce-{name[:60]}") for name, value in attributes.items()}
    for name in ("datacontenttype", "data"):
        if name in fields:
            raise InvalidInput(f"ce-{name}", "is not allowed as a header; use content-type and the body")
    if content_type:
        fields["datacontenttype"] = content_type
    return _build(fields, data, lambda name: f"ce-{name[:60]}")


def _build(fields: dict[str, Any], data: dict[str, Any], path_of: Callable[[str], str]) -> Incoming:
    """Check the attributes of one event, however they came."""
    fields = dict(fields)
    version = fields.pop("specversion", None)
    if version != SPEC_VERSION:
        raise InvalidInput(path_of("specversion"), f"must be {SPEC_VERSION!r}")
    texts = {name: _check_text(fields.pop(name, None), path_of(name)) for name in ("source", "id", "type")}
    if not _IS_REFERENCE(texts["source"]):
        raise InvalidInput(path_of("source"), "is not a URI or a path; write it like /shop/web or https://shop.example")
    # An empty subject is against the letter of the specification and is sent all the same, by its own examples too.
    subject = fields.pop("subject", None)
    time, media, schema = (fields.pop(name, None) for name in ("time", "datacontenttype", "dataschema"))
    return Incoming(
        **texts,
        time=None if time is None else parse_time(time, path_of("time")),
        subject=None if subject in (None, "") else _check_text(subject, path_of("subject")),
        data=data,
        content_type=None if media is None else _check_text(media, path_of("datacontenttype")),
        data_schema=None if schema is None else _check_text(schema, path_of("dataschema"), MAX_EXTENSION_TEXT),
        extensions=_check_extensions(fields, path_of),
    )


def _check_text(value: Any, path: str, limit: int = MAX_TEXT) -> str:
    if value is None:
        raise InvalidInput(path, "is required; send text")
    if not isinstance(value, str):
        raise InvalidInput(path, "must be text")
    if not value or len(value) > limit:
        raise InvalidInput(path, f"must have 1 to {limit} characters, has {len(value)}")
    if _FORBIDDEN.search(value):
        raise InvalidInput(path, "holds a control character or one that is no character; remove it")
    return value


def _check_extensions(fields: dict[str, Any], path_of: Callable[[str], str]) -> dict[str, str | int | bool]:
    if len(fields) > MAX_EXTENSIONS:
        raise InvalidInput(path_of(next(iter(fields))), f"is one of more than {MAX_EXTENSIONS} extension attributes")
    for name, value in fields.items():
        if not _EXTENSION.fullmatch(name):
            raise InvalidInput(path_of(name), "is no attribute name: only a to z and 0 to 9, at most 40 of them")
        if isinstance(value, str):
            if value:
                _check_text(value, path_of(name), MAX_EXTENSION_TEXT)
        elif not isinstance(value, int):
            raise InvalidInput(path_of(name), "must be text, a whole number, true or false; objects belong in 'data'")
        elif not -(1 << 31) <= value < 1 << 31:
            raise InvalidInput(path_of(name), "is a whole number beyond 32 bits; send it as text")
    return fields


def _read_attribute_headers(headers: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        if name[:3].lower() != "ce-":
            continue
        attribute = name[3:].lower()
        if attribute in found:
            raise InvalidInput(f"ce-{attribute[:60]}", "is sent twice; send it once")
        found[attribute] = value
    return found


def _unescape(value: str, path: str) -> str:
    """Undo quoting and one round of percent-encoding, as the HTTP binding of CloudEvents asks."""
    value = value.strip(" \t")
    if not value.isascii():
        raise InvalidInput(path, "holds characters beyond ASCII; percent-encode them as UTF-8")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return _PERCENT.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(), value)
    except UnicodeDecodeError as exc:
        raise InvalidInput(path, "is percent-encoded, but not as UTF-8; encode it again") from exc


def _escape(value: str) -> str:
    return _TO_ESCAPE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), value)


def _to_attributes(event: Event) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "specversion": SPEC_VERSION,
        "id": event.external_id,
        "source": event.source,
        "type": event.type,
        "time": to_rfc3339(event.time),
    }
    if event.key:
        attributes["subject"] = event.key
    if event.cause:
        attributes[CAUSE] = event.cause
    if event.depth:
        attributes[DEPTH] = event.depth
    return attributes


def _parse_media_type(content_type: str | None) -> tuple[str, str]:
    """Return the media type and its charset, both lower case, empty where not given."""
    media, _, rest = (content_type or "").partition(";")
    charset = ""
    for parameter in rest.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return media.strip().lower(), charset


def _is_json(content_type: Any) -> bool:
    if content_type is None:
        return True
    subtype = _parse_media_type(str(content_type))[0].partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def _decode_base64(text: Any, path: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (AttributeError, UnicodeEncodeError, binascii.Error) as exc:
        raise InvalidInput(path, "is not base64 text (RFC 4648)") from exc


def _read_bytes(raw: bytes, content_type: Any, path: str) -> dict[str, Any]:
    if not raw:
        return {}
    if _is_json(content_type):
        value = loads(raw, max_bytes=max(len(raw), 1), path=path)
        return value if isinstance(value, dict) else {"value": value}
    media, _ = _parse_media_type(str(content_type))
    if not (media.startswith("text/") or media.endswith(("/xml", "+xml"))):
        return {"base64": base64.b64encode(raw).decode("ascii")}
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInput(path, "is not UTF-8 text; send it in UTF-8, or as application/octet-stream") from exc
    if "\0" in text:
        raise InvalidInput(path, "holds the character NUL, which databases cannot keep; remove it")
    return {"text": text}
