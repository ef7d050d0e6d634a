"""The shop's facts, as they were set at the start; and the audit trail."""

from core.audit import read
from core.settings import SETTINGS
from core.shapes import MASK
from web.pages.settings.users import PAGE, READERS
from web.visits import DEVELOPER, Answer, Visit

_PAGE_SIZE = 50


@PAGE.get("/settings/shop", READERS)
def shop(visit: Visit) -> Answer:
    settings = visit.engine.settings
    rows = [(setting.name, settings.shown(setting.name), settings.origin(setting.name)) for setting in SETTINGS]
    return visit.render("settings/shop.html", active="settings", settings=settings, rows=rows)


@PAGE.get("/settings/audit", READERS)
def audit(visit: Visit) -> Answer:
    """List who changed what, the newest first."""
    below = visit.query.get("before", "")
    number = int(below) if below.isascii() and below.isdigit() and len(below) < 10 else None
    about = visit.query.get("about") or None
    with visit.engine.db.read() as conn:
        rows = read(conn, about=about, below=number, limit=_PAGE_SIZE + 1)
        names = {f"user:{user.id}": user.name for user in visit.services.people.list_people(conn)}
    if visit.may(DEVELOPER):
        names = dict.fromkeys(names, MASK)
    names |= {f"token:{row.id}": row.name for row in visit.services.tokens.list_tokens()}
    page = rows[:_PAGE_SIZE]
    return visit.render(
        "settings/audit.html",
        active="settings",
        rows=page,
        names=names,
        about=about,
        more=visit.linked(before=str(page[-1].number)) if len(rows) > _PAGE_SIZE else "",
    )
