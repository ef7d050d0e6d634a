"""Automations: the list with its switches, one automation, its versions; the archive and ready-made ones."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from core.errors import Conflict, InvalidInput
from core.people import People
from core.writer import Tx
from rules.explain import near_misses
from rules.labels import Labels
from rules.roll import SHOWN, Line, count_shown, drafted, read_lines
from rules.runs import cancel_waiting, list_runs
from rules.sentence import say_rule
from rules.store import archive, get_rule, get_version, list_versions, restore, set_state
from rules.subjects import read_subjects
from rules.yaml_text import unified_diff
from web.visits import ADMIN, DEVELOPER, EDITORS, EVERYBODY, MANAGER, STAFF, Answer, Page, Visit

PAGE = Page("automations")
_READERS = (ADMIN, MANAGER, DEVELOPER)
_SWITCHERS = (ADMIN, MANAGER, STAFF)
_RUNS_SHOWN = 10
#: What a bulk action makes of the chosen rules.
_BULK = {"on": "on", "off": "off", "watch": "watching"}


@PAGE.get("/automations", _READERS)
def list_all(visit: Visit) -> Answer:
    """List every automation; the filter stands in the address."""
    archived = visit.query.get("archived") == "yes"
    with visit.engine.db.read() as conn:
        lines = read_lines(visit.engine, conn, visit.now, visit.language, archived=archived)
    shown = visit.query.get("show", "all")
    shown = shown if shown in SHOWN else "all"
    words = visit.query.get("q", "")
    chosen = [line for line in lines if line.is_shown(shown) and line.holds(words)]
    return visit.render(
        "automations/list.html",
        active="automations",
        groups=[(area, list(found)) for area, found in groupby(chosen, key=lambda line: line.area)],
        chosen=chosen,
        counts=count_shown(lines),
        shown=shown,
        words=words,
        archived=archived,
        acted=sum(line.activity.acted_today for line in lines),
        waiting=sum(line.activity.waiting for line in lines),
    )


@PAGE.get("/automations/{name}", EVERYBODY)
def show(visit: Visit) -> Answer:
    """Show one automation: its sentence, what it did, its versions."""
    name = visit.names["name"]
    with visit.engine.db.read() as conn:
        row = get_rule(conn, name)
        line = _find_line(visit, conn, row.name)
        versions = list_versions(conn, row.id)
        latest = list_runs(conn, rule=row.name, limit=_RUNS_SHOWN)
        values: dict[str, Any] = {
            "line": line,
            "row": row,
            "versions": versions,
            "people": _names(visit, conn),
            "runs": latest,
            "subjects": read_subjects(conn, (run["event"] for run in latest), people=not visit.may(DEVELOPER)),
            "misses": near_misses(visit.engine, conn, row.name, limit=5) if line.is_on else [],
            "text": row.draft if row.draft is not None else _live_text(versions, row.version),
        }
    return visit.render("automations/show.html", active="automations", **values)


@PAGE.get("/automations/{name}/compare", _READERS)
def compare(visit: Visit) -> Answer:
    """Show the difference between two versions, or a version and the draft."""
    before, after = visit.query.get("from", "live"), visit.query.get("to", "draft")
    with visit.engine.db.read() as conn:
        row = get_rule(conn, visit.names["name"])
        texts = [_text_of(conn, row, which) for which in (before, after)]
        documents = [_document_of(conn, row, which) for which in (before, after)]
    labels = Labels(visit.engine, visit.language)
    return visit.render(
        "automations/compare.html",
        active="automations",
        row=row,
        before=before,
        after=after,
        sentences=[say_rule(document, labels) for document in documents],
        lines=unified_diff(*texts, names=(before, after)).splitlines()[2:],
    )


@PAGE.post("/automations/{name}/switch", _SWITCHERS)
def switch(visit: Visit) -> Answer:
    """Switch an automation; where customers wait in it, ask first what becomes of them."""
    name, on = visit.names["name"], visit.field("on") == "yes"
    with visit.engine.db.read() as conn:
        line = _find_line(visit, conn, name)
    if visit.may(STAFF) and not line.staff_may_switch:
        raise Conflict(visit.say("staff may not switch this automation: ask its owner"))
    back = "/switches" if visit.may(STAFF) or visit.field("back") == "switches" else visit.field("back")
    if not on and line.activity.waiting and not visit.field("waiting"):
        return visit.render("automations/switch_off.html", active="automations", line=line, back=visit.field("back"))
    stopped = _switch(visit, line, on=on)
    title = line.title
    words = (
        visit.say("Switched on: %(title)s", title=title) if on else visit.say("Switched off: %(title)s", title=title)
    )
    if stopped:
        words = visit.say_many(
            "Switched off; %(num)s waiting run was stopped.",
            "Switched off; %(num)s waiting runs were stopped.",
            stopped,
        )
    undo = {"address": f"/automations/{line.name}/switch", "fields": {"on": "" if on else "yes", "back": back}}
    return visit.go(_back(back, line.name), words, undo=undo if not stopped else None)


def _switch(visit: Visit, line: Line, *, on: bool) -> int:
    """Switch, and end what waits where that was chosen; return how many runs ended."""

    def work(tx: Tx) -> int:
        state = ("watching" if visit.field("watch") else "on") if on else "off"
        set_state(tx, line.name, state, actor=visit.actor, now=visit.now, reason=visit.field("reason") or None)
        if not on and visit.field("waiting") == "stop":
            return cancel_waiting(tx, line.id, actor=visit.actor, now=visit.now, reason="switched off")
        return 0

    return visit.write(work)


@PAGE.post("/automations/{name}/watch", EDITORS)
def watch(visit: Visit) -> Answer:
    """Let the automation record what it would do, and do nothing."""
    name = visit.names["name"]
    visit.write(lambda tx: set_state(tx, name, "watching", actor=visit.actor, now=visit.now))
    return visit.go(f"/automations/{name}", visit.say("It watches now: it records what it would do, and does nothing."))


@PAGE.post("/automations/{name}/archive", EDITORS)
def put_away(visit: Visit) -> Answer:
    name = visit.names["name"]
    visit.write(lambda tx: archive(tx, name, actor=visit.actor, now=visit.now))
    return visit.go("/automations", visit.say("Archived. Its runs stay, and it can be brought back."))


@PAGE.post("/automations/{name}/restore", EDITORS)
def bring_back(visit: Visit) -> Answer:
    """Make an old version the draft; what is live stays as it is until somebody publishes."""
    name, version = visit.names["name"], visit.field("version")
    if not version.isdigit():
        raise InvalidInput("version", "choose a version from the list")
    visit.write(lambda tx: restore(tx, name, int(version), actor=visit.actor, now=visit.now))
    words = visit.say("Version %(number)s is the draft now; publish it to make it live.", number=version)
    return visit.go(f"/automations/{name}", words)


@PAGE.post("/automations/bulk", EDITORS)
def switch_many(visit: Visit) -> Answer:
    """Switch every chosen automation; those that cannot be switched are told, the others are switched."""
    state = _BULK.get(visit.field("action"))
    names = visit.fields("name")
    if state is None or not names:
        raise InvalidInput("action", visit.say("choose automations, and what to do with them"))
    refused = []
    for name in dict.fromkeys(names):
        try:
            visit.write(lambda tx, name=name: set_state(tx, name, state, actor=visit.actor, now=visit.now))
        except Conflict as exc:
            refused.append(f"{name}: {exc.message}")
    if refused:
        return visit.go("/automations", "; ".join(refused), kind="bad")
    return visit.go("/automations", visit.say_many("%(num)s switched.", "%(num)s switched.", len(names)))


@PAGE.get("/switches", EVERYBODY)
def switches(visit: Visit) -> Answer:
    """Show staff what they may switch, in plain words, and what they may ask for."""
    with visit.engine.db.read() as conn:
        lines = read_lines(visit.engine, conn, visit.now, visit.language)
    mine = [line for line in lines if line.staff_may_switch and line.version is not None]
    others = [line for line in lines if not line.staff_may_switch and line.version is not None]
    return visit.render("automations/switches.html", active="switches", mine=mine, others=others)


@PAGE.post("/switches/{name}/ask", (STAFF,))
def ask(visit: Visit) -> Answer:
    """Ask the owner to switch an automation: they find it as a task."""
    with visit.engine.db.read() as conn:
        line = _find_line(visit, conn, visit.names["name"])
    wanted = {
        "title": visit.say("%(who)s asks you to switch: %(title)s", who=visit.person.name, title=line.title),
        "role": MANAGER,
        # Asking twice on a day is one task.
        "idempotency_key": f"ask:{line.id}:{visit.person.id}:{visit.now:%Y-%m-%d}",
        **({"assignee": line.owner} if line.owner else {}),
    }

    def work(tx: Tx) -> None:
        emit = visit.engine.intake.emitter(tx, "vitrin/shop")
        visit.engine.shop_of(tx, emit, visit.now, "vitrin").create_task(wanted)

    visit.write(work)
    return visit.go("/switches", visit.say("Asked. The owner finds it among the tasks."))


def _find_line(visit: Visit, conn: Any, name: str) -> Line:
    row = get_rule(conn, name)
    archived = row.archived_at is not None
    lines = read_lines(visit.engine, conn, visit.now, visit.language, archived=archived)
    return next(line for line in lines if line.name == row.name)


def _back(chosen: str, name: str) -> str:
    return {"switches": "/switches", "/switches": "/switches", "show": f"/automations/{name}"}.get(
        chosen, "/automations"
    )


def _names(visit: Visit, conn: Any) -> dict[str, str]:
    """Return what people are called, by the actor's mark."""
    people: People = visit.services.people
    return {f"user:{person.id}": person.name for person in people.list_people(conn)}


def _live_text(versions: list[Any], number: int | None) -> str:
    return next((version.text for version in versions if version.version == number), "")


def _text_of(conn: Any, row: Any, which: str) -> str:
    if which == "draft" and row.draft is not None:
        return row.draft
    return get_version(conn, row.id, _number_of(row, which)).text


def _document_of(conn: Any, row: Any, which: str) -> Mapping[str, Any]:
    if which == "draft" and row.draft is not None:
        return drafted(row.draft)
    return get_version(conn, row.id, _number_of(row, which)).document


def _number_of(row: Any, which: str) -> int:
    number = int(which) if which.isdigit() else row.version
    if number is None:
        raise Conflict("this automation has no published version yet")
    return number
