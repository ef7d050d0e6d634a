"""Checks of data against JSON Schemas: compiled once, without any reach to the network, with words for people.

The verdict always comes from one compiled validator; the words come from a walk that asks such validators of the parts,
so that the two cannot disagree, and a million wrong entries cost no more than the first few.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson

from core.errors import InvalidInput
from core.jsontext import Flaw, find_flaw, find_plain_flaw, join_path
from core.schema_lint import MAX_DEPTH, build_validator, check_schema, to_bytes
from core.schema_words import name_type, pick_language, say

__all__ = ["Checker", "Problem", "check_schema", "compile_schema", "with_defaults"]

#: Problems told at once: more help nobody.
MAX_PROBLEMS = 50

#: Keywords whose own verdict, asked alone, is the whole verdict.
_ALONE = frozenset(
    {
        "type", "enum", "const", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "propertyNames",
        "uniqueItems", "pattern", "not",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that does not fit: where, which keyword of the schema says so, and a sentence for people."""

    path: str
    keyword: str
    message: str


@dataclass(frozen=True, slots=True)
class _Finding:
    path: str
    keyword: str
    #: The schema that holds the keyword; its `x-error` may give better words.
    node: dict[str, Any]
    details: dict[str, Any]


_Found = Iterator[_Finding]

#: What the validator raises on values that are not JSON.
_STUMBLES = (ValueError, TypeError, OverflowError, RecursionError)


