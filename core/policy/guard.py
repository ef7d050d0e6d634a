"""The question before every effect, and its answer: go, later, hold or skip, with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from core.durations import Duration, add


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRule:
    """At most `count` effects in `period`, counted over rows with these columns."""

    name: str
    count: int
    period: Duration
    where: tuple[tuple[str, str | bool | None], ...]
    #: What happens above it: skip, later or hold.
    above: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An effect that is about to happen."""

    now: datetime
    #: When its turn came; later than `valid_for` after that it is stale.
    due: datetime
    valid_for: Duration | None
    caps: Sequence[CapRule]
    #: The rule wants every effect approved.
    ask: bool
    #: A person has approved it, or this is a repeat of one that was let through.
    approved: bool
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Answer:
    """go, later (at `when`), hold or skip."""

    word: str
    reason: str | None = None
    when: datetime | None = None


class Counts(Protocol):
    """What the guard asks of a ledger."""

    def oldest_of_newest(self, count: int, since: datetime, **where: str | bool | None) -> datetime | None: ...


GO = Answer("go")


def judge(question: Question, ledger: Counts) -> Answer:
    """Answer the question; what was approved is only checked for lateness."""
    if question.valid_for is not None and add(question.due, question.valid_for, question.zone) < question.now:
        return Answer("skip", f"too late: it was due at {question.due:%Y-%m-%d %H:%M} UTC")
    if question.approved:
        return GO
    for cap in question.caps:
        answer = _check_cap(cap, question, ledger)
        if answer is not None:
            return answer
    return Answer("hold", "the rule asks before it acts") if question.ask else GO


def _check_cap(cap: CapRule, question: Question, ledger: Counts) -> Answer | None:
    since = add(question.now, -cap.period, question.zone)
    where = dict(cap.where)
    if cap.count == 0:
        return Answer("hold", f"{cap.name} is 0")
    full = ledger.oldest_of_newest(cap.count, since, **where)
    if full is None:
        return None
    reason = f"{cap.name}: {cap.count} in this period already"
    if cap.above != "later":
        return Answer(cap.above, reason)
    return Answer("later", reason, max(add(full, cap.period, question.zone), question.now + timedelta(seconds=1)))
