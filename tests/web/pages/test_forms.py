"""Forms from JSON Schemas: every keyword has its control, what is sent comes back as data, nothing crashes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.schemas import compile_schema
from web.forms import Control, keep_hidden, make_controls, read_form


def one(schema: dict[str, Any], value: Any = None) -> Control:
    data = {} if value is None else {"x": value}
    (control,) = make_controls({"type": "object", "properties": {"x": schema}}, data, "tr")
    return control


def sent(schema: dict[str, Any], *values: str) -> Any:
    read = read_form({"type": "object", "properties": {"x": schema}}, {"/x": values} if values else {})
    return read.data.get("x", "left out")


@pytest.mark.parametrize(
    ("schema", "kind", "input_type"),
    [
        ({"type": "string"}, "text", "text"),
        ({"type": "string", "format": "email"}, "text", "email"),
        ({"type": "string", "format": "uri"}, "text", "url"),
        ({"type": "string", "format": "date"}, "text", "date"),
        ({"type": "string", "format": "color"}, "text", "color"),
        # A password is written only, whoever forgot to mark it.
        ({"type": "string", "format": "password"}, "secret", "text"),
        ({"type": "string", "writeOnly": True}, "secret", "text"),
        ({"type": "string", "maxLength": 20_000}, "long", "text"),
        ({"type": "integer"}, "number", "text"),
        ({"type": ["number", "null"]}, "number", "text"),
        ({"type": "boolean"}, "flag", "text"),
        ({"enum": ["a", "b"]}, "choice", "text"),
        ({"type": "array", "items": {"type": "string"}}, "lines", "text"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "choices", "text"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "group", "text"),
        ({"oneOf": [{"properties": {"a": {"const": 1}}}]}, "cards", "text"),
        # What no control can hold surely is edited as JSON.
        ({"type": "string", "anyOf": [{"minLength": 1}]}, "json", "text"),
        ({"type": "string", "no_such_keyword": 1}, "json", "text"),
        ({"type": "array", "items": {"type": "object"}}, "json", "text"),
        ({"type": ["string", "integer"]}, "json", "text"),
        ({}, "json", "text"),
    ],
)
def test_schema_gets_its_control(schema: dict[str, Any], kind: str, input_type: str):
    control = one(schema)
    assert (control.kind, control.input) == (kind, input_type)


@pytest.mark.parametrize("name", ["apiKey", "api_key", "token", "client_secret", "пароль"])
def test_field_called_like_a_secret_is_hidden(name: str):
    schema = {"type": "object", "properties": {name: {"type": "string"}}}
    (control,) = make_controls(schema, {name: "hunter2-hunter2"}, "en")
    assert (control.kind, "hunter2" in repr(control)) == ("secret", False)


@pytest.mark.parametrize(
    ("schema", "values", "wanted"),
    [
        ({"type": "string"}, [" a b "], "a b"),
        ({"type": "string"}, [""], "left out"),
        ({"type": "string"}, [], "left out"),
        ({"type": "integer"}, ["7"], 7),
        ({"type": "number"}, ["7,5"], 7.5),
        # What is no number stays as it was typed; the check says so.
        ({"type": "integer"}, ["seven"], "seven"),
        ({"type": "number"}, ["inf"], "inf"),
        ({"type": "boolean"}, ["", "yes"], True),
        ({"type": "boolean"}, [""], False),
        ({"enum": [1, 2]}, ["2"], 2),
        ({"enum": ["a"]}, ["b"], "b"),
        ({"type": "array", "items": {"type": "string"}}, ["a\r\n\r\n b "], ["a", "b"]),
        ({"type": "array", "items": {"type": "integer"}}, ["1\n2"], [1, 2]),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, ["", "b"], ["b"]),
        ({"type": "array", "items": {"type": "object"}}, ['[{"a": 1}]'], [{"a": 1}]),
    ],
)
def test_sent_text_becomes_data(schema: dict[str, Any], values: list[str], wanted: Any):
    assert sent(schema, *values) == wanted


def test_text_that_is_no_json_is_kept():
    read = read_form({"type": "object", "properties": {"x": {}}}, {"/x": ["{"]})
    assert (read.data, read.unreadable) == ({}, {"/x": "{"})


def test_nested_objects_are_read_and_drawn():
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b/c": {"type": "integer"}}}}}
    assert read_form(schema, {"/a/b~1c": ["3"]}).data == {"a": {"b/c": 3}}
    (group,) = make_controls(schema, {"a": {"b/c": 3}}, "en")
    assert (group.children[0].name, group.children[0].value) == ("/a/b~1c", "3")


def test_words_come_in_the_readers_language():
    control = one(
        {
            "enum": ["s"],
            "title": "Size",
            "x-title": {"en": "Size", "tr": "Beden"},
            "x-labels": {"s": {"en": "Small", "tr": "Küçük"}},
            "default": "s",
        }
    )
    assert (control.label, control.options, control.value) == ("Beden", (("s", "Küçük"),), "s")


#: With "mode" set to "own", "address" is asked for; with anything else it is not.
CONDITIONAL = {
    "type": "object",
    "properties": {
        "mode": {"enum": ["shared", "own"], "default": "shared"},
        "address": {"type": "string"},
        "room": {"type": "string"},
    },
    "if": {"properties": {"mode": {"const": "own"}}},
    "then": {"required": ["address"]},
    "else": {"required": ["room"]},
}


@pytest.mark.parametrize(("mode", "shown"), [("own", "address"), ("shared", "room")])
def test_fields_of_the_other_branch_are_left_out(mode: str, shown: str):
    controls = make_controls(CONDITIONAL, {"mode": mode}, "en")
    assert [(control.name, control.required) for control in controls] == [("/mode", False), (f"/{shown}", True)]
    data = read_form(CONDITIONAL, {"/mode": [mode], "/address": ["a"], "/room": ["b"]}).data
    assert set(data) == {"mode", shown}
    assert compile_schema(CONDITIONAL).is_valid(data)


def test_ways_are_chosen_by_cards():
    way = {
        "oneOf": [
            {"title": "By key", "properties": {"kind": {"const": "key"}, "header": {"type": "string"}}},
            {"title": "By name", "properties": {"kind": {"const": "name"}, "user": {"type": "string"}}},
        ]
    }
    schema = {"type": "object", "properties": {"way": way}}
    data = read_form(schema, {"/way#form": ["1"], "/way/user": ["ada"], "/way/header": ["h"]}).data
    assert data == {"way": {"kind": "name", "user": "ada"}}
    (cards,) = make_controls(schema, data, "en")
    assert (cards.value, [child.name for child in cards.children]) == ("1", ["/way/user"])


def test_hidden_value_stays_until_cleared():
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"token": {"type": "string"}}}}}
    stored = {"a": {"token": "kept"}}
    assert keep_hidden(schema, read_form(schema, {}).data, stored) == stored
    assert keep_hidden(schema, read_form(schema, {"/a/token": ["new"]}).data, stored) == {"a": {"token": "new"}}
    assert "token" not in str(keep_hidden(schema, read_form(schema, {"/a/token#clear": ["yes"]}).data, stored))


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=30)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "text": WORDS.filter(lambda text: text and text == text.strip()),
        "count": st.integers(-(10**9), 10**9),
        "share": st.floats(-1e6, 1e6).filter(lambda share: share != int(share)),
        "flag": st.booleans(),
        "pick": st.sampled_from(["a", "b"]),
        "lines": st.lists(WORDS.map(lambda text: " ".join(text.split())).filter(bool), min_size=1, max_size=4),
        "free": st.recursive(st.none() | st.booleans() | st.integers(0, 99), st.lists, max_leaves=5),
    },
)
EVERY = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "pick": {"enum": ["a", "b"]},
        "lines": {"type": "array", "items": {"type": "string"}},
        "free": {"anyOf": [{}]},
    },
}


@given(VALUES)
def test_what_a_form_shows_is_what_it_sends(data: dict[str, Any]):
    form = {control.name: _typed(control) for control in make_controls(EVERY, data, "en")}
    back = read_form(EVERY, form).data
    wanted = {name: value for name, value in data.items() if value is not None}
    assert {**back, "flag": back.get("flag", False)} == {"flag": False, **wanted}


def _typed(control: Control) -> list[str]:
    return ["", "yes"] if control.value is True else [""] if control.value is False else [control.value]


SCHEMAS = st.recursive(
    st.sampled_from([{}, True, {"type": "string"}, {"type": "null"}, {"enum": [None, 1]}, {"const": 1}]),
    lambda inner: st.one_of(
        st.builds(lambda part: {"type": "array", "items": part}, inner),
        st.builds(lambda part: {"type": "object", "properties": {"token": part, "b": part}}, inner),
        st.builds(lambda part: {"oneOf": [part, {"properties": {"a": part}}]}, inner),
        st.builds(
            lambda part: {"if": part, "then": part, "else": {"required": ["b"]}, "properties": {"b": part}}, inner
        ),
        st.builds(lambda part: {"$ref": "#/$defs/nothing", "anyOf": [part]}, inner),
    ),
    max_leaves=6,
)


@given(SCHEMAS, st.text(max_size=20))
def test_no_schema_and_no_text_stumbles(part: Any, text: str):
    schema = {"type": "object", "properties": {"x": part, "y": {"type": "string"}}}
    form = {name: [text] for name in ("/x", "/y", "/x/token", "/x#form", "/x/b")}
    controls = make_controls(schema, read_form(schema, form).data, "ru")
    assert "/y" in [control.name for control in controls]
