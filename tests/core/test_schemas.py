"""Schemas: which are allowed, what they say about data, and that nothing hostile gets through or hangs."""

import math
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from core.errors import InvalidInput
from core.schema_lint import KEYWORDS
from core.schema_words import _WORDS, FORMATS, LANGUAGES
from core.schemas import MAX_PROBLEMS, check_schema, compile_schema, with_defaults

MONEY = {
    "type": "object",
    "properties": {
        "amount": {"type": "string", "format": "decimal"},
        "currency": {
            "type": "string",
            "pattern": "^[A-Z]{3}$",
            "x-error": {"en": "use three letters", "tr": "üç harf"},
        },
    },
    "required": ["amount", "currency"],
    "additionalProperties": False,
}
ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "items"],
    "properties": {
        "id": {"type": "string", "maxLength": 64},
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {
                    "sku": {"type": "string"},
                    "quantity": {"type": "integer", "minimum": 1},
                    "price": {"$ref": "#/$defs/money"},
                },
            },
        },
        "delivery": {"enum": ["pickup", "courier"]},
    },
    "$defs": {"money": MONEY},
}


def chain(links: int, fan: int) -> dict[str, Any]:
    """Return a schema whose definitions each refer `fan` times to the next one: it unfolds to fan ** links."""
    definitions: dict[str, Any] = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * fan} for i in range(links)}
    return {"$ref": "#/$defs/d0", "$defs": definitions | {f"d{links}": {"type": "string"}}}


def nest(depth: int, keyword: str = "not") -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {keyword: schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        ({"patternProperties": {}}, "s.patternProperties", "not allowed"),
        ({"$id": "http://x"}, "s.$id", "not allowed"),
        ({"$dynamicRef": "#a"}, "s.$dynamicRef", "not allowed"),
        ({"contentEncoding": "base64"}, "s.contentEncoding", "not allowed"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "s.$schema", "2020-12"),
        ({"$ref": "http://127.0.0.1/x"}, "s.$ref", "this same schema"),
        ({"$ref": "#"}, "s.$ref", "this same schema"),
        ({"$ref": "#/properties/a", "properties": {"a": {}}}, "s.$ref", "this same schema"),
        ({"$ref": "#/$defs/gone", "$defs": {}}, "s.$ref", "this same schema"),
        ({"$ref": 5}, "s.$ref", "this same schema"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "s.$defs.a.items.$ref", "refers to itself"),
        ({"properties": {"p": {"$defs": {}}}}, "s.properties.p.$defs", "at the top"),
        ({"$defs": {"a/b": {}}}, 's.$defs["a/b"]', "letters"),
        ({"type": "strin"}, "s.type", "must be one of"),
        ({"type": []}, "s.type", "must be one of"),
        ({"properties": {"a": {"minimum": "1"}}}, "s.properties.a.minimum", "number"),
        ({"minimum": math.nan}, "s.minimum", "finite"),
        ({"minimum": True}, "s.minimum", "number"),
        ({"multipleOf": 0}, "s.multipleOf", "above 0"),
        ({"maxLength": -1}, "s.maxLength", "whole number"),
        ({"maximum": 10**30}, "s.maximum", "64 bits"),
        ({"enum": []}, "s.enum", "at least one"),
        ({"required": ["a", "a"]}, "s.required", "different"),
        ({"format": "ip"}, "s.format", "one of"),
        ({"anyOf": []}, "s.anyOf", "at least one"),
        ({"items": [{}]}, "s.items", "JSON Schema object"),
        ({"properties": []}, "s.properties", "names"),
        ({"properties": {"a": 5}}, "s.properties.a", "JSON Schema object"),
        ({"default": {1, 2}}, "s.default", "set"),
        ({"x-error": {"en": 5}}, "s.x-error", "text"),
        ({"pattern": "("}, "s.pattern", "RE2"),
        ({"pattern": r"(a)\1"}, "s.pattern", "RE2"),
        ({"pattern": "(?=a)"}, "s.pattern", "RE2"),
        ({"pattern": "((a{100}){100}){100}"}, "s.pattern", "RE2"),
        ({"pattern": "a{1000}" * 12}, "s.pattern", "too big"),
        ({"pattern": "a" * 2000}, "s.pattern", "at most"),
        ({"prefixItems": [{"pattern": "a"}] * 201}, "s.prefixItems[200].pattern", "too many"),
        ({"uniqueItems": True}, "s.uniqueItems", "maxItems"),
        ({"uniqueItems": True, "items": {"type": "string"}}, "s.uniqueItems", "maxItems"),
        ({"uniqueItems": True, "items": {"type": "object"}, "maxItems": 10}, "s.uniqueItems", "maxItems"),
        ({"uniqueItems": True, "items": {"type": "string"}, "maxItems": 4000}, "s.uniqueItems", "maxItems"),
        (nest(21), "s" + ".not" * 20, "deeper"),
        (nest(230), "s" + ".not" * 200, "deeper"),
        (nest(5000), "s" + ".not" * 200, "deeper"),
        ({"description": "x" * 70_000}, "s", "bytes"),
    ],
)
def test_schema_that_may_harm_is_refused(schema: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        check_schema(schema, path="s")
    assert caught.value.path == path


def test_doubling_references_are_refused_at_once() -> None:
    with pytest.raises(InvalidInput, match="unfolds"):
        check_schema(chain(links=5, fan=30), path="s")
    for own in (False, True):
        with pytest.raises(InvalidInput, match="deeper"):
            check_schema(chain(links=400, fan=2), path="s", own=own)


def test_every_allowed_keyword_passes() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": ["object", "null"],
        "title": "t", "description": "d", "default": {}, "examples": [{}], "x-group": {"any": ["thing"]},
        "properties": {
            "a": {"minimum": 0, "maximum": 9, "exclusiveMinimum": -1, "exclusiveMaximum": 10, "multipleOf": 0.5},
            "b": {"minLength": 0, "maxLength": 9, "pattern": "^a", "writeOnly": True, "readOnly": False},
            "c": {"type": "array", "items": {"type": "string"}, "minItems": 0, "maxItems": 9, "uniqueItems": True},
            "d": {"prefixItems": [True], "items": False},
            "e": {"oneOf": [{"const": 1}, {"enum": [2]}], "anyOf": [{}], "allOf": [{}], "not": {"const": 3}},
            "$ref": {"$ref": "#/$defs/x"},
        },
        "required": ["a"], "dependentRequired": {"a": ["b"]}, "additionalProperties": {"format": "date"},
        "if": {"required": ["c"]}, "then": {"required": ["d"]}, "else": {},
        "$defs": {"x": {"type": "integer"}},
    }  # fmt: skip
    check_schema(schema, path="s")
    used = str(schema)
    assert [keyword for keyword in KEYWORDS if f"'{keyword}'" not in used] == ["x-error"]


