"""The question before every effect, and its answer: go, later, hold or skip, with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
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
    #: The name under which one process at a time counts it; empty where that is taken care of.
    counted: str = ""
    #: Only effects in these states; without it all that a ledger counts by itself.
    states: tuple[str, ...] = ()
    #: What is told when it is reached, where that is said in other words than a rule's.
    words: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An effect that is about to happen."""

    now: datetime
    #: When its turn came; later than `valid_for` after that it is stale.
    due: datetime
    valid_for: Duration | None
    #: The rule's own; what was approved passes them.
    caps: Sequence[CapRule]
    #: The shop's, over all rules; an approval stands only for their `hold`.
    shop_caps: Sequence[CapRule] = ()
    #: The rule wants every effect approved.
    ask: bool
    #: A person has approved it.
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

    def oldest_of_newest(self, count: int, since: datetime, **where: Any) -> datetime | None: ...


GO = Answer("go")


def judge(question: Question, ledger: Counts) -> Answer:
    """Answer the question: too late, one too many, to be approved, or go."""
    if question.valid_for is not None and add(question.due, question.valid_for, question.zone) < question.now:
        return Answer("skip", f"too late: it was due at {question.due:%Y-%m-%d %H:%M} UTC")
    for cap in asked_caps(question):
        answer = _check_cap(cap, question, ledger)
        if answer is not None:
            return answer
    return Answer("hold", "the rule asks before it acts") if question.ask and not question.approved else GO


def asked_caps(question: Question) -> list[CapRule]:
    """Return the caps that decide this question."""
    if not question.approved:
        return [*question.caps, *question.shop_caps]
    return [cap for cap in question.shop_caps if cap.above != "hold"]


def _check_cap(cap: CapRule, question: Question, ledger: Counts) -> Answer | None:
    if cap.count == 0:
        return Answer(cap.above, cap.words) if cap.words else Answer("hold", f"{cap.name} is 0")
    since = add(question.now, -cap.period, question.zone)
    states = {"states": cap.states} if cap.states else {}
    full = ledger.oldest_of_newest(cap.count, since, **dict(cap.where), **states)
    if full is None:
        return None
    reason = cap.words or f"{cap.name}: {cap.count} in this period already"
    if cap.above != "later":
        return Answer(cap.above, reason)
    return Answer("later", reason, max(add(full, cap.period, question.zone), question.now + timedelta(seconds=1)))
