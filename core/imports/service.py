"""Imports for people and programs: upload, map, check, run, pause, cancel, undo, and the rows that went wrong."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Row, and_, delete, insert, select, update

from core.audit import Entry, record
from core.clock import Clock
from core.db import Database
from core.errors import Conflict, InvalidInput, NotFound
from core.events import Catalogue
from core.ids import new_id
from core.imports.faults import amended, faults_by_row, find_faults, shown_cells, shown_fault, with_cells, write_faults
from core.imports.fields import KINDS
from core.imports.files import Files, shown_name
from core.imports.fixes import FixedTable, forget_fixes, laid_together, load_fixes, read_fixes, save_fixes
from core.imports.mapping import check_mapping, guess
from core.imports.options import READING, ShopHabits, check_options
from core.imports.reading import TableFile, look_through, open_table
from core.imports.tables import import_rows, imports
from core.imports.work import NOTHING, STATUSES, ShopOf, Take, Tools, Work, faults_of
from core.jobs import Jobs
from core.writer import Tx

TASK = "import"
#: How long an import can be undone; its file and its rows are kept as long.
UNDO = timedelta(days=7)
_RETRY = (5, 30, 300)
#: What may follow what.
_MOVES: Mapping[str, tuple[str, ...]] = {
    "checking": ("ready",),
    "running": ("ready", "paused", "failed"),
    "paused": ("running",),
    "canceled": ("ready", "checking", "running", "paused", "failed"),
    "undoing": ("done", "failed", "canceled", "paused"),
}


class Imports:
    """The service behind the page, the API and the command line."""

    def __init__(
        self,
        db: Database,
        jobs: Jobs,
        *,
        home: Path,
        habits: ShopHabits,
        shop_of: ShopOf,
        take: Take,
        catalogue: Catalogue,
    ) -> None:
        self._db, self._jobs, self._writer = db, jobs, jobs.writer
        self._clock: Clock = jobs.clock
        self.files = Files(home / "imports")
        tools = Tools(
            writer=jobs.writer,
            open=self._open,
            habits=habits,
            shop_of=shop_of,
            take=take,
            catalogue=catalogue,
            now=jobs.clock.now,
            read=self.get,
        )
        self._work = Work(tools)
        jobs.register(TASK, self._work.perform, klass="bulk", retry=_RETRY)

    # From the upload to the mapping

    def upload(
        self,
        parts: Iterable[bytes],
        name: str,
        kind: str,
        *,
        actor: str,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Store a file, read it through and guess its mapping; return the import's id.

        Raises InvalidInput for a file that cannot be read, naming the row. The name is only shown.
        """
        if kind not in KINDS:
            raise InvalidInput("kind", f"must be one of {', '.join(KINDS)}")
        chosen = check_options(options or {})
        stored = self.files.save(parts)
        try:
            seen = look_through(self.files.path(stored), chosen)
        except InvalidInput:
            self.files.delete(stored)
            raise
        values = {
            "id": new_id(),
            "kind": kind,
            "status": "ready",
            "file": stored,
            "shown_name": shown_name(name),
            "format": seen.format,
            "header": seen.header,
            "mapping": guess(kind, seen.header, seen.samples),
            "options": chosen,
            "total": seen.total,
            "position": 0,
            "counts": NOTHING,
            "created_by": actor,
            "created_at": self._clock.now(),
        }

        def keep(tx: Tx) -> None:
            tx.conn.execute(insert(imports).values(**values))
            self._note(tx, values["id"], "import.uploaded", actor, {"kind": kind, "file": values["shown_name"]})

        self._writer.do(keep)
        return values["id"]

    def samples(self, import_id: str, *, count: int = 5) -> list[list[Any]]:
        """Return the file's first rows, to be shown beside the mapping: a cell for each heading."""
        table = self._open(self.get(import_id))
        width = len(table.header)
        return [shown_cells(line, width) for line in islice(table.rows(), count)]

    def _open(self, row: Row[Any]) -> TableFile:
        """Open an import's file, with the cells that were put right in place."""
        table = open_table(self._path(row), row.format, row.options)
        with self._db.read() as conn:
            fixed = load_fixes(conn, row.id)
        return FixedTable(table, fixed) if fixed else table

    def _path(self, row: Row[Any]) -> Path:
        if not row.file:
            raise NotFound(f"the file of this import is gone: it was kept for {UNDO.days} days; upload it again")
        return self.files.path(row.file)

    def choose(
        self, import_id: str, *, mapping: Any = None, options: Mapping[str, Any] | None = None, actor: str
    ) -> None:
        """Choose the mapping and the options; options that change how the file is read guess the mapping anew."""
        row = self.get(import_id)
        chosen = row.options if options is None else check_options(options)
        values: dict[str, Any] = {"options": chosen, "checked": None}
        header = row.header
        reread = any(chosen.get(name) != row.options.get(name) for name in READING)
        if reread:
            seen = look_through(self._path(row), chosen)
            header = seen.header
            values |= {"format": seen.format, "header": header, "total": seen.total}
            values |= {"mapping": guess(row.kind, header, seen.samples)}
        if mapping is not None:
            values["mapping"] = check_mapping(row.kind, header, mapping)

        def keep(tx: Tx) -> None:
            self._move(tx, import_id, ("ready", *self._stuck(row, "checking")), "ready", **values)
            if reread:
                # Rows and columns are no longer where the fixes say.
                forget_fixes(tx, import_id)
            told = {"mapping": values.get("mapping", row.mapping), "options": chosen}
            self._note(tx, import_id, "import.mapped", actor, told)

        self._writer.do(keep)

    # What is wrong with its rows

    def rows(
        self, import_id: str, *, after: int = 0, limit: int = 50, column: str | None = None
    ) -> list[dict[str, Any]]:
        """Return rows that need a look, behind the row `after`, with their cells and all that is wrong with them."""
        row = self.get(import_id)
        with self._db.read() as conn:
            found, fixed = find_faults(conn, row), load_fixes(conn, import_id)
        by_row = faults_by_row(found, column=column)
        wanted = {number: by_row[number] for number in [number for number in by_row if number > after][:limit]}
        return with_cells(self._open(row).rows(), wanted, fixed, width=len(row.header)) if wanted else []

    def fix(
        self, import_id: str, fixes: Sequence[Mapping[str, Any]], *, actor: str, dry_run: bool = False
    ) -> list[dict[str, Any]]:
        """Put cells right before the import runs; return their rows as `rows` does, with what is still wrong.

        A fix is {row, column, value}: the column's heading or its place from 0, the text to stand there or None.
        """
        row = self.get(import_id)
        if row.status != "ready":
            raise Conflict(f"the import is {row.status}; cells are put right while it is ready, before it runs")
        check_mapping(row.kind, row.header, row.mapping)
        chosen = read_fixes(row.header, fixes)
        with self._db.read() as conn:
            fixed = laid_together(load_fixes(conn, import_id), chosen)
        table = FixedTable(open_table(self._path(row), row.format, row.options), fixed)
        numbers = {fix.row for fix in chosen}
        shown = with_cells(table.rows(), dict.fromkeys(numbers, ()), fixed, width=len(row.header))
        if missing := numbers - {one["row"] for one in shown}:
            raise InvalidInput("fixes", f"the file has no row {min(missing)} that holds anything")
        tried = self._work.try_rows(row, table.rows(), numbers)
        left = faults_by_row(fault for done in tried for fault in faults_of(done))
        for one in shown:
            one["faults"] = [shown_fault(fault) for fault in left.get(one["row"], ())]

        def keep(tx: Tx) -> None:
            self._move(tx, import_id, ("ready",), "ready")
            save_fixes(tx, import_id, chosen, actor=actor, now=self._clock.now())
            self._note(tx, import_id, "import.fixed", actor, {"rows": sorted(numbers)})
            checked = tx.conn.execute(select(imports.c.checked).where(imports.c.id == import_id)).scalar_one()
            if checked is not None:
                self._move(tx, import_id, ("ready",), "ready", checked=amended(checked, tried))

        if not dry_run:
            self._writer.do(keep)
        return shown

    def write_errors(self, import_id: str, file: TextIO) -> int:
        """Write the rows that were refused, or written only in part, with the reason; return how many.

        Before the run they are those that the dry run found. The file has the columns of the upload, so that it can
        be mended and uploaded again.
        """
        row = self.get(import_id)
        with self._db.read() as conn:
            found = find_faults(conn, row)
        return write_faults(self._open(row), found, file)

    # What it does

    def check(self, import_id: str, *, actor: str) -> str:
        """Start a dry run: `checked` then says what would be new, updated and refused. Return the job's id."""
        return self._start(import_id, "checking", "check", actor)

    def run(self, import_id: str, *, actor: str, emit: bool | None = None) -> str:
        """Start the import, or go on with a paused or failed one; return the job's id.

        `emit` says whether rules hear of the rows; it can be chosen as long as nothing is written.
        """
        if emit is None:
            return self._start(import_id, "running", "run", actor)
        row = self.get(import_id)
        if row.started_at is not None and emit != bool(row.options.get("emit")):
            raise Conflict("rows of this import are written already: whether automations start can no longer change")
        return self._start(import_id, "running", "run", actor, options={**row.options, "emit": emit})

    def resume(self, import_id: str, *, actor: str) -> str:
        """Go on with a paused or failed import where it stood; return the job's id."""
        row = self.get(import_id)
        if row.started_at is None:
            raise Conflict("this import has not begun; run it")
        return self.run(import_id, actor=actor)

    def undo(self, import_id: str, *, actor: str) -> str:
        """Put back what the import changed, for 7 days; return the job's id. What was changed since is left."""
        row = self.get(import_id)
        if row.started_at is None:
            raise Conflict("nothing of this import was written, so there is nothing to undo")
        if self._clock.now() - row.started_at > UNDO:
            raise Conflict(f"imports can be undone for {UNDO.days} days; this one began on {row.started_at:%Y-%m-%d}")
        return self._start(import_id, "undoing", "undo", actor)

    def pause(self, import_id: str, *, actor: str) -> None:
        """Stop after the batch under way; `run` goes on from there."""
        self._stop(import_id, ("running",), "paused", actor)

    def cancel(self, import_id: str, *, actor: str) -> None:
        """Give an import up; what it has written stays, and can be undone."""
        self._stop(import_id, _MOVES["canceled"], "canceled", actor)

    def _start(self, import_id: str, status: str, what: str, actor: str, **values: Any) -> str:
        row = self.get(import_id)
        check_mapping(row.kind, row.header, row.mapping)
        self._path(row)
        now = self._clock.now()

        def start(tx: Tx) -> str:
            args = {"import": import_id, "what": what}
            job = self._jobs.defer(tx, TASK, args, key=f"{TASK}:{import_id}")
            begun = {"started_at": row.started_at or now, "finished_at": None} if what == "run" else {}
            allowed = (*_MOVES[status], *self._stuck(row, status))
            self._move(tx, import_id, allowed, status, job=job, error=None, **begun, **values)
            self._note(tx, import_id, f"import.{status}", actor, {"kind": row.kind, "file": row.shown_name})
            return job

        return self._writer.do(start)

    def _stop(self, import_id: str, allowed: tuple[str, ...], status: str, actor: str) -> None:
        row = self.get(import_id)

        def stop(tx: Tx) -> None:
            self._move(tx, import_id, (*allowed, *self._stuck(row, status)), status)
            self._note(tx, import_id, f"import.{status}", actor, None)

        self._writer.do(stop)

    def _move(self, tx: Tx, import_id: str, allowed: tuple[str, ...], status: str, **values: Any) -> None:
        chosen = and_(imports.c.id == import_id, imports.c.status.in_(allowed))
        if tx.conn.execute(update(imports).where(chosen).values(status=status, **values)).rowcount == 1:
            return
        present = tx.conn.execute(select(imports.c.status).where(imports.c.id == import_id)).scalar_one_or_none()
        if present is None:
            raise NotFound(f"no import {import_id!r}")
        raise Conflict(f"the import is {present}; it can become {status} only from {', '.join(allowed)}")

    def _stuck(self, row: Row[Any], status: str) -> tuple[str, ...]:
        """Return the import's status where its job died over it and `status` may follow all the same."""
        stands_for = {"checking": ("ready",), "running": ("failed",), "undoing": ()}.get(row.status)
        if stands_for is None or self._find_end(row) is None:
            return ()
        return (row.status,) if status == row.status or set(stands_for) & set(_MOVES[status]) else ()

    def _find_end(self, row: Row[Any]) -> str | None:
        """Say why the import's job was given up without the import being told, or return None."""
        try:
            job = self._jobs.get_job(row.job or "")
        except NotFound:
            return "its job is gone; start it again"
        return (job.error or f"its job is {job.status}") if job.status in ("dead", "canceled") else None

    def _note(self, tx: Tx, import_id: str, action: str, actor: str, after: Any) -> None:
        entry = Entry(actor=actor, action=action, object=f"import:{import_id}", after=after)
        record(tx, entry, self._clock.now())

    # What is there

    def get(self, import_id: str) -> Row[Any]:
        """Return an import's row, or raise NotFound."""
        with self._db.read() as conn:
            row = conn.execute(select(imports).where(imports.c.id == import_id)).one_or_none()
        if row is None:
            raise NotFound(f"no import {import_id!r}")
        return row

    def show(self, import_id: str) -> dict[str, Any]:
        """Return an import with its progress, as pages and the API show it."""
        return self._show(self.get(import_id))

    def _show(self, row: Row[Any]) -> dict[str, Any]:
        shown = {name: value for name, value in row._mapping.items() if name not in ("file", "position")}
        if row.status in ("checking", "running", "undoing") and (reason := self._find_end(row)):
            shown |= {"status": "failed", "error": row.error or reason}
        return shown | {
            "done": sum(row.counts[name] for name in STATUSES),
            "needs_look": row.counts["errors"] + row.counts["left"],
            "can_undo_until": row.started_at and row.started_at + UNDO,
        }

    def list_imports(
        self, *, limit: int = 50, before: str | None = None, status: str | None = None, kind: str | None = None
    ) -> list[dict[str, Any]]:
        """Return imports, the newest first; `before` is the id that the page before ended with."""
        wanted = select(imports).order_by(imports.c.id.desc()).limit(limit)
        for column, value in ((imports.c.status, status), (imports.c.kind, kind)):
            wanted = wanted if value is None else wanted.where(column == value)
        if before is not None:
            wanted = wanted.where(imports.c.id < before)
        with self._db.read() as conn:
            rows = conn.execute(wanted).all()
        return [self._show(row) for row in rows]

    def forget(self, tx: Tx, now: datetime) -> int:
        """Delete the files and the rows' history of imports that can no longer be undone; return how many."""
        old = and_(imports.c.created_at < now - UNDO, imports.c.file != "")
        settled = imports.c.status.not_in(("checking", "running", "undoing", "paused"))
        rows = tx.conn.execute(select(imports.c.id, imports.c.file).where(old, settled)).all()
        for row in rows:
            tx.conn.execute(delete(import_rows).where(import_rows.c["import"] == row.id))
            forget_fixes(tx, row.id)
            tx.conn.execute(update(imports).where(imports.c.id == row.id).values(file=""))
            tx.after_commit(lambda name=row.file: self.files.delete(name))
        return len(rows)
