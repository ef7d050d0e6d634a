"""Fields: dotted paths into an event's data, through dicts and lists only."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from core.errors import RuleError


class _Missing:
    """Stands for a value that is not there; unlike null, which somebody wrote."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()


class Values(list[Any]):
    """What a path found when it crossed a list: one value for each item."""


Getter = Callable[[Mapping[str, Any]], Any]


def split_path(path: str, where: str = "") -> tuple[str, ...]:
    """Return the parts of a dotted path; raise RuleError for a path that could never name a field."""
    parts = tuple(path.split(".")) if isinstance(path, str) else ()
    if not parts or not all(parts) or len(parts) > 12 or len(path) > 200:
        raise RuleError(where, f"{path!r} is not a field; write it like order.items.price")
    return parts


@lru_cache(maxsize=4096)
def getter(parts: tuple[str, ...]) -> Getter:
    """Return a function that reads the path; crossing a list gives Values, a gap gives MISSING."""
    if len(parts) == 1:
        (only,) = parts
        return lambda data: data.get(only, MISSING)
    if len(parts) == 2:
        first, second = parts

        def read_two(data: Mapping[str, Any]) -> Any:
            inner = data.get(first, MISSING)
            return inner.get(second, MISSING) if type(inner) is dict else walk(inner, (second,))

        return read_two
    return lambda data: walk(data, parts)


def walk(value: Any, parts: tuple[str, ...]) -> Any:
    """Follow the parts from a value."""
    for index, part in enumerate(parts):
        if isinstance(value, Mapping):
            value = value.get(part, MISSING)
        elif isinstance(value, (list, tuple)):
            if part.isascii() and part.isdigit():
                position = int(part[:200])
                value = value[position] if position < len(value) else MISSING
            else:
                return _spread(value, parts[index:])
        else:
            return MISSING
    return value


def _spread(items: Iterable[Any], rest: tuple[str, ...]) -> Values:
    found = Values()
    for item in items:
        inner = walk(item, rest)
        if isinstance(inner, Values):
            found.extend(inner)
        else:
            found.append(inner)
    return found


def items_on(data: Mapping[str, Any], parts: tuple[str, ...]) -> tuple[list[Any], tuple[str, ...]] | None:
    """Return the first list on the path with the rest of the path, or None where it crosses no list."""
    value: Any = data
    for index, part in enumerate(parts):
        if isinstance(value, (list, tuple)):
            return list(value), parts[index:]
        if not isinstance(value, Mapping):
            return None
        value = value.get(part, MISSING)
    return (list(value), ()) if isinstance(value, (list, tuple)) else None
