"""Tasks for people: created at most once for one idempotency key, done once."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, select

from core.errors import Conflict, NotFound, Overtaken
from core.ids import new_id
from core.shop.customers import find_or_stub
from core.shop.rows import Row, insert_missing, matches, row_of, rows_in
from core.shop.snapshots import Snapshot, known, order_data, snapshot_customers
from core.shop.staff import find_staff_id
from core.shop.tables import tasks
from core.shop.wanted import (
    join,
    optional,
    read_all,
    read_body,
    read_choice,
    read_code,
    read_moment,
    read_object,
    read_text,
    read_title,
)
from core.shop.work import Change, Work

PRIORITIES = ("low", "normal", "high", "urgent")

_READERS = {
    "title": read_title,
    "text": optional(read_body),
    "due": optional(read_moment),
    "priority": read_choice(PRIORITIES),
    "assignee": optional(read_text),
    "role": optional(read_text),
    "customer": optional(read_code),
    "order": optional(read_code),
    "idempotency_key": optional(read_code),
    "rule": optional(read_code),
    "run": optional(read_code),
}
_SHOWN = ("id", "title", "text", "due", "priority", "assignee", "role", "customer", "order", "status", "rule", "run")


def create_task(work: Work, wanted: Any, *, system: str | None = None, path: str = "task") -> Change:
    """Create a task; with an idempotency key that was used before, return the task made then.

    `system` is whose customer ids these are; a customer nobody knows yet gets a stub record.
    """
    read_object(wanted, _READERS, path)
    values = read_all({"title": None, "priority": "normal"} | dict(wanted), _READERS, path)
    key = values.get("idempotency_key")
    if values.get("customer") is not None:
        values["customer"] = find_or_stub(work, values["customer"], system=system)
    if values.get("assignee"):
        values["assignee"] = find_staff_id(work.conn, values["assignee"]) or values["assignee"]
    row: Row = dict.fromkeys(tasks.c.keys())
    row |= {"id": new_id(), "status": "open", "source": work.source, "created_at": work.now, "changed_at": work.now}
    row |= values
    if insert_missing(work.conn, tasks, [row]) == 0:
        first = row_of(work.conn, tasks.c.idempotency_key, key)
        if first is None:
            raise Overtaken("another process stored the same task at this moment; try again")
        return Change(id=first["id"])
    _emit(work, "task.created", row, {})
    return Change(id=row["id"], created=True)


def change_task(work: Work, task: str, wanted: Any, *, path: str = "task") -> Change:
    """Change an open task's words, due date, priority or assignee."""
    names = ("title", "text", "due", "priority", "assignee", "role")
    read_object(wanted, names, path)
    row = _get_row(work, task)
    changes: dict[str, dict[str, Any]] = {}
    values = read_all(wanted, {name: _READERS[name] for name in names}, path)
    if values.get("assignee"):
        values["assignee"] = find_staff_id(work.conn, values["assignee"]) or values["assignee"]
    for name, value in values.items():
        if row[name] != value:
            shown = known({"from": row[name], "to": value})
            changes[f"task.{name}"] = {"from": shown.get("from"), "to": shown.get("to")}
            row[name] = value
    return _store(work, row, changes, "task.changed")


def close_task(work: Work, task: str, *, status: str = "done", by: str | None = None) -> Change:
    """Mark a task done (or canceled); doing it again changes nothing."""
    status = read_choice(("done", "canceled"))(status, join("task", "status"))
    row = _get_row(work, task)
    if row["status"] == status:
        return Change(id=row["id"])
    if row["status"] != "open":
        raise Conflict(f"the task {row['title']!r} is {row['status']} already; open it again first")
    changes = {"task.status": {"from": "open", "to": status}}
    row |= {"status": status, "done_at": work.now, "done_by": by}
    return _store(work, row, changes, f"task.{status}")


def reopen_task(work: Work, task: str) -> Change:
    """Open a closed task again."""
    row = _get_row(work, task)
    if row["status"] == "open":
        return Change(id=row["id"])
    changes = {"task.status": {"from": row["status"], "to": "open"}}
    row |= {"status": "open", "done_at": None, "done_by": None}
    return _store(work, row, changes, "task.reopened")


def _get_row(work: Work, task: str) -> Row:
    row = row_of(work.conn, tasks.c.id, task, lock=True)
    if row is None:
        raise NotFound(f"no task {task!r}")
    return row


def _store(work: Work, row: Row, changes: dict[str, dict[str, Any]], event: str) -> Change:
    if changes:
        row["changed_at"] = work.now
        work.conn.execute(tasks.update().where(tasks.c.id == row["id"]).values(row))
        _emit(work, event, row, changes)
    return Change(id=row["id"], changes=changes)


def _emit(work: Work, event: str, row: Row, changes: dict[str, dict[str, Any]]) -> None:
    if work.emit is None:
        return
    data: dict[str, Any] = {"task": show_task(row), "changes": changes}
    if row["order"] is not None:
        data |= order_data(work.conn, [row["order"]]).get(row["order"], {})
    if row["customer"] is not None:
        people = snapshot_customers(work.conn, [row["customer"]])
        data |= {"customer": people[row["customer"]]} if people else {}
    work.emit(event, data, key=row["id"], customer=row["customer"])


def show_task(row: Row) -> Snapshot:
    return known({name: row[name] for name in (*_SHOWN, "done_by", "done_at", "created_at")})


def get_task(conn: Connection, task: str) -> Snapshot:
    """Return one task, or raise NotFound."""
    row = row_of(conn, tasks.c.id, task)
    if row is None:
        raise NotFound(f"no task {task!r}")
    return show_task(row)


def find_tasks(
    conn: Connection,
    *,
    status: str | None = None,
    assignee: str | None = None,
    customer: str | None = None,
    order: str | None = None,
    limit: int = 100,
) -> list[Snapshot]:
    """Return tasks that match, those due first in front."""
    chosen = {"status": status, "assignee": assignee, "customer": customer, "order": order}
    wanted = select(tasks).where(*matches(tasks, chosen))
    wanted = wanted.order_by(tasks.c.due.is_(None), tasks.c.due, tasks.c.id).limit(limit)
    return [show_task(dict(row)) for row in conn.execute(wanted).mappings()]


def find_tasks_by_id(conn: Connection, ids: Iterable[str]) -> dict[str, Snapshot]:
    """Return {id: task}; unknown ids are left out."""
    return {row["id"]: show_task(row) for row in rows_in(conn, tasks.c.id, ids)}


def count_open(conn: Connection) -> int:
    """Return how many tasks are open."""
    return conn.scalar(select(func.count()).where(tasks.c.status == "open")) or 0
