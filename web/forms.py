"""Forms made from a JSON Schema: which controls stand in them, and what a sent form means as data."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

from core.errors import InvalidInput
from core.masking import HARMLESS_TAILS, SECRET_WORDS
from core.schemas import compile_schema, with_defaults
from rules.labels import label_of, title_in

Form = Mapping[str, Sequence[str]]

#: Tells which keywords the controls below understand; a field with any other is edited as JSON.
_KNOWN = frozenset(
    (
        "type title description default examples enum const format minimum maximum exclusiveMinimum exclusiveMaximum"
        " multipleOf minLength maxLength minItems maxItems uniqueItems pattern items properties required writeOnly"
        " readOnly additionalProperties dependentRequired if then else oneOf $ref"
    ).split()
)
#: JSON Schema format -> type of the input.
_INPUTS = {"email": "email", "uri": "url", "date": "date", "time": "text", "color": "color", "phone": "tel"}
_SCALARS = ("string", "integer", "number")
_LONG_TEXT = 1000
_DEEPEST = 5
_WORD = re.compile(r"[^\W_]+")
#: Suffixes of form fields beside the value itself.
CLEAR, CHOSEN = "#clear", "#form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One field of a form, as the template draws it."""

    #: JSON pointer of the value, and the name of the form's field: /host, /limits/daily
    name: str
    #: text, long, number, flag, choice, choices, lines, secret, group, cards, json
    kind: str
    label: str
    help: str = ""
    help_url: str = ""
    #: Type of the input, for text and number.
    input: str = "text"
    value: Any = ""
    #: Code and text of each choice.
    options: tuple[tuple[str, str], ...] = ()
    required: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    #: Other fields are shown or not because of this one: the form is drawn anew when it changes.
    decides: bool = False
    #: A secret is stored; its last characters, where it is long enough to tell them.
    stored: bool = False
    hint: str = ""
    children: tuple["Control", ...] = ()

    @property
    def id(self) -> str:
        return "f" + re.sub(r"[^A-Za-z0-9]", "-", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a form said."""

    data: dict[str, Any]
    #: JSON pointer -> the text that is no JSON.
    unreadable: Mapping[str, str]


def read_form(schema: Mapping[str, Any], form: Form) -> Sent:
    """Return the data of a sent form; fields left empty and fields that were not shown are left out."""
    reader = _Reader(form, schema.get("$defs", {}), {})
    return Sent(data=reader.read_object(schema), unreadable=reader.unreadable)


def make_controls(
    schema: Mapping[str, Any],
    data: Mapping[str, Any],
    language: str,
    *,
    secrets: Mapping[str, str] | None = None,
) -> list[Control]:
    """Return the controls of a form that shows this data; `secrets` are stored ones by name, with their hints.

    The value of a secret never becomes part of a control.
    """
    drawer = _Drawer(language, schema.get("$defs", {}), secrets or {})
    return list(drawer.draw_all(schema, with_defaults(dict(schema), dict(data)), "", 0))


def keep_hidden(schema: Mapping[str, Any], data: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return data with the hidden values that were left out taken from what is stored; a cleared one goes.

    Settings marked `writeOnly` at the top are not touched: those are kept apart, by `core.accounts`.
    """
    return _keep(schema, data, stored, schema.get("$defs", {}), top=True)


def _keep(schema: Any, data: Any, stored: Any, definitions: Mapping[str, Any], *, top: bool = False) -> dict[str, Any]:
    kept, before = dict(data), stored if isinstance(stored, Mapping) else {}
    for name, raw in _properties(schema).items():
        part = _resolve(raw, definitions)
        if is_hidden(name, part):
            if top and part.get("writeOnly"):
                continue
            if name not in kept and before.get(name):
                kept[name] = before[name]
            elif name in kept and kept[name] is None:
                del kept[name]
        elif isinstance(part, Mapping) and part.get("properties") and isinstance(kept.get(name, {}), dict):
            below = _keep(part, kept.get(name, {}), before.get(name), definitions)
            kept.pop(name, None)
            if below:
                kept[name] = below
    return kept


def is_hidden(name: str, schema: Any) -> bool:
    """Tell whether a field's value is never shown: it is marked so, or is called like a secret."""
    if not isinstance(schema, Mapping) or "string" not in _types(schema):
        return False
    return bool(schema.get("writeOnly")) or schema.get("format") == "password" or _sounds_secret(name)


def _sounds_secret(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))]
    if not words or words[-1] in HARMLESS_TAILS:
        return False
    joined = ["".join(pair) for pair in pairwise(words)]
    return any(word in SECRET_WORDS for word in (*words, *joined))


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types of a schema without null; what is not said is taken from the other keywords."""
    told = schema.get("type")
    if told is None:
        if "properties" in schema:
            return ("object",)
        return ("array",) if "items" in schema else ("string",) if "enum" in schema or "format" in schema else ()
    return tuple(kind for kind in ([told] if isinstance(told, str) else told) if kind != "null")


def _kind_of(name: str, schema: Any, definitions: Mapping[str, Any], depth: int) -> str:
    """Return the kind of control that can hold every value of a schema; json where none of them surely can."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return "json"
    unknown = {keyword for keyword in schema if not keyword.startswith("x-")} - _KNOWN
    if unknown:
        return "json"
    if "oneOf" in schema:
        return "cards" if _are_forms(schema["oneOf"], definitions) and len(_types(schema)) < 2 else "json"
    if is_hidden(name, schema):
        return "secret"
    types = _types(schema)
    if "enum" in schema:
        return "choice" if all(isinstance(value, str | int | float) for value in schema["enum"]) else "json"
    if len(types) != 1:
        return "json"
    return _KINDS.get(types[0], _kind_of_list)(schema) if types[0] != "array" else _kind_of_list(schema)


