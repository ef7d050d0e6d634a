"""Markdown as the reference needs it: tables, code, and JSON Schema told in words."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

#: What stands on top of every page.
MADE = "<!-- Made by `./vitrin docs` from the code; changes by hand are lost. -->"
_MOST_CHOICES = 12
_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "array": "list",
    "null": "nothing",
}


def page(title: str, about: str, *parts: str) -> str:
    """Return a whole page."""
    return "\n\n".join([f"# {title}", MADE, about, *(part for part in parts if part)]) + "\n"


def code(text: Any) -> str:
    return f"`{text}`" if str(text) else ""


def codes(texts: Iterable[Any]) -> str:
    return ", ".join(code(text) for text in texts)


def fenced(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```"


def table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; nothing where there are no rows."""
    found = [[_cell(value) for value in row] for row in rows]
    if not found:
        return ""
    lines = [list(names), ["---"] * len(names), *found]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def as_json(value: Any) -> str:
    """Return a value in one line, the same every time."""
    return json.dumps(value, ensure_ascii=False)


# JSON Schema in words


def kind_of(schema: Mapping[str, Any]) -> str:
    """Say what a value of this schema looks like."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "enum" in schema:
        words = [code(choice) for choice in schema["enum"][:_MOST_CHOICES]]
        return f"{', '.join(words)}{', ...' if len(schema['enum']) > _MOST_CHOICES else ''}"
    if "const" in schema:
        return code(schema["const"])
    if "anyOf" in schema or "oneOf" in schema:
        kinds = dict.fromkeys(kind_of(part) for part in schema.get("anyOf", schema.get("oneOf", ())))
        return " or ".join(kinds)
    return _plain_kind(schema)


def _plain_kind(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type", "anything")
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if kinds == ["array"] and schema.get("items"):
        return f"list of {kind_of(schema['items'])}"
    if schema.get("x-type") == "money":
        return "money"
    if schema.get("format") in ("date-time", "date", "uri"):
        return {"date-time": "moment", "date": "date", "uri": "link"}[schema["format"]] + (
            " or nothing" if "null" in kinds else ""
        )
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']}"
    if low is not None and high is not None:
        return f" {low} to {high}"
    return f" from {low}" if low is not None else f" up to {high}" if high is not None else ""


def property_rows(schema: Mapping[str, Any], *, depth: int = 1, prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Yield (path, kind, needed, meaning) for each property, those of objects inside as far down as `depth`."""
    needed = schema.get("required", ())
    for name, part in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield code(path), kind_of(part), "yes" if name in needed else "", meaning(part)
        inner = part
        while inner.get("type") == "array" and isinstance(inner.get("items"), Mapping):
            inner = inner["items"]
        if depth > 1 and "properties" in inner and inner.get("x-type") != "money":
            yield from property_rows(inner, depth=depth - 1, prefix=f"{path}.")


def meaning(schema: Mapping[str, Any]) -> str:
    """Return what a schema says of itself: its description, else its title; and its default."""
    said = schema.get("description") or schema.get("title") or ""
    default = schema.get("default")
    if default is None or default == "":
        return said
    shown = code(as_json(default) if not isinstance(default, str) else default)
    return f"{said}{' ' if said else ''}Default: {shown}."
