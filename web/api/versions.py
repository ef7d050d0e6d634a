"""Versions of rules: listed, shown, compared; and rules from YAML files."""

from dataclasses import replace
from typing import Any

from werkzeug.exceptions import BadRequest

from core.errors import NotFound, RuleError
from core.writer import Tx
from rules.store import find_rule, get_rule, get_version, list_rules, list_versions, save_draft
from rules.yaml_text import join_documents, split_documents, unified_diff
from web.api.rules import live_text, problems_of, read_document
from web.paging import QUERY, cut, page_schema, read_cursor, write_cursor
from web.problems import from_error
from web.routes import YAML, Call, Reply, Route
from web.shapes import ANY, DRY_RUN, FINDING, FLAG, ITEM_PROBLEM, MAYBE, TEXT, VERSION, VERSION_ROW, list_of, shape

_WHICH = {"type": "string", "pattern": "^([1-9][0-9]{0,6}|draft|live)$"}
_IMPORTED = shape(
    name=MAYBE,
    result={"enum": ["created", "changed", "same", "refused"]},
    problems=list_of(FINDING),
    problem=ITEM_PROBLEM,
)


def list_rule_versions(call: Call) -> Reply:
    """List a rule's versions, the newest first."""
    after = read_cursor(call.query.get("cursor"), "versions", int)
    with call.engine.db.read() as conn:
        rows = list_versions(conn, get_rule(conn, call.names["name"]).id)
    rows = [row for row in rows if after is None or row.version < after[0]]
    limit = call.query["limit"]
    page, following = cut(rows[: limit + 1], limit, lambda row: write_cursor("versions", row.version))
    return Reply(body={"data": [_row(row) for row in page], "next": following})


def show_version(call: Call) -> Reply:
    """Show one version with its text and document."""
    with call.engine.db.read() as conn:
        rule = get_rule(conn, call.names["name"])
        row = get_version(conn, rule.id, _number(call.names["version"]))
    return Reply(body={**_row(row), "text": row.text, "document": row.document})


def compare_versions(call: Call) -> Reply:
    """Return the difference between two versions, the draft or the live one as a unified diff."""
    before, after = call.query["from"], call.query["to"]
    with call.engine.db.read() as conn:
        row = get_rule(conn, call.names["name"])
        texts = [_text_of(conn, row, which) for which in (before, after)]
    names = (f"{row.name} {before}", f"{row.name} {after}")
    return Reply(body={"from": before, "to": after, "diff": unified_diff(*texts, names=names)})


def _text_of(conn: Any, row: Any, which: str) -> str:
    if which == "draft":
        found = row.draft
    elif which == "live":
        found = live_text(conn, row)
    else:
        found = get_version(conn, row.id, int(which)).text
    if found is None:
        raise NotFound(f"the rule {row.name!r} has no {which} text")
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise NotFound("versions are numbers")
    return int(text)


def _row(row: Any) -> dict[str, Any]:
    return {"version": row.version, "author": row.author, "note": row.note, "at": row.at}


def export_rules(call: Call) -> Reply:
    """Return all rules that are not archived as one YAML file."""
    with call.engine.db.read() as conn:
        rows = [row for row in list_rules(conn) if row.version is not None or row.draft]
        texts = [live_text(conn, row) or row.draft or "" for row in rows]
    return Reply(body=join_documents(texts), media=YAML)


def import_rules(call: Call) -> Reply:
    """Take rules from a YAML file as drafts; each answers for itself, and nothing goes live."""
    if call.text is None:
        raise BadRequest("Content-Type: send application/yaml")
    texts, dry = split_documents(call.text), call.query["dry_run"]

    def import_one(tx: Tx, text: str) -> dict[str, Any]:
        try:
            name, _ = read_document(replace(call, text=text))
        except RuleError as exc:
            body = from_error(exc).body
            problem = {key: body[key] for key in ("status", "code", "detail", "errors")}
            return {"name": None, "result": "refused", "problems": [], "problem": problem}
        row = find_rule(tx.conn, name)
        known = None if row is None else row.draft if row.draft is not None else live_text(tx.conn, row)
        result = "created" if row is None else "same" if known == text else "changed"
        if result != "same" and not dry:
            save_draft(tx, name, text, actor=call.actor, now=call.now)
        return {"name": name, "result": result, "problems": problems_of(call, text), "problem": None}

    def work(tx: Tx) -> Reply:
        return Reply(body={"data": [import_one(tx, text) for text in texts], "dry_run": dry})

    return call.write(work)


ROUTES = (
    Route(
        method="GET",
        path="/rules/{name}/versions",
        scope="rules:read",
        run=list_rule_versions,
        summary="List a rule's versions, the newest first",
        query=QUERY,
        answers={200: page_schema(VERSION_ROW)},
    ),
    Route(
        method="GET",
        path="/rules/{name}/versions/{version}",
        scope="rules:read",
        run=show_version,
        summary="Show one version",
        answers={200: VERSION},
    ),
    Route(
        method="GET",
        path="/rules/{name}/diff",
        scope="rules:read",
        run=compare_versions,
        summary="Compare two versions, `draft` or `live`, as a unified diff of the YAML",
        query={"from": {**_WHICH, "default": "live"}, "to": {**_WHICH, "default": "draft"}},
        answers={200: {"type": "object", "properties": {"from": TEXT, "to": TEXT, "diff": TEXT}}},
    ),
    Route(
        method="GET",
        path="/exports/rules",
        scope="rules:read",
        run=export_rules,
        summary="All rules as one YAML file",
        answers={200: ANY},
        answer_media=YAML,
    ),
    Route(
        method="POST",
        path="/rules/import",
        scope="rules:write",
        run=import_rules,
        summary="Take rules from a YAML file as drafts",
        query={"dry_run": DRY_RUN},
        body=TEXT,
        media=(YAML,),
        answers={200: shape(data=list_of(_IMPORTED), dry_run=FLAG)},
    ),
)
