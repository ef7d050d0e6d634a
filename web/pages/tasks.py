"""Tasks: what people have to do, by when it is due; done with one press, and undone with another."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from core.shop import Shop
from core.shop.lists import Owner, page_tasks
from core.shop.staff import find_staff, find_staff_id
from core.shop.tasks import get_task
from core.writer import Tx
from rules.activity import day_starts
from rules.timeline import find_rules_of
from rules.titles import read_titles
from web.pages.places import next_place, read_open_place
from web.texts import mark
from web.visits import ADMIN, MANAGER, STAFF, Answer, Page, Visit

PAGE = Page("tasks")
_WORKERS = (ADMIN, MANAGER, STAFF)
_PAGE_SIZE = 50
_GROUPS = {"late": mark("Late"), "today": mark("Due today"), "later": mark("Later"), "open": mark("Without a date")}
_SOURCE = "vitrin/shop"


@PAGE.get("/tasks", _WORKERS)
def list_all(visit: Visit) -> Answer:
    """List open tasks in groups: late, today, later, without a date."""
    mine = visit.query.get("whose") == "mine"
    with visit.engine.db.read() as conn:
        rows = page_tasks(
            conn,
            owner=_owner(visit, conn) if mine else None,
            limit=_PAGE_SIZE + 1,
            after=read_open_place(visit, "tasks"),
        )
        page = rows[:_PAGE_SIZE]
        made_by = find_rules_of(conn, {row["maker"] for row in page if row["maker"]})
        titles = read_titles(conn, made_by.values(), visit.language)
        people = {one["id"]: one["name"] for one in find_staff(conn, active=None)}
    more = next_place(visit, "tasks", page[-1]["due"], page[-1]["id"]) if len(rows) > _PAGE_SIZE else ""
    return visit.render(
        "tasks/list.html",
        active="tasks",
        groups=_grouped(visit, page),
        mine=mine,
        made_by=made_by,
        titles=titles,
        people=people,
        more=more,
    )


def _owner(visit: Visit, conn: Any) -> Owner:
    """Tasks are given to members of staff, whom the address of a person's account tells, or to a name as it is."""
    person = visit.person
    names = [person.id, person.email, person.name, find_staff_id(conn, person.email)]
    return Owner(names=[name for name in names if name], role=person.role)


def _grouped(visit: Visit, rows: list[dict[str, Any]]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return (code, heading, tasks) of the groups that have any; the rows are sorted by due date already."""
    tomorrow = day_starts(visit.now, visit.engine.zone, 1)[0] + timedelta(days=1)
    found: dict[str, list[dict[str, Any]]] = {code: [] for code in _GROUPS}
    for row in rows:
        found[_group_of(row["due"], visit.now, tomorrow)].append(row)
    return [(code, visit.say(_GROUPS[code]), tasks) for code, tasks in found.items() if tasks]


def _group_of(due: datetime | None, now: datetime, tomorrow: datetime) -> str:
    if due is None:
        return "open"
    if due < now:
        return "late"
    return "today" if due < tomorrow else "later"


def _change(visit: Visit, change: Callable[[Shop], Any]) -> dict[str, Any]:
    """Change the task of the address as the person who is signed in; return it as it is then."""
    engine = visit.engine

    def work(tx: Tx) -> dict[str, Any]:
        change(engine.shop_of(tx, engine.intake.emitter(tx, _SOURCE), visit.now, "vitrin"))
        tx.after_commit(engine.ready.set)
        return get_task(tx.conn, visit.names["id"])

    return visit.write(work)


def _back(visit: Visit) -> str:
    """Return the page that the form was sent from: the list, mine or all, or the order's card."""
    order = visit.field("order")
    if order and order.isascii() and order.replace("-", "").isalnum():
        return f"/orders/{order}"
    return "/tasks?whose=mine" if visit.field("whose") == "mine" else "/tasks"


@PAGE.post("/tasks/{id}/done", _WORKERS)
def finish(visit: Visit) -> Answer:
    """Mark a task done; the note that tells it can take it back."""
    task = _change(visit, lambda shop: shop.close_task(visit.names["id"], by=visit.actor))
    kept = {name: value for name in ("whose", "order") if (value := visit.field(name))}
    undo = {"address": f"/tasks/{task['id']}/reopen", "fields": kept}
    return visit.go(_back(visit), visit.say("Done: %(title)s", title=task["title"]), undo=undo)


@PAGE.post("/tasks/{id}/reopen", _WORKERS)
def reopen(visit: Visit) -> Answer:
    """Open a task again that was done by mistake."""
    task = _change(visit, lambda shop: shop.reopen_task(visit.names["id"]))
    return visit.go(_back(visit), visit.say("Open again: %(title)s", title=task["title"]))
