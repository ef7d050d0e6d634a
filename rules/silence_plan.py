"""A silence, read: which event is missed, by whom, for how long, and at what hours it counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from core.durations import Duration, add
from core.errors import InvalidInput, RuleError
from core.windows import Window, next_stretch, parse_window
from rules.fields import split_path
from rules.steps import duration_at, reworded

#: Words of `per`; anything else is a field of the event. Without it, the whole shop is meant.
SHOP, CUSTOMER, KEY = "shop", "customer", "key"

_LEAST = timedelta(minutes=1)
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SilencePlan:
    """An absence without a starting event."""

    event: str
    per: str
    length: Duration
    #: The silence must lie within one opening of these hours.
    window: Window | None
    #: Only events with these values count: (field, value).
    where: tuple[tuple[str, Any], ...]

    @property
    def least(self) -> timedelta:
        """The shortest time that the silence may take, whatever the months."""
        return self.length.fixed + timedelta(days=28 * self.length.months + 365 * self.length.years)

    def due_after(self, since: datetime, zone: ZoneInfo) -> datetime:
        """Return when the silence that begins at a moment has lasted long enough."""
        if self.window is None:
            return add(since, self.length, zone)
        return next_stretch(since, self.length.fixed, self.window, zone) + self.length.fixed


def read_silence_plan(when: Mapping[str, Any]) -> SilencePlan:
    """Read an absence that names no `after`; raise RuleError naming the wrong part."""
    length = duration_at(when["for"], "when.for") or Duration()
    per = str(when.get("per", SHOP))
    if per not in (SHOP, CUSTOMER, KEY):
        split_path(per, "when.per")
    plan = SilencePlan(
        event=str(when["absence"]),
        per=per,
        length=length,
        window=_window(when.get("between")),
        where=tuple(_where(when.get("where") or {})),
    )
    if plan.least < _LEAST:
        raise RuleError("when.for", f"{when['for']!r} is too short; the shortest silence is a minute")
    if plan.window is not None:
        _check_fits(plan, plan.window, str(when["for"]))
    return plan


def _window(between: Any) -> Window | None:
    if between is None:
        return None
    window = reworded(lambda: parse_window(between, path="when.between"))
    return None if window.start == window.end else window


def _where(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    for path, value in given.items():
        split_path(path, "when.where")
        if not isinstance(value, (str, int, float, bool)) or (isinstance(value, str) and "{{" in value):
            raise RuleError(f"when.where.{path}", "must be a plain value: there is no event yet to take one from")
    return list(given.items())


def _check_fits(plan: SilencePlan, window: Window, length: str) -> None:
    if plan.length.months or plan.length.years:
        raise RuleError("when.between", "hours of the day fit no silence of months; leave them out")
    try:
        next_stretch(_ANY_DAY, plan.length.fixed, window, ZoneInfo("UTC"))
    except InvalidInput as exc:
        raise RuleError("when.for", f"{length!r} is longer than the hours in between: it would never act") from exc
