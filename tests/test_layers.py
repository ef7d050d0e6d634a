"""Who may import what: rooms look down only, and each outside library has its place."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A room may import itself and these.
ROOMS = {
    "core": set(),
    "rules": {"core"},
    "web": {"core", "rules"},
    "commands": {"core", "rules", "web"},
    "plugins": {"core"},  # and of plugins, only its own folder
    "engine": {"core", "rules", "web", "commands", "plugins"},
}
# A library and the files that may import it (`*` also crosses folders).
PLACES = {
    "flask": ["web/*", "plugins/*/pages.py", "plugins/*/pages/*", "commands/serve.py"],
    "waitress": ["web/*", "commands/serve.py"],
    "sqlalchemy": ["core/*", "rules/*", "plugins/*/tables.py", "plugins/*/migrations/*"],
    "alembic": ["core/*", "plugins/*/migrations/*"],
    "psycopg": ["core/db.py", "core/db/*"],
    "sqlite3": ["core/*", "commands/backup.py"],
    "httpx": ["core/http.py", "core/http/*"],
    "httpcore": ["core/http.py", "core/http/*"],
    "apscheduler": ["core/schedule.py", "core/schedule/*"],
    "celery": ["core/queues/celery.py"],
    "selenium": ["plugins/*"],
    "smtplib": ["plugins/*"],
    # Ways to the network around the guarded client of core.
    "requests": [],
    "urllib3": [],
    "urllib.request": [],
    "http.client": [],
}


def find_sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from [path for path in [ROOT / f"{room}.py"] if path.exists()]
        yield from sorted((ROOT / room).rglob("*.py"))


def find_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each imported module; `from a import b` also as `a.b`, which may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def find_inner_imports(tree: ast.AST) -> Iterator[int]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (node.lineno for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom))


def check_import(file: str, module: str) -> str | None:
    """Say why `file` (relative to the project) may not import `module`, or return None."""
    room, top = file.partition("/")[0].removesuffix(".py"), module.partition(".")[0]
    if not top:
        return "imports relatively: write the whole name"
    if top == "plugins" and room == "plugins":
        own = ".".join(Path(file).parts[:2])
        return None if f"{module}.".startswith(f"{own}.") else f"imports {module}: a plugin sees only its own folder"
    if top in ROOMS and top != room and top not in ROOMS[room]:
        return f"imports {module}: {room} may not import {top}"
    for library, places in PLACES.items():
        if f"{module}.".startswith(f"{library}.") and not any(fnmatch(file, place) for place in places):
            return f"imports {module}: {library} belongs in {', '.join(places) or 'no file; use the client of core'}"
    return None


def find_faults(file: str, text: str) -> list[str]:
    tree = ast.parse(text)
    faults = [(line, check_import(file, module)) for line, module in find_imports(tree)]
    faults += [(line, "imports inside a function") for line in find_inner_imports(tree)]
    return sorted({f"{file}:{line} {fault}" for line, fault in faults if fault})


def test_imports_point_down_only():
    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in find_sources()}
    assert "core/errors.py" in sources
    assert [fault for file, text in sources.items() for fault in find_faults(file, text)] == []


def test_each_kind_of_bad_import_is_found():
    bad = {
        "core/events.py": "from rules import rule",  # up
        "rules/match.py": "import plugins.mail",  # plugins are nobody's
        "commands/rules.py": "from plugins import BUILT_IN",  # not even the commands'
        "web/app.py": "from commands.serve import serve",  # up
        "plugins/mail/__init__.py": "from plugins.demo.shop import make",  # sideways
        "plugins/demo/__init__.py": "from . import shop",  # relative
        "rules/run.py": "import flask",  # a library out of its place
        "plugins/mail/send.py": "from urllib import request",  # around the guarded client
        "core/clock.py": "def now():\n    import time",  # inside a function
        "engine.py": "from httpx import get",
    }
    assert [file for file, text in bad.items() if not find_faults(file, text)] == []


def test_allowed_imports_pass():
    good = {
        "engine.py": "import plugins.mail\nfrom commands import run",
        "plugins/mail/__init__.py": "from core.errors import InvalidInput\nfrom plugins.mail.send import send",
        "plugins/mail/pages.py": "from flask import Blueprint",
        "rules/store.py": "import sqlalchemy as sa\nfrom core import ids",
        "core/http/client.py": "import httpx\nfrom urllib.parse import urlsplit",
    }
    assert [fault for file, text in good.items() for fault in find_faults(file, text)] == []
