"""Imports: a file uploaded, its columns mapped, checked, put right in place, run, paused, and undone."""

import io
from collections.abc import Callable
from typing import Any

from core.imports.fields import CUSTOM, KINDS, find_field
from core.imports.files import check_name
from core.imports.fixes import MOST_AT_ONCE
from core.imports.options import CHOICES, READING
from core.imports.reading import FORMATS
from core.imports.tables import IMPORT_STATUSES
from web.api.jobs import STARTED, started
from web.paging import QUERY, cut, page_schema, read_cursor, write_cursor
from web.routes import MULTIPART, Call, Reply, Route
from web.shapes import (
    ANY,
    DRY_RUN,
    FILTER,
    FLAG,
    MAYBE,
    NAME,
    OBJECT,
    TEXT,
    TIME,
    TIME_OR_NULL,
    WHOLE,
    WORDS,
    form,
    list_of,
    shape,
)

#: Kinds whose rows are about people: their cells are shown to those only who may see personal data.
_PERSONAL = ("customers", "orders")
_CSV = "text/csv"
_MEDIA = (
    _CSV,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/x-ndjson",
    "application/octet-stream",
    MULTIPART,
)
_USUAL_NAME = "upload"


# From the upload to the mapping


def upload_import(call: Call) -> Reply:
    """Store a file, read it through and guess where its columns go."""
    assert call.upload is not None, "the route takes a file"
    query = dict(call.query)
    kind, name = query.pop("kind", ""), query.pop("name", None) or call.upload.name or _USUAL_NAME
    import_id = call.engine.imports.upload(call.upload.parts(), check_name(name), kind, actor=call.actor, options=query)
    reply = _reply(call, import_id)
    return Reply(status=201, body=reply.body, headers={"Location": f"/api/v1/imports/{import_id}"})


def list_all_imports(call: Call) -> Reply:
    """List imports, the newest first."""
    after = read_cursor(call.query.get("cursor"), "imports", str)
    limit, where = call.query["limit"], {name: call.query.get(name) for name in ("status", "kind")}
    rows = call.engine.imports.list_imports(**where, before=after[0] if after else None, limit=limit + 1)
    page, following = cut(rows, limit, lambda row: write_cursor("imports", row["id"]))
    return Reply(body={"data": [{name: row[name] for name in _ROW["properties"]} for row in page], "next": following})


def show_import(call: Call) -> Reply:
    """Show one import: its mapping, what the dry run found, and how far it is."""
    return _reply(call, call.names["id"])


def _reply(call: Call, import_id: str) -> Reply:
    told = call.engine.imports.show(import_id)
    if told["checked"]:
        # Messages quote the cells they are about.
        errors = [{**fault, "message": call.shown(fault["message"])} for fault in told["checked"]["errors"]]
        told["checked"] = {**told["checked"], "errors": errors}
    return Reply(body={name: told[name] for name in _IMPORT["properties"]})


def show_samples(call: Call) -> Reply:
    """Show the first rows of the file, to be looked at beside the mapping."""
    _need_sight(call)
    found = call.engine.imports.samples(call.names["id"], count=call.query["count"])
    row = call.engine.imports.get(call.names["id"])
    return Reply(body={"header": row.header, "mapping": row.mapping, "data": found})


def _need_sight(call: Call) -> None:
    """Raise NotAllowed where the file is about people, and the token may not see personal data."""
    if call.engine.imports.get(call.names["id"]).kind in _PERSONAL:
        call.token.need("pii:read")


def map_import(call: Call) -> Reply:
    """Choose where the columns go, and how the file is read."""
    call.engine.imports.choose(call.names["id"], **call.fields, actor=call.actor)
    return _reply(call, call.names["id"])


def list_import_fields(call: Call) -> Reply:
    """List what can be imported, and the fields that columns can go to."""
    kinds = [
        {
            "kind": kind,
            "own_fields": find_field(kind, f"{CUSTOM}x") is not None,
            "fields": [{"name": one.name, "title": one.title, "required": one.required} for one in fields],
        }
        for kind, fields in KINDS.items()
    ]
    return Reply(body={"data": kinds})


# What is wrong with its rows


def list_faulty_rows(call: Call) -> Reply:
    """List the rows that need a look, with their cells and everything that is wrong with them."""
    _need_sight(call)
    after = read_cursor(call.query.get("cursor"), "import-rows", int)
    limit, column = call.query["limit"], call.query.get("column")
    rows = call.engine.imports.rows(call.names["id"], after=after[0] if after else 0, limit=limit + 1, column=column)
    page, following = cut(rows, limit, lambda row: write_cursor("import-rows", row["row"]))
    return Reply(body={"data": list(page), "next": following})


