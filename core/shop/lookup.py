"""What people type when they ask about somebody: an order's number, a phone, an e-mail, an id."""

from sqlalchemy import Connection, select

from core.shop.identity import find_customer_id
from core.shop.orders import find_order_id
from core.shop.rows import is_storable
from core.shop.tables import customer_links, orders


def find_keys(conn: Connection, text: str) -> list[str]:
    """Return the keys that events of this order (by number, id or another system's id) or SKU may have."""
    if not is_storable(text):
        return []
    numbers = conn.execute(select(orders.c.id).where(orders.c.number == text).limit(20)).scalars()
    return list(dict.fromkeys([text, *numbers, *filter(None, [find_order_id(conn, text)])]))


def find_customers_by(conn: Connection, text: str) -> list[str]:
    """Return the customers with this id, phone or e-mail."""
    if not is_storable(text):
        return []
    plain = text.strip().lower()
    phone = "+" + "".join(letter for letter in plain if letter.isdigit())
    linked = select(customer_links.c.customer).where(customer_links.c.value.in_([plain, phone])).limit(20)
    known = find_customer_id(conn, text)
    return list(dict.fromkeys([*conn.execute(linked).scalars(), *([known] if known else [])]))
