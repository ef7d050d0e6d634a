"""Imports: a file uploaded, mapped, checked, put right in place, run with progress, and undone."""

import io
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from core.errors import InvalidInput
from core.imports.fields import CUSTOM, KINDS, find_field
from core.imports.files import check_name
from core.imports.fixes import MOST_AT_ONCE
from core.imports.options import CHOICES
from web.paging import read_cursor, write_cursor
from web.texts import mark
from web.visits import EDITORS, Answer, Page, Visit

PAGE = Page("imports")
_PAGE_SIZE = 30
_SAMPLES = 5
#: Faulty rows on a page: each has a few fields.
_ROWS = 20
_BUSY = ("checking", "running", "undoing")
#: How a file is read, as people may choose it; empty leaves it to the engine.
_OPTIONS = ("delimiter", "encoding", "decimal", "date_order")
#: A field of a form loses its blanks, and a tab is one.
_SIGNS = {"tab": "\t"}
_CELL = re.compile(r"cell-(\d{1,9})-(\d{1,4})", re.ASCII)
_KIND_NAMES = {
    "customers": mark("Customers"),
    "products": mark("Products"),
    "prices": mark("Prices"),
    "stock": mark("Stock"),
    "orders": mark("Orders"),
}


@PAGE.get("/imports", EDITORS)
def list_all(visit: Visit) -> Answer:
    """List imports, the newest first, beside the form that begins one."""
    return _list(visit)


def _list(visit: Visit, *, problem: str = "", status: int = 200) -> Answer:
    after = read_cursor(visit.query.get("cursor") or None, "imports", str)
    rows = visit.engine.imports.list_imports(limit=_PAGE_SIZE + 1, before=after[0] if after else None)
    page = rows[:_PAGE_SIZE]
    more = visit.linked(cursor=write_cursor("imports", page[-1]["id"])) if len(rows) > _PAGE_SIZE else ""
    kinds = [(kind, visit.say(name)) for kind, name in _KIND_NAMES.items()]
    values = {"imports": page, "kinds": kinds, "kind": visit.field("kind", "customers"), "problem": problem}
    return visit.render("imports/list.html", status=status, active="imports", more=more, **values)


@PAGE.post("/imports", EDITORS, takes_files=True)
def upload(visit: Visit) -> Answer:
    """Take a file and show where its columns would go; nothing is imported yet."""
    file = visit.files.get("file")
    if file is None:
        return _list(visit, problem=visit.say("Choose a file first."), status=422)
    try:
        ours = visit.engine.imports.upload([file.body], check_name(file.name), visit.field("kind"), actor=visit.actor)
    except InvalidInput as exc:
        return _list(visit, problem=exc.message, status=422)
    return visit.go(f"/imports/{ours}")


@PAGE.get("/imports/{id}", EDITORS)
def show(visit: Visit) -> Answer:
    """Show the step at which an import stands; while it works, its progress comes as a fragment."""
    return _show(visit)


def _show(visit: Visit, *, problem: str = "", mapping: list[str | None] | None = None) -> Answer:
    told = visit.engine.imports.show(visit.names["id"])
    busy = told["status"] in _BUSY
    if visit.is_fragment and visit.method == "GET":
        if not busy:
            return visit.go(f"/imports/{told['id']}")
        return visit.render("imports/progress.html", told=told, **_progress(visit))
    step = _step_of(visit, told, problem)
    values: dict[str, Any] = {"told": told, "busy": busy, "step": step, "problem": problem}
    kind_name = _KIND_NAMES[told["kind"]]
    values["kind_name"] = visit.say(kind_name)
    values |= {"map": _mapping(visit, told, mapping)} if step == "map" else _faulty(visit, told)
    return visit.render(
        "imports/show.html", status=422 if problem else 200, active="imports", **values, **_progress(visit)
    )


def _step_of(visit: Visit, told: dict[str, Any], problem: str) -> str:
    if told["status"] == "checking":
        return "check"
    if told["status"] != "ready":
        return "run"
    wants = problem or told["checked"] is None or visit.query.get("step") == "map"
    return "map" if wants else "check"


def _progress(visit: Visit) -> dict[str, Any]:
    """Return how far it is: rows of the file that were dealt with, and how many a second."""
    row = visit.engine.imports.get(visit.names["id"])
    speed = None
    if row.status == "running" and row.started_at is not None and isinstance(row.started_at, datetime):
        passed_s = (visit.now - row.started_at).total_seconds()
        speed = row.position / passed_s if passed_s >= 1 else None
    return {"position": row.position, "share": row.position / row.total if row.total else 1.0, "speed": speed}


def _mapping(visit: Visit, told: dict[str, Any], chosen: list[str | None] | None) -> dict[str, Any]:
    """Return the columns with their samples and the fields that they may go to."""
    samples = visit.engine.imports.samples(told["id"], count=_SAMPLES)
    fields = [(field.name, field.title[visit.language], field.required) for field in KINDS[told["kind"]]]
    # How a file is read can change its columns: what was chosen for other ones is forgotten.
    mapping = chosen if chosen is not None and len(chosen) == len(told["header"]) else told["mapping"]
    columns = [
        {
            "heading": heading,
            "field": mapping[place],
            "samples": [row[place] for row in samples if row[place] not in (None, "")],
            "own": f"{CUSTOM}{heading}" if find_field(told["kind"], f"{CUSTOM}{heading}") else None,
        }
        for place, heading in enumerate(told["header"])
    ]
    options = {name: told["options"].get(name) or "" for name in _OPTIONS}
    return {"columns": columns, "fields": fields, "options": options, "choices": CHOICES}


