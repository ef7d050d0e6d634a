"""One's own account: name, language, appearance, password, where one is signed in."""

from core.errors import InvalidInput
from web.addresses import is_local
from web.texts import LANGUAGES
from web.visits import EVERYBODY, OPEN_PAGE, Answer, Page, Visit

PAGE = Page("me")
_YEAR_S = 365 * 24 * 3600
_THEMES = ("", "light", "dark")


@PAGE.get("/me", EVERYBODY)
def account(visit: Visit) -> Answer:
    return _show(visit)


def _show(visit: Visit, error: str = "", status: int = 200) -> Answer:
    with visit.engine.db.read() as conn:
        sessions = visit.services.sessions.list_open(conn, visit.person.id)
    return visit.render("me/account.html", status=status, sessions=sessions, error=error, active="me")


@PAGE.post("/me/profile", EVERYBODY)
def save_profile(visit: Visit) -> Answer:
    people, person = visit.services.people, visit.person
    name, language = visit.field("name"), visit.field("language", person.language)
    visit.write(lambda tx: people.set_profile(tx, person.id, name=name, language=language, actor=visit.actor))
    return visit.go("/me", visit.say("Saved."))


@PAGE.post("/me/password", EVERYBODY, limit="test")
def change_password(visit: Visit) -> Answer:
    """Change the password of who knows the old one; every other browser is signed out."""
    people, person = visit.services.people, visit.person
    new = "".join(visit.form.get("new", ()))
    if person.has_password:
        people.authenticate(person.email, "".join(visit.form.get("old", ())), source=visit.source)
    try:
        visit.write(lambda tx: people.set_password(tx, person.id, new, actor=visit.actor))
    except InvalidInput as exc:
        return _show(visit, exc.reason, 422)
    with visit.engine.db.read() as conn:
        user = people.get(conn, person.id)
    secret = visit.write(lambda tx: visit.services.sessions.open(tx, user, agent=visit.headers.get("user-agent", "")))
    return Answer(status=303, location="/me", cookies=(("session", secret, None),))


@PAGE.post("/me/language", OPEN_PAGE)
def choose_language(visit: Visit) -> Answer:
    language = visit.field("language")
    if language not in LANGUAGES:
        raise InvalidInput("language", f"choose one of {', '.join(LANGUAGES)}")
    if visit.session is not None:
        person = visit.person
        people = visit.services.people
        visit.write(
            lambda tx: people.set_profile(tx, person.id, name=person.name, language=language, actor=visit.actor)
        )
    return Answer(status=303, location=_back(visit), cookies=(("language", language, _YEAR_S),))


@PAGE.post("/me/theme", OPEN_PAGE)
def choose_theme(visit: Visit) -> Answer:
    theme = visit.field("theme")
    if theme not in _THEMES:
        raise InvalidInput("theme", "choose light, dark, or as the system")
    return Answer(status=303, location=_back(visit), cookies=(("theme", theme or None, _YEAR_S),))


def _back(visit: Visit) -> str:
    address = visit.field("back")
    return address if is_local(address) else "/today"
