"""Tell which tests use a database: those whose code, or whose fixtures' code, can reach one by its names.

These run on both databases; the others would say the same twice.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import pytest

from commands.line import run_line
from core.db import Database
from rules.engine import Engine

CACHED = type(cache(len))
TESTS = Path(__file__).parent
#: Whoever can reach one of these opens a database.
MAKERS = (Database, Engine, run_line)
#: Fixtures that are databases already.
FIXTURES = frozenset({"database_url", "postgres_url", "postgres_database"})


def uses_database(item: pytest.Function) -> bool:
    """Tell whether a test can open a database."""
    if FIXTURES & set(item.fixturenames):
        return True
    definitions = item._fixtureinfo.name2fixturedefs  # pytest tells a test's fixtures by name only
    functions = [item.function, *(found.func for rows in definitions.values() for found in rows)]
    return any(_reaches(_plain(function), set()) for function in functions)


def _plain(thing: Any) -> Any:
    """Return the function under its decorators: methods, caches, context managers, hypothesis."""
    if isinstance(thing, staticmethod | classmethod | MethodType):
        return _plain(thing.__func__)
    if not isinstance(thing, FunctionType | CACHED):
        return thing
    given = getattr(thing, "hypothesis", None)
    inner = given.inner_test if given is not None else getattr(thing, "__wrapped__", None)
    return thing if inner is None else _plain(inner)


def _reaches(thing: Any, seen: set[int]) -> bool:
    if any(thing is maker for maker in MAKERS):
        return True
    if id(thing) in seen:
        return False
    seen.add(id(thing))
    return any(_reaches(named, seen) for named in _named_by(thing))


@cache
def _named_by(thing: Any) -> tuple[Any, ...]:
    """Return what the code of a function or class of the tests names."""
    if isinstance(thing, type):
        members = [_plain(member) for member in vars(thing).values()]
        return tuple(member for member in members if isinstance(member, FunctionType) and _is_ours(member))
    if not isinstance(thing, FunctionType) or not _is_ours(thing):
        return ()
    found = []
    for name in _names(thing.__code__):
        value = thing.__globals__.get(name)
        if isinstance(value, ModuleType):
            found += [_plain(vars(value)[name]) for name in _names(thing.__code__) if name in vars(value)]
        else:
            found.append(_plain(value))
    return tuple(value for value in found if isinstance(value, type | FunctionType))


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names in a function's code, and in that of the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_ours(function: FunctionType) -> bool:
    return Path(function.__code__.co_filename).is_relative_to(TESTS)
