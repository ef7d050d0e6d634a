"""Search from the top of every page: automations, orders, customers."""

from typing import Any

from core.shop.identity import find_customers
from core.shop.orders import find_orders
from core.shop.snapshots import snapshot_customers, snapshot_orders
from rules.roll import read_lines
from web.visits import DEVELOPER, EVERYBODY, STAFF, Answer, Page, Visit

PAGE = Page("searching")
_MOST = 8


@PAGE.get("/search", EVERYBODY)
def search(visit: Visit) -> Answer:
    """Show what holds the words; developers see no records of people."""
    words = visit.query.get("q", "").strip()[:200]
    found: dict[str, Any] = {"lines": [], "orders": [], "customers": []}
    with visit.engine.db.read() as conn:
        if words:
            lines = read_lines(visit.engine, conn, visit.now, visit.language)
            found["lines"] = [line for line in lines if line.holds(words)][:_MOST]
        if words and not visit.may(DEVELOPER):
            orders = snapshot_orders(conn, find_orders(conn, text=words.lstrip("#"), limit=_MOST))
            people = snapshot_customers(conn, find_customers(conn, text=words, limit=_MOST))
            found["orders"], found["customers"] = list(orders.values()), list(people.values())
    where = "/switches" if visit.may(STAFF) else "/automations"
    return visit.render("searching/results.html", words=words, where=where, **found)
