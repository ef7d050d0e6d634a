"""Composing: ready-made automations, and a draft as text with its checks, its trial on real events, and publishing."""

from typing import Any

from core.errors import Conflict, VitrinError
from core.writer import Tx
from rules.check import check_text
from rules.drafts import Draft, edit, find_editor, forget_steps, leave_seat, open_draft, redo, take_seat, undo
from rules.labels import Labels, title_in
from rules.recipes import describe, find_offered, offered, use_recipe
from rules.roll import drafted
from rules.sentence import say_rule
from rules.simulate import simulate
from rules.store import find_rule, get_rule, publish
from rules.subjects import read_subjects
from rules.trace_view import read_checks
from web.texts import mark
from web.visits import ADMIN, DEVELOPER, EDITORS, MANAGER, Answer, Page, Visit

PAGE = Page("composer")
_WRITERS = (ADMIN, MANAGER, DEVELOPER)
_CHANGED = mark("Text changed")
mark("Opened")
#: How many events a trial plays, and how many of them are shown one by one.
_LAST, _SHOWN = 50, 20


@PAGE.get("/ready-made", EDITORS)
def list_ready_made(visit: Visit) -> Answer:
    """Show the ready-made automations of the engine and its plugins."""
    labels = Labels(visit.engine, visit.language)
    with visit.engine.db.read() as conn:
        found = [
            (describe(visit.engine, conn, recipe, language=visit.language), say_rule(recipe.document, labels))
            for recipe in offered(visit.engine)
        ]
    return visit.render("composer/ready_made.html", active="automations", recipes=found)


@PAGE.post("/ready-made/{name}", EDITORS)
def use(visit: Visit) -> Answer:
    """Make a draft of a ready-made automation, under a name that is free."""
    recipe = find_offered(visit.engine, visit.names["name"])

    def work(tx: Tx) -> str:
        return use_recipe(tx, recipe, _free_name(tx, recipe.name), actor=visit.actor, now=visit.now)

    name = visit.write(work)
    return visit.go(f"/automations/{name}/edit", visit.say("Draft made: check it, try it, publish it."))


def _free_name(tx: Tx, name: str) -> str:
    number = 1
    wanted = name
    while find_rule(tx.conn, wanted) is not None:
        number += 1
        wanted = f"{name[:76]}-{number}"
    return wanted


@PAGE.get("/automations/{name}/edit", _WRITERS)
def compose(visit: Visit) -> Answer:
    """Show the draft; the page itself takes the editor's seat where it is free."""
    return _show(visit)


@PAGE.post("/automations/{name}/seat", _WRITERS)
def take_over(visit: Visit) -> Answer:
    """Take the editor's seat where it is free, or by force; the open page says again and again that it is there."""
    force = visit.field("force") == "yes"

    def work(tx: Tx) -> None:
        rule_id = get_rule(tx.conn, visit.names["name"]).id
        take_seat(tx, rule_id, session=_own(visit), actor=visit.actor, now=visit.now, force=force)

    visit.write(work)
    if force:
        return visit.go(f"/automations/{visit.names['name']}/edit", visit.say("You edit this draft now."))
    return Answer(status=204)


@PAGE.post("/automations/{name}/edit", _WRITERS)
def save(visit: Visit) -> Answer:
    """Keep the text as the next step of the draft; it need not be right yet."""
    name = visit.names["name"]
    text = "".join(visit.form.get("text", ())).replace("\r\n", "\n")
    label = {"text": _CHANGED, "values": {}}
    try:
        visit.write(
            lambda tx: edit(tx, name, text, label=label, expected=_number(visit), actor=visit.actor, now=visit.now)
        )
    except Conflict as exc:
        return _show(visit, text=text, problem=exc.message, status=409)
    return visit.go(f"/automations/{name}/edit", visit.say("Saved. Nothing runs before you publish it."))


@PAGE.post("/automations/{name}/undo", _WRITERS)
def step_back(visit: Visit) -> Answer:
    name = visit.names["name"]
    visit.write(lambda tx: undo(tx, name, expected=_number(visit), actor=visit.actor, now=visit.now))
    return visit.go(f"/automations/{name}/edit", visit.say("Taken back."))


