"""Products: the list, found by name or SKU, with prices and what is in stock."""

from core.shop.lists import page_products
from web.paging import read_cursor, write_cursor
from web.visits import ADMIN, MANAGER, STAFF, Answer, Page, Visit

PAGE = Page("products")
_PAGE_SIZE = 50


@PAGE.get("/products", (ADMIN, MANAGER, STAFF))
def list_all(visit: Visit) -> Answer:
    """List products by name; what is looked for stands in the address."""
    text = visit.query.get("q", "").strip()
    after = read_cursor(visit.query.get("cursor") or None, "products", str, str)
    with visit.engine.db.read() as conn:
        place = (after[0], after[1]) if after else None
        rows = page_products(conn, text=text or None, limit=_PAGE_SIZE + 1, after=place)
    page = rows[:_PAGE_SIZE]
    more = ""
    if len(rows) > _PAGE_SIZE:
        more = visit.linked(cursor=write_cursor("products", page[-1]["name"], page[-1]["id"]))
    return visit.render("products/list.html", active="products", products=page, text=text, more=more)
