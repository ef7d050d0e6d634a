"""Rules: listed, shown, written as drafts, and archived. A draft may be wrong; what is wrong is told with it."""

import hashlib
import re
from typing import Any

from werkzeug.exceptions import PreconditionFailed
from werkzeug.http import parse_etags

from core.errors import Conflict, InvalidInput, RuleError
from core.writer import Tx
from rules.check import check_text
from rules.rule import read_yaml, rule_schema
from rules.store import archive, find_rule, get_rule, get_version, list_rules, save_draft
from rules.yaml_text import read_rule_text, to_yaml
from web.paging import QUERY, page_of, page_schema
from web.routes import JSON, YAML, Call, Reply, Route
from web.shapes import ANY, RULE, RULE_ROW

#: How a rule may be called; the same pattern as in the rule document.
_NAME = re.compile(rule_schema()["properties"]["rule"]["pattern"])
#: The body is a rule document, right or not yet: the checks of the draft say what is wrong with it.
DOCUMENT = {
    "type": "object",
    "required": ["rule"],
    "properties": {"rule": {"type": "string", "pattern": _NAME.pattern}},
}
_SORTS = ("name", "-name", "state", "-state", "changed_at", "-changed_at")


# Reading


def list_all_rules(call: Call) -> Reply:
    """List rules."""
    with call.engine.db.read() as conn:
        rows = [_row(call, conn, row) for row in list_rules(conn, archived=call.query["archived"])]
    state = call.query.get("state")
    wanted = [row for row in rows if state in (None, row["state"])]
    return Reply(body=page_of(wanted, call.query, kind="rules", sort=call.query["sort"]))


def show_rule(call: Call) -> Reply:
    """Show one rule with its texts and what is wrong with them."""
    with call.engine.db.read() as conn:
        return reply_with(call, conn, get_rule(conn, call.names["name"]))


def export_rule(call: Call) -> Reply:
    """Return the YAML text: the live version's, or the draft's where none is published."""
    with call.engine.db.read() as conn:
        row = get_rule(conn, call.names["name"])
        text = live_text(conn, row) or row.draft or ""
    return Reply(body=text, media=YAML, headers={"ETag": etag_of(row)})


def live_text(conn: Any, row: Any) -> str | None:
    return None if row.version is None else get_version(conn, row.id, row.version).text


def reply_with(call: Call, conn: Any, row: Any, status: int = 200) -> Reply:
    """Return the answer that shows a rule."""
    text = live_text(conn, row)
    current = row.draft if row.draft is not None else text
    problems = problems_of(call, current) if current is not None else []
    body = {**_row(call, conn, row), "text": text, "draft": row.draft, "problems": problems}
    headers = {"ETag": etag_of(row)}
    return Reply(status=status, body=body, headers=headers)


def problems_of(call: Call, text: str, *, draft: bool = True) -> list[dict[str, Any]]:
    """Return what the checks find in a text: errors that forbid publishing, warnings and hints."""
    found = check_text(call.engine, text, draft=draft)
    return [{name: item[name] for name in ("severity", "path", "message")} for item in found]


def etag_of(row: Any) -> str:
    """Return the mark that changes with every change to a rule."""
    seen = f"{row.id}|{row.state}|{row.version}|{row.stamp}|{row.changed_at}|{row.archived_at}|{row.draft}"
    return f'"{hashlib.sha256(seen.encode()).hexdigest()[:24]}"'


def check_unchanged(call: Call, row: Any) -> None:
    """Raise PreconditionFailed where the caller names a state (If-Match) that the rule is no longer in."""
    check_match(call, etag_of(row), "rule")


def check_match(call: Call, etag: str | None, noun: str) -> None:
    """Raise PreconditionFailed where If-Match names another mark than this one; None is of what is not there."""
    wanted = call.headers.get("if-match")
    if wanted is not None and (etag is None or not parse_etags(wanted).contains(etag.strip('"'))):
        raise PreconditionFailed(f"somebody else changed the {noun} meanwhile; read it again, then repeat the change")