class Checker:
    """One compiled schema; safe to share between threads."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._definitions = schema.get("$defs", {})
        self._is_valid: Callable[[Any], bool] = build_validator(schema, path="schema").is_valid
        #: Validators of parts, made when the first bad value needs words; keyed by the part's place in memory,
        #: which stays while the schema is held.
        self._parts: dict[tuple[int, str], Callable[[Any], bool]] = {}

    def is_valid(self, data: Any) -> bool:
        """Tell whether data fits; what is no plain JSON data (NaN, huge numbers, objects of ours) never does."""
        return find_plain_flaw(data) is None and self._ask(self._is_valid, data)

    def check(self, data: Any, path: str = "") -> None:
        """Raise InvalidInput for the first problem, its path beginning with `path`."""
        if self.is_valid(data):
            return
        problem = next(self._tell(data, path, "en"))
        raise InvalidInput(problem.path, problem.message)

    def problems(self, data: Any, language: str = "en") -> list[Problem]:
        """Return what does not fit, in the order of the schema, at most MAX_PROBLEMS."""
        if self.is_valid(data):
            return []
        return list(islice(self._tell(data, "", language), MAX_PROBLEMS))

    def _tell(self, data: Any, path: str, language: str) -> Iterator[Problem]:
        """Put problems of data that is known not to fit into words; there is always at least one."""
        flaw = find_plain_flaw(data) or self._find_foreign(data)
        if flaw is not None:
            place = path + ("." if path and flaw.path and not flaw.path.startswith("[") else "") + flaw.path
            yield Problem(path=place, keyword="data", message=say(flaw.code, language, **flaw.detail))
            return
        told = False
        try:
            for finding in self._explain(self._schema, data, path):
                told = True
                yield _to_problem(finding, language)
        except RecursionError:
            # A recursive schema of ours and data nested as deep as may be: the verdict stands, the words are short.
            told = False
        if not told:
            yield Problem(path=path, keyword="schema", message=say("schema", language))

    def _find_foreign(self, data: Any) -> Flaw | None:
        """Return what orjson can write and the validator does not know (UUID, enum), if that is what it stumbled on."""
        try:
            self._is_valid(data)
        except _STUMBLES:
            return find_flaw(data)
        return None

    def _ask(self, is_valid: Callable[[Any], bool], data: Any) -> bool:
        try:
            return is_valid(data)
        except _STUMBLES:
            # Values that orjson can write and the validator does not know: they do not fit, and _tell names them.
            return False

    def _fits(self, node: Any, data: Any) -> bool:
        """Ask about one part of the schema."""
        if isinstance(node, bool):
            return node
        return self._ask(self._part(node, "", node), data)

    def _fits_alone(self, node: dict[str, Any], keyword: str, data: Any) -> bool:
        return self._ask(self._part(node, keyword, {keyword: node[keyword]}), data)

    def _part(self, node: dict[str, Any], keyword: str, schema: dict[str, Any]) -> Callable[[Any], bool]:
        key = (id(node), keyword)
        part = self._parts.get(key)
        if part is None:
            part = build_validator({**schema, "$defs": self._definitions}, path="schema").is_valid
            self._parts[key] = part
        return part

    def _explain(self, node: Any, data: Any, path: str) -> _Found:
        """Find what is wrong with data below one part of the schema."""
        if isinstance(node, bool):
            if not node:
                yield _Finding(path, "false", {}, {})
            return
        for keyword in node:
            if keyword in _ALONE:
                if not self._fits_alone(node, keyword, data):
                    yield _Finding(path, keyword, node, _details(node, keyword, data))
            elif keyword in _EXPLAINERS:
                yield from _EXPLAINERS[keyword](self, node, data, path)

    def _explain_child(self, node: Any, data: Any, path: str) -> _Found:
        if not self._fits(node, data):
            yield from self._explain(node, data, path)

    def _explain_reference(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        yield from self._explain_child(self._resolve(node), data, path)

    def _explain_required(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        if isinstance(data, dict):
            for name in node["required"]:
                if name not in data:
                    yield _Finding(join_path(path, name), "required", node, {})

    def _explain_dependent(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        if not isinstance(data, dict):
            return
        for name, needed in node["dependentRequired"].items():
            for other in needed if name in data else ():
                if other not in data:
                    yield _Finding(join_path(path, other), "dependentRequired", node, {"limit": name})

    def _explain_properties(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        if isinstance(data, dict):
            for name, child in node["properties"].items():
                if name in data:
                    yield from self._explain_child(child, data[name], join_path(path, name))

    def _explain_additional(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        if not isinstance(data, dict):
            return
        known = node.get("properties", {})
        child = node["additionalProperties"]
        for name in data:
            if name in known:
                continue
            if child is False:
                yield _Finding(join_path(path, name), "additionalProperties", node, {"options": list(known)})
            else:
                yield from self._explain_child(child, data[name], join_path(path, name))

    def _explain_prefix(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        if isinstance(data, (list, tuple)):
            for i, (child, item) in enumerate(zip(node["prefixItems"], data, strict=False)):
                yield from self._explain_child(child, item, join_path(path, i))

    def _explain_items(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        if isinstance(data, (list, tuple)):
            for i in range(len(node.get("prefixItems", ())), len(data)):
                yield from self._explain_child(node["items"], data[i], join_path(path, i))

    def _explain_all(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        for child in node["allOf"]:
            yield from self._explain_child(child, data, path)

    def _explain_any(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        if not any(self._fits(child, data) for child in node["anyOf"]):
            yield from self._explain_nearest(node, "anyOf", data, path)

    def _explain_one(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        fitting = sum(self._fits(child, data) for child in node["oneOf"])
        if fitting > 1:
            yield _Finding(path, "oneOf.many", node, {})
        elif not fitting:
            yield from self._explain_nearest(node, "oneOf", data, path)

    def _explain_nearest(self, node: dict[str, Any], keyword: str, data: Any, path: str) -> _Found:
        """Explain the one form that was evidently meant, else say that none fits."""
        meant = [child for child in node[keyword] if self._is_meant(child, data)]
        if len(meant) > 1 and isinstance(data, dict):
            meant = [child for child in meant if set(self._resolve(child).get("required", ())) <= set(data)]
        if len(meant) == 1:
            yield from self._explain(meant[0], data, path)
        else:
            yield _Finding(path, keyword, node, {})

    def _is_meant(self, node: Any, data: Any) -> bool:
        """Tell whether type and marks (constants, choices) of a form fit, whatever else is wrong."""
        if isinstance(node, bool):
            return False
        node = self._resolve(node)
        if not isinstance(node, dict) or ("type" in node and not self._fits_alone(node, "type", data)):
            return False
        if not isinstance(data, dict):
            return True
        marks = [
            (child, mark, data[name])
            for name, child in node.get("properties", {}).items()
            if isinstance(child, dict) and name in data
            for mark in ("const", "enum")
            if mark in child
        ]
        return all(self._fits_alone(child, mark, value) for child, mark, value in marks)

    def _explain_condition(self, node: dict[str, Any], data: Any, path: str) -> _Found:
        branch = node.get("then" if self._fits(node["if"], data) else "else", True)
        yield from self._explain_child(branch, data, path)

    def _resolve(self, node: Any) -> Any:
        """Follow a part that is a reference; others are returned as they are."""
        if isinstance(node, dict) and "$ref" in node:
            return self._definitions[node["$ref"].removeprefix("#/$defs/")]
        return node


_EXPLAINERS: dict[str, Callable[[Checker, dict[str, Any], Any, str], _Found]] = {
    "$ref": Checker._explain_reference,
    "required": Checker._explain_required,
    "dependentRequired": Checker._explain_dependent,
    "properties": Checker._explain_properties,
    "additionalProperties": Checker._explain_additional,
    "prefixItems": Checker._explain_prefix,
    "items": Checker._explain_items,
    "allOf": Checker._explain_all,
    "anyOf": Checker._explain_any,
    "oneOf": Checker._explain_one,
    "if": Checker._explain_condition,
}


def compile_schema(schema: dict[str, Any], *, own: bool = False) -> Checker:
    """Return the checker of a schema, made once for equal schemas; raise InvalidInput as `check_schema` does."""
    return _compile(to_bytes(schema, path="schema"), own)


@lru_cache(maxsize=2048)
def _compile(raw: bytes, own: bool) -> Checker:
    schema = orjson.loads(raw)
    check_schema(schema, path="schema", own=own)
    return Checker(schema)


def with_defaults(schema: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of data with missing fields filled from `default`, in nested objects and lists of objects too.

    A missing object is made when its own defaults fill all that it requires. Forms (`oneOf`, `anyOf`, `if`) are not
    filled: which of them is meant is not known before the check.
    """
    return _fill(schema, data, schema.get("$defs", {}), 0)