@PAGE.post("/automations/{name}/redo", _WRITERS)
def step_forward(visit: Visit) -> Answer:
    name = visit.names["name"]
    visit.write(lambda tx: redo(tx, name, expected=_number(visit), actor=visit.actor, now=visit.now))
    return visit.go(f"/automations/{name}/edit", visit.say("Brought back."))


@PAGE.post("/automations/{name}/publish", EDITORS)
def make_live(visit: Visit) -> Answer:
    """Make the draft the newest version: on, or only watching."""
    name = visit.names["name"]
    state = "watching" if visit.field("state") == "watching" else "on"
    with visit.engine.db.read() as conn:
        text = open_draft(conn, name).text
    errors = [found for found in check_text(visit.engine, text, draft=False) if found["severity"] == "error"]
    if errors:
        problem = f"{errors[0]['path']}: {errors[0]['message']}"
        return _show(visit, problem=problem, status=422)
    session = visit.session

    def work(tx: Tx) -> int | None:
        told = {"actor": visit.actor, "now": visit.now, "note": visit.field("note") or None, "state": state}
        publish(tx, text, visit.engine.book.scope, **told)
        row = get_rule(tx.conn, name)
        forget_steps(tx, row.id)
        if session is not None:
            leave_seat(tx, row.id, session.hash)
        return row.version

    number = visit.write(work)
    words = (
        visit.say("Published: version %(number)s watches and does nothing yet.", number=number)
        if state == "watching"
        else visit.say("Published: version %(number)s is live.", number=number)
    )
    return visit.go(f"/automations/{name}", words)


@PAGE.get("/automations/{name}/try", _WRITERS, limit="test")
def try_out(visit: Visit) -> Answer:
    """Answer a part of the page: what the draft would have done on the shop's last events."""
    with visit.engine.db.read() as conn:
        text = open_draft(conn, visit.names["name"]).text
    try:
        told = simulate(visit.engine, text, last=_LAST)
    except VitrinError as exc:
        return visit.render("composer/trial.html", told=None, reason=exc.message, count=_LAST)
    shown = told["results"][:_SHOWN]
    with visit.engine.db.read() as conn:
        people = not visit.may(DEVELOPER)
        subjects = read_subjects(conn, (result["event"] for result in shown), people=people)
    return visit.render(
        "composer/trial.html",
        told=told,
        shown=shown,
        subjects=subjects,
        funnel=[(_said(row["told"], visit), row) for row in told["funnel"]],
        count=_LAST,
        reason="",
    )


def _said(told: Any, visit: Visit) -> str:
    """Return what a condition asks, several rows of a group joined by a dot."""
    checks = read_checks(told, Labels(visit.engine, visit.language))
    return " · ".join(f"{check.asked} {check.expected}".strip() for check in checks) or str(told)


def _number(visit: Visit) -> int:
    given = visit.field("number")
    return int(given) if given.isdigit() else 0


def _own(visit: Visit) -> str:
    return visit.session.hash if visit.session is not None else ""


def _show(visit: Visit, *, text: str | None = None, problem: str = "", status: int = 200) -> Answer:
    with visit.engine.db.read() as conn:
        draft: Draft = open_draft(conn, visit.names["name"])
        row = get_rule(conn, draft.name)
        editor = find_editor(conn, row.id, visit.now)
        people = {f"user:{person.id}": person.name for person in visit.services.people.list_people(conn)}
    shown = draft.text if text is None else text
    findings = check_text(visit.engine, shown)
    document = drafted(shown)
    return visit.render(
        "composer/edit.html",
        status=status,
        active="automations",
        row=row,
        draft=draft,
        text=shown,
        title=title_in(document.get("title"), visit.language, draft.name),
        pieces=say_rule(document, Labels(visit.engine, visit.language)),
        errors=[found for found in findings if found["severity"] == "error"],
        hints=[found for found in findings if found["severity"] != "error"],
        other=people.get(editor.actor, editor.actor) if editor and editor.session != _own(visit) else "",
        problem=problem,
    )
