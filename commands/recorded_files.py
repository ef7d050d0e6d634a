"""The files of a recording, read whole and joined to orders; the first wrong cell is named."""

import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from commands.recorded_order import CLOSED, Line, Payment, Person, Product, RecordedOrder, Review
from commands.recorded_table import RecordedTable, Row, find_table

_STATUSES = ("created", "approved", "invoiced", "processing", "shipped", "delivered", *CLOSED)
_TIMES = (
    "order_purchase_timestamp",
    "order_approved_at",
    "order_delivered_carrier_date",
    "order_delivered_customer_date",
)

_CUSTOMERS = ("customer_id", "customer_unique_id", "customer_zip_code_prefix", "customer_city", "customer_state")
_ORDERS = ("order_id", "customer_id", "order_status", *_TIMES, "order_estimated_delivery_date")
_ITEMS = ("order_id", "order_item_id", "product_id", "seller_id", "price", "freight_value")
_PAYMENTS = ("order_id", "payment_sequential", "payment_type", "payment_installments", "payment_value")
_REVIEWS = (
    "review_id",
    "order_id",
    "review_score",
    "review_comment_title",
    "review_comment_message",
    "review_creation_date",
    "review_answer_timestamp",
)
_PRODUCTS = (
    "product_id",
    "product_category_name",
    "product_weight_g",
    "product_length_cm",
    "product_height_cm",
    "product_width_cm",
)


def read_recording(
    folder: Path, products: Path | None, zone: ZoneInfo
) -> tuple[dict[str, Person], dict[str, RecordedOrder]]:
    """Return the customers file by customer_id (one per order; the person's id is inside) and the orders by id."""
    people = _read_people(_table(folder, "customers", _CUSTOMERS))
    orders = _read_orders(_table(folder, "orders", _ORDERS), people, zone)
    catalogue = _read_products(_products_table(folder, products))
    _read_lines(_table(folder, "order_items", _ITEMS), orders, catalogue)
    _read_payments(_table(folder, "order_payments", _PAYMENTS), orders)
    _read_reviews(_table(folder, "order_reviews", _REVIEWS), orders, zone)
    return people, orders


def _table(folder: Path, noun: str, columns: tuple[str, ...]) -> RecordedTable:
    return RecordedTable(find_table(folder, noun), columns)


def _products_table(folder: Path, products: Path | None) -> RecordedTable:
    advice = "" if products else "; or name the folder that has it with --products"
    return RecordedTable(find_table(products or folder, "products", advice), _PRODUCTS)


def _read_people(table: RecordedTable) -> dict[str, Person]:
    people: dict[str, Person] = {}
    for row in table.rows():
        customer = row.get_text("customer_id")
        if customer in people:
            raise row.wrong("customer_id", "an id that no earlier row has")
        people[customer] = Person(
            id=row.get_text("customer_unique_id"),
            city=sys.intern(row.get_text("customer_city")),
            state=sys.intern(row.get_text("customer_state")),
            zip=sys.intern(row.get_text("customer_zip_code_prefix")),
        )
    return people


def _read_orders(table: RecordedTable, people: dict[str, Person], zone: ZoneInfo) -> dict[str, RecordedOrder]:
    orders: dict[str, RecordedOrder] = {}
    for row in table.rows():
        order = _read_order(row, people, zone)
        if order.id in orders:
            raise row.wrong("order_id", "an id that no earlier row has")
        orders[order.id] = order
    return orders


def _read_order(row: Row, people: dict[str, Person], zone: ZoneInfo) -> RecordedOrder:
    person = people.get(row.get_text("customer_id"))
    if person is None:
        raise row.wrong("customer_id", "a customer of the customers file")
    status = sys.intern(row.get_text("order_status"))
    if status not in _STATUSES:
        raise row.wrong("order_status", f"one of {', '.join(_STATUSES)}")
    estimated = row.find_local_time("order_estimated_delivery_date")
    created = row.get_moment(_TIMES[0], zone)
    moments = (created, *(row.find_moment(column, zone) for column in _TIMES[1:]))
    latest = max(moment for moment in moments if moment is not None)
    return RecordedOrder(
        id=row.get_id("order_id"),
        person=person,
        status=status,
        # Nobody recorded when an order was closed: it cannot have been before the last thing that was.
        moments=(*moments, latest if status in CLOSED else None),
        estimated=row.find_moment("order_estimated_delivery_date", zone),
        estimated_date=estimated.date().isoformat() if estimated else None,
    )


def _read_products(table: RecordedTable) -> dict[str, Product]:
    products: dict[str, Product] = {}
    for row in table.rows():
        product_id = row.get_text("product_id")
        if product_id in products:
            raise row.wrong("product_id", "an id that no earlier row has")
        products[product_id] = Product(
            id=product_id,
            category=sys.intern(row.find_text("product_category_name") or "") or None,
            weight_g=row.find_whole("product_weight_g"),
            length_cm=row.find_whole("product_length_cm"),
            height_cm=row.find_whole("product_height_cm"),
            width_cm=row.find_whole("product_width_cm"),
        )
    return products


def _read_lines(table: RecordedTable, orders: dict[str, RecordedOrder], products: dict[str, Product]) -> None:
    for row in table.rows():
        order = _order_of(row, orders)
        number = row.get_whole("order_item_id")
        if any(line.number == number for line in order.lines):
            raise row.wrong("order_item_id", "a line number that this order has not had")
        product_id = row.get_text("product_id")
        line = Line(
            number=number,
            product=products.get(product_id) or Product(id=product_id),
            seller=sys.intern(row.get_text("seller_id")),
            price=row.get_cents("price"),
            freight=row.get_cents("freight_value"),
        )
        order.lines.append(line)
    for order in orders.values():
        order.lines.sort(key=lambda line: line.number)


def _read_payments(table: RecordedTable, orders: dict[str, RecordedOrder]) -> None:
    for row in table.rows():
        order = _order_of(row, orders)
        sequence = row.get_whole("payment_sequential")
        if any(payment.sequence == sequence for payment in order.payments):
            raise row.wrong("payment_sequential", "a payment number that this order has not had")
        payment = Payment(
            sequence=sequence,
            kind=sys.intern(row.get_text("payment_type")),
            instalments=row.get_whole("payment_installments"),
            amount=row.get_cents("payment_value"),
        )
        order.payments.append(payment)
    for order in orders.values():
        order.payments.sort(key=lambda payment: payment.sequence)


def _read_reviews(table: RecordedTable, orders: dict[str, RecordedOrder], zone: ZoneInfo) -> None:
    for row in table.rows():
        order = _order_of(row, orders)
        # One answer may be about several orders: only together with the order its id is unique.
        review_id = row.get_id("review_id")
        if any(review.id == review_id for review in order.reviews):
            raise row.wrong("review_id", "a review that this order has not had")
        review = Review(
            id=review_id,
            score=row.get_whole("review_score"),
            title=row.find_text("review_comment_title"),
            message=row.find_text("review_comment_message"),
            created=row.get_moment("review_creation_date", zone),
            answered=row.get_moment("review_answer_timestamp", zone),
        )
        order.reviews.append(review)
    for order in orders.values():
        order.reviews.sort(key=lambda review: review.id)


def _order_of(row: Row, orders: dict[str, RecordedOrder]) -> RecordedOrder:
    order = orders.get(row.get_text("order_id"))
    if order is None:
        raise row.wrong("order_id", "an order of the orders file")
    return order
