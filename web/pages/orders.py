"""Orders: the list, found by number or status; one with its lines, money, tasks and everything that happened."""

from datetime import datetime
from typing import Any

from core.errors import NotFound
from core.shop.lists import count_statuses, find_makers, page_orders
from core.shop.orders import find_order_id
from core.shop.snapshots import order_data
from core.shop.statuses import find_statuses
from core.shop.tasks import find_tasks
from rules.labels import title_in
from web.pages.places import next_place, read_place
from web.pages.stories import read_story
from web.visits import ADMIN, MANAGER, STAFF, Answer, Page, Visit

PAGE = Page("orders")
_READERS = (ADMIN, MANAGER, STAFF)
_PAGE_SIZE = 50


@PAGE.get("/orders", _READERS)
def list_all(visit: Visit) -> Answer:
    """List orders, the newest first; what is looked for stands in the address."""
    text, status = visit.query.get("q", "").strip(), visit.query.get("status", "")
    with visit.engine.db.read() as conn:
        machine = find_statuses(conn)
        chosen = status if status in machine else None
        rows = page_orders(
            conn,
            text=text.removeprefix("#") or None,
            status=chosen,
            limit=_PAGE_SIZE + 1,
            before=read_place(visit, "orders"),
        )
        counts = count_statuses(conn)
    page = rows[:_PAGE_SIZE]
    return visit.render(
        "orders/list.html",
        active="orders",
        orders=page,
        text=text,
        chosen=chosen,
        statuses=_titles(visit, machine),
        groups={code: row["group"] for code, row in machine.items()},
        counts=counts,
        more=next_place(visit, "orders", page[-1]["created_at"], page[-1]["id"]) if len(rows) > _PAGE_SIZE else "",
    )


def _titles(visit: Visit, machine: Any) -> dict[str, str]:
    return {code: title_in(row["title"], visit.language, code) for code, row in machine.items()}


@PAGE.get("/orders/{id}", _READERS)
def show(visit: Visit) -> Answer:
    """Show one order, by our id or another system's."""
    with visit.engine.db.read() as conn:
        ours = find_order_id(conn, visit.names["id"])
        if ours is None:
            raise NotFound(visit.say("there is no such order; look for its number in the list"))
        if visit.is_fragment:
            return visit.render("stories/more.html", **read_story(visit, conn, order=ours))
        data = order_data(conn, [ours])[ours]
        tasks = find_tasks(conn, order=ours)
        makers = find_makers(conn, [task["id"] for task in tasks])
        machine = find_statuses(conn)
        story = read_story(visit, conn, order=ours)
    return visit.render(
        "orders/show.html",
        active="orders",
        order=data["order"],
        customer=data.get("customer"),
        tasks=tasks,
        makers=makers,
        statuses=_titles(visit, machine),
        at=datetime.fromisoformat,
        **story,
    )
