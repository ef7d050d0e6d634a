"""Marks: small named facts of the installation."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from core.tables import marks

#: Raised when plugins or their accounts change: every process compares it with what it saw last.
PLUGINS_STAMP = "plugins.stamp"


def read_mark(conn: Connection, name: str) -> Any:
    """Return a mark's value, or None."""
    return conn.execute(select(marks.c.value).where(marks.c.name == name)).scalar_one_or_none()


def write_mark(conn: Connection, name: str, value: Any, now: datetime, *, by: str | None = None) -> None:
    """Set a mark."""
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    row = dialect.insert(marks).values(name=name, value=value, at=now, by=by)
    changed = {"value": row.excluded.value, "at": now, "by": by}
    conn.execute(row.on_conflict_do_update(index_elements=["name"], set_=changed))


def delete_mark(conn: Connection, *names: str) -> None:
    conn.execute(delete(marks).where(marks.c.name.in_(names)))