def _faulty(visit: Visit, told: dict[str, Any]) -> dict[str, Any]:
    """Return the rows that need a look; each with the cells that are wrong, or all where no column is to blame."""
    after = read_cursor(visit.query.get("cursor") or None, "import-rows", int)
    column = visit.query.get("column") or None
    if told["status"] in _BUSY:
        return {"rows": [], "column": column, "more": ""}
    rows = visit.engine.imports.rows(told["id"], after=after[0] if after else 0, limit=_ROWS + 1, column=column)
    page = rows[:_ROWS]
    more = visit.linked(cursor=write_cursor("import-rows", page[-1]["row"])) if len(rows) > _ROWS else ""
    return {"rows": [_with_fields(row, told) for row in page], "column": column, "more": more}


def _with_fields(row: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    header: list[str] = told["header"]
    wrong = {fault["column"] for fault in row["faults"]}
    places = [place for place, heading in enumerate(header) if heading in wrong or None in wrong]
    shown = [{"place": place, "heading": header[place], "value": row["cells"][place]} for place in places]
    return {**row, "fields": shown[:MOST_AT_ONCE]}


@PAGE.post("/imports/{id}/map", EDITORS)
def choose_mapping(visit: Visit) -> Answer:
    """Keep where the columns go, and try it: the check writes nothing."""
    chosen = [name or None for name in visit.fields("to")]
    try:
        visit.engine.imports.choose(visit.names["id"], mapping=chosen, actor=visit.actor)
    except InvalidInput as exc:
        return _show(visit, problem=exc.reason, mapping=chosen)
    visit.engine.imports.check(visit.names["id"], actor=visit.actor)
    return visit.go(f"/imports/{visit.names['id']}")


@PAGE.post("/imports/{id}/reading", EDITORS)
def choose_reading(visit: Visit) -> Answer:
    """Keep how the file is read; the mapping is guessed anew where that changes its columns."""
    kept = visit.engine.imports.get(visit.names["id"]).options
    chosen = {**kept, **{name: _SIGNS.get(visit.field(name), visit.field(name)) or None for name in _OPTIONS}}
    try:
        visit.engine.imports.choose(visit.names["id"], options=chosen, actor=visit.actor)
    except InvalidInput as exc:
        return _show(visit, problem=exc.reason)
    return visit.go(f"/imports/{visit.names['id']}", visit.say("The file was read anew."))


@PAGE.post("/imports/{id}/check", EDITORS)
def check(visit: Visit) -> Answer:
    return _act(visit, visit.engine.imports.check)


@PAGE.post("/imports/{id}/fix", EDITORS)
def fix(visit: Visit) -> Answer:
    """Put cells right in place; only what was changed in the form is kept."""
    fixes = []
    for name in visit.form:
        found = _CELL.fullmatch(name)
        if found and visit.field(name) != visit.field(f"was-{found[1]}-{found[2]}"):
            fixes.append({"row": int(found[1]), "column": int(found[2]), "value": visit.field(name) or None})
    back = f"/imports/{visit.names['id']}"
    if not fixes:
        return visit.go(back, visit.say("Nothing was changed."))
    rows = visit.engine.imports.fix(visit.names["id"], fixes, actor=visit.actor)
    wrong = sum(1 for row in rows if row["faults"])
    if wrong:
        words = visit.say_many("%(num)s row is still wrong.", "%(num)s rows are still wrong.", wrong)
        return visit.go(back, words, kind="bad")
    return visit.go(back, visit.say_many("%(num)s row is right now.", "%(num)s rows are right now.", len(rows)))


@PAGE.post("/imports/{id}/run", EDITORS)
def run(visit: Visit) -> Answer:
    """Start it; automations hear of the rows only where that was ticked."""
    emit = visit.field("emit") == "yes"
    visit.engine.imports.run(visit.names["id"], actor=visit.actor, emit=emit)
    return visit.go(f"/imports/{visit.names['id']}")


@PAGE.post("/imports/{id}/pause", EDITORS)
def pause(visit: Visit) -> Answer:
    return _act(visit, visit.engine.imports.pause, visit.say("Paused: it stops after the rows at hand."))


@PAGE.post("/imports/{id}/resume", EDITORS)
def resume(visit: Visit) -> Answer:
    return _act(visit, visit.engine.imports.resume)


@PAGE.post("/imports/{id}/cancel", EDITORS)
def cancel(visit: Visit) -> Answer:
    return _act(visit, visit.engine.imports.cancel, visit.say("Cancelled. What was written stays until you undo it."))


@PAGE.post("/imports/{id}/undo", EDITORS)
def undo(visit: Visit) -> Answer:
    return _act(visit, visit.engine.imports.undo)


def _act(visit: Visit, do: Callable[..., Any], words: str = "") -> Answer:
    do(visit.names["id"], actor=visit.actor)
    return visit.go(f"/imports/{visit.names['id']}", words)


@PAGE.get("/imports/{id}/errors.csv", EDITORS)
def download_errors(visit: Visit) -> Answer:
    """Return the rows that need a look with the reasons, to be mended and uploaded again."""
    file = io.StringIO(newline="")
    visit.engine.imports.write_errors(visit.names["id"], file)
    headers = {"Content-Disposition": 'attachment; filename="refused-rows.csv"'}
    # The mark by which spreadsheets know UTF-8.
    return Answer(body=f"\ufeff{file.getvalue()}", media="text/csv; charset=utf-8", headers=headers)
