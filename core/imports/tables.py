"""Tables of the imports: each file, each record that it changed or could not change, each cell put right in place."""

from sqlalchemy import Boolean, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from core.db import Json, Moment, metadata
from core.tables import ID

IMPORT_STATUSES = ("ready", "checking", "running", "paused", "done", "failed", "canceled", "undoing", "undone")

imports = Table(
    "imports",
    metadata,
    Column("id", ID, primary_key=True),
    #: customers, products, prices, stock, orders
    Column("kind", String(10), nullable=False),
    #: One of IMPORT_STATUSES.
    Column("status", String(10), nullable=False),
    #: The generated name under which the file lies in the imports folder, and the name it came with, only to be shown.
    Column("file", Text, nullable=False),
    Column("shown_name", Text, nullable=False),
    #: csv, xlsx, jsonl
    Column("format", String(8), nullable=False),
    #: The headings, one a column.
    Column("header", Json, nullable=False),
    #: The field that each column goes to, or null.
    Column("mapping", Json, nullable=False),
    Column("options", Json, nullable=False),
    #: Rows in the file below the heading.
    Column("total", Integer, nullable=False),
    #: The last row of the file that has been dealt with; 0 before the first.
    Column("position", Integer, nullable=False),
    #: {"new", "updated", "unchanged", "errors"}
    Column("counts", Json, nullable=False),
    #: What the last dry run found.
    Column("checked", Json),
    #: What the undoing restored and what it left.
    Column("undone", Json),
    Column("error", Text),
    Column("job", ID),
    Column("created_by", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Index("ix_imports_created", "created_at"),
)

import_rows = Table(
    "import_rows",
    metadata,
    Column("import", ID, nullable=False),
    #: The first row of the file that says something about the record.
    Column("row", Integer, nullable=False),
    #: customer, product, price, stock, order
    Column("noun", String(8), nullable=False),
    Column("object", Text),
    #: new, updated, error
    Column("status", String(9), nullable=False),
    #: How many rows of the file belong to it: an order has one for each line.
    Column("rows", Integer, nullable=False),
    Column("column", Text),
    Column("error", Text),
    #: True for the row at which this import first touched the record: it holds what was there before.
    Column("first", Boolean, nullable=False),
    Column("before", Json),
    #: Hash of the record as this row left it.
    Column("after", String(64)),
    #: restored, left; empty while it is not undone
    Column("undone", String(8)),
    Column("reason", Text),
    PrimaryKeyConstraint("import", "row", "noun"),
    Index("ix_import_rows_object", "import", "noun", "object"),
    Index("ix_import_rows_status", "import", "status", "row"),
)

import_fixes = Table(
    "import_fixes",
    metadata,
    Column("import", ID, nullable=False),
    Column("row", Integer, nullable=False),
    #: The place of the column, from 0.
    Column("column", Integer, nullable=False),
    #: Null where the cell was emptied.
    Column("value", Text),
    Column("by", Text, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("import", "row", "column"),
)
