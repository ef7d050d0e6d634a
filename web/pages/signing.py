"""Signing in and out: by password, or once by a login link."""

from core.errors import Busy, InvalidInput, NotAllowed
from core.people import User
from core.writer import Tx
from web.addresses import is_local
from web.visits import EVERYBODY, OPEN_PAGE, Answer, Page, Visit

PAGE = Page("signing")
_START = "/today"


@PAGE.get("/", OPEN_PAGE)
def front(visit: Visit) -> Answer:
    return visit.go(_START)


@PAGE.get("/sign-in", OPEN_PAGE)
def sign_in(visit: Visit) -> Answer:
    """Show the form; before the first admin it says how to make one."""
    if visit.session is not None:
        return visit.go(_next(visit.query.get("next", "")))
    with visit.engine.db.read() as conn:
        claimed = visit.services.people.is_claimed(conn)
    return visit.render(
        "signing/sign_in.html", next=_next(visit.query.get("next", "")), claimed=claimed, error="", email=""
    )


@PAGE.post("/sign-in", OPEN_PAGE, limit="test")
def enter(visit: Visit) -> Answer:
    """Let in who knows the password; every refusal reads alike."""
    email = visit.field("email")
    try:
        user = visit.services.people.authenticate(email, "".join(visit.form.get("password", ())), source=visit.source)
    except (NotAllowed, Busy) as exc:
        words = visit.say("The e-mail address or the password is wrong.")
        if isinstance(exc, Busy):
            seconds = max(1, round(exc.after_s or 1))
            words = visit.say_many(
                "Too many tries: wait %(num)s second.", "Too many tries: wait %(num)s seconds.", seconds
            )
        values = {"next": _next(visit.field("next")), "claimed": True, "error": words, "email": email}
        return visit.render("signing/sign_in.html", status=403, **values)
    return _let_in(visit, user, _next(visit.field("next")))


@PAGE.get("/login/{secret}", OPEN_PAGE)
def show_link(visit: Visit) -> Answer:
    """Show a button: a link that is only looked at (by a mail program, say) must not be used up."""
    return visit.render("signing/link.html", secret=visit.names["secret"])


@PAGE.post("/login/{secret}", OPEN_PAGE, limit="test")
def use_link(visit: Visit) -> Answer:
    secret = visit.names["secret"]
    user: User = visit.write(lambda tx: visit.services.people.use_login_link(tx, secret))
    return _let_in(visit, user, "/welcome" if not user.has_password else _START)


@PAGE.get("/welcome", EVERYBODY)
def welcome(visit: Visit) -> Answer:
    """Ask a person who came by a link for language, name and password."""
    return visit.render("signing/welcome.html", name=visit.person.name, error="")


@PAGE.post("/welcome", EVERYBODY)
def settle(visit: Visit) -> Answer:
    """Store what was chosen; a new password ends every session, so a new one begins."""
    people, person = visit.services.people, visit.person
    name, language = visit.field("name") or person.name, visit.field("language") or person.language
    password = "".join(visit.form.get("password", ()))
    try:
        visit.write(lambda tx: people.set_profile(tx, person.id, name=name, language=language, actor=visit.actor))
        if password:
            visit.write(lambda tx: people.set_password(tx, person.id, password, actor=visit.actor))
    except InvalidInput as exc:
        return visit.render("signing/welcome.html", status=422, name=name, error=exc.reason)
    with visit.engine.db.read() as conn:
        user = people.get(conn, person.id)
    return _let_in(visit, user, _START)


@PAGE.post("/sign-out", EVERYBODY)
def sign_out(visit: Visit) -> Answer:
    session = visit.session
    if session is not None:
        visit.write(lambda tx: visit.services.sessions.close(tx, session.hash))
    return Answer(status=303, location="/sign-in", cookies=(("session", None, None),))


def _let_in(visit: Visit, user: User, address: str) -> Answer:
    """Open a new session, whatever cookie there was before, and go on."""
    old = visit.session
    agent = visit.headers.get("user-agent", "")

    def work(tx: Tx) -> str:
        if old is not None:
            visit.services.sessions.close(tx, old.hash)
        return visit.services.sessions.open(tx, user, agent=agent)

    secret = visit.write(work)
    return Answer(status=303, location=address, cookies=(("session", secret, None),))


def _next(address: str) -> str:
    return address if is_local(address) and not address.startswith(("/sign-in", "/sign-out", "/login")) else _START
