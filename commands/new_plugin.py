"""A new plugin: a package outside of this program that works from the first minute."""

import keyword
import re
import sys
from pathlib import Path

from commands.plugin_template import FILES
from core.errors import Conflict, InvalidInput, UserError

_NAME = re.compile(r"[a-z][a-z0-9_]{1,38}[a-z0-9]")


def make_plugin(name: str, folder: Path, taken: frozenset[str] = frozenset()) -> Path:
    """Write the package `vitrin-NAME` into a folder and return its place; refuse what is there already."""
    if not _NAME.fullmatch(name) or "__" in name:
        raise InvalidInput("name", f"{name!r} is no name for a plugin: 3 to 40 small letters, digits and single _")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name == "core":
        raise InvalidInput("name", f"{name!r} means something in Python or in Vitrin already; choose another name")
    if name in taken:
        raise Conflict(f"there is a plugin {name} already; choose another name")
    place = (folder / f"vitrin-{name}").resolve()
    if place.exists():
        raise Conflict(f"{place} exists already; nothing was written")
    try:
        for path, text in FILES.items():
            target = place / _filled(path, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(text, name), encoding="utf-8")
    except OSError as exc:
        raise UserError(f"{place} cannot be written: {exc.strerror}") from exc
    return place


def _filled(text: str, name: str) -> str:
    return text.replace("NAME", name).replace("TITLE", name.replace("_", " ").capitalize())
