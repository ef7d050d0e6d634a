"""The job of an import: check it, run it, undo it; killed at any place, it goes on where the last commit was."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice, takewhile
from typing import Any

import structlog
from sqlalchemy import Row, select, update

from core.accounts import DEFAULT
from core.context import Emit
from core.crash import crash_point
from core.errors import VitrinError
from core.events import Catalogue, Event
from core.imports.limits import Row as Line
from core.imports.mapping import Mapped
from core.imports.options import ShopHabits, habits_of
from core.imports.reading import TableFile
from core.imports.tables import imports
from core.imports.undo import Undo
from core.imports.units import Unit, identity, read_units
from core.imports.writing import Batch, Done, find_present, remember, write_units
from core.job_context import JobContext
from core.kept import News
from core.retries import is_final
from core.shop import Shop
from core.writer import Tx, Writer

log = structlog.get_logger("vitrin.imports")

#: Rows that one transaction writes. Customers are written together; the others cost more each, and other work waits.
BATCH = {"customers": 500}
_SMALL_BATCH = 100
#: Faults that a dry run lists; all are counted.
MOST_FAULTS = 1_000
#: What becomes of a row; `left` counts besides those that were written only in part.
STATUSES = ("new", "updated", "unchanged", "errors")
NOTHING = dict.fromkeys((*STATUSES, "left"), 0)

ShopOf = Callable[[Tx, Emit | None, datetime, str], Shop]
Take = Callable[[Tx, list[Event]], object]


class _DryRun(Exception):
    """Undoes the transaction of a dry run and brings out what it found."""

    def __init__(self, done: list[Done]) -> None:
        super().__init__()
        self.done = done


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the import's job needs of the engine."""

    writer: Writer
    #: Opens an import's file, with what was put right in place laid over it.
    open: Callable[[Row[Any]], TableFile]
    habits: ShopHabits
    shop_of: ShopOf
    #: Takes events in, and knows their types.
    take: Take
    catalogue: Catalogue
    now: Callable[[], datetime]
    read: Callable[[str], Row[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a row, and to which piece of the file it belongs: an order has a row for each line."""

    row: int
    column: str | None
    message: str
    #: False where the row is written all the same, without this value.
    refused: bool
    #: The first row of the piece, and how many it has.
    first: int
    rows: int


@dataclass(slots=True, kw_only=True)
class _Found:
    """What a dry run has found so far."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    by_column: Counter[str] = field(default_factory=Counter)
    new: set[str] = field(default_factory=set)


class Work:
    """Does what a job of the task `import` says."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def perform(self, ctx: JobContext) -> dict[str, Any]:
        """Check, run or undo one import; a failure that will not pass by itself is written into its row.

        The job's result says how the import stands when it ends, which may be paused.
        """
        row = self._tools.read(ctx.args["import"])
        what = {"check": self._check, "run": self._run, "undo": self._undo}[ctx.args["what"]]
        try:
            what(ctx, row)
        except VitrinError as exc:
            if is_final(exc) and ctx.is_mine():
                self._tools.writer.do(partial(self._fail, ctx=ctx, row=row, words=exc.message))
            raise
        ended = self._tools.read(row.id)
        told = ended.checked["counts"] if ctx.args["what"] == "check" and ended.checked else ended.counts
        return {"import": row.id, "what": ctx.args["what"], "status": ended.status, "counts": told}

    def _fail(self, tx: Tx, *, ctx: JobContext, row: Row[Any], words: str) -> None:
        # A dry run that cannot be finished leaves the import as it was: another file or mapping may do.
        status = "ready" if ctx.args["what"] == "check" else "failed"
        self._set(tx, row.id, status=status, error=words, finished_at=self._tools.now())
        if ctx.args["what"] == "run":
            self._tell(tx, row.id, "import.failed", ctx.job_id, error=words)

    def _set(self, tx: Tx, import_id: str, **values: Any) -> None:
        tx.conn.execute(update(imports).where(imports.c.id == import_id).values(**values))

    def _is(self, tx: Tx, import_id: str, status: str) -> bool:
        """Look whether nobody has paused or canceled it, and keep it so until the commit."""
        now = select(imports.c.status).where(imports.c.id == import_id).with_for_update()
        return tx.conn.execute(now).scalar_one_or_none() == status

    def _tell(self, tx: Tx, import_id: str, kind: str, job: str, **more: Any) -> None:
        """Tell the automations how the import ended, where the plugin is on that brings the type."""
        if self._tools.catalogue.find(kind) is None:
            return
        row = tx.conn.execute(select(imports).where(imports.c.id == import_id)).one()
        about = {"id": row.id, "kind": row.kind, "file": row.shown_name, "by": row.created_by, **row.counts}
        news = self._news("files", f"{import_id}/{job}")
        news.emit(kind, {"import": about | more}, id=f"{import_id}/{kind}/{job}")
        self._tools.take(tx, news.events)

    def _news(self, source: str, job: str) -> News:
        catalogue, now = self._tools.catalogue, self._tools.now()
        return News(plugin=source, account=DEFAULT, catalogue=catalogue, job=job, now=now)

    # Reading

    def _units(self, row: Row[Any], mapped: Mapped) -> Iterator[Unit]:
        return read_units(row.kind, self._tools.open(row).rows(), mapped)

    def _mapped(self, row: Row[Any]) -> Mapped:
        return Mapped(row.kind, row.header, row.mapping, habits_of(row.options, self._tools.habits))

    def _batch(self, row: Row[Any], tx: Tx, mapped: Mapped, emit: Emit | None) -> Batch:
        currency = row.options.get("currency", self._tools.habits.currency)
        shop = self._tools.shop_of(tx, emit, self._tools.now(), source_of(row.options))
        return Batch(kind=row.kind, shop=shop, mapped=mapped, currency=currency)

    # The dry run

    def _check(self, ctx: JobContext, row: Row[Any]) -> None:
        mapped, found = self._mapped(row), _Found()
        for units in _batches(row.kind, self._units(row, mapped)):
            for done in self._try(row, mapped, units):
                _count(row.kind, done, found)
            ctx.progress(_sum(found.counts), row.total)
            ctx.leave_if_stopping()
        checked = {
            "counts": NOTHING | dict(found.counts),
            "errors": found.faults,
            "by_column": dict(found.by_column),
            "at": self._tools.now().isoformat(),
            #: Whether cells were put right since.
            "stale": False,
        }

        def keep(tx: Tx) -> None:
            if self._is(tx, row.id, "checking"):
                self._set(tx, row.id, status="ready", checked=checked, error=None)

        self._tools.writer.do(keep)

    def try_rows(self, row: Row[Any], lines: Iterable[Line], numbers: set[int]) -> list[Done]:
        """Try the pieces of the file to which these rows belong, as a dry run does."""
        mapped, last = self._mapped(row), max(numbers)
        # Only of an order it takes the rows around one to know what belongs together.
        wanted = lines if row.kind == "orders" else (line for line in lines if line.number in numbers)
        ahead = takewhile(lambda unit: unit.row <= last, read_units(row.kind, wanted, mapped))
        units = (unit for unit in ahead if any(unit.row <= number <= unit.last for number in numbers))
        return [done for batch in _batches(row.kind, units) for done in self._try(row, mapped, batch)]

    def _try(self, row: Row[Any], mapped: Mapped, units: list[Unit]) -> list[Done]:
        """Write units for real, in a transaction that is then undone: nothing knows better what would happen."""

        def attempt(tx: Tx) -> None:
            raise _DryRun(write_units(self._batch(row, tx, mapped, None), units))

        try:
            self._tools.writer.do(attempt)
        except _DryRun as found:
            return found.done
        return []

    # The run

    def _run(self, ctx: JobContext, row: Row[Any]) -> None:
        mapped = self._mapped(row)
        ahead = (unit for unit in self._units(row, mapped) if unit.last > row.position)
        for units in _batches(row.kind, ahead):
            if not self._tools.writer.do(partial(self._write, ctx=ctx, row=row, mapped=mapped, units=units)):
                return  # paused or canceled
            crash_point("import.batch")
            ctx.leave_if_stopping()
        self._tools.writer.do(lambda tx: self._finish(tx, ctx, row))

    def _write(self, tx: Tx, *, ctx: JobContext, row: Row[Any], mapped: Mapped, units: list[Unit]) -> bool:
        """Write a batch, what it changed, and how far the import is: all of it or nothing."""
        if not self._is(tx, row.id, "running"):
            return False
        news = self._news(source_of(row.options), f"import/{row.id}/{units[0].row}")
        batch = self._batch(row, tx, mapped, news.emit if row.options.get("emit") else None)
        before = find_present(batch, units)
        done = write_units(batch, units)
        remember(batch, row.id, done, before)
        self._tools.take(tx, news.events)
        counts: Counter[str] = Counter(
            tx.conn.execute(select(imports.c.counts).where(imports.c.id == row.id)).scalar_one()
        )
        for one in done:
            _add(counts, one)
        self._set(tx, row.id, counts=dict(counts), position=units[-1].last)
        ctx.progress_in(_sum(counts), row.total)
        ctx.checkpoint_in(tx, units[-1].last)
        return True

    def _finish(self, tx: Tx, ctx: JobContext, row: Row[Any]) -> None:
        if self._is(tx, row.id, "running"):
            self._set(tx, row.id, status="done", finished_at=self._tools.now(), error=None)
            self._tell(tx, row.id, "import.finished", ctx.job_id)

    # Undoing

    def _undo(self, ctx: JobContext, row: Row[Any]) -> None:
        undo = Undo(row.id)
        ctx.progress_in(ctx.state or 0, self._tools.writer.do(lambda tx: undo.count(tx.conn)))
        while self._tools.writer.do(lambda tx: self._undo_some(tx, ctx, row, undo)):
            crash_point("import.undo")
            ctx.leave_if_stopping()

        def finish(tx: Tx) -> None:
            self._set(tx, row.id, status="undone", undone=undo.report(tx.conn))

        self._tools.writer.do(finish)

    def _undo_some(self, tx: Tx, ctx: JobContext, row: Row[Any], undo: Undo) -> bool:
        if not self._is(tx, row.id, "undoing"):
            return False
        count = undo.some(tx.conn)
        if not count:
            return False
        done = (ctx.state or 0) + count
        ctx.progress_in(done)
        ctx.checkpoint_in(tx, done)
        return True


def source_of(options: Mapping[str, Any]) -> str:
    """Return the name of the system whose ids the file uses."""
    return options.get("source", "files")


def _batches(kind: str, units: Iterable[Unit]) -> Iterator[list[Unit]]:
    ahead, size = iter(units), BATCH.get(kind, _SMALL_BATCH)
    while batch := list(islice(ahead, size)):
        yield batch


def _add(counts: Counter[str], done: Done) -> None:
    """Count rows of the file: an order counts with all its lines."""
    counts[done.status] += done.unit.rows
    if done.fault is not None and done.status != "errors":
        counts["left"] += done.unit.rows


def _sum(counts: Counter[str]) -> int:
    return sum(counts[status] for status in STATUSES)


def _count(kind: str, done: Done, found: _Found) -> None:
    if done.status == "new":
        # A dry run forgets each batch: a record that came before in the file would be there by now.
        known = identity(kind, done.unit)
        done.status = "updated" if known in found.new else "new"
        found.new.add(known)
    _add(found.counts, done)
    for fault in faults_of(done):
        found.by_column[fault.column or ""] += 1
        if len(found.faults) < MOST_FAULTS:
            found.faults.append(asdict(fault))


def faults_of(done: Done) -> list[Fault]:
    """Return everything that is wrong with one unit."""
    unit = done.unit
    if done.fault is None:
        return []
    piece = {"refused": done.status == "errors", "first": unit.row, "rows": unit.rows}
    return [Fault(**asdict(fault), **piece) for fault in (done.fault, *unit.also)]