def _fill(node: Any, data: Any, definitions: dict[str, Any], depth: int) -> Any:
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return deepcopy(data)
    if "$ref" in node:
        data = _fill(definitions.get(str(node["$ref"]).removeprefix("#/$defs/")), data, definitions, depth + 1)
    for part in node.get("allOf", ()):
        data = _fill(part, data, definitions, depth + 1)
    if isinstance(data, list) and "items" in node:
        start = len(node.get("prefixItems", ()))
        return deepcopy(data[:start]) + [_fill(node["items"], item, definitions, depth + 1) for item in data[start:]]
    if not isinstance(data, dict):
        return deepcopy(data)
    filled = deepcopy(data)
    for name, child in node.get("properties", {}).items():
        if name in data:
            filled[name] = _fill(child, data[name], definitions, depth + 1)
        elif isinstance(child, dict) and "default" in child:
            filled[name] = _fill(child, child["default"], definitions, depth + 1)
        elif made := _make_object(child, definitions, depth + 1):
            filled[name] = made
    return filled


def _make_object(node: Any, definitions: dict[str, Any], depth: int) -> dict[str, Any] | None:
    target = node
    if isinstance(node, dict) and "$ref" in node:
        target = definitions.get(str(node["$ref"]).removeprefix("#/$defs/"))
    if not isinstance(target, dict) or target.get("type") != "object":
        return None
    made = _fill(node, {}, definitions, depth)
    return made if set(target.get("required", ())) <= set(made) else None


def _to_problem(finding: _Finding, language: str) -> Problem:
    own_words = finding.node.get("x-error") if finding.keyword in ("pattern", "format") else None
    message = pick_language(own_words, language) if own_words else say(finding.keyword, language, **finding.details)
    return Problem(path=finding.path, keyword=finding.keyword.partition(".")[0], message=message)


def _details(node: dict[str, Any], keyword: str, data: Any) -> dict[str, Any]:
    """Return what a sentence may tell about a keyword; never the value itself."""
    if keyword == "enum":
        return {"options": node["enum"]}
    if keyword == "type":
        return {"limit": node["type"], "actual": name_type(data)}
    return {"limit": node[keyword]}
