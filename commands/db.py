"""`db`: the database's life: made, upgraded, checked, backed up, restored."""

from pathlib import Path
from typing import Any

import click

from commands.call import FAILED, Call, pass_call
from commands.noun import Noun
from commands.opening import open_engine, open_records
from commands.output import counted, pairs, progress_bar
from core import audit
from core.backup import backup, restore
from core.db import sqlite_path
from core.schema_version import CORE, check, current, upgrade
from core.sqlite_copy import check_database
from rules.engine import Engine


@click.group(cls=Noun, examples=("db init", "db backup ./shop.vitrin", "db restore ./shop.vitrin --home ./copy"))
def db() -> None:
    """Make, upgrade, check, back up and restore the database."""


@db.command("init", examples=("db init", "db init --home /var/lib/shop"))
@pass_call
def init(call: Call) -> None:
    """Make the database and the key file; nothing happens where they are."""
    with open_engine(call, make=True) as engine:
        _show(call, engine, "ready")


@db.command("upgrade", tries=True, examples=("db upgrade", "db upgrade --dry-run"))
@pass_call
def upgrade_(call: Call) -> int:
    """Bring the tables up to this program; SQLite is copied first. The engine must not run meanwhile."""
    engine = Engine(call.settings, call.builtins)
    try:
        with engine.db.read() as conn:
            due = not check(conn)
        if due and not call.dry_run:
            upgrade(engine.db, CORE)
        _show(call, engine, "would be upgraded" if due and call.dry_run else "upgraded" if due else "up to date")
        return call.changed(int(due))
    finally:
        engine.close()


def _show(call: Call, engine: Engine, state: str) -> None:
    with engine.db.read() as conn:
        step = current(conn)
    data = {"state": state, "step": step, "database": call.settings.shown("database"), "home": call.settings.home}
    data["home"] = str(data["home"])
    call.show(data, lambda: pairs(data))


@db.command("check", examples=("db check", "db check --json"))
@pass_call
def check_(call: Call) -> int:
    """Look for damage: in the file, in the schema, in the audit trail."""
    with open_records(call) as engine:
        if engine.db.is_sqlite:
            check_database(sqlite_path(engine.db.url))
        with engine.db.read() as conn:
            broken = audit.verify(conn)
            number, digest = audit.head(conn)
            step = current(conn)
    data = {
        "sound": broken is None,
        "step": step,
        "audit_rows": number,
        "audit_hash": digest,
        "audit_broken_at": broken,
    }
    call.show(data, lambda: pairs(data))
    return FAILED if broken is not None else 0


@db.command("backup", examples=("db backup ./backups", "db backup shop.vitrin --with-key"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--with-key", is_flag=True, help="Put the key of the stored secrets into the file too.")
@pass_call
def backup_(call: Call, file: Path, with_key: bool) -> None:
    """Write everything into one file, while the engine goes on. FILE may be a folder."""
    with open_records(call) as engine, progress_bar("backup") as moved:
        manifest = backup(engine.db, call.settings, file, with_key=with_key, progress=moved)
    _tell(call, file, manifest)
    if not with_key:
        call.say(f"the stored secrets need a copy of {call.settings.key_file}, which is not in this file")


@db.command("restore", asks=True, examples=("db restore shop.vitrin --home ./copy", "db restore shop.vitrin --force"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the database that is there; SQLite's old file is kept beside it.")
@pass_call
def restore_(call: Call, file: Path, force: bool) -> None:
    """Put a backup in the place of the database. The copy starts muted; the engine must not run."""
    if force:
        call.confirm(f"Replace the database {call.settings.shown('database')} by {file}?")
    with progress_bar("restore") as moved:
        manifest = restore(file, call.settings, force=force, progress=moved)
    _tell(call, file, manifest)
    call.say("nothing goes out until you say: ./vitrin resume")


def _tell(call: Call, file: Path, manifest: Any) -> None:
    rows = sum(manifest.counts.values())
    data = {
        "file": str(file),
        "made_at": manifest.made_at,
        "version": manifest.version,
        "schema": dict(manifest.schema),
        "counts": dict(manifest.counts),
    }
    call.show(data, lambda: f"{file}: {counted(rows, 'row')} of {manifest.made_at:%Y-%m-%d %H:%M} UTC")