def _kind_of_text(schema: Mapping[str, Any]) -> str:
    short = "format" in schema or "pattern" in schema or schema.get("maxLength", 0) < _LONG_TEXT
    return "text" if short and schema.get("x-widget") != "text" else "long"


def _kind_of_list(schema: Mapping[str, Any]) -> str:
    items = schema.get("items")
    if not isinstance(items, Mapping) or {key for key in items if not key.startswith("x-")} - _KNOWN:
        return "json"
    if "enum" in items and all(isinstance(value, str) for value in items["enum"]):
        return "choices"
    types = _types(items)
    return "lines" if len(types) == 1 and types[0] in _SCALARS and "oneOf" not in items else "json"


_KINDS = {
    "string": _kind_of_text,
    "integer": lambda _schema: "number",
    "number": lambda _schema: "number",
    "boolean": lambda _schema: "flag",
    "object": lambda schema: "group" if schema.get("properties") else "json",
}


def _are_forms(branches: Sequence[Any], definitions: Mapping[str, Any]) -> bool:
    """Tell whether each way of a oneOf is an object with fields of its own."""
    found = [_resolve(branch, definitions) for branch in branches]
    return all(isinstance(branch, Mapping) and branch.get("properties") for branch in found)


def _resolve(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Follow a reference; what stands beside it (a title) stays."""
    if not isinstance(schema, Mapping) or "$ref" not in schema:
        return schema
    target = definitions.get(str(schema["$ref"]).removeprefix("#/$defs/"))
    if not isinstance(target, Mapping):
        return schema
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


# Conditions


def _branch_names(schema: Mapping[str, Any], branch: str) -> set[str]:
    part = schema.get(branch)
    if not isinstance(part, Mapping):
        return set()
    named = {name for name, child in part.get("properties", {}).items() if child is not False}
    return (named | set(part.get("required", ()))) - set(schema.get("required", ()))


def _deciders(schema: Mapping[str, Any]) -> set[str]:
    condition = schema.get("if")
    return set(condition.get("properties", {})) if isinstance(condition, Mapping) else set()


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return all fields that an object may have in a form, those of its branches too."""
    found = dict(schema.get("properties", {}))
    for branch in ("then", "else"):
        part = schema.get(branch)
        for name, child in (part.get("properties", {}) if isinstance(part, Mapping) else {}).items():
            if child is not False:
                found.setdefault(name, child)
    return found


def _branch_of(schema: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return which branch holds for this data: then, else, or nothing where there is no usable condition."""
    condition = schema.get("if")
    if not isinstance(condition, Mapping):
        return ""
    try:
        holds = compile_schema({**condition, "$defs": schema.get("$defs", {})}).is_valid(dict(data))
    except InvalidInput:
        return ""
    return "then" if holds else "else"


def _needed_names(schema: Mapping[str, Any], data: Mapping[str, Any]) -> set[str]:
    part = schema.get(_branch_of(schema, data))
    return {*schema.get("required", ()), *(part.get("required", ()) if isinstance(part, Mapping) else ())}


def _shown_names(schema: Mapping[str, Any], data: Mapping[str, Any]) -> set[str]:
    """Return the fields that belong to this data: those of the branch that does not hold are not shown."""
    names, branch = set(_properties(schema)), _branch_of(schema, data)
    if not branch:
        return names
    yes, no = _branch_names(schema, "then"), _branch_names(schema, "else")
    gone = (no - yes if branch == "then" else yes - no) - _deciders(schema)
    return names - gone


# Reading


_NOTHING = object()


@dataclass(frozen=True, slots=True)
class _Reader:
    form: Form
    definitions: Mapping[str, Any]
    #: JSON pointer -> the text that is no JSON.
    unreadable: dict[str, str]

    def read_object(self, schema: Mapping[str, Any], above: str = "") -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name, part in _properties(schema).items():
            value = self._read(name, _resolve(part, self.definitions), f"{above}/{_escape(name)}")
            if value is not _NOTHING:
                data[name] = value
        shown = _shown_names(schema, with_defaults(dict(schema), data))
        return {name: value for name, value in data.items() if name in shown}

    def _read(self, name: str, schema: Any, place: str) -> Any:
        kind = _kind_of(name, schema, self.definitions, place.count("/"))
        if kind == "group":
            return self.read_object(schema, place) or _NOTHING
        if kind == "cards":
            return self._read_card(schema, place)
        if kind == "secret":
            typed = self.form.get(place, ("",))[-1]
            return typed or (None if self.form.get(place + CLEAR) else _NOTHING)
        values = self.form.get(place)
        if not values:
            return _NOTHING
        if kind == "choices":
            return [value for value in values if value]
        return self._read_text(kind, values[-1].replace("\r\n", "\n"), schema, place)

    def _read_text(self, kind: str, text: str, schema: Any, place: str) -> Any:
        if kind == "flag":
            return text == "yes"
        if not text.strip():
            return [] if kind == "lines" and "default" in schema else _NOTHING
        if kind == "json":
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError:
                self.unreadable[place] = text
                return _NOTHING
        if kind == "number":
            return _to_number(text.strip())
        if kind == "lines":
            lines = [line.strip() for line in text.split("\n") if line.strip()]
            return lines if _types(schema["items"])[0] == "string" else [_to_number(line) for line in lines]
        if kind == "choice":
            return next((value for value in schema["enum"] if _code(value) == text), text)
        return text if kind == "long" else text.strip()

    def _read_card(self, schema: Mapping[str, Any], place: str) -> Any:
        told = self.form.get(place + CHOSEN, ("",))[-1]
        branches = schema["oneOf"]
        if not told.isascii() or not told.isdigit() or len(told) > 3 or int(told) >= len(branches):
            return _NOTHING
        branch = _resolve(branches[int(told)], self.definitions)
        fixed = {name: part["const"] for name, part in branch["properties"].items() if _is_mark(part)}
        return {**fixed, **self.read_object(_without_marks(branch), place)}


def _to_number(text: str) -> Any:
    """Return a number; what is none stays text, and the schema's check says so."""
    plain = text.replace(" ", "").replace("\u00a0", "")
    try:
        return int(plain)
    except ValueError:
        pass
    try:
        found = float(plain.replace(",", "."))
    except ValueError:
        return text
    return found if abs(found) < float("inf") else text


def _code(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _is_mark(part: Any) -> bool:
    return isinstance(part, Mapping) and "const" in part


def _without_marks(branch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a way of a oneOf without the constants that tell it from the others."""
    kept = {name: part for name, part in branch["properties"].items() if not _is_mark(part)}
    return {**branch, "properties": kept}


# Drawing


@dataclass(frozen=True, slots=True)
class _Drawer:
    language: str
    definitions: Mapping[str, Any]
    secrets: Mapping[str, str]

    def draw_all(self, schema: Mapping[str, Any], data: Any, above: str, depth: int) -> Iterator[Control]:
        known = data if isinstance(data, Mapping) else {}
        shown, needed = _shown_names(schema, known), _needed_names(schema, known)
        fields = [(name, part) for name, part in _properties(schema).items() if name in shown]
        # Python's sort is stable: fields without x-order stay as the schema has them, after those that have one.
        for name, part in sorted(fields, key=lambda pair: _order_of(pair[1])):
            control = self._draw(name, _resolve(part, self.definitions), known.get(name), above, depth)
            decides = name in _deciders(schema)
            yield _with(control, required=name in needed, decides=decides or control.decides)

    def _draw(self, name: str, schema: Any, value: Any, above: str, depth: int) -> Control:
        place = f"{above}/{_escape(name)}"
        kind = _kind_of(name, schema, self.definitions, place.count("/"))
        told = schema if isinstance(schema, Mapping) else {}
        plain = Control(
            name=place,
            kind=kind,
            label=label_of(schema, name, self.language),
            help=title_in(told.get("x-description"), self.language, str(told.get("description") or "")),
            help_url=_web_address(told.get("x-help-url")),
        )
        if kind == "secret":
            stored = name in self.secrets if not above else bool(value)
            return _with(plain, stored=stored, hint=self.secrets.get(name, "") if not above else "")
        if kind == "group":
            return _with(plain, children=tuple(self.draw_all(schema, value or {}, place, depth + 1)))
        if kind == "cards":
            return self._draw_cards(plain, schema, value, depth)
        return _with(plain, **self._filled(kind, told, value))

    def _draw_cards(self, plain: Control, schema: Mapping[str, Any], value: Any, depth: int) -> Control:
        branches = [_resolve(branch, self.definitions) for branch in schema["oneOf"]]
        options = tuple(
            (str(place), title_in(branch.get("x-title"), self.language, str(branch.get("title") or place + 1)))
            for place, branch in enumerate(branches)
        )
        chosen = next((place for place, branch in enumerate(branches) if _is_meant(branch, value)), None)
        children: tuple[Control, ...] = ()
        if chosen is not None:
            children = tuple(self.draw_all(_without_marks(branches[chosen]), value, plain.name, depth + 1))
        picked = "" if chosen is None else str(chosen)
        return _with(plain, options=options, value=picked, children=children, decides=True)

    def _filled(self, kind: str, schema: Mapping[str, Any], value: Any) -> dict[str, Any]:
        if kind == "json":
            text = "" if value is None else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
            return {"value": text}
        if kind == "flag":
            return {"value": value is True}
        if kind in ("choice", "choices"):
            listed = schema["enum"] if kind == "choice" else schema["items"]["enum"]
            labels = (schema if kind == "choice" else schema["items"]).get("x-labels", {})
            options = tuple((_code(one), title_in(labels.get(_code(one)), self.language, _code(one))) for one in listed)
            many = [_code(one) for one in value] if isinstance(value, list) else []
            return {"options": options, "value": many if kind == "choices" else "" if value is None else _code(value)}
        if kind == "lines":
            return {"value": "\n".join(_code(one) for one in value) if isinstance(value, list) else ""}
        shown = "" if value is None else _code(value)
        if kind == "number":
            return {"value": shown, "input": "text", "attributes": _number_attributes(schema)}
        return {
            "value": shown,
            "input": _INPUTS.get(str(schema.get("format")), "text"),
            "attributes": _text_attributes(schema),
        }


def _with(control: Control, **changed: Any) -> Control:
    names = Control.__dataclass_fields__
    return Control(**{name: changed.get(name, getattr(control, name)) for name in names})


def _order_of(schema: Any) -> float:
    order = schema.get("x-order") if isinstance(schema, Mapping) else None
    return float(order) if isinstance(order, int | float) else float("inf")


def _is_meant(branch: Mapping[str, Any], value: Any) -> bool:
    """Tell by its constants (or, without any, by its fields) which way of a oneOf a value took."""
    if not isinstance(value, Mapping):
        return False
    marks = {name: part["const"] for name, part in branch["properties"].items() if _is_mark(part)}
    if marks:
        return all(value.get(name) == wanted for name, wanted in marks.items())
    return set(value) <= set(branch["properties"])


def _number_attributes(schema: Mapping[str, Any]) -> dict[str, Any]:
    whole = "integer" in _types(schema) and schema.get("minimum", -1) >= 0
    return {"inputmode": "numeric" if whole else "decimal", "autocomplete": "off"}


def _text_attributes(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = {name.lower(): schema[name] for name in ("maxLength",) if name in schema}
    if schema.get("examples"):
        found["placeholder"] = str(schema["examples"][0])
    return found


def _web_address(value: Any) -> str:
    return value if isinstance(value, str) and value.startswith("https://") else ""
