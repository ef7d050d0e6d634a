"""The trade's tables. Money is integer minor units beside a currency; quantities are integer thousandths.

Customers, orders and products may also be named by ids of other systems: see `external_ids`. What only quotes a
reference (a task's order, a message's customer) has no foreign key, for events may come before their records.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from core.db import Json, Moment, metadata

ID = String(36)
CURRENCY = String(3)

customers = Table(
    "customers",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    #: The number and address that are used first, E.164 and lower case; all that are known lie in `customer_links`.
    Column("phone", Text),
    Column("email", Text),
    Column("language", Text),
    Column("zone", Text),
    #: YYYY-MM-DD
    Column("birthday", String(10)),
    Column("city", Text),
    Column("fields", Json, nullable=False),
    #: Known only by the id of another system so far: the first real write makes it a customer like any other.
    Column("stub", Boolean, nullable=False),
    #: Folded words for searching.
    Column("search", Text, nullable=False),
    #: The system that told us first.
    Column("source", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Index("ix_customers_created", "created_at"),
)

#: What makes a customer unique: each phone number and each e-mail address belongs to one.
customer_links = Table(
    "customer_links",
    metadata,
    #: phone, email
    Column("kind", String(5), nullable=False),
    Column("value", Text, nullable=False),
    Column("customer", ID, ForeignKey("customers.id"), nullable=False),
    PrimaryKeyConstraint("kind", "value"),
    Index("ix_customer_links_customer", "customer"),
)

#: Old ids still resolve: the trail of merges.
customer_merges = Table(
    "customer_merges",
    metadata,
    Column("dropped", ID, primary_key=True),
    Column("kept", ID, ForeignKey("customers.id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Moment, nullable=False),
    #: The dropped record as it was.
    Column("record", Json, nullable=False),
    Index("ix_customer_merges_kept", "kept"),
)

#: Append-only. The latest entry of a purpose counts; at the same moment the withdrawal does.
consents = Table(
    "consents",
    metadata,
    Column("id", ID, primary_key=True),
    Column("customer", ID, ForeignKey("customers.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("granted", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    #: Where and how it was said: the form's wording, a message's id.
    Column("evidence", Text),
    Column("at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Index("ix_consents_customer", "customer", "purpose", "at"),
)

external_ids = Table(
    "external_ids",
    metadata,
    Column("system", Text, nullable=False),
    #: customer, product, variant, order, payment, shipment, staff, task
    Column("kind", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("object", ID, nullable=False),
    #: A second id of one object in one system (after a merge): resolves, but is never sent back.
    Column("alias", Boolean, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("system", "kind", "external_id"),
    Index(
        "uq_external_ids_object",
        "object",
        "system",
        "kind",
        unique=True,
        sqlite_where=text("alias = 0"),
        postgresql_where=text("NOT alias"),
    ),
    Index("ix_external_ids_object", "object", "kind"),
    Index("ix_external_ids_external", "external_id", "kind"),
)

tags = Table(
    "tags",
    metadata,
    #: customer, order, product
    Column("kind", Text, nullable=False),
    Column("object", ID, nullable=False),
    Column("tag", Text, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("kind", "object", "tag"),
    Index("ix_tags_tag", "kind", "tag"),
)

notes = Table(
    "notes",
    metadata,
    Column("id", ID, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("object", ID, nullable=False),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("idempotency_key", Text, unique=True),
    Column("at", Moment, nullable=False),
    Index("ix_notes_object", "kind", "object", "at"),
)

products = Table(
    "products",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("brand", Text),
    Column("category", Text),
    Column("description", Text),
    Column("url", Text),
    Column("image", Text),
    Column("fields", Json, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("search", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Index("ix_products_category", "category"),
)

variants = Table(
    "variants",
    metadata,
    Column("id", ID, primary_key=True),
    Column("product", ID, ForeignKey("products.id"), nullable=False),
    Column("sku", Text, nullable=False, unique=True),
    Column("barcode", Text),
    #: Colour, size and the like.
    Column("options", Json, nullable=False),
    Column("weight_g", Integer),
    Column("active", Boolean, nullable=False),
    Column("position", Integer, nullable=False),
    Index("ix_variants_product", "product"),
    Index("ix_variants_barcode", "barcode"),
)

#: With history: the row whose `until` is empty is the price now.
prices = Table(
    "prices",
    metadata,
    Column("id", ID, primary_key=True),
    Column("variant", ID, ForeignKey("variants.id"), nullable=False),
    Column("list", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", CURRENCY, nullable=False),
    Column("source", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment),
    Index("ix_prices_variant", "variant", "list", "since"),
    Index(
        "uq_prices_current",
        "variant",
        "list",
        unique=True,
        sqlite_where=text("until IS NULL"),
        postgresql_where=text("until IS NULL"),
    ),
)

places = Table(
    "places",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    #: May sell what it does not have (made to order).
    Column("below_zero", Boolean, nullable=False),
)

stock = Table(
    "stock",
    metadata,
    Column("variant", ID, ForeignKey("variants.id"), nullable=False),
    Column("place", Text, ForeignKey("places.code"), nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("changed_at", Moment, nullable=False),
    PrimaryKeyConstraint("variant", "place"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", ID, primary_key=True),
    Column("variant", ID, ForeignKey("variants.id"), nullable=False),
    Column("place", Text, ForeignKey("places.code"), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("order", Text),
    #: held, released, shipped
    Column("state", String(8), nullable=False),
    #: Held no longer than this; empty: until it is released.
    Column("until", Moment),
    Column("idempotency_key", Text, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("closed_at", Moment),
    Index("ix_reservations_due", "state", "until"),
    Index("ix_reservations_order", "order"),
)

#: The order's status machine, as the shop configures it.
statuses = Table(
    "statuses",
    metadata,
    Column("code", Text, primary_key=True),
    #: {"en": ..., "tr": ..., "ru": ...}
    Column("title", Json, nullable=False),
    #: new, working, done, canceled
    Column("group", Text, nullable=False),
    Column("position", Integer, nullable=False),
    #: Codes that may follow.
    Column("next", Json, nullable=False),
    #: Fields that an order must have to get here, such as customer, address, items.
    Column("requires", Json, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("id", ID, primary_key=True),
    Column("number", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("customer", ID, ForeignKey("customers.id")),
    Column("status", Text, nullable=False),
    Column("status_at", Moment, nullable=False),
    #: Where it was placed: site, till, marketplace.
    Column("channel", Text),
    Column("seller", Text),
    Column("delivery", Text),
    Column("address", Json),
    Column("currency", CURRENCY),
    Column("discount", BigInteger, nullable=False),
    Column("delivery_cost", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    #: Received less refunded; always the sum of the payments.
    Column("paid", BigInteger, nullable=False),
    Column("fields", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    UniqueConstraint("source", "number"),
    Index("ix_orders_customer", "customer", "created_at"),
    Index("ix_orders_status", "status", "created_at"),
    Index("ix_orders_number", "number"),
    Index("ix_orders_created_at", "created_at"),
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("id", ID, primary_key=True),
    Column("order", ID, ForeignKey("orders.id"), nullable=False),
    Column("position", Integer, nullable=False),
    #: The line's id in the system that the order came from.
    Column("external_id", Text),
    Column("variant", ID, ForeignKey("variants.id")),
    Column("sku", Text),
    Column("name", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("price", BigInteger, nullable=False),
    #: Off the whole line.
    Column("discount", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Index("ix_order_lines_order", "order", "position"),
    Index("ix_order_lines_variant", "variant"),
    Index("ix_order_lines_sku", "sku"),
)

payments = Table(
    "payments",
    metadata,
    Column("id", ID, primary_key=True),
    Column("order", ID, ForeignKey("orders.id")),
    Column("provider", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    #: pending, authorized, paid, failed, canceled
    Column("state", String(10), nullable=False),
    Column("method", Text),
    Column("instalments", Integer),
    Column("amount", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("currency", CURRENCY, nullable=False),
    Column("paid_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    UniqueConstraint("provider", "external_id"),
    Index("ix_payments_order", "order"),
)

shipments = Table(
    "shipments",
    metadata,
    Column("id", ID, primary_key=True),
    Column("order", ID, ForeignKey("orders.id"), nullable=False),
    Column("carrier", Text, nullable=False),
    Column("tracking", Text),
    #: created, shipped, ready_for_pickup, delivered, returned, lost, canceled
    Column("state", String(16), nullable=False),
    Column("state_at", Moment, nullable=False),
    Column("cost", BigInteger),
    Column("currency", CURRENCY),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    UniqueConstraint("carrier", "tracking"),
    Index("ix_shipments_order", "order"),
)

staff = Table(
    "staff",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, unique=True),
    Column("phone", Text),
    Column("photo", Text),
    Column("shop", Text),
    Column("role", Text),
    Column("active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", ID, primary_key=True),
    Column("title", Text, nullable=False),
    Column("text", Text),
    Column("due", Moment),
    #: low, normal, high, urgent
    Column("priority", String(6), nullable=False),
    Column("assignee", Text),
    Column("role", Text),
    Column("customer", Text),
    Column("order", Text),
    #: open, done, canceled
    Column("status", String(8), nullable=False),
    Column("idempotency_key", Text, unique=True),
    Column("rule", Text),
    Column("run", Text),
    Column("source", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("done_at", Moment),
    Column("done_by", Text),
    Index("ix_tasks_status", "status", "due"),
    Index("ix_tasks_assignee", "assignee", "status"),
    Index("ix_tasks_customer", "customer"),
    Index("ix_tasks_order", "order"),
)

#: The outbox: every message to a customer, whatever channel carries it.
messages = Table(
    "messages",
    metadata,
    Column("id", ID, primary_key=True),
    Column("customer", Text),
    Column("order", Text),
    Column("channel", Text, nullable=False),
    Column("address", Text),
    Column("subject", Text),
    Column("body", Text, nullable=False),
    Column("template", Text),
    #: queued, sent, delivered, failed; captured: shown in the outbox and never sent
    Column("status", String(9), nullable=False),
    Column("rule", Text),
    Column("run", Text),
    Column("idempotency_key", Text, nullable=False, unique=True),
    #: The message's id at the provider: bounces and receipts name it.
    Column("external_id", Text),
    Column("created_at", Moment, nullable=False),
    Column("sent_at", Moment),
    Column("delivered_at", Moment),
    Column("error", Text),
    Index("ix_messages_customer", "customer", "created_at"),
    Index("ix_messages_status", "status", "created_at"),
    Index("ix_messages_external", "channel", "external_id"),
    Index("ix_messages_created_at", "created_at"),
)
