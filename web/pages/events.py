"""Events: the stream, one with every rule's verdict; and "why did it (not) act?"."""

from typing import Any

from core.errors import NotFound
from core.events import find_event
from core.listing import list_events
from core.masking import mask_json
from rules.explain import verdicts, why
from rules.labels import Labels
from rules.roll import read_lines
from rules.subjects import read_subjects, subject_of
from rules.titles import read_titles
from web.visits import ADMIN, DEVELOPER, EVERYBODY, MANAGER, Answer, Page, Visit

PAGE = Page("events")
_READERS = (ADMIN, MANAGER, DEVELOPER)
_PAGE_SIZE = 50
_FILTERS = ("type", "source", "key", "customer")


@PAGE.get("/events", _READERS)
def list_all(visit: Visit) -> Answer:
    where = {name: visit.query.get(name) or None for name in _FILTERS}
    with visit.engine.db.read() as conn:
        rows = list_events(conn, where, limit=_PAGE_SIZE + 1, before=visit.query.get("before") or None)
        page = rows[:_PAGE_SIZE]
        subjects = read_subjects(conn, (row["id"] for row in page), people=not visit.may(DEVELOPER))
    kinds = sorted(visit.engine.host.catalogue, key=lambda kind: kind.name)
    return visit.render(
        "events/list.html",
        active="runs",
        events=page,
        subjects=subjects,
        where=where,
        kinds=kinds,
        labels=Labels(visit.engine, visit.language),
        more=visit.linked(before=page[-1]["id"]) if len(rows) > _PAGE_SIZE else "",
    )


@PAGE.get("/events/{id}", _READERS)
def show(visit: Visit) -> Answer:
    """Show one event and what every rule that could hear it made of it."""
    hides = visit.may(DEVELOPER)
    with visit.engine.db.read() as conn:
        event = find_event(conn, visit.names["id"])
        if event is None:
            raise NotFound(visit.say("there is no such event; it may be past its retention"))
        found = verdicts(visit.engine, conn, event.id, language=visit.language)
        titles = read_titles(conn, {verdict["rule"] for verdict in found}, visit.language)
    return visit.render(
        "events/show.html",
        active="runs",
        event=event,
        data=mask_json(event.data) if hides else event.data,
        subject=subject_of(event.data, people=not hides),
        verdicts=found,
        titles=titles,
        labels=Labels(visit.engine, visit.language),
    )


@PAGE.get("/why", EVERYBODY)
def ask_why(visit: Visit) -> Answer:
    """Answer in one sentence why an automation acted or did not, for an order, a phone, an e-mail or an event."""
    rule, about = visit.query.get("rule", ""), visit.query.get("about", "").strip()
    told: dict[str, Any] | None = None
    problem = ""
    with visit.engine.db.read() as conn:
        lines = read_lines(visit.engine, conn, visit.now, visit.language)
        if rule and about:
            try:
                told = why(visit.engine, conn, rule, **_about(conn, about), language=visit.language)
            except NotFound as exc:
                problem = exc.message
    return visit.render(
        "events/why.html", active="why", lines=lines, rule=rule, about=about, told=told, problem=problem
    )


def _about(conn: Any, about: str) -> dict[str, str]:
    return {"event_id": about} if find_event(conn, about) is not None else {"key": about}
