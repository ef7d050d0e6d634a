"""One change in a rule's YAML text: set, remove, insert, move; comments and the order of words stay."""

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from core.errors import RuleError
from rules.rule import read_yaml

#: A path in a document: keys and places in lists.
Path = Sequence[str | int]
_WIDTH = 4096
_ODD_ENDS = ("\x85", "\u2028", "\u2029")


def set_at(text: str, path: Path, value: Any) -> str:
    """Return the text with the value at the path, which is made where its parent is there."""
    return _changed(text, path, lambda parent, key: _put(parent, key, value))


def remove_at(text: str, path: Path) -> str:
    """Return the text without what stands at the path, and without groups that this leaves empty."""

    def remove(parent: Any, key: str | int) -> None:
        del parent[key]

    changed = _changed(text, path, remove)
    document = read_yaml(changed)
    above = list(path[:-1])
    if len(above) == 1 and above[0] in ("if", "limits", "mode", "failure") and not document.get(str(above[0])):
        return _changed(changed, above, remove)
    return changed


def insert_at(text: str, path: Path, value: Any) -> str:
    """Return the text with the value put into a list; the path ends with its place there, or with "end"."""

    def insert(parent: Any, key: str | int) -> None:
        if not isinstance(parent, list):
            raise RuleError(_words(path), "is no list: nothing can be put in there")
        parent.insert(len(parent) if key == "end" else _place(parent, key, path, upto=len(parent)), _styled(value))

    return _changed(text, path, insert, make=True)


def move_at(text: str, source: Path, target: Path) -> str:
    """Return the text with what stands at `source` moved to the list place `target`, as it was before the move."""
    document = read_yaml(text)
    value = find_at(document, source)
    if tuple(target[: len(source)]) == tuple(source):
        raise RuleError(_words(source), "cannot be moved into itself")
    # The later place is changed first, so that the earlier one still means the same.
    if _is_later(target, source):
        return remove_at(insert_at(text, target, value), source)
    return insert_at(remove_at(text, source), target, value)


def find_at(document: Any, path: Path) -> Any:
    """Return what stands at a path of a document; raise RuleError where nothing does."""
    found = document
    for number, key in enumerate(path):
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError) as exc:
            raise RuleError(_words(path[: number + 1]), "is not there any more; open the page again") from exc
    return found


def _changed(text: str, path: Path, change: Callable[[Any, str | int], None], *, make: bool = False) -> str:
    if not path:
        raise RuleError("", "the whole rule cannot be replaced this way")
    # What would cost too much to read is refused before the reader that keeps comments sees it.
    read_yaml(text)
    document = _yaml().load(text)
    parent = document
    for number, key in enumerate(path[:-1]):
        if isinstance(parent, dict) and key not in parent and make and number == len(path) - 2:
            parent[key] = CommentedSeq()
        try:
            parent = parent[_place(parent, key, path)] if isinstance(parent, list) else parent[key]
        except (KeyError, TypeError) as exc:
            raise RuleError(_words(path[: number + 1]), "is not there any more; open the page again") from exc
    last = path[-1]
    try:
        change(parent, _place(parent, last, path) if isinstance(parent, list) and last != "end" and not make else last)
    except (KeyError, IndexError, TypeError) as exc:
        raise RuleError(_words(path), "is not there any more; open the page again") from exc
    text = _dump(document, allow_unicode=True)
    # Unusual line ends would be read back as blanks: such texts are written with escapes.
    return _dump(document, allow_unicode=False) if any(end in text for end in _ODD_ENDS) else text


def _dump(document: Any, *, allow_unicode: bool) -> str:
    yaml = _yaml()
    yaml.allow_unicode = allow_unicode
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _put(parent: Any, key: str | int, value: Any) -> None:
    parent[key] = _styled(value)


def _place(parent: list[Any], key: str | int, path: Path, *, upto: int | None = None) -> int:
    most = len(parent) - 1 if upto is None else upto
    try:
        number = int(key)
    except ValueError as exc:
        raise RuleError(_words(path), "must name a place in a list") from exc
    if not 0 <= number <= most:
        raise RuleError(_words(path), "is not there any more; open the page again")
    return number


def _styled(value: Any) -> Any:
    """Return a value for the writer: short plain objects stand in one line, as people write them."""
    if isinstance(value, Mapping):
        found = CommentedMap({str(key): _styled(item) for key, item in value.items()})
        if all(not isinstance(item, (dict, list)) or not item for item in found.values()) and len(found) <= 4:
            found.fa.set_flow_style()
        return found
    if isinstance(value, (list, tuple)):
        found = CommentedSeq([_styled(item) for item in value])
        if all(not isinstance(item, (dict, list)) for item in found):
            found.fa.set_flow_style()
        return found
    return value.isoformat() if isinstance(value, (datetime, date, time)) else value


def _is_later(one: Path, other: Path) -> bool:
    """Tell whether a place comes after another one in the same list, or does not depend on it."""
    shared = len(other) - 1
    if tuple(one[:shared]) != tuple(other[:shared]) or len(one) <= shared:
        return True
    return int(one[shared]) > int(other[shared]) if one[shared] != "end" else True


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _words(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) or key.isdigit() else f".{key}" for key in path).lstrip(".")
