"""Whether a JSON Schema that a plugin or a rule brings may be used: known keywords, nothing remote, nothing slow.

Draft 2020-12, cut down to what forms can show and checks can do in linear time.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson
import re2

from core.errors import InvalidInput
from core.jsontext import check_plain, join_path
from core.schema_words import FORMATS

MAX_BYTES = 64 * 1024
#: Schemas within schemas, references followed.
MAX_DEPTH = 20
MAX_OWN_DEPTH = 40
#: Schemas in all, counted again at each reference: a chain of doubling references would never end.
MAX_PARTS = 5_000
MAX_PATTERNS = 200
MAX_PATTERN_LENGTH = 1_000
MAX_PATTERN_PROGRAM = 5_000
MAX_UNIQUE_ITEMS = 1_000

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_SCALARS = frozenset(_TYPES) - {"array", "object"}
_DEFINITION = re.compile(r"[A-Za-z0-9_.-]{1,100}")

_Test = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000_000


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_type(value: Any) -> bool:
    return value in _TYPES if _is_text(value) else bool(value) and _is_names(value) and set(value) <= set(_TYPES)


#: keyword -> (test of its value, what the value must be)
_VALUES: dict[str, tuple[_Test, str]] = {
    "$schema": (lambda value: value in (DRAFT, DRAFT + "#"), f"must be {DRAFT}: only draft 2020-12 is understood"),
    "type": (_is_type, f"must be one of {', '.join(_TYPES)}, or a list of them"),
    "title": (_is_text, "must be text"),
    "description": (_is_text, "must be text"),
    "default": (lambda _: True, ""),
    "examples": (lambda value: isinstance(value, list), "must be a list"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "must be a list of at least one value"),
    "const": (lambda _: True, ""),
    "format": (lambda value: _is_text(value) and value in FORMATS, f"must be one of {', '.join(FORMATS)}"),
    "required": (_is_names, "must be a list of different field names"),
    "minItems": (_is_count, "must be a whole number from 0"),
    "maxItems": (_is_count, "must be a whole number from 0"),
    "minLength": (_is_count, "must be a whole number from 0"),
    "maxLength": (_is_count, "must be a whole number from 0"),
    "minimum": (_is_number, "must be a number"),
    "maximum": (_is_number, "must be a number"),
    "exclusiveMinimum": (_is_number, "must be a number"),
    "exclusiveMaximum": (_is_number, "must be a number"),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "must be a number above 0"),
    "uniqueItems": (_is_flag, "must be true or false"),
    "writeOnly": (_is_flag, "must be true or false"),
    "readOnly": (_is_flag, "must be true or false"),
    "dependentRequired": (
        lambda value: isinstance(value, dict) and all(map(_is_names, value.values())),
        "must map a field to the list of fields that it needs",
    ),
    "x-error": (
        lambda value: (
            _is_text(value) or (isinstance(value, dict) and bool(value) and all(map(_is_text, value.values())))
        ),
        "must be text, or text by language",
    ),
}
_ONE = frozenset({"items", "additionalProperties", "not", "if", "then", "else"})
_LIST = frozenset({"prefixItems", "oneOf", "anyOf", "allOf"})
_OTHER = frozenset({"pattern", "properties", "$ref", "$defs"})
#: What only our own documents (the rule, the manifest) may use besides.
_OWN_VALUES: dict[str, tuple[_Test, str]] = {
    "$comment": (_is_text, "must be text"),
    "minProperties": (_is_count, "must be a whole number from 0"),
    "maxProperties": (_is_count, "must be a whole number from 0"),
}
_OWN_ONE = frozenset({"propertyNames"})
KEYWORDS = frozenset(_VALUES) | _ONE | _LIST | _OTHER


def check_schema(schema: Mapping[str, Any], *, path: str, own: bool = False) -> None:
    """Raise InvalidInput naming the first thing in a schema that may not be used, and what to do about it.

    `own` is for documents that we ship: those may be recursive through `$defs` and use a few more keywords.
    """
    copy = orjson.loads(to_bytes(schema, path=path))
    _Lint(copy, own=own).check(path)
    build_validator(copy, path=path)


def to_bytes(schema: Any, *, path: str) -> bytes:
    """Return a schema as JSON text, or raise InvalidInput for what is none or too big."""
    if not isinstance(schema, dict):
        raise InvalidInput(path, "must be a JSON Schema object")
    # 200: far above what passes the other limits, and below the depth at which orjson gives up.
    check_plain(schema, path=path, max_depth=200)
    try:
        raw = orjson.dumps(schema)
    except orjson.JSONEncodeError as exc:
        raise InvalidInput(path, f"holds a value that JSON does not have: {exc}") from exc
    if len(raw) > MAX_BYTES:
        raise InvalidInput(path, f"has {len(raw)} bytes, at most {MAX_BYTES} are allowed; split the schema")
    return raw


def build_validator(schema: Any, *, path: str) -> jsonschema_rs.Draft202012Validator:
    """Compile a schema that passed the checks; nothing is ever fetched, and patterns run in linear time."""
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            formats=_FORMAT_TESTS,
            validate_formats=True,
            ignore_unknown_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 21, dfa_size_limit=1 << 21),
            registry=_EMPTY,
            offline=True,
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
        reason = str(exc).splitlines()[0][:200]
        raise InvalidInput(path, f"is not a usable JSON Schema: {reason}") from exc


_EMPTY = jsonschema_rs.Registry([])

#: Formats of ours; none of the patterns can be slow.
_FORMAT_TESTS: dict[str, Callable[..., bool]] = {
    "color": lambda text: re.fullmatch(r"#(?:[0-9a-fA-F]{3}){1,2}", text) is not None,
    "phone": lambda text: re.fullmatch(r"\+[1-9][0-9]{6,14}", text) is not None,
    "decimal": lambda text: re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?", text) is not None,
    "password": lambda _: True,
}


@dataclass(frozen=True, slots=True)
class _Extent:
    depth: int = 0
    parts: int = 0


class _Lint:
    """One look at one schema."""

    def __init__(self, root: dict[str, Any], *, own: bool) -> None:
        self._root = root
        self._own = own
        self._values = _VALUES | _OWN_VALUES if own else _VALUES
        self._one = _ONE | _OWN_ONE if own else _ONE
        self._max_depth = MAX_OWN_DEPTH if own else MAX_DEPTH
        self._known: dict[str, _Extent] = {}
        self._open: list[str] = []
        self._patterns = 0

    def check(self, path: str) -> None:
        extent = self._visit(self._root, path, 1)
        if extent.parts > MAX_PARTS:
            raise InvalidInput(path, f"unfolds to {extent.parts} schemas, at most {MAX_PARTS} are allowed; simplify it")

    def _visit(self, node: Any, path: str, depth: int) -> _Extent:
        if isinstance(node, bool):
            return _Extent(1, 1)
        if not isinstance(node, dict):
            raise InvalidInput(path, "must be a JSON Schema object, true or false")
        self._limit_depth(depth, path)
        deepest, parts = 0, 1
        for keyword, value in node.items():
            extent = self._visit_keyword(node, keyword, value, join_path(path, keyword), depth)
            deepest, parts = max(deepest, extent.depth), parts + extent.parts
        return _Extent(deepest + 1, parts)

    def _visit_keyword(self, node: dict[str, Any], keyword: str, value: Any, path: str, depth: int) -> _Extent:
        self._check_value(node, keyword, value, path)
        if keyword in self._one:
            return self._visit(value, path, depth + 1)
        if keyword in _LIST:
            if not isinstance(value, list) or not value:
                raise InvalidInput(path, "must be a list of at least one schema")
            return _sum([self._visit(child, join_path(path, i), depth + 1) for i, child in enumerate(value)])
        if keyword == "properties":
            children = _need_object(value, path)
            return _sum([self._visit(child, join_path(path, name), depth + 1) for name, child in children.items()])
        if keyword == "$defs":
            self._visit_definitions(node, value, path)
        return self._follow(value, path, depth) if keyword == "$ref" else _Extent()

    def _check_value(self, node: dict[str, Any], keyword: str, value: Any, path: str) -> None:
        if keyword in self._values:
            fits, wanted = self._values[keyword]
            if not fits(value):
                raise InvalidInput(path, wanted)
        elif keyword not in self._one and keyword not in KEYWORDS and not keyword.startswith("x-"):
            raise InvalidInput(
                path, f"the keyword {keyword[:60]!r} is not allowed; allowed: {', '.join(sorted(KEYWORDS))}"
            )
        if keyword == "pattern":
            self._check_pattern(value, path)
        if keyword == "uniqueItems" and value:
            _check_unique(node, path)
        if keyword == "$schema" and node is not self._root:
            raise InvalidInput(path, "belongs at the top of the schema only; remove it here")

    def _visit_definitions(self, node: dict[str, Any], value: Any, path: str) -> None:
        if node is not self._root:
            raise InvalidInput(path, "belongs at the top of the schema only; move the definitions there")
        for name in _need_object(value, path):
            if not _DEFINITION.fullmatch(name):
                raise InvalidInput(join_path(path, name), "name a definition with letters, digits, '_', '.' and '-'")
            self._follow(f"#/$defs/{name}", join_path(path, name), 1)

    def _follow(self, reference: Any, path: str, depth: int) -> _Extent:
        name = reference.removeprefix("#/$defs/") if isinstance(reference, str) else ""
        definitions = self._root.get("$defs")
        if not isinstance(definitions, dict) or reference != f"#/$defs/{name}" or name not in definitions:
            raise InvalidInput(
                path, "only '#/$defs/NAME' of this same schema may be referred to; put the definition there"
            )
        if name in self._open:
            if self._own:
                return _Extent()
            raise InvalidInput(path, f"refers to itself through {name!r}; recursive schemas are not allowed, unfold it")
        if name not in self._known:
            self._open.append(name)
            self._known[name] = self._visit(definitions[name], path, depth + 1)
            self._open.pop()
        extent = self._known[name]
        self._limit_depth(depth + extent.depth, path)
        if extent.parts > MAX_PARTS:
            raise InvalidInput(path, f"unfolds to more than {MAX_PARTS} schemas; simplify it")
        return extent

    def _limit_depth(self, depth: int, path: str) -> None:
        if depth > self._max_depth:
            raise InvalidInput(path, f"is nested deeper than {self._max_depth} schemas; simplify it")

    def _check_pattern(self, pattern: Any, path: str) -> None:
        self._patterns += 1
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_LENGTH:
            raise InvalidInput(path, f"must be text of at most {MAX_PATTERN_LENGTH} characters")
        if self._patterns > MAX_PATTERNS:
            raise InvalidInput(path, f"is one pattern too many; at most {MAX_PATTERNS} are allowed in a schema")
        options = re2.Options()
        options.max_mem = 1 << 20
        options.log_errors = False
        try:
            size = re2.compile(pattern, options).programsize
        except re2.error as exc:
            reason = exc.args[0].decode(errors="replace") if isinstance(exc.args[0], bytes) else str(exc)
            raise InvalidInput(path, f"is not a pattern that runs in linear time (RE2 syntax): {reason}") from exc
        if size > MAX_PATTERN_PROGRAM:
            raise InvalidInput(path, "is too big once compiled; use smaller repetitions")


def _sum(extents: list[_Extent]) -> _Extent:
    return _Extent(max((e.depth for e in extents), default=0), sum(e.parts for e in extents))


def _need_object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(path, "must map names to schemas")
    return value


def _check_unique(node: dict[str, Any], path: str) -> None:
    """Comparing objects with each other takes quadratic time, so only short lists of plain values may be unique."""
    items = node.get("items")
    kinds = items.get("type") if isinstance(items, dict) else None
    plain = (
        {kinds} <= _SCALARS if isinstance(kinds, str) else isinstance(kinds, list) and set(map(str, kinds)) <= _SCALARS
    )
    limit = node.get("maxItems")
    if not plain or "prefixItems" in node or not _is_count(limit) or limit is None or limit > MAX_UNIQUE_ITEMS:
        raise InvalidInput(
            path,
            f"needs 'items' with a plain 'type' (text, number, true or false) and 'maxItems' up to {MAX_UNIQUE_ITEMS}",
        )
