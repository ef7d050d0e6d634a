"""The people who work with the shop: added, given roles, switched off, let in by a link."""

from collections.abc import Callable
from typing import Any

from core.errors import Conflict, InvalidInput
from core.masking import mask_text
from core.people import ROLES, User
from core.shapes import MASK
from core.writer import Tx
from web.texts import LANGUAGES
from web.visits import ADMIN, DEVELOPER, Answer, Page, Visit

PAGE = Page("settings")
READERS = (ADMIN, DEVELOPER)
WRITERS = (ADMIN,)


@PAGE.get("/settings", READERS)
def users(visit: Visit) -> Answer:
    return _show(visit)


def _show(visit: Visit, *, errors: Any = None, link: Any = None, status: int = 200) -> Answer:
    with visit.engine.db.read() as conn:
        people = visit.services.people.list_people(conn)
    if visit.may(DEVELOPER):
        shown = [(user, MASK, mask_text(user.email)) for user in people]
    else:
        shown = [(user, user.name, user.email) for user in people]
    return visit.render(
        "settings/users.html",
        status=status,
        active="settings",
        people=sorted(shown, key=lambda row: not row[0].active),
        roles=ROLES,
        errors=errors or {},
        typed={name: visit.field(name) for name in ("email", "name", "role", "language")} if errors else {},
        link=link,
        may_write=visit.may(*WRITERS),
    )


@PAGE.post("/settings/users", WRITERS)
def add(visit: Visit) -> Answer:
    """Add a person and show the link that lets them in, once."""
    people = visit.services.people
    language = visit.field("language")

    def work(tx: Tx) -> tuple[User, str]:
        given = {"name": visit.field("name"), "language": language if language in LANGUAGES else visit.language}
        user = people.add(tx, visit.field("email"), role=visit.field("role"), actor=visit.actor, **given)
        return user, people.make_login_link(tx, user.id, actor=visit.actor)

    try:
        user, secret = visit.write(work)
    except InvalidInput as exc:
        told = {
            "email": visit.say("This is not an e-mail address."),
            "role": visit.say("Choose a role."),
            "name": visit.say("The name needs one line of at most 200 characters."),
        }
        return _show(visit, errors={exc.path: told.get(exc.path, exc.reason)}, status=422)
    except Conflict:
        return _show(visit, errors={"email": visit.say("This person is a user already.")}, status=409)
    return _show(visit, link=_link(visit, user, secret))


def _link(visit: Visit, user: User, secret: str) -> dict[str, str]:
    return {"address": f"{visit.engine.settings.base_url.rstrip('/')}/login/{secret}", "name": user.name}


@PAGE.post("/settings/users/{id}/link", WRITERS)
def make_link(visit: Visit) -> Answer:
    """Show a new login link of a person, once; older ones end."""
    people, user_id = visit.services.people, visit.names["id"]

    def work(tx: Tx) -> tuple[User, str]:
        return people.get(tx.conn, user_id), people.make_login_link(tx, user_id, actor=visit.actor)

    try:
        user, secret = visit.write(work)
    except Conflict:
        return visit.go("/settings", visit.say("Switched off people get no link: switch them on first."), kind="bad")
    return _show(visit, link=_link(visit, user, secret))


@PAGE.post("/settings/users/{id}/role", WRITERS)
def set_role(visit: Visit) -> Answer:
    role = visit.field("role")
    if role not in ROLES:
        return _show(visit, errors={"role": visit.say("Choose a role.")}, status=422)
    people, user_id = visit.services.people, visit.names["id"]
    words = visit.say("Role changed. The person signs in anew.")
    return _changed(visit, lambda tx: people.set_role(tx, user_id, role, actor=visit.actor), words)


@PAGE.post("/settings/users/{id}/active", WRITERS)
def set_active(visit: Visit) -> Answer:
    """Let a person in again, or no longer; their sessions and tokens end at once."""
    on, people, user_id = visit.field("on") == "yes", visit.services.people, visit.names["id"]
    words = visit.say("The person may come in again.") if on else visit.say("Switched off: sessions and tokens ended.")
    return _changed(visit, lambda tx: people.set_active(tx, user_id, on, actor=visit.actor), words)


def _changed(visit: Visit, work: Callable[[Tx], None], words: str) -> Answer:
    try:
        visit.write(work)
    except Conflict:
        last = visit.say("This is the last active admin: make somebody else an admin first.")
        return visit.go("/settings", last, kind="bad")
    return visit.go("/settings", words)
