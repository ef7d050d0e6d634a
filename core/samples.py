"""Samples made from a JSON Schema: one value that fits, and values that must not."""

from collections.abc import Iterator, Mapping
from typing import Any

_TEXTS = {
    "date-time": "2026-03-02T09:00:00Z",
    "date": "2026-03-02",
    "time": "09:00:00Z",
    "duration": "P1D",
    "email": "someone@shop.example",
    "hostname": "api.shop.example",
    "uri": "https://api.shop.example/",
    "uri-reference": "https://api.shop.example/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "01890a5d-ac96-774b-bcce-b302099a8057",
}
_DEEPEST = 8
#: A value of another kind, by the kind that is wanted.
_WRONG: Mapping[str, Any] = {
    "string": 7,
    "integer": "seven",
    "number": "seven",
    "boolean": "perhaps",
    "object": "no object",
    "array": "no list",
    "null": 7,
}


def sample_of(schema: Any, *, whole: bool = False) -> Any:
    """Return a value for a schema, as far as one can be guessed; `whole` fills optional properties too.

    What cannot be guessed (patterns, `not`, conditions) is taken from `examples`, `default`, `const` or `enum`.
    """
    return _sample(schema, schema, whole, 0)


def _sample(node: Any, root: Any, whole: bool, depth: int) -> Any:
    if not isinstance(node, Mapping) or depth > _DEEPEST:
        return None
    for keyword in ("const", "default"):
        if keyword in node:
            return node[keyword]
    for keyword in ("examples", "enum"):
        if node.get(keyword):
            return node[keyword][0]
    if "$ref" in node:
        return _sample(_resolve(str(node["$ref"]), root), root, whole, depth + 1)
    for keyword in ("allOf", "anyOf", "oneOf"):
        if node.get(keyword) and "properties" not in node:
            return _sample(node[keyword][0], root, whole, depth + 1)
    kind = node.get("type", "object" if "properties" in node else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return _object(node, root, whole, depth)
    if kind == "array":
        count = max(int(node.get("minItems", 0)), 1)
        return [_sample(node.get("items", {}), root, whole, depth + 1)] * count
    return _leaf(kind, node)


def _object(node: Mapping[str, Any], root: Any, whole: bool, depth: int) -> dict[str, Any]:
    parts = node.get("properties", {})
    names = [name for name in parts if whole or name in node.get("required", ())]
    return {name: _sample(parts[name], root, whole, depth + 1) for name in names}


def _leaf(kind: str, node: Mapping[str, Any]) -> Any:
    if kind in ("integer", "number"):
        least = node.get("minimum", node.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in node))
        return max(least, min(1, node.get("maximum", 1)))
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    text = _TEXTS.get(node.get("format", ""), "sample")
    return text.ljust(int(node.get("minLength", 0)), "x")[: int(node.get("maxLength", 1_000))]


def _resolve(address: str, root: Any) -> Any:
    node = root
    for part in address.removeprefix("#").strip("/").split("/"):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def wrong_samples(schema: Mapping[str, Any], good: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is wrong, and an object that is wrong in just that; `good` fits the schema."""
    yield "has an unknown member", {**good, "no_such_member": 1}
    for name in schema.get("required", ()):
        yield f"lacks {name}", {key: value for key, value in good.items() if key != name}
    for name, part in schema.get("properties", {}).items():
        kinds = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(kinds, str) and kinds in _WRONG:
            yield f"has no {kinds} in {name}", {**good, name: _WRONG[kinds]}
