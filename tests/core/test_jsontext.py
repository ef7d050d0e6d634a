"""JSON text: what is refused on the way in, what is exact on the way out."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.jsontext import check_plain, dumps, find_plain_flaw, join_path, loads

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=4)
    ),
    max_leaves=20,
)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"hello", "is not JSON"),
        (b'{"a":1}x', "is not JSON"),  # text after the end
        (b'{"a":1,}', "is not JSON"),
        (b"{'a':1}", "is not JSON"),
        (b'{/*c*/"a":1}', "is not JSON"),
        (b'{"a":NaN}', "NaN"),
        (b"[-Infinity]", "is not JSON"),
        (b"[01]", "is not JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "byte order mark"),
        (b'"\xff"', "not valid UTF-8"),
        (b'"\xed\xa0\x80"', "not valid UTF-8"),  # a surrogate, encoded
        (b'"\\ud800"', "surrogate"),
        (b'"\\udc00\\ud800"', "surrogate"),
        (b'"a\\u0000b"', "NUL"),
        (b'{"a\\u0000b":1}', "NUL"),
        (b"1e309", "1.8e308"),
        (b"[-1e999]", "1.8e308"),
        (b"1" * 5000, "1.8e308"),
        (b"18446744073709551616", "64 bits"),  # one more than fits
        (b"-9223372036854775809", "64 bits"),
        (b'{"id":' + b"9" * 300 + b"}", "64 bits"),
        (b'{"id":"a","id":"b"}', "twice"),
        (b'{"a":[{"b":1,"b":1}]}', "twice"),
        (b'{"id":"b","id":"\\u003a"}', "twice"),  # an escaped colon evens out the count
        (b'{"i\\u0064":1,"id":2}', "twice"),  # the same key, spelled differently
        (b"[" * 65 + b"]" * 65, "64 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "64 levels"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "64 levels"),
    ],
)
def test_doubtful_text_is_refused_in_words(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words.replace(".", r"\.")) as caught:
        loads(raw)
    assert caught.value.path == "body"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"18446744073709551615", (1 << 64) - 1),  # the largest exact number
        (b"-9223372036854775808", -(1 << 63)),
        (b'["1234567890123456789012"]', ["1234567890123456789012"]),  # digits in text are no number
        (b"[0.12345678901234567890123]", [0.12345678901234568]),
        (b'{"a":"x:y","b":"\\u003a"}', {"a": "x:y", "b": ":"}),
        (b'"\\\\u0000"', "\\u0000"),  # a backslash and five characters
        (b'"\\ud83d\\ude00"', "😀"),
        (b"[" * 64 + b"]" * 64, None),
        (b'"' + b"[" * 200 + b'"', "[" * 200),
    ],
)
def test_unusual_but_sound_text_is_read(raw: bytes, value: object) -> None:
    read = loads(raw)
    assert value is None or read == value


def test_too_many_bytes_are_refused_before_reading() -> None:
    with pytest.raises(InvalidInput, match="at most 10"):
        loads(b'"' + b"a" * 10 + b'"', max_bytes=10)


@given(PLAIN)
def test_what_is_written_is_read_back(value: object) -> None:
    assert loads(dumps(value), max_depth=200) == value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0d8aeE1-+. \n').map(str.encode))
def test_any_bytes_end_in_data_or_refusal(raw: bytes) -> None:
    try:
        value = loads(raw)
    except InvalidInput:
        return
    assert orjson.loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (Decimal("24990.00"), b'"24990.00"'),
        (Decimal("1E+3"), b'"1000"'),
        (Decimal("-0.000001"), b'"-0.000001"'),
        (Decimal("1E+999999"), b'"1E+999999"'),  # not a million zeros
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), b'"2026-01-02T03:04:05Z"'),
        (datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=timezone(timedelta(hours=3))), b'"2026-01-02T00:04:05.000060Z"'),
        (date(2026, 1, 2), b'"2026-01-02"'),
        ((1, None), b"[1,null]"),
        (Colour.RED, b'"red"'),
    ],
)
def test_values_are_written_exactly(value: object, raw: bytes) -> None:
    assert dumps(value) == raw


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, {2}]}, r"a\[1\]: is a set"),
        ({"a": b"x"}, "a: is a bytes"),
        ([None, math.nan], r"\[1\]: is not a finite"),
        ([Decimal("NaN")], "finite"),
        ([1 << 64], "64 bits"),
        ({1: 2}, "key that is not text"),
        ({"a b": "\ud800"}, r'\["a b"\]: holds half'),
        (datetime(2026, 1, 2), "without a zone"),  # noqa: DTZ001 - that is the point
        (timedelta(days=1), "is a timedelta"),
        (object(), "is a object"),
    ],
)
def test_inexact_values_are_not_written(value: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        dumps(value)


def test_endless_nesting_is_refused_both_ways() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(InvalidInput, match="deeper"):
        dumps(endless)
    with pytest.raises(InvalidInput, match="deeper"):
        check_plain(endless)


def test_flaws_name_the_place() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_plain({"lines": [{"price": 1.0}, {"price": math.inf}]}, path="data")
    assert caught.value.path == "data.lines[1].price"
    assert find_plain_flaw({"a": Decimal("1.5"), "b": None, "c": (1, 2)}) is None


@pytest.mark.parametrize("limit", [1, 3, 64, 200])
def test_depth_limit_is_exact(limit: int) -> None:
    for opening, middle, closing in ((b"[", b"", b"]"), (b'{"a":', b"{}", b"}"), (b'["]","}",', b"[]", b',"[","{"]')):
        levels = limit - bool(middle)
        exact = opening * levels + middle + closing * levels
        check_plain(loads(exact, max_depth=limit), max_depth=limit)
        with pytest.raises(InvalidInput, match="deeper"):
            loads(b"[" + exact + b"]", max_depth=limit)
        with pytest.raises(InvalidInput, match="deeper"):
            check_plain([loads(exact, max_depth=limit)], max_depth=limit)


def test_paths_quote_odd_keys() -> None:
    assert join_path("a", "b") == "a.b"
    assert join_path("a", 2) == "a[2]"
    assert join_path("", "b.c") == '["b.c"]'
    assert join_path("a", "\u202e\n") == r'a["\u202e\n"]'
    assert len(join_path("", "x" * 10_000)) < 120
