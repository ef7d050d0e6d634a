"""The timeline of a card: entries in words, a page at a time; more of it is asked for by htmx or by its address."""

from typing import Any

from rules.labels import Labels
from rules.timeline import read_timeline
from rules.titles import read_titles
from web.pages.places import next_place, read_place
from web.visits import Visit

_PAGE_SIZE = 30


def read_story(visit: Visit, conn: Any, *, customer: str | None = None, order: str | None = None) -> dict[str, Any]:
    """Return what `stories/story.html` shows of one customer or one order."""
    before = read_place(visit, "story")
    found = read_timeline(conn, customer=customer, order=order, limit=_PAGE_SIZE + 1, before=before)
    page = found[:_PAGE_SIZE]
    rules = {entry.name for entry in page if entry.kind == "run"}
    rules |= {entry.more["rule"] for entry in page if entry.kind == "effect" and entry.more["rule"]}
    return {
        "entries": page,
        "titles": read_titles(conn, rules, visit.language),
        "labels": Labels(visit.engine, visit.language),
        "is_first": before is None,
        "more": next_place(visit, "story", page[-1].at, page[-1].id) if len(found) > _PAGE_SIZE else "",
    }
