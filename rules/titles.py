"""What rules are called: the title that their live text (or draft) gives them, in the reader's language."""

from collections.abc import Iterable

from sqlalchemy import Connection, and_, select

from core.errors import RuleError
from rules.labels import title_in
from rules.rule import read_yaml
from rules.tables import rule_versions, rules


def read_titles(conn: Connection, names: Iterable[str], language: str) -> dict[str, str]:
    """Return the titles of rules by name; a rule that was never published has the title of its draft."""
    wanted = sorted(set(names))
    live = and_(rule_versions.c.rule == rules.c.id, rule_versions.c.version == rules.c.version)
    query = select(rules.c.name, rules.c.draft, rule_versions.c.document).select_from(
        rules.outerjoin(rule_versions, live)
    )
    found = {name: name for name in wanted}
    for row in conn.execute(query.where(rules.c.name.in_(wanted))):
        titles = row.document.get("title") if row.document else _drafted(row.draft)
        found[row.name] = title_in(titles, language, row.name)
    return found


def read_names(conn: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of rules by id."""
    query = select(rules.c.id, rules.c.name).where(rules.c.id.in_(sorted(set(ids))))
    return {row.id: row.name for row in conn.execute(query)}


def _drafted(text: str | None) -> object:
    try:
        return read_yaml(text).get("title") if text else None
    except RuleError:
        # A draft may be anything; it is then called by its name.
        return None
