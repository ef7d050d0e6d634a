"""Which automations use what a plugin brings: its events, facts, operators and actions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, select

from rules.labels import title_in
from rules.tables import rule_versions, rules

if TYPE_CHECKING:
    from rules.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One automation that uses a plugin."""

    rule: str
    title: str
    #: off, watching, on, paused
    state: str
    #: Names of what it uses.
    names: tuple[str, ...]

    @property
    def is_on(self) -> bool:
        return self.state in ("on", "watching")


def read_uses(engine: "Engine", conn: Connection, plugin: str, language: str) -> list[Use]:
    """Return the automations whose live version uses a plugin, those that are on first; one query.

    What a plugin that is off would bring is not known: there its actions and facts are known by their first word.
    """
    live = and_(rule_versions.c.rule == rules.c.id, rule_versions.c.version == rules.c.version)
    query = select(rules.c.name, rules.c.state, rule_versions.c.document).select_from(rules.join(rule_versions, live))
    brought = _brought(engine, plugin)
    found = []
    for row in conn.execute(query.where(rules.c.archived_at.is_(None))):
        names = {text for text in _texts(row.document) if text in brought or text.startswith(f"{plugin}.")}
        if names:
            title = title_in(row.document.get("title"), language, row.name)
            found.append(Use(rule=row.name, title=title, state=row.state, names=tuple(sorted(names))))
    return sorted(found, key=lambda use: (not use.is_on, use.title, use.rule))


def _brought(engine: "Engine", plugin: str) -> frozenset[str]:
    brought = engine.host.get(plugin).brought
    if brought is None:
        return frozenset()
    parts = (brought.events, brought.actions, brought.facts, brought.operators)
    return frozenset(part.name for listed in parts for part in listed)


def _texts(value: Any) -> Iterator[str]:
    """Yield every name and text of a document, except those that are only read by people."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield name
            if name not in ("title", "description", "notes"):
                yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
