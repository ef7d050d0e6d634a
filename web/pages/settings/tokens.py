"""API tokens: made with chosen scopes and shown once, revoked at once."""

from typing import Any

from core.errors import InvalidInput
from core.shapes import MASK
from core.tokens import SCOPES
from core.writer import Tx
from web.pages.settings.users import PAGE, READERS, WRITERS
from web.texts import mark
from web.visits import DEVELOPER, Answer, Visit

#: Days that a token may live, as the form offers them.
_DAYS = (30, 90, 365, 1095)

#: What a token may be allowed, in the reader's language; a scope that is missing here is told by its name alone.
WORDS = {
    "events:write": mark("hand in events"),
    "events:read": mark("read events and what automations made of them"),
    "rules:read": mark("read and test automations"),
    "rules:write": mark("change drafts of automations"),
    "rules:publish": mark("publish automations, switch them on, watching or off"),
    "runs:read": mark("read runs, and why something happened"),
    "runs:retry": mark("repeat and cancel runs"),
    "approvals:write": mark("approve or refuse what is held"),
    "imports:read": mark("read imports and what was wrong with their rows"),
    "imports:write": mark("upload, check, run and undo imports"),
    "jobs:read": mark("read long work and how far it is"),
    "jobs:write": mark("repeat and cancel long work"),
    "plugins:read": mark("read plugins and their settings, never their secrets"),
    "plugins:write": mark("switch plugins on and off, change their settings"),
    "pause": mark("pause and resume everything"),
    "pii:read": mark("see personal data that is masked otherwise"),
    "metrics": mark("read figures about the program itself"),
    "tokens:read": mark("list API tokens"),
    "tokens:write": mark("make and revoke API tokens"),
}


@PAGE.get("/settings/tokens", READERS)
def tokens(visit: Visit) -> Answer:
    return _show(visit)


def _show(visit: Visit, *, errors: Any = None, made: Any = None, status: int = 200) -> Answer:
    rows = visit.services.tokens.list_tokens()
    with visit.engine.db.read() as conn:
        names = {user.id: user.name for user in visit.services.people.list_people(conn)}
    if visit.may(DEVELOPER):
        names = dict.fromkeys(names, MASK)
    # Plain names: those of columns that SQL would quote are no plain text.
    told = [{str(name): value for name, value in row._mapping.items()} for row in rows]
    return visit.render(
        "settings/tokens.html",
        status=status,
        active="settings",
        tokens=sorted(told, key=lambda row: row["revoked_at"] is not None),
        names=names,
        scopes={scope: WORDS.get(scope, "") for scope in SCOPES},
        days=_DAYS,
        errors=errors or {},
        typed={"name": visit.field("name"), "scopes": visit.fields("scopes"), "days": visit.field("days", "365")},
        made=made,
        may_write=visit.may(*WRITERS),
    )


@PAGE.post("/settings/tokens", WRITERS)
def make(visit: Visit) -> Answer:
    """Make a token; its text is on the page that answers, and nowhere else, ever."""
    days, name = visit.field("days"), visit.field("name")
    given = {"name": name, "scopes": visit.fields("scopes"), "user": visit.person.id}
    lives = int(days) if days in map(str, _DAYS) else 365

    def work(tx: Tx) -> str:
        return visit.services.tokens.make(tx, **given, days=lives, actor=visit.actor)

    try:
        text = visit.write(work)
    except InvalidInput as exc:
        told = {
            "name": visit.say("Say in 1 to 100 characters what the token is for."),
            "scopes": visit.say("Tick at least one thing that the token may do."),
        }
        return _show(visit, errors={exc.path: told.get(exc.path, exc.reason)}, status=422)
    return _show(visit, made={"text": text, "name": name})


@PAGE.post("/settings/tokens/{id}/revoke", WRITERS)
def revoke(visit: Visit) -> Answer:
    visit.write(lambda tx: visit.services.tokens.revoke(tx, visit.names["id"], actor=visit.actor))
    return visit.go("/settings/tokens", visit.say("Revoked: it opens nothing any more."))
