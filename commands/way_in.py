"""The first way in: a link that lets the admin in once, printed where no admin has a password yet."""

from commands.call import ACTOR
from core.people import People, User
from core.writer import Tx
from rules.engine import Engine

#: Who claims a fresh installation; the address can be changed afterwards.
_FIRST = "admin@localhost"


def make_way_in(engine: Engine, address: str) -> str | None:
    """Return a one-time login link for the first admin; None where an admin has a password already."""
    people = People(engine.db, engine.writer, engine.clock)
    with engine.db.read() as conn:
        if people.is_claimed(conn):
            return None

    def work(tx: Tx) -> str:
        return people.make_login_link(tx, _first_admin(people, tx).id, actor=ACTOR)

    return f"{address}/login/{engine.writer.do(work)}"


def _first_admin(people: People, tx: Tx) -> User:
    admins = (user for user in people.list_people(tx.conn) if user.role == "admin" and user.active)
    found = next(admins, None) or people.find_by_email(tx.conn, _FIRST)
    if found is None:
        return people.add(tx, _FIRST, role="admin", actor=ACTOR, name="Admin")
    if found.role != "admin":
        people.set_role(tx, found.id, "admin", actor=ACTOR)
    if not found.active:
        people.set_active(tx, found.id, True, actor=ACTOR)
    return found
