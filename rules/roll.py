"""All rules as a list shows them: state, title, sentence, what they did lately, and the one thing that is wrong."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, select

from core.errors import RuleError
from core.text import fold
from rules.activity import Activity, read_activity
from rules.labels import Labels, title_in
from rules.rule import read_yaml
from rules.sentence import Piece, plain_sentence, say_rule
from rules.tables import rule_versions, rules

if TYPE_CHECKING:
    from rules.engine import Engine

#: What a list may be narrowed to.
SHOWN = ("all", "on", "off", "drafts", "attention", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One rule in the list."""

    id: str
    name: str
    title: str
    area: str
    #: off, watching, on, paused
    state: str
    state_reason: str
    version: int | None
    #: A text is being edited that is not live.
    has_draft: bool
    staff_may_switch: bool
    owner: str
    sentence: tuple[Piece, ...]
    activity: Activity
    #: Why it cannot run as it is; empty where all is well.
    broken: str

    @property
    def is_on(self) -> bool:
        return self.state in ("on", "watching")

    @property
    def needs_attention(self) -> bool:
        return bool(self.broken or self.state == "paused" or self.activity.failed or self.activity.held)

    def is_shown(self, shown: str) -> bool:
        """Tell whether the rule belongs to a narrowed list."""
        return {
            "on": self.is_on,
            "off": not self.is_on,
            "drafts": self.has_draft,
            "attention": self.needs_attention,
            "never": self.is_on and self.activity.seen_at is None,
        }.get(shown, True)

    def holds(self, words: str) -> bool:
        """Tell whether every word stands in what the list says of the rule."""
        text = fold(f"{self.title} {self.name} {self.area} {self.owner} {plain_sentence(self.sentence)}")
        return all(word in text for word in fold(words).split())


def read_lines(
    engine: "Engine", conn: Connection, now: datetime, language: str, *, archived: bool = False
) -> list[Line]:
    """Return every rule, by area and title; a few queries for all of them."""
    live = and_(rule_versions.c.rule == rules.c.id, rule_versions.c.version == rules.c.version)
    query = select(rules, rule_versions.c.document).select_from(rules.outerjoin(rule_versions, live))
    put_away = rules.c.archived_at.is_not(None) if archived else rules.c.archived_at.is_(None)
    activity = read_activity(conn, now, engine.zone)
    labels = Labels(engine, language)
    found = [
        _line(engine, row, labels, activity.get(row.id, Activity())) for row in conn.execute(query.where(put_away))
    ]
    return sorted(found, key=lambda line: (not line.area, fold(line.area), fold(line.title), line.name))


def count_shown(lines: list[Line]) -> Mapping[str, int]:
    """Return how many rules each narrowed list holds."""
    return Counter(shown for line in lines for shown in SHOWN if line.is_shown(shown))


def _line(engine: "Engine", row: Any, labels: Labels, activity: Activity) -> Line:
    document = row.document or drafted(row.draft)
    return Line(
        id=row.id,
        name=row.name,
        title=title_in(document.get("title"), labels.language, row.name),
        area=str(document.get("area") or ""),
        state=row.state,
        state_reason=row.state_reason or "",
        version=row.version,
        has_draft=row.draft is not None,
        staff_may_switch=bool(document.get("staff_may_switch")),
        owner=str(document.get("owner") or ""),
        sentence=tuple(say_rule(document, labels)),
        activity=activity,
        broken=engine.book.broken.get(row.name, ""),
    )


def drafted(text: str | None) -> Mapping[str, Any]:
    """Return the document of a draft, or an empty one where its text is not finished."""
    try:
        return read_yaml(text) if text else {}
    except RuleError:
        # A draft may be anything; the list then knows its name only.
        return {}