def _row(call: Call, conn: Any, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "title": _title(conn, row),
        "state": row.state,
        "state_reason": row.state_reason,
        "version": row.version,
        "has_draft": row.draft is not None,
        "broken": call.engine.book.broken.get(row.name),
        "archived": row.archived_at is not None,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
    }


def _title(conn: Any, row: Any) -> Any:
    if row.version is not None:
        return get_version(conn, row.id, row.version).document.get("title")
    try:
        title = read_yaml(row.draft or "").get("title")
    except RuleError:
        return None
    return title if isinstance(title, str | dict) else None


# Writing


def read_document(call: Call) -> tuple[str, str]:
    """Return name and YAML text of the rule in the body; raise RuleError where it has no usable name."""
    document = read_rule_text(call.text) if call.text is not None else call.body
    name = document.get("rule")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RuleError("rule", "needs a name of small letters, digits and dashes, 80 at most")
    return name, call.text if call.text is not None else to_yaml(document)


def create_rule(call: Call) -> Reply:
    """Make a rule from its first draft."""
    name, text = read_document(call)

    def work(tx: Tx) -> Reply:
        if find_rule(tx.conn, name) is not None:
            raise Conflict(f"there is a rule {name!r} already; write its draft with PUT")
        save_draft(tx, name, text, actor=call.actor, now=call.now)
        reply = reply_with(call, tx.conn, get_rule(tx.conn, name), 201)
        return Reply(status=201, body=reply.body, headers={**reply.headers, "Location": f"/api/v1/rules/{name}"})

    return call.write(work)


def write_draft(call: Call) -> Reply:
    """Replace the draft of a rule."""
    name, text = read_document(call)

    def work(tx: Tx) -> Reply:
        row = get_rule(tx.conn, call.names["name"])
        check_unchanged(call, row)
        if name != row.name:
            raise InvalidInput("rule", f"is {name!r}, but this is the rule {row.name!r}; names do not change")
        save_draft(tx, row.name, text, actor=call.actor, now=call.now)
        return reply_with(call, tx.conn, get_rule(tx.conn, row.name))

    return call.write(work)


def archive_rule(call: Call) -> Reply:
    """Switch a rule off and take it out of the lists; its runs and versions stay."""

    def work(tx: Tx) -> Reply:
        row = get_rule(tx.conn, call.names["name"])
        check_unchanged(call, row)
        archive(tx, row.name, actor=call.actor, now=call.now)
        return Reply(status=204)

    return call.write(work)


ROUTES = (
    Route(
        method="GET",
        path="/rules",
        scope="rules:read",
        run=list_all_rules,
        summary="List rules",
        query={
            **QUERY,
            "state": {"enum": ["off", "watching", "on", "paused"]},
            "archived": {"type": "boolean", "default": False},
            "sort": {"enum": list(_SORTS), "default": "name"},
        },
        answers={200: page_schema(RULE_ROW)},
    ),
    Route(
        method="POST",
        path="/rules",
        scope="rules:write",
        run=create_rule,
        summary="Make a rule from its first draft",
        body=DOCUMENT,
        media=(JSON, YAML),
        answers={201: RULE},
    ),
    Route(
        method="GET",
        path="/rules/{name}",
        scope="rules:read",
        run=show_rule,
        summary="Show one rule with its texts and what is wrong with them",
        answers={200: RULE},
    ),
    Route(
        method="GET",
        path="/rules/{name}/export",
        scope="rules:read",
        run=export_rule,
        summary="The rule as YAML, comments kept",
        answers={200: ANY},
        answer_media=YAML,
    ),
    Route(
        method="PUT",
        path="/rules/{name}/draft",
        scope="rules:write",
        run=write_draft,
        summary="Replace the draft; If-Match guards against overwriting somebody else's change",
        body=DOCUMENT,
        media=(JSON, YAML),
        answers={200: RULE},
        headers=("If-Match",),
    ),
    Route(
        method="DELETE",
        path="/rules/{name}",
        scope="rules:publish",
        run=archive_rule,
        summary="Archive a rule: off, and out of the lists",
        answers={204: None},
        headers=("If-Match",),
    ),
)
