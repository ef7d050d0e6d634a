"""For developers: write the next migration from what the tables in the code have and the migrations do not.

python -m core.migrations.make "add colour to products"
python -m core.migrations.make --plugin loyalty "first tables"
"""

import argparse
import importlib
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import UpgradeOps
from sqlalchemy import MetaData
from sqlalchemy.types import TypeDecorator

from core.db import Database, metadata
from core.errors import UserError, VitrinError
from core.schema_version import CORE, Branch, migration_context, plugin_branch, upgrade

ROOT = Path(__file__).parents[2]

_FILE = '''"""{title}."""

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {before}


def upgrade() -> None:
    """{title}."""
    {body}
'''


def main(arguments: list[str] | None = None) -> int:
    """Write the file and print its path; 1 where there is nothing to write or it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m core.migrations.make", description=__doc__)
    parser.add_argument("title", help='what changes, in a few words: "add colour to products"')
    parser.add_argument(
        "--plugin", help="the built-in plugin whose tables changed; without it the core's and the rules'"
    )
    given = parser.parse_args(arguments)
    try:
        tables, branch = _plugin(given.plugin) if given.plugin else (_core_tables(), CORE)
        path = write(branch, tables, given.title)
    except VitrinError as exc:
        print(f"no migration written: {exc}", file=sys.stderr)  # noqa: T201
        return 1
    print(path)  # noqa: T201
    return 0


def write(branch: Branch, tables: MetaData, title: str) -> Path:
    """Write the next step of a branch; raise UserError where the tables have not changed."""
    with tempfile.TemporaryDirectory() as folder:
        # SQLite, empty, brought to the branch's newest step: what is in it are the migrations, and nothing else.
        db = Database(f"sqlite:///{folder}/empty.db", synchronous="off")
        try:
            upgrade(db, branch)
            with db.read() as conn:
                context = migration_context(conn, branch)
                changes = produce_migrations(context, tables).upgrade_ops
                if changes is None or changes.is_empty():
                    raise UserError(f"the tables of {branch.name} are as the migrations make them")
                body = _code(changes, context)
        finally:
            db.close()
    head = branch.head()
    number = f"{int(head or 0) + 1:04d}"
    slug = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:40] or "change"
    path = branch.folder / f"{number}_{slug}.py"
    text = _FILE.format(
        title=title[:1].upper() + title[1:], number=number, before=f'"{head}"' if head else None, body=body
    )
    path.write_text(text, encoding="utf-8")
    return path


def _code(changes: UpgradeOps, context: Any) -> str:
    code = render_python_code(changes, render_as_batch=True, render_item=_render, migration_context=context)
    return "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ###")).strip()


def _render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write our column types as what they store: a migration must not change with the code."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


def _core_tables() -> MetaData:
    for room in ("core", "rules"):
        for path in sorted((ROOT / room).rglob("tables.py")):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return metadata


def _plugin(name: str) -> tuple[MetaData, Branch]:
    folder = ROOT / "plugins" / name
    if not (folder / "tables.py").exists():
        raise UserError(f"there is no {folder / 'tables.py'}")
    module: ModuleType = importlib.import_module(f"plugins.{name}.tables")
    (folder / "migrations").mkdir(exist_ok=True)
    return module.metadata, plugin_branch(name, folder / "migrations", module.metadata)


if __name__ == "__main__":
    sys.exit(main())