def fix_rows(call: Call) -> Reply:
    """Put cells right in place, and say what is still wrong with their rows."""
    _need_sight(call)
    dry = call.query["dry_run"]
    rows = call.engine.imports.fix(call.names["id"], call.body["fixes"], actor=call.actor, dry_run=dry)
    return Reply(body={"data": rows, "dry_run": dry})


def download_faulty_rows(call: Call) -> Reply:
    """Return the rows that need a look as CSV, to be mended and uploaded again."""
    _need_sight(call)
    file = io.StringIO(newline="")
    call.engine.imports.write_errors(call.names["id"], file)
    # The mark by which spreadsheets know UTF-8.
    body = f"\ufeff{file.getvalue()}"
    headers = {"Content-Disposition": 'attachment; filename="refused-rows.csv"'}
    return Reply(body=body, media=f"{_CSV}; charset=utf-8", headers=headers)


# What it does


def check_import(call: Call) -> Reply:
    """Start a dry run."""
    return started(call.engine.imports.check(call.names["id"], actor=call.actor))


def run_import(call: Call) -> Reply:
    """Start the import; with dry_run, start a dry run instead."""
    if call.query["dry_run"]:
        return check_import(call)
    emit = call.fields.get("start_automations")
    return started(call.engine.imports.run(call.names["id"], actor=call.actor, emit=emit))


def resume_import(call: Call) -> Reply:
    """Go on with a paused or failed import where it stood."""
    return started(call.engine.imports.resume(call.names["id"], actor=call.actor))


def undo_import(call: Call) -> Reply:
    """Put back what the import changed."""
    return started(call.engine.imports.undo(call.names["id"], actor=call.actor))


def pause_import(call: Call) -> Reply:
    """Stop after the batch under way."""
    call.engine.imports.pause(call.names["id"], actor=call.actor)
    return _reply(call, call.names["id"])


def cancel_import(call: Call) -> Reply:
    """Give an import up; what it has written stays, and can be undone."""
    call.engine.imports.cancel(call.names["id"], actor=call.actor)
    return _reply(call, call.names["id"])


_COUNTS = shape(new=WHOLE, updated=WHOLE, unchanged=WHOLE, errors=WHOLE, left=WHOLE)
_FAULT = shape(column=MAYBE, message=TEXT, refused=FLAG)
_CHECKED = {
    **shape(
        counts=_COUNTS,
        errors=list_of(shape(row=WHOLE, column=MAYBE, message=TEXT, refused=FLAG, first=WHOLE, rows=WHOLE)),
        by_column={"type": "object", "additionalProperties": WHOLE},
        at=TIME,
        stale=FLAG,
    ),
    "type": ["object", "null"],
}
_UNDONE = {
    **shape(
        restored=WHOLE,
        deleted=WHOLE,
        left=WHOLE,
        kept=list_of(shape(row=WHOLE, noun=TEXT, object=TEXT, reason=TEXT)),
    ),
    "type": ["object", "null"],
}
_ROW = shape(
    id=TEXT,
    kind={"enum": list(KINDS)},
    status={"enum": list(IMPORT_STATUSES)},
    shown_name=TEXT,
    format={"enum": list(FORMATS)},
    total=WHOLE,
    done=WHOLE,
    counts=_COUNTS,
    needs_look=WHOLE,
    error=MAYBE,
    job=MAYBE,
    created_by=TEXT,
    created_at=TIME,
    started_at=TIME_OR_NULL,
    finished_at=TIME_OR_NULL,
    can_undo_until=TIME_OR_NULL,
)
_MAPPING = list_of(MAYBE)
_IMPORT = {
    **_ROW,
    "properties": {
        **_ROW["properties"],
        "header": list_of(TEXT),
        "mapping": _MAPPING,
        "options": OBJECT,
        "checked": _CHECKED,
        "undone": _UNDONE,
    },
}
_FAULTY_ROW = shape(row=WHOLE, cells=list_of(ANY), fixed=list_of(WHOLE), faults=list_of(_FAULT))
_KIND = shape(
    kind=TEXT,
    #: Whether columns may also go to fields of the shop's own: `fields.NAME`.
    own_fields=FLAG,
    fields=list_of(shape(name=TEXT, title=WORDS, required=FLAG)),
)
_OPTIONS = {
    name: {"enum": list(CHOICES[name])} if name in CHOICES else NAME
    for name in (*READING, "decimal", "date_order", "zone", "currency", "source")
}
_FIXES = {
    "type": "array",
    "minItems": 1,
    "maxItems": MOST_AT_ONCE,
    "items": form(
        {
            "row": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
            "column": {"type": ["string", "integer"], "description": "Its heading, or its place from 0."},
            "value": {"type": ["string", "null"], "description": "As one would write it into the cell."},
        }
    ),
}


