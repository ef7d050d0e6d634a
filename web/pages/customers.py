"""Customers: the list, found by name, phone or e-mail; one with consents, orders and everything that happened."""

from datetime import datetime

from core.errors import NotFound
from core.shop.identity import find_customer_id
from core.shop.lists import page_customers, page_orders
from core.shop.notes import find_notes
from core.shop.snapshots import snapshot_customer
from core.shop.statuses import find_statuses
from rules.labels import title_in
from web.pages.places import next_place, read_place
from web.pages.stories import read_story
from web.visits import ADMIN, MANAGER, STAFF, Answer, Page, Visit

PAGE = Page("customers")
_READERS = (ADMIN, MANAGER, STAFF)
_PAGE_SIZE = 50
#: Orders on a customer's card; the rest is in the list of orders.
_ORDERS = 10


@PAGE.get("/customers", _READERS)
def list_all(visit: Visit) -> Answer:
    """List customers, the newest first; what is looked for stands in the address."""
    text = visit.query.get("q", "").strip()
    with visit.engine.db.read() as conn:
        before = read_place(visit, "customers")
        rows = page_customers(conn, text=text or None, limit=_PAGE_SIZE + 1, before=before)
    page = rows[:_PAGE_SIZE]
    return visit.render(
        "customers/list.html",
        active="customers",
        customers=page,
        text=text,
        more=next_place(visit, "customers", page[-1]["created_at"], page[-1]["id"]) if len(rows) > _PAGE_SIZE else "",
    )


@PAGE.get("/customers/{id}", _READERS)
def show(visit: Visit) -> Answer:
    """Show one customer, by our id, one that was merged away, or another system's."""
    with visit.engine.db.read() as conn:
        ours = find_customer_id(conn, visit.names["id"])
        if ours is None:
            raise NotFound(visit.say("there is no such customer; look for the name, phone or e-mail in the list"))
        if visit.is_fragment:
            return visit.render("stories/more.html", **read_story(visit, conn, customer=ours))
        customer = snapshot_customer(conn, ours)
        orders = page_orders(conn, customer=ours, limit=_ORDERS + 1)
        machine = find_statuses(conn)
        notes = find_notes(conn, "customer", ours)
        story = read_story(visit, conn, customer=ours)
    return visit.render(
        "customers/show.html",
        active="customers",
        customer=customer,
        orders=orders[:_ORDERS],
        has_more_orders=len(orders) > _ORDERS,
        notes=notes,
        statuses={code: title_in(row["title"], visit.language, code) for code, row in machine.items()},
        groups={code: row["group"] for code, row in machine.items()},
        at=datetime.fromisoformat,
        **story,
    )
