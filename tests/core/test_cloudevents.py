"""CloudEvents in and out: modes, rules of attributes, batches with bad items, and the recorded attack bodies."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shared_files import data, vectors

from core import cloudevents, jsontext
from core.cloudevents import BATCH_TYPE, JSON_TYPE, STRUCTURED_TYPE, Incoming, parse_time, read_http
from core.errors import InvalidInput
from core.events import Event

BASE = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid"}
CE = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "order.paid"}


def read_one(content_type: str, document: Any, headers: Mapping[str, str] | None = None) -> Incoming:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    (item,) = read_http(content_type, headers or {}, body)
    if isinstance(item, InvalidInput):
        raise item
    return item


def structured(**changes: Any) -> Incoming:
    return read_one(STRUCTURED_TYPE, BASE | changes)


def short(**fields: Any) -> Incoming:
    return read_one(JSON_TYPE, fields)


def test_examples_of_the_specification_are_read() -> None:
    examples = json.loads(data("specs/cloudevents/spec_examples.json").read_text("utf-8"))
    for recorded in examples:
        document = recorded["json"]
        if document.get("data_base64", "").startswith("..."):  # a placeholder of the page, no base64
            with pytest.raises(InvalidInput, match="base64"):
                read_one(STRUCTURED_TYPE, document)
            continue
        event = read_one(STRUCTURED_TYPE, document)
        assert (event.id, event.source, event.type) == (document["id"], document["source"], document["type"])
        assert event.subject == (document.get("subject") or None)
        if isinstance(document.get("data"), dict):
            assert event.data == document["data"]
    events = read_http(BATCH_TYPE, {}, json.dumps([recorded["json"] for recorded in examples]).encode())
    assert len(events) == len(examples)


def test_data_that_is_no_object_is_wrapped() -> None:
    assert structured(data=1.5).data == {"value": 1.5}
    assert structured(data="text").data == {"value": "text"}
    assert structured(data=None).data == {}
    assert structured().data == {}
    assert structured(data="<a/>", datacontenttype="application/xml").data == {"text": "<a/>"}
    assert structured(data_base64="eyAieHl6IjogMTIzIH0=").data == {"xyz": 123}
    assert structured(data_base64="8J+koQ==", datacontenttype="application/octet-stream").data == {"base64": "8J+koQ=="}
    assert structured(data_base64="8J+koQ==", datacontenttype="text/plain").data == {"text": "🤡"}


def test_null_attributes_count_as_absent() -> None:
    event = structured(subject=None, time=None, myext=None, exta=5, extb=True, extc="v")
    assert event.subject is None
    assert event.time is None
    assert event.extensions == {"exta": 5, "extb": True, "extc": "v"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"specversion": 1.0}, "specversion"),
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": 1}, "id"),
        ({"id": "x" * 256}, "id"),
        ({"id": "a\x7fb"}, "id"),
        ({"id": "a\u0085b"}, "id"),
        ({"id": "a\ufffe"}, "id"),  # no character, says Unicode
        ({"id": "a\U0010ffff"}, "id"),
        ({"type": ["x"]}, "type"),
        ({"source": "not a uri"}, "source"),
        ({"source": "/a\n"}, "source"),
        ({"source": "http://[::1"}, "source"),
        ({"subject": 5}, "subject"),
        ({"subject": False}, "subject"),
        ({"time": "yesterday"}, "time"),
        ({"time": 1700000000}, "time"),
        ({"time": "2026-01-01T00:00:00"}, "time"),  # no zone
        ({"datacontenttype": 5}, "datacontenttype"),
        ({"myExt": "v"}, "myExt"),  # capitals
        ({"my_ext": "v"}, "my_ext"),
        ({"ext": {"a": 1}}, "ext"),
        ({"ext": 1.5}, "ext"),
        ({"ext": 1 << 31}, "ext"),
        ({"ext": "x" * 5000}, "ext"),
        ({"data": 1, "data_base64": "eA=="}, "data_base64"),
        ({"data_base64": "eA"}, "data_base64"),
        ({"data_base64": "M\nQ=="}, "data_base64"),
        ({"data_base64": 5}, "data_base64"),
        ({"data_base64": base64.b64encode(b"{").decode()}, "data_base64"),
    ],
)
def test_bad_attributes_are_refused_by_name(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        structured(**changes)
    assert caught.value.path == path


def test_binary_mode_reads_headers_and_body() -> None:
    headers = {"CE-SpecVersion": "1.0", "ce-id": "Euro%20%E2%82%AC%20%F0%9f%98%80", "Ce-Source": "/shop"}
    headers |= {"ce-type": '"order \\"paid\\""', "ce-time": "2026-01-02T03:04:05+03:00", "ce-exta": "5", "Host": "x"}
    event = read_one("application/json; charset=utf-8", {"a": 1}, headers)
    assert event.id == "Euro € 😀"
    assert event.type == 'order "paid"'
    assert event.time == datetime(2026, 1, 2, 0, 4, 5, tzinfo=UTC)
    assert event.extensions == {"exta": "5"}
    assert event.data == {"a": 1}
    assert read_one("text/plain", b"hi", CE).data == {"text": "hi"}
    assert read_one("image/png", b"\x89\x00", CE).data == {"base64": "iQA="}
    assert read_one("", b"", CE).data == {}


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"ce-id": "%C0%A0"}, "ce-id"),  # an overlong space
        ({"ce-id": "%ED%A0%80"}, "ce-id"),  # a surrogate
        ({"ce-id": "a%0Ab"}, "ce-id"),
        ({"ce-id": "ä"}, "ce-id"),
        ({"ce-id": ""}, "ce-id"),
        ({"ce-datacontenttype": "text/plain"}, "ce-datacontenttype"),
        ({"ce-my-ext": "v"}, "ce-my-ext"),
        ({"ce-specversion": "2.0"}, "ce-specversion"),
        ({"ce-time": "soon"}, "ce-time"),
    ],
)
def test_bad_headers_are_refused_by_name(headers: dict[str, str], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_one(JSON_TYPE, {}, CE | headers)
    assert caught.value.path == path


def test_header_sent_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        read_http(JSON_TYPE, CE | {"CE-ID": "2"}, b"{}")


def test_short_form_fills_what_is_missing() -> None:
    event = short(type="order.paid")
    assert event.source == cloudevents.DEFAULT_SOURCE
    assert len(event.id) == 36
    assert event.data == {}
    full = short(type="t", source="/shop", id="7", time="2026-01-02T03:04:05Z", key="A-1", data={"a": 1})
    assert full == Incoming(
        type="t", source="/shop", id="7", time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), subject="A-1", data={"a": 1}
    )


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "type"),
        ({"type": "x", "id": None}, "id"),
        ({"type": "x", "id": {}}, "id"),
        ({"type": "x", "data": []}, "data"),
        ({"type": "x", "data": None}, "data"),
        ({"type": "x", "key": 5}, "key"),
        ({"type": "x", "$where": "1"}, "$where"),
        ({"type": "x", "a.b": 1}, '["a.b"]'),
        ({"type": "x", "specversion": "1.0"}, "specversion"),
    ],
)
def test_short_form_is_strict(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        short(**fields)
    assert caught.value.path == path


def test_bad_items_do_not_stop_a_batch() -> None:
    body = json.dumps([BASE, BASE | {"time": "soon"}, 5, BASE | {"id": "2"}]).encode()
    first, second, third, fourth = read_http(BATCH_TYPE, {}, body)
    assert isinstance(first, Incoming)
    assert isinstance(second, InvalidInput)
    assert second.path == "[1].time"
    assert isinstance(third, InvalidInput)
    assert third.path == "[2]"
    assert isinstance(fourth, Incoming)
    short_items = read_http(JSON_TYPE, {}, b'[{"type":"x"},{"typ":"x"}]')
    assert [type(item) for item in short_items] == [Incoming, InvalidInput]


def test_batches_have_limits() -> None:
    assert len(read_http(BATCH_TYPE, {}, json.dumps([BASE] * 500).encode())) == 500
    for kind in (BATCH_TYPE, JSON_TYPE):
        with pytest.raises(InvalidInput, match="501 events"):
            read_http(kind, {}, json.dumps([BASE] * 501).encode())
    assert read_http(BATCH_TYPE, {}, b"[]") == []
    with pytest.raises(InvalidInput, match="empty list"):
        read_http(JSON_TYPE, {}, b"[]")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/cloudevents+avro", b"{}"),
        ("application/cloudevents-batch+avro", b"[]"),
        ("application/xml", b"<a/>"),
        (None, b"{}"),
        ("application/json; charset=utf-16", b"{}"),
        (JSON_TYPE, b"true"),
        (JSON_TYPE, b"null"),
        (JSON_TYPE, b'"x"'),
        (STRUCTURED_TYPE, b"[]"),
        (BATCH_TYPE, b"{}"),
        (BATCH_TYPE, b"[{]"),
    ],
)
def test_unreadable_requests_are_refused_whole(content_type: str | None, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_http(content_type, {}, body)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02t03:04:05.1z", "2026-01-02T03:04:05.100000+00:00"),
        ("2026-01-02T03:04:05.123456789-03:30", "2026-01-02T06:34:05.123456+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),  # a leap second
        ("2017-01-01T02:59:60.5+03:00", "2017-01-01T00:00:00+00:00"),  # the same, in Moscow
        ("2026-01-02T03:04:05-00:00", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:60Z", None),  # no leap second there
        ("2026-02-30T00:00:00Z", None),
        ("2026-01-02T24:00:00Z", None),
        ("2026-01-02T03:04:05+24:00", None),
        ("2026-01-02 03:04:05Z", None),
        ("2026-01-02T03:04Z", None),
        ("20260102T030405Z", None),
        ("٢٠٢٦-01-02T03:04:05Z", None),  # digits that int() would take
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("1969-12-31T23:59:59Z", None),
        ("2200-01-01T00:00:00Z", None),
        ("2026-01-02T03:04:05Z\n", None),
    ],
)
def test_times_are_read_exactly_or_refused(text: str, wanted: str | None) -> None:
    if wanted is not None:
        assert parse_time(text, "time").isoformat() == wanted
        return
    with pytest.raises(InvalidInput):
        parse_time(text, "time")


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=40)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    id=TEXT,
    source=st.sampled_from(["/shop", "https://shop.example/a?b=c#d", "urn:uuid:6e8bc430", "1-555-123-4567", "shop"]),
    external_id=TEXT,
    type=TEXT,
    time=st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    received_at=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    key=st.none() | TEXT,
    customer=st.none() | TEXT,
    data=st.dictionaries(TEXT, VALUES, max_size=4),
    depth=st.integers(0, 10),
    cause=st.none() | TEXT,
)


def same(event: Event, read: Incoming) -> bool:
    told = (read.source, read.id, read.type, read.time, read.subject, read.data)
    return told == (event.source, event.external_id, event.type, event.time, event.key, event.data)


@example(
    Event(
        id="1",
        source="/shop",
        external_id='100%25 "sure" €',
        type="t",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
        key="%C0%A0",
        customer=None,
        data={},
    )
)
@given(EVENTS)
def test_events_come_back_equal_in_every_mode(event: Event) -> None:
    document = cloudevents.to_structured(event)
    whole = read_one(STRUCTURED_TYPE, jsontext.dumps(document))
    assert same(event, whole)
    assert whole.extensions.get("vitrindepth", 0) == event.depth
    (batched,) = read_http(BATCH_TYPE, {}, jsontext.dumps(cloudevents.to_batch([event])))
    assert batched == whole
    headers, body = cloudevents.to_binary(event)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    binary = read_one(headers["content-type"], body, headers)
    assert same(event, binary)


@given(EVENTS)
def test_output_fits_the_published_schema(event: Event) -> None:
    schema = json.loads(data("specs/cloudevents/cloudevents.schema.json").read_text("utf-8"))
    validator = jsonschema_rs.Draft7Validator(schema, validate_formats=True, offline=True)
    assert validator.is_valid(json.loads(jsontext.dumps(cloudevents.to_structured(event))))


def test_recorded_bodies_get_their_verdict() -> None:
    rows = [row for row in vectors("payload_shapes")["rows"] if row["method"] == "POST"]
    checked = 0
    for row in rows:
        body = body_of(row)
        if body is None:
            continue
        checked += 1
        assert verdict(row["content_type"] or JSON_TYPE, body) in row["expect_status"], row["id"]
    assert checked > 25


def test_naughty_text_is_kept_or_refused() -> None:
    kept = 0
    for row in vectors("naughty_strings")["rows"]:
        text = row["value"] if "value" in row else row["repeat"][0] * row["repeat"][1]
        body = json.dumps({"type": "order.paid", "id": text, "key": text, "data": {"note": text}}).encode()
        try:
            (item,) = read_http(JSON_TYPE, {}, body)
        except InvalidInput:
            continue
        if isinstance(item, Incoming):
            assert (item.id, item.subject or "", item.data["note"]) == (text, text, text), row["id"]
            kept += 1
    assert kept > 100


def body_of(row: dict[str, Any]) -> bytes | None:
    """Build a row's body; None where the row is about forms, paths or other parts of HTTP."""
    if "body" in row:
        return row["body"].encode()
    if "body_b64" in row:
        return base64.b64decode(row["body_b64"])
    gen = row["gen"]
    if gen.get("kind") == "keys":
        return json.dumps({f"k{i}": i for i in range(gen["n"])}).encode()
    if "kind" in gen:
        return None
    before, after = gen.get("wrap", ["", ""])
    return (before + gen["prefix"] * gen["n"] + gen["middle"] + gen["suffix"] * gen["n"] + after).encode()


def verdict(content_type: str, body: bytes) -> int:
    """Answer as the HTTP layer does: size first, then the request as a whole, then each event."""
    if len(body) > jsontext.MAX_BYTES:
        return 413
    try:
        items = read_http(content_type, {}, body)
    except InvalidInput:
        return 400
    return 422 if any(isinstance(item, InvalidInput) for item in items) else 202
