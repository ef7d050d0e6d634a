"""JSON Schemas of what the API takes and answers: the OpenAPI document is made from them."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
#: Text or null.
MAYBE: Schema = {"type": ["string", "null"]}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
OBJECT: Schema = {"type": "object"}
ANY: Schema = {}
#: Texts by language.
WORDS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def shape(**fields: Schema) -> dict[str, Any]:
    """Return the schema of an object with these fields."""
    return {"type": "object", "properties": dict(fields)}


def form(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> dict[str, Any]:
    """Return the schema of a body: fields that it does not name are refused."""
    whole = {"type": "object", "additionalProperties": False, "properties": {**required, **(optional or {})}}
    return {**whole, "required": list(required)} if required else whole


def list_of(item: Schema) -> dict[str, Any]:
    return {"type": "array", "items": item}


REASON: Schema = {"type": "string", "maxLength": 500, "description": "Kept in the audit trail."}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": 100}
FILTER: Schema = {"type": "string", "minLength": 1, "maxLength": 500}
DRY_RUN: Schema = {"type": "boolean", "default": False, "description": "Say what would change, and change nothing."}

PROBLEM: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": TEXT,
        "status": WHOLE,
        "detail": TEXT,
        "instance": {"type": "string", "format": "uri"},
        "code": TEXT,
        "request_id": TEXT,
        "errors": list_of(shape(pointer=TEXT, message=TEXT)),
    },
}
#: A problem that stands for one item of many.
ITEM_PROBLEM: Schema = {
    "type": ["object", "null"],
    "properties": {"status": WHOLE, "code": TEXT, "detail": TEXT, "errors": list_of(shape(pointer=TEXT, message=TEXT))},
}

EVENT_ROW = shape(
    id=TEXT,
    source=TEXT,
    external_id=TEXT,
    type=TEXT,
    time=TIME,
    received_at=TIME,
    key=MAYBE,
    customer=MAYBE,
    depth=WHOLE,
    cause=MAYBE,
)
EVENT = {**EVENT_ROW, "properties": {**EVENT_ROW["properties"], "data": OBJECT}}
EVENT_RESULT = shape(
    id=MAYBE,
    external_id=MAYBE,
    status={"enum": ["accepted", "duplicate", "refused"]},
    rules=list_of(TEXT),
    problem=ITEM_PROBLEM,
)

RULE_ROW = shape(
    id=TEXT,
    name=TEXT,
    title={"type": ["string", "object", "null"]},
    state={"enum": ["off", "watching", "on", "paused"]},
    state_reason=MAYBE,
    version={"type": ["integer", "null"]},
    has_draft=FLAG,
    #: Why it does not run although it is on: a plugin went, an operator changed.
    broken=MAYBE,
    archived=FLAG,
    created_at=TIME,
    changed_at=TIME,
)
FINDING = shape(severity={"enum": ["error", "warning", "hint"]}, path=TEXT, message=TEXT)
RULE = {
    **RULE_ROW,
    "properties": {**RULE_ROW["properties"], "text": MAYBE, "draft": MAYBE, "problems": list_of(FINDING)},
}
VERSION_ROW = shape(version=WHOLE, author=TEXT, note=MAYBE, at=TIME)
VERSION = {**VERSION_ROW, "properties": {**VERSION_ROW["properties"], "text": TEXT, "document": OBJECT}}
BULK_RESULT = shape(name=TEXT, before=MAYBE, after=MAYBE, changed=FLAG, problem=ITEM_PROBLEM)

RUN_ROW = shape(
    id=TEXT,
    rule=TEXT,
    version=WHOLE,
    event=TEXT,
    key=MAYBE,
    customer=MAYBE,
    status=TEXT,
    outcome=MAYBE,
    reason=MAYBE,
    watching=FLAG,
    started_at=TIME,
    finished_at=TIME_OR_NULL,
    due_at=TIME_OR_NULL,
    attempts=WHOLE,
)
RUN = {**RUN_ROW, "properties": {**RUN_ROW["properties"], "trace": list_of(OBJECT), "effects": list_of(OBJECT)}}
VERDICT = shape(
    rule=TEXT, version={"type": ["integer", "null"]}, event=TEXT, verdict=TEXT, sentence=TEXT, condition=ANY, run=TEXT
)
EFFECT = shape(
    id=TEXT,
    idempotency_key=TEXT,
    kind=TEXT,
    action=TEXT,
    plugin=TEXT,
    object=MAYBE,
    customer=MAYBE,
    key=MAYBE,
    rule=MAYBE,
    version={"type": ["integer", "null"]},
    run=MAYBE,
    event=MAYBE,
    first=FLAG,
    state=TEXT,
    reason=MAYBE,
    attempts=WHOLE,
    possible_duplicate=FLAG,
    cost=ANY,
    undo=ANY,
    params=ANY,
    result=ANY,
    at=TIME,
)

PLUGIN_ROW = shape(
    name=TEXT,
    title=WORDS,
    summary=WORDS,
    category=MAYBE,
    version=MAYBE,
    builtin=FLAG,
    enabled=FLAG,
    quarantine=MAYBE,
)
PLUGIN = {
    **PLUGIN_ROW,
    "properties": {
        **PLUGIN_ROW["properties"],
        "permissions": OBJECT,
        "settings": {"type": ["object", "null"]},
        "several_accounts": FLAG,
        "accounts": list_of(TEXT),
        "events": list_of(TEXT),
        "actions": list_of(TEXT),
        "facts": list_of(TEXT),
        "webhooks": list_of(TEXT),
    },
}
ACCOUNT = shape(
    plugin=TEXT,
    account=TEXT,
    settings=OBJECT,
    #: Name -> whether one is stored, and its last characters.
    secrets={"type": "object", "additionalProperties": shape(stored=FLAG, hint=TEXT)},
)
TESTED = shape(ok=FLAG, seconds={"type": "number"}, account=MAYBE, next=ANY, problem=ITEM_PROBLEM, told=OBJECT)

PAUSE = shape(paused=FLAG, reason=MAYBE, by=MAYBE, at=TIME_OR_NULL, still=list_of(TEXT))

TOKEN = shape(
    id=TEXT,
    name=TEXT,
    hint=TEXT,
    scopes=list_of(TEXT),
    user=MAYBE,
    created_at=TIME,
    expires_at=TIME_OR_NULL,
    used_at=TIME_OR_NULL,
    revoked_at=TIME_OR_NULL,
)