def test_every_format_is_known_and_fits_its_example() -> None:
    for name, example in FORMATS.items():
        checker = compile_schema({"type": "string", "format": name})
        assert checker.is_valid(example), name
        if name not in ("password", "iri-reference", "regex", "uri-reference"):
            assert not checker.is_valid("no ^ such"), name


def test_remote_references_make_no_request(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/schema.json").respond_with_json({"type": "string"})
    address = httpserver.url_for("/schema.json")
    hostile: list[dict[str, Any]] = [
        {"$ref": address},
        {"$schema": address},
        {"$id": address, "$ref": "other.json"},
        {"$defs": {"a": {"$ref": address}}},
        {"properties": {"a": {"$dynamicRef": address}}},
        {"allOf": [{"$ref": address + "#/x"}]},
        {"$recursiveRef": address},
    ]
    for schema in hostile:
        for own in (False, True):
            with pytest.raises(InvalidInput):
                compile_schema(schema, own=own)
    harmless = compile_schema({"enum": [{"$ref": address}], "default": {"$ref": address}, "x-help-url": address})
    assert not harmless.is_valid({"a": address})
    assert harmless.problems({"$ref": address}) == []
    assert httpserver.log == []


def test_huge_bad_data_is_told_quickly() -> None:
    strings = {"items": {"type": "string"}}
    both = {"oneOf": [strings, {"items": {"type": "boolean"}}]}
    each = {"items": {"oneOf": [{"type": "string"}, {"type": "boolean"}]}}
    for schema in (strings, both, each):
        began = time.process_time()
        problems = compile_schema(schema).problems([1] * 300_000)
        assert 1 <= len(problems) <= MAX_PROBLEMS
        assert time.process_time() - began < 5


def test_slow_patterns_do_not_exist() -> None:
    began = time.process_time()
    assert not compile_schema({"pattern": "^(a+)+$"}).is_valid("a" * 100_000 + "!")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({}, math.nan),
        ({"type": "number", "multipleOf": 0.1}, math.inf),
        ({"items": {"minimum": 5}}, [10**5000]),
        ({"multipleOf": 0.1}, 10**400),
        ({"maximum": 5}, {"a": [None, -math.inf]}),
        ({"type": "string"}, "\ud800"),
        ({"type": "object"}, {1: 2}),
        ({"type": "string"}, b"x"),
        ({"type": "string"}, uuid.UUID(int=1)),
        ({"enum": [{}]}, {"a": object()}),
        ({"type": "number"}, Decimal("sNaN")),
    ],
)
def test_values_that_are_no_json_are_refused(schema: dict[str, Any], data: Any) -> None:
    checker = compile_schema(schema)
    assert not checker.is_valid(data)
    with pytest.raises(InvalidInput):
        checker.check(data, path="data")
    for language in LANGUAGES:
        (problem,) = checker.problems(data, language)
        assert problem.keyword == "data"


