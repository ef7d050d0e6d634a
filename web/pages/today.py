"""Today: what needs a person, the shop's figures, connections, and what automations did."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.connections import read_connections
from core.shop.totals import Totals, count_orders, read_totals
from rules.activity import day_starts, read_activity, read_hours
from rules.needs import Need, read_needs
from rules.titles import read_names, read_titles
from web.texts import mark
from web.visits import EDITORS, EVERYBODY, Answer, Page, Visit

PAGE = Page("today")
_SPANS = {"today": 1, "7": 7, "30": 30}
_BEST = 5
#: Hour from which a greeting holds.
_GREETINGS = (
    (18, mark("Good evening, %(name)s")),
    (12, mark("Good afternoon, %(name)s")),
    (5, mark("Good morning, %(name)s")),
    (0, mark("Good night, %(name)s")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """The time that the figures are about, and the one before to compare with."""

    since: datetime
    until: datetime
    before: datetime

    @property
    def before_until(self) -> datetime:
        return self.before + (self.until - self.since)


@PAGE.get("/today", EVERYBODY)
def show(visit: Visit) -> Answer:
    chosen = visit.query.get("span", "today")
    days = _SPANS.get(chosen, 1)
    span = _span(visit, days)
    with visit.engine.db.read() as conn:
        totals = read_totals(conn, span.since, span.until)
        earlier = read_totals(conn, span.before, span.before_until)
        activity = read_activity(conn, visit.now, visit.engine.zone)
        needs = read_needs(visit.engine, conn, visit.now) if visit.may(*EDITORS) else []
        names = read_names(conn, activity)
        wanted = {*names.values(), *(need.about for need in needs)}
        values: dict[str, Any] = {
            "hours": read_hours(conn, visit.now),
            "connections": read_connections(conn, visit.now),
            "placed": count_orders(conn, span.since, *_steps(days)),
            "titles": read_titles(conn, wanted, visit.language),
        }
    best = sorted(activity.items(), key=lambda item: (-sum(item[1].days), item[0]))
    values |= {
        "needs": [(need, _where(need)) for need in needs],
        "worked": [(names[rule], found) for rule, found in best if rule in names and sum(found.days)][:_BEST],
        "done": sum(found.acted_today for found in activity.values()),
        "totals": totals,
        "earlier": earlier,
        "change": _change(totals, earlier),
        "greeting": _greeting(visit),
        "span": chosen if chosen in _SPANS else "today",
        "waiting": sum(found.waiting for found in activity.values()),
    }
    return visit.render("today/today.html", active="today", **values)


def _span(visit: Visit, days: int) -> _Span:
    """Return the days up to now, and the same length of time a week (or as many days) earlier."""
    since = day_starts(visit.now, visit.engine.zone, days)[0]
    return _Span(since=since, until=visit.now, before=since - timedelta(days=max(days, 7)))


def _steps(days: int) -> tuple[int, int]:
    """Return seconds and number of the points of the little chart."""
    return (7200, 12) if days == 1 else (86_400, days)


def _change(now: Totals, before: Totals) -> float | None:
    return now.orders / before.orders - 1 if before.orders else None


def _greeting(visit: Visit) -> str:
    hour = visit.now.astimezone(visit.engine.zone).hour
    words = next(text for begins, text in _GREETINGS if hour >= begins)
    return visit.say(words, name=visit.person.name)


def _where(need: Need) -> str:
    """Return the page where something can be done about it."""
    addresses = {
        "held": f"/approvals?rule={need.about}",
        "failed": f"/runs?outcome=failed&rule={need.about}",
        "paused": f"/automations/{need.about}",
        "plugin": f"/plugins/{need.about}",
        "silent": f"/exchange?plugin={need.about}",
    }
    return addresses[need.kind]
