"""The page of hooks, from their specification, the shapes that answers must have, and the ctx."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from commands.reference.markdown import code, codes, fenced, kind_of, page, table
from core import context, hookspecs
from core.collect import SHAPES
from core.context import Context
from core.contract import CHECKS, TIERS
from core.hookspecs import Hooks
from core.invoke import LOCAL_S, OUTSIDE_S
from core.schema_lint import KEYWORDS

_ABOUT = """\
A plugin is a Python package with an entry point in the group `vitrin`, which names a module with these functions. How
to write one: [Write a plugin](../howto/write-a-plugin.md)."""

#: What the ctx itself says nothing, or too much, about.
_FIELDS = {
    "plugin": "The plugin's own name.",
    "account": "The connected account's name.",
    "settings": "The account's settings, with the secrets filled in.",
    "now": "The moment, from the engine's clock, in UTC.",
    "log": "A logger that bears the plugin's name; secrets and personal data are masked.",
    "store": "The plugin's own small documents, by key. None where a call must not write.",
    "emit": "Tells the automations that something happened. None where a call must not write.",
    "attempt": "1 for the first try of an effect.",
    "progress": "Tell how far long work has got: progress(done, total).",
}


def make_hooks() -> str:
    """Return the page of hooks."""
    names = [name for name in vars(Hooks) if name.startswith("vitrin_")]
    summaries = [(f"[{code(name)}](#{name})", _doc(name).partition("\n")[0]) for name in names]
    return page(
        "Hooks",
        _ABOUT,
        _paragraphs((inspect.getdoc(hookspecs) or "").partition("\n\n")[2]),
        table(("hook", "what it answers"), summaries),
        *(part for name in names for part in _hook(name)),
        *_context(),
        "## Limits",
        f"Code of a plugin that does not ship with Vitrin runs on a thread of its own: {LOCAL_S:g} s for "
        f"something local, {OUTSIDE_S:g} s for one outside call.",
        "## Words of JSON Schema",
        f"Schemas of plugins may use {codes(sorted(KEYWORDS))}, and words that begin with `x-`.",
        "## The contract",
        "`./vitrin plugins doctor NAME` makes these checks. A plugin has the highest tier of which, and of those below "
        "it, every check passed.",
        table(("tier", "check"), ((tier, name) for one in TIERS for name, tier, _ in CHECKS if tier == one)),
    )


def _doc(name: str) -> str:
    return inspect.getdoc(getattr(Hooks, name)) or ""


def _hook(name: str) -> Iterator[str]:
    yield f"## {name}"
    signature = inspect.signature(getattr(Hooks, name))
    given = ", ".join(param for param in signature.parameters if param != "self")
    yield fenced(f"{name}({given})", "python")
    yield _paragraphs(_doc(name))
    shape = SHAPES.get(name)
    if shape:
        yield table(("key", "kind", "needed"), _shape_rows(shape))


def _shape_rows(shape: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, part in shape["properties"].items():
        pattern = f", like {code(part['pattern'])}" if "pattern" in part else ""
        is_text = set(part.get("properties", ())) == {"en", "tr", "ru"}
        kind = "text in `en`, and in `tr` and `ru`" if is_text else kind_of(part) + pattern
        yield code(f"{prefix}{name}"), kind, "yes" if name in shape["required"] else ""
        if "required" in part and not is_text:
            yield from _shape_rows(part, f"{prefix}{name}.")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n") if part.strip())


def _context() -> Iterator[str]:
    yield "## ctx"
    yield _paragraphs(inspect.getdoc(context) or "")
    yield _paragraphs(inspect.getdoc(Context) or "")
    notes = _field_notes()
    rows = [(code(one.name), _FIELDS.get(one.name) or notes.get(one.name, "")) for one in fields(Context)]
    yield table(("field", "what it is"), rows)
    methods = [
        (code(f"{name}{_arguments(method)}"), inspect.getdoc(method) or "")
        for name, method in vars(Context).items()
        if inspect.isfunction(method) and not name.startswith("_")
    ]
    yield table(("method", "what it does"), methods)
    yield f"`ctx.emit(type, data, *, key, customer, id)`: {_first(context.Emit)} An `id` is taken once."
    yield f"`ctx.store.get(key, default)`, `put(key, value)`, `delete(key)`: {_first(context.Store)}"


def _first(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _arguments(method: Any) -> str:
    names = []
    for param in list(inspect.signature(method).parameters.values())[1:]:
        optional = param.default is not inspect.Parameter.empty
        names.append(f"{param.name}={param.default}" if optional else param.name)
    return f"({', '.join(names)})"


def _field_notes() -> dict[str, str]:
    """Return what the comments above the fields of the ctx say."""
    source = inspect.getsource(Context)
    lines = source.splitlines()
    notes: dict[str, str] = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        above = []
        for line in reversed(lines[: node.lineno - 1]):
            if not line.strip().startswith("#:"):
                break
            above.append(line.strip().removeprefix("#:").strip())
        notes[node.target.id] = " ".join(reversed(above))
    return notes