def test_deep_and_endless_data_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for data in (endless, deep):
        with pytest.raises(InvalidInput, match="deeper"):
            compile_schema({"type": "array"}).check(data)
    while deep:  # taken apart by hand: the interpreter would do it recursively
        deep = deep.pop()


def test_decimal_fractions_divide_exactly() -> None:
    tenth = compile_schema({"type": "number", "multipleOf": 0.1})
    cent = compile_schema({"multipleOf": 0.01})
    assert tenth.is_valid(0.3)
    assert tenth.is_valid(Decimal("0.7"))
    assert cent.is_valid(19.99)
    assert cent.is_valid(1e308)
    assert not cent.is_valid(0.001)


def test_problems_name_field_and_remedy() -> None:
    order = {
        "items": [{"sku": "a", "quantity": 0}, {"price": {"amount": "1,5", "currency": "tl", "x": 1}}],
        "delivery": 5,
    }
    problems = compile_schema(ORDER).problems(order)
    assert [(problem.path, problem.keyword) for problem in problems] == [
        ("id", "required"),
        ("items[0].quantity", "minimum"),
        ("items[1].sku", "required"),
        ("items[1].price.amount", "format"),
        ("items[1].price.currency", "pattern"),
        ("items[1].price.x", "additionalProperties"),
        ("delivery", "enum"),
    ]
    assert problems[1].message == "must be at least 1"
    assert problems[4].message == "use three letters"
    assert "pickup, courier" in problems[6].message
    with pytest.raises(InvalidInput, match=r"^data\.id: is required"):
        compile_schema(ORDER).check(order, path="data")


def test_problems_speak_three_languages() -> None:
    checker = compile_schema(ORDER)
    order = {"id": 5, "items": [{"sku": "a", "price": {"amount": "1", "currency": "tl"}}]}
    said = {language: [problem.message for problem in checker.problems(order, language)] for language in LANGUAGES}
    assert said["en"] == ["must be text, not a whole number", "use three letters"]
    assert said["tr"] == ["metin olmalı, tam sayı değil", "üç harf"]
    assert said["ru"] == ["ожидается текст, получено: целое число", "use three letters"]
    assert checker.problems(order, "tr-TR")[0].message == said["tr"][0]
    assert checker.problems(order, "de")[0].message == said["en"][0]
    assert all(len(words) == len(LANGUAGES) and all(words) for words in _WORDS.values())


def test_values_are_never_repeated() -> None:
    secret = "hunter2-secret"
    for schema in (
        {"type": "integer"},
        {"enum": ["a"]},
        {"format": "email"},
        {"pattern": "^x"},
        {"maxLength": 3},
        {"const": 1},
    ):
        assert secret not in compile_schema(schema).problems(secret)[0].message


STEP = {
    "oneOf": [
        {
            "type": "object",
            "required": ["wait"],
            "properties": {"wait": {"type": "string"}},
            "additionalProperties": False,
        },
        {"type": "object", "required": ["do"], "properties": {"do": {"type": "string"}}, "additionalProperties": False},
    ]
}


def test_the_form_that_was_meant_is_explained() -> None:
    checker = compile_schema(STEP)
    assert [p.path for p in checker.problems({"do": 5})] == ["do"]
    assert [p.path for p in checker.problems({"wait": "1 day", "x": 1})] == ["x"]
    assert [p.keyword for p in checker.problems("text")] == ["oneOf"]
    both = compile_schema({"oneOf": [{"type": "integer"}, {"minimum": 1}]}).problems(5)
    assert "several forms" in both[0].message
    marked = {
        "anyOf": [
            {"properties": {"kind": {"const": k}, "n": {"type": t}}} for k, t in (("a", "string"), ("b", "integer"))
        ]
    }
    assert [p.path for p in compile_schema(marked).problems({"kind": "b", "n": "x"})] == ["n"]


