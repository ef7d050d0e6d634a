"""Pause all, and resume: from the frame of every page."""

from core.policy.pause import pause, resume
from web.visits import EDITORS, Answer, Page, Visit

PAGE = Page("pausing")
#: What goes on during a pause, unless it was ticked.
_MONEY = ("payment", "receipt")


@PAGE.post("/pause", EDITORS)
def pause_all(visit: Visit) -> Answer:
    reason = visit.field("reason") or visit.say("no reason given")
    still = () if visit.field("payments") else _MONEY
    visit.write(lambda tx: pause(tx, reason=reason, by=visit.actor, now=visit.now, still=still))
    return visit.go("/today", visit.say("Paused: nothing new is done until somebody resumes."))


@PAGE.post("/resume", EDITORS)
def resume_all(visit: Visit) -> Answer:
    visit.write(lambda tx: resume(tx, by=visit.actor, now=visit.now))
    return visit.go("/today", visit.say("Resumed: what waited goes on now."))
