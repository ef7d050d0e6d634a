"""`imports`: customers, products, prices, stock and orders from CSV, XLSX and JSON lines; tried first, undoable."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from commands.call import Call, pass_call
from commands.noun import Noun
from commands.opening import open_engine
from commands.output import columns, pairs, progress_bar
from core.errors import InvalidInput
from core.imports.fields import KINDS
from rules.engine import Engine

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ACTIVE = ("checking", "running", "undoing")
_SHOWN = ("id", "kind", "status", "shown_name", "done", "total", "created_at")
_CHUNK = 1 << 16


@click.group(cls=Noun, examples=("imports run customers.csv --kind customers --dry-run", "imports undo IMPORT_ID"))
def imports() -> None:
    """Bring in files of records; automations do not start for imported rows unless asked."""


@imports.command(
    tries=True,
    examples=(
        "imports run customers.csv --kind customers --dry-run",
        "imports run stock.xlsx --kind stock --map 'Barcode=sku' --map 'Shelf='",
    ),
)
@click.argument("file", type=_FILE)
@click.option("--kind", required=True, type=click.Choice(sorted(KINDS)), help="What the rows are.")
@click.option("--map", "mapped", multiple=True, help="HEADING=field; an empty field leaves the column out. Repeatable.")
@click.option(
    "--option", "options", multiple=True, help="name=value: how the file is read, such as decimal=,. Repeatable."
)
@click.option("--start-automations", is_flag=True, help="Let rules hear of the imported records.")
@pass_call
def run(call: Call, file: Path, kind: str, mapped: tuple[str, ...], options: tuple[str, ...], **given: Any) -> None:
    """Check a file and import it; with --dry-run only say what would be new, updated and refused."""
    chosen: dict[str, Any] = dict(_pair(option, "option") for option in options)
    if given["start_automations"]:
        chosen["emit"] = True
    with open_engine(call) as engine:
        ident = engine.imports.upload(_parts(file), file.name, kind, actor="cli", options=chosen)
        if mapped:
            mapping = _mapping(engine, ident, dict(_pair(pair, "map") for pair in mapped))
            engine.imports.choose(ident, mapping=mapping, actor="cli")
        (engine.imports.check if call.dry_run else engine.imports.run)(ident, actor="cli")
        told = _follow(engine, ident)
    call.show(told, lambda: _words(told))
    if told["status"] == "failed":
        raise click.exceptions.Exit(1)


@imports.command("list", examples=("imports list --json",))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@pass_call
def list_(call: Call, limit: int) -> None:
    """List imports, the newest first."""
    with open_engine(call) as engine:
        found = engine.imports.list_imports(limit=limit)
        call.show(found, lambda: columns(found, _SHOWN, zone=engine.zone))


@imports.command(examples=("imports show IMPORT_ID",))
@click.argument("ident", metavar="IMPORT")
@pass_call
def show(call: Call, ident: str) -> None:
    """Show one import: counts, mapping, and how long it can be undone."""
    with open_engine(call) as engine:
        told = engine.imports.show(ident)
    call.show(told, lambda: _words(told))


@imports.command(examples=("imports undo IMPORT_ID",))
@click.argument("ident", metavar="IMPORT")
@pass_call
def undo(call: Call, ident: str) -> None:
    """Put back what an import changed; what was changed since is left."""
    with open_engine(call) as engine:
        engine.imports.undo(ident, actor="cli")
        told = _follow(engine, ident)
    call.show(told, lambda: _words(told))


@imports.command(examples=("imports errors IMPORT_ID refused.csv",))
@click.argument("ident", metavar="IMPORT")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@pass_call
def errors(call: Call, ident: str, target: Path) -> None:
    """Write the refused rows with their reasons to a file that can be mended and imported again."""
    with open_engine(call) as engine, target.open("w", encoding="utf-8-sig", newline="") as file:
        count = engine.imports.write_errors(ident, file)
    call.show({"rows": count, "file": str(target)}, lambda: f"{count} refused rows are in {target}")


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while part := opened.read(_CHUNK):
            yield part


def _pair(text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput(what, f"{text!r} must be written name=value")
    return name, value


def _mapping(engine: Engine, ident: str, chosen: dict[str, str]) -> list[str | None]:
    """Return the guessed mapping with the chosen columns changed."""
    row = engine.imports.get(ident)
    strange = sorted(set(chosen) - set(row.header))
    if strange:
        raise InvalidInput("map", f"the file has no column {strange[0]!r}; it has {', '.join(row.header)}")
    guessed = zip(row.header, row.mapping, strict=True)
    return [chosen[heading] or None if heading in chosen else field for heading, field in guessed]


def _follow(engine: Engine, ident: str) -> dict[str, Any]:
    """Work until the import has come to its end, here or in an engine that runs beside; show how far it is."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            engine.queue.drain()
            done.wait(0.2)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        with progress_bar("rows") as moved:
            while (told := engine.imports.show(ident))["status"] in _ACTIVE:
                moved(told["done"], told["total"])
                thread.join(0.2)
    finally:
        done.set()
        thread.join()
    return told


def _words(told: dict[str, Any]) -> str:
    tried = told["checked"] if told["status"] == "ready" and told["checked"] else None
    counts = tried["counts"] if tried else told["counts"]
    mapping = dict(zip(told["header"], told["mapping"], strict=True))
    shown = {name: told[name] for name in ("id", "kind", "status", "error", "can_undo_until") if told.get(name)}
    lines = [pairs({**shown, "rows": told["total"], **counts, "columns": json.dumps(mapping, ensure_ascii=False)})]
    faults = tried["errors"] if tried else ()
    lines += [f"row {fault['row']}, {fault['column'] or 'whole row'}: {fault['message']}" for fault in faults]
    return "\n".join(lines)