def test_conditions_and_dependencies_are_explained() -> None:
    schema = {
        "if": {"properties": {"kind": {"const": "card"}}, "required": ["kind"]},
        "then": {"required": ["number"]},
        "else": {"properties": {"number": False}},
        "dependentRequired": {"number": ["name"]},
    }
    checker = compile_schema(schema)
    assert [(p.path, p.keyword) for p in checker.problems({"kind": "card"})] == [("number", "required")]
    assert [(p.path, p.keyword) for p in checker.problems({"number": 1})] == [
        ("number", "false"),
        ("name", "dependentRequired"),
    ]


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "all": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "integer"}]}}
            },
            "required": ["all"],
            "propertyNames": {"maxLength": 5},
        }
    },
}


def test_own_schemas_may_be_recursive() -> None:
    with pytest.raises(InvalidInput):
        compile_schema(TREE)
    checker = compile_schema(TREE, own=True)
    assert checker.is_valid({"all": [1, {"all": [{"all": []}]}]})
    deep: dict[str, Any] = {"all": ["x"]}
    for _ in range(30):
        deep = {"all": [deep]}
    (problem,) = checker.problems(deep)
    assert problem.keyword in ("anyOf", "schema")


def test_checkers_are_shared_and_private() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    checker = compile_schema(schema)
    schema["properties"] = {}
    assert not checker.is_valid({"a": 1})
    assert compile_schema({"type": "object", "properties": {"a": {"type": "string"}}}) is checker
    with pytest.raises(InvalidInput):
        compile_schema([])  # type: ignore[arg-type]


def test_defaults_are_filled_in_depth() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "host": {"type": "string"},
            "port": {"default": 25},
            "limits": {"type": "object", "properties": {"a_day": {"default": 10}, "names": {"default": []}}},
            "proxy": {"type": "object", "required": ["url"], "properties": {"port": {"default": 1}}},
            "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
            "inner": {"default": {"x": 1}, "properties": {"y": {"default": 2}}},
        },
        "allOf": [{"properties": {"zone": {"default": "UTC"}}}],
        "$defs": {"row": {"type": "object", "properties": {"on": {"default": True}}}},
    }
    data = {"host": "h", "rows": [{}, {"on": False}, 5]}
    filled = with_defaults(schema, data)
    assert filled == {
        "host": "h",
        "port": 25,
        "limits": {"a_day": 10, "names": []},  # no proxy: it would lack its url
        "rows": [{"on": True}, {"on": False}, 5],
        "inner": {"x": 1, "y": 2},
        "zone": "UTC",
    }
    assert data == {"host": "h", "rows": [{}, {"on": False}, 5]}
    filled["limits"]["names"].append("x")
    assert with_defaults(schema, {})["limits"]["names"] == []
    assert with_defaults(TREE, {}) == {}


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 0.1, "", "a", "ab", "2026-01-31"])
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
LEAVES = st.one_of(
    st.booleans(),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "object", "array", ["null", "boolean"]])}
    ),
    st.fixed_dictionaries({"minimum": st.integers(-2, 2), "multipleOf": st.sampled_from([1, 0.1])}),
    st.fixed_dictionaries({"minLength": st.integers(0, 2), "pattern": st.just("^a"), "format": st.just("date")}),
    st.fixed_dictionaries({"enum": st.lists(DATA, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"const": DATA}),
    st.fixed_dictionaries({"required": st.just(["a"]), "dependentRequired": st.just({"a": ["b"]})}),
    st.just({"$ref": "#/$defs/x"}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("abc"), inner), "additionalProperties": inner}
        ),
        st.fixed_dictionaries({"prefixItems": st.lists(inner, min_size=1, max_size=2), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3), "minItems": st.integers(0, 2)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=3), "not": inner}),
        st.fixed_dictionaries({"if": inner, "then": inner, "else": inner}),
    ),
    max_leaves=8,
).map(lambda schema: {"allOf": [schema], "$defs": {"x": {"type": ["integer", "string", "object"]}}})


@settings(max_examples=400)
@given(SCHEMAS, DATA)
def test_words_agree_with_the_verdict(schema: dict[str, Any], data: Any) -> None:
    checker = compile_schema(schema)
    problems = checker.problems(data)
    assert checker.is_valid(data) == (problems == [])
    assert all(problem.keyword != "schema" for problem in problems)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*sorted(KEYWORDS), "x-a", "$id", "zz"]), DATA, max_size=4))
def test_any_schema_ends_in_checker_or_refusal(schema: dict[str, Any]) -> None:
    try:
        checker = compile_schema(schema)
    except InvalidInput:
        return
    assert isinstance(checker.problems({"a": [1]}), list)