def _one(word: str, run: Callable[[Call], Reply], summary: str, **more: Any) -> Route:
    usual: dict[str, Any] = {"method": "POST", "scope": "imports:write", "answers": {200: _IMPORT}}
    address = f"/imports/{{id}}/{word}" if word else "/imports/{id}"
    return Route(path=address, run=run, summary=summary, **{**usual, **more})


_READ: dict[str, Any] = {"method": "GET", "scope": "imports:read"}

ROUTES = (
    Route(
        method="POST",
        path="/imports",
        scope="imports:write",
        run=upload_import,
        summary="Upload CSV, XLSX or JSON lines, as the body or as the part `file` of a form; nothing is imported yet",
        query={
            "kind": {"enum": list(KINDS), "description": "What the rows are; needed."},
            "name": {**NAME, "description": "The file's name, only to be shown."},
            **_OPTIONS,
        },
        upload=True,
        media=_MEDIA,
        answers={201: _IMPORT},
        limit="test",
    ),
    Route(
        **_READ,
        path="/imports",
        run=list_all_imports,
        summary="List imports, the newest first",
        query={**QUERY, "status": {"enum": list(IMPORT_STATUSES)}, "kind": {"enum": list(KINDS)}},
        answers={200: page_schema(_ROW)},
    ),
    _one("", show_import, "Show one import: its mapping, what the dry run found, and how far it is", **_READ),
    _one(
        "samples",
        show_samples,
        "The first rows of the file, to be looked at beside the mapping",
        **_READ,
        query={"count": {"type": "integer", "minimum": 1, "maximum": 50, "default": 5}},
        answers={200: shape(header=list_of(TEXT), mapping=_MAPPING, data=list_of(list_of(ANY)))},
    ),
    _one(
        "mapping",
        map_import,
        "Choose the field of each column (null leaves it out), and how the file is read",
        method="PUT",
        body=form({}, {"mapping": {**_MAPPING, "maxItems": 200}, "options": form({}, _OPTIONS)}),
    ),
    _one(
        "check",
        check_import,
        "Try it: what would be new, changed and refused; nothing is written",
        answers={202: STARTED},
    ),
    _one(
        "rows",
        list_faulty_rows,
        "The rows that need a look, with their cells and all that is wrong with them",
        **_READ,
        query={**QUERY, "column": {**FILTER, "description": "Only what is wrong in the column of this heading."}},
        answers={200: page_schema(_FAULTY_ROW)},
    ),
    _one(
        "fixes",
        fix_rows,
        "Put cells right in place before the run; answers what is still wrong with their rows",
        query={"dry_run": DRY_RUN},
        body=form({"fixes": _FIXES}),
        answers={200: shape(data=list_of(_FAULTY_ROW), dry_run=FLAG)},
    ),
    _one(
        "errors.csv",
        download_faulty_rows,
        "The rows that need a look as CSV with the reasons, to be mended and uploaded again",
        **_READ,
        answers={200: ANY},
        answer_media=_CSV,
    ),
    _one(
        "run",
        run_import,
        "Import; automations do not start for the rows unless `start_automations` is true",
        query={"dry_run": DRY_RUN},
        body=form({}, {"start_automations": FLAG}),
        body_required=False,
        answers={202: STARTED},
    ),
    _one("pause", pause_import, "Stop after the batch under way"),
    _one("resume", resume_import, "Go on with a paused or failed import where it stood", answers={202: STARTED}),
    _one("cancel", cancel_import, "Give it up; what it has written stays, and can be undone"),
    _one(
        "undo",
        undo_import,
        "Put back what it changed, for 7 days; what was changed since is left",
        answers={202: STARTED},
    ),
    Route(
        method="GET",
        path="/schemas/imports",
        scope="imports:read",
        run=list_import_fields,
        summary="What can be imported, and the fields that columns can go to",
        answers={200: shape(data=list_of(_KIND))},
    ),
)
