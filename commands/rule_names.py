"""Names of rules as people give them: whole, or with * and ? for many."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from core.errors import NotFound
from rules.store import get_rule, list_rules


def choose(conn: Any, names: Iterable[str]) -> list[Any]:
    """Return the rules that are named, each once and in their order; raise NotFound for a name that fits none."""
    everything = list_rules(conn)
    chosen: dict[str, Any] = {}
    for name in names:
        if not any(letter in name for letter in "*?["):
            row = get_rule(conn, name)
            chosen.setdefault(row.name, row)
            continue
        fitting = [row for row in everything if fnmatchcase(row.name, name)]
        if not fitting and everything:
            raise NotFound(f"no rule fits {name!r}")
        for row in fitting:
            chosen.setdefault(row.name, row)
    return list(chosen.values())
