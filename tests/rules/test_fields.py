"""Fields are dotted paths through objects and lists only: nothing of Python can be reached or broken."""

from collections import UserDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RuleError
from rules.fields import MISSING, Values, getter, items_on, split_path, walk

DATA: dict[str, Any] = {
    "order": {
        "id": "A1",
        "none": None,
        "flag": False,
        "items": [
            {"sku": "a", "tags": ["x", "y"], "parts": [{"n": 1}, {"n": 2}]},
            {"sku": "b", "tags": [], "parts": []},
            {"tags": None, "parts": [{"n": 3}]},
            "odd",
        ],
        "empty": [],
        "a.b": "dotted",
        "0": "named like a number",
        "__class__": "a key like any other",
    },
    "text": "hello",
}

# path, what is there
PATHS: list[tuple[str, Any]] = [
    ("order.id", "A1"),
    ("order.none", None),  # null is a value that somebody wrote
    ("order.flag", False),
    ("order.gone", MISSING),
    ("order.id.length", MISSING),  # text has no parts
    ("order.none.x", MISSING),
    ("nothing.at.all", MISSING),
    ("order.items.sku", ["a", "b", MISSING, MISSING]),  # one value an item, gaps kept
    ("order.items.parts.n", [1, 2, 3, MISSING]),  # lists in lists lie flat
    ("order.items.0.sku", "a"),
    ("order.items.1.sku", "b"),
    ("order.items.9.sku", MISSING),
    ("order.items.-1.sku", [MISSING] * 4),  # no counting from the end
    ("order.items.²", [MISSING] * 4),  # a digit to Unicode, no index to us
    ("order.items.99999999999999999999", MISSING),
    ("order.items.0000000001.sku", "b"),  # leading zeros cannot cut the number short
    ("order.empty.sku", []),
    ("order.a.b", MISSING),  # a key with a dot cannot be reached
    ("order.0", "named like a number"),
    ("order.__class__", "a key like any other"),  # only because the event has it
    ("text", "hello"),
    ("text.upper", MISSING),
    ("text.0", MISSING),  # text is no list of letters
]

# what attackers of template engines write
DUNDERS = [
    "__class__",
    "order.__class__.__mro__",
    "order.items.append",
    "order.items.__class__",
    "order.items.pop",
    "order.keys",
    "order.get",
    "order.__init__.__globals__",
    "text.__class__.__base__.__subclasses__",
    "text.format",
    "order.items.0.__dict__",
    "event.data.__proto__",
    "constructor.prototype",
]


@pytest.mark.parametrize(("path", "found"), PATHS)
def test_path_finds_what_is_written(path: str, found: Any) -> None:
    value = getter(split_path(path))(DATA)
    assert value == found
    assert type(value) is type(found) or (isinstance(value, Values) and isinstance(found, list))


@pytest.mark.parametrize("path", DUNDERS)
def test_names_of_python_are_missing(path: str) -> None:
    data = {"order": {"items": [{}]}, "text": "hello", "event": {"data": {}}}
    found = getter(split_path(path))(data)
    assert found is MISSING or list(found) == [MISSING]
    assert data == {"order": {"items": [{}]}, "text": "hello", "event": {"data": {}}}


class Trap(UserDict[str, Any]):
    """An object of ours whose attributes must stay out of reach."""

    secret = "sentinel"


def test_attributes_of_objects_are_missing() -> None:
    assert getter(("trap", "secret"))({"trap": Trap()}) is MISSING
    assert getter(("trap", "secret"))({"trap": object()}) is MISSING
    assert getter(("a", "trap", "secret"))({"a": {"trap": Trap({"secret": "own"})}}) == "own"


# what is no field
BAD = ["", ".", "a.", ".a", "a..b", "a" * 201, ".".join("a" * 13), None, 5, ["a"]]


@pytest.mark.parametrize("path", BAD)
def test_bad_path_is_refused_with_words(path: Any) -> None:
    with pytest.raises(RuleError, match="is not a field; write it like"):
        split_path(path, "if.field")


# path, the list on it, the rest of the path
CROSSED = [
    ("order.items.sku", 4, ("sku",)),
    ("order.items", 4, ()),
    ("order.items.parts.n", 4, ("parts", "n")),  # the first list counts
    ("order.id", None, None),
    ("order.gone.sku", None, None),
    ("text.sku", None, None),
]


@pytest.mark.parametrize(("path", "count", "rest"), CROSSED)
def test_first_list_on_path_is_found(path: str, count: int | None, rest: Any) -> None:
    crossed = items_on(DATA, split_path(path))
    assert (count, rest) == (None, None) if crossed is None else (len(crossed[0]), crossed[1]) == (count, rest)


NAMES = st.sampled_from(["a", "b", "0", "1", "__class__", "append"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def plainly(value: Any, parts: tuple[str, ...]) -> Any:
    """Follow a path as the manual says, without any shortcut; a list of answers where a list is crossed."""
    if not parts:
        return value
    if isinstance(value, dict):
        return plainly(value[parts[0]], parts[1:]) if parts[0] in value else MISSING
    if isinstance(value, list) and parts[0].isdigit():
        return plainly(value[int(parts[0])], parts[1:]) if int(parts[0]) < len(value) else MISSING
    if not isinstance(value, list):
        return MISSING
    found = Values()
    for item in value:
        answer = plainly(item, parts)
        found.extend(answer) if isinstance(answer, Values) else found.append(answer)
    return found


@given(st.dictionaries(NAMES, JSON, max_size=4), st.lists(NAMES, min_size=1, max_size=5))
def test_getter_agrees_with_plain_walk(data: dict[str, Any], parts: list[str]) -> None:
    path = tuple(parts)
    wanted = plainly(data, path)
    assert getter(path)(data) == wanted
    assert walk(data, path) == wanted


def test_missing_is_false_and_says_its_name() -> None:
    assert not MISSING
    assert repr(MISSING) == "missing"
