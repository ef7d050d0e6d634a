"""The rule: one document, read from YAML, checked, and compiled for the engine."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, DocumentStartEvent

from core.durations import Duration, find_zone
from core.errors import InvalidInput, RuleError
from core.schemas import Checker, compile_schema
from core.timetable import parse_schedule
from rules.conditions import Always, Condition, Scope, compile_condition
from rules.date_fields import read_date_plan
from rules.fields import split_path
from rules.silence_plan import read_silence_plan
from rules.steps import Await, Branch, Instruction, Stop, compile_await, compile_steps, duration_at, reworded

#: Triggers of a rule's own (and calls by name) arrive as events of these types for that rule alone.
OWN_EVENTS = {
    "schedule": "rule.scheduled",
    "webhook": "rule.webhook",
    "form": "rule.started",
    "date": "rule.date_reached",
    "silence": "rule.silence",
}
CALLED = "rule.called"

_MOST_TEXT = 200_000
#: Values and levels of a YAML text; reading takes longer than in proportion to both.
_MOST_VALUES = 30_000
_MOST_DEPTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What starts the rule."""

    kind: str
    #: The event types that it listens to.
    types: tuple[str, ...]
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `count` in `period`."""

    count: int
    period: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the rule may not exceed; checked at the moment of the effect."""

    per_customer: Cap | None = None
    per_key: Cap | None = None
    per_hour: int | None = None
    per_day: int | None = None
    ask_above: Cap | None = None
    ask: bool = False
    valid_for: Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How runs of one key stand to each other."""

    run: str = "parallel"
    key: str | None = None
    most: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What happens when an action fails for good."""

    retry: str = "standard"
    then: str = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A compiled version of a rule."""

    id: str
    name: str
    version: int
    document: Mapping[str, Any]
    trigger: Trigger
    condition: Condition
    program: tuple[Instruction, ...]
    limits: Limits
    mode: Mode
    failure: Failure

    @property
    def owner(self) -> str | None:
        return self.document.get("owner")

    def hears(self, type: str, data: Mapping[str, Any]) -> bool:
        """Tell whether an event is meant for this rule: of its types, or its own trigger or call by name."""
        if type == CALLED or self.trigger.kind in OWN_EVENTS:
            return data.get("rule") == self.name and (type == CALLED or type in self.trigger.types)
        return type in self.trigger.types

    @property
    def waits(self) -> tuple[Await, ...]:
        return tuple(step for step in self.program if isinstance(step, Await))


# Reading


def read_yaml(text: str) -> dict[str, Any]:
    """Return the document of a YAML text (YAML 1.2: yes and no stay words); raise RuleError with the line."""
    if len(text) > _MOST_TEXT:
        raise RuleError("", f"the text is longer than {_MOST_TEXT} characters; split the rule")
    try:
        _check_events(YAML(typ="safe", pure=True).parse(text))
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        words = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "this is not YAML"
        raise RuleError("", f"{where}{words}") from exc
    except (RecursionError, ValueError) as exc:
        raise RuleError("", f"this YAML cannot be read: {exc}") from exc
    if not isinstance(document, dict):
        raise RuleError("", "a rule is an object with the words rule, when, if, then")
    return _plain(document, "")


def _check_events(events: Iterable[Any]) -> None:
    """Refuse what would cost too much to read, or be read in another way than it looks."""
    depth = 0
    for number, event in enumerate(events):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent):
            raise RuleError("", "references (*name) are not supported; write the value out")
        if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 2)):
            raise RuleError("", "only YAML 1.2 is read; remove the %YAML line")
        if depth > _MOST_DEPTH or number > _MOST_VALUES:
            limit = f"deeper than {_MOST_DEPTH} levels" if depth > _MOST_DEPTH else f"longer than {_MOST_VALUES} values"
            raise RuleError("", f"line {event.start_mark.line + 1}: the text is {limit}; split the rule")


def _plain(value: Any, path: str) -> Any:
    """Return plain JSON values: dates become text, keys must be text."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise RuleError(path, f"the key {key!r} must be text; put it in quotes")
        return {key: _plain(item, f"{path}.{key}" if path else key) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{path}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise RuleError(path, f"values of the kind {type(value).__name__} are not supported")


@cache
def rule_schema() -> dict[str, Any]:
    """Return the JSON Schema of the rule document."""
    return orjson.loads((Path(__file__).parent / "schema.json").read_bytes())


@cache
def _checker() -> Checker:
    return compile_schema(rule_schema(), own=True)


# Compiling


def compile_rule(document: Mapping[str, Any], *, id: str = "", version: int = 0, scope: Scope | None = None) -> Rule:
    """Return the rule ready to run; raise RuleError naming the first wrong place."""
    try:
        _checker().check(dict(document))
    except InvalidInput as exc:
        raise RuleError(exc.path, exc.reason) from exc
    scope = scope or Scope()
    trigger = _trigger(document["when"], str(document["rule"]))
    return Rule(
        id=id,
        name=document["rule"],
        version=version,
        document=document,
        trigger=trigger,
        condition=compile_condition(document["if"], "if", scope) if document.get("if") else Always(),
        program=compile_steps(document["then"], scope, before=_prelude(trigger, scope)),
        limits=_limits(document.get("limits") or {}),
        mode=_mode(document.get("mode") or {}),
        failure=Failure(**(document.get("failure") or {})),
    )


def _trigger(when: Mapping[str, Any], name: str) -> Trigger:
    if "event" in when:
        types = [when["event"]] if isinstance(when["event"], str) else when["event"]
        return Trigger(kind="event", types=tuple(types), document=when)
    if "absence" in when:
        return _absence(when)
    kind = next(kind for kind in OWN_EVENTS if kind in when)
    if kind == "schedule":
        zone = reworded(lambda: find_zone(when.get("zone", "UTC"), "when.zone"))
        reworded(lambda: parse_schedule(when["schedule"], zone, path="when.schedule"))
    if kind == "date":
        read_date_plan(when)
    return Trigger(kind=kind, types=(OWN_EVENTS[kind],), document=when)


def _absence(when: Mapping[str, Any]) -> Trigger:
    """Return the trigger of an event that does not come: after another one, or at all."""
    if "after" not in when:
        read_silence_plan(when)
        return Trigger(kind="silence", types=(OWN_EVENTS["silence"],), document=when)
    for word in ("per", "between"):
        if word in when:
            raise RuleError(f"when.{word}", "belongs to an absence without 'after'; leave one of the two out")
    return Trigger(kind="absence", types=(when["after"],), document=when)


def _prelude(trigger: Trigger, scope: Scope) -> Sequence[Instruction]:
    """An absence is a wait in front of the steps: the rule goes on only when the event did not come."""
    if trigger.kind != "absence":
        return ()
    when = trigger.document
    wait = {"event": when["absence"], "timeout": when["for"], "where": when.get("where")}
    happened = compile_condition({"field": "steps.absence.outcome", "is": "equal", "value": "happened"}, "when")
    return (
        compile_await(scope, wait, "when", "absence"),
        Branch(path="when", arms=((happened, 2),), otherwise=3),
        Stop(path="when", reason=f"{when['absence']} happened in time"),
    )


_CAP = re.compile(r"(?:(?P<once>once)|(?P<count>[0-9]{1,9}))\s+(?:in|an?|per)\s+(?P<period>.+)")


def read_cap(value: Any, path: str) -> Cap | None:
    """Read "once in 365 days", "200 an hour", "3 in 7 days"; a bare number is a day's."""
    if value is None:
        return None
    text = f"{value} a day" if isinstance(value, int) else str(value).strip()
    match = _CAP.fullmatch(text)
    if match is None:
        raise RuleError(path, f"{value!r} is no cap; write it like: once in 365 days, or 200 an hour")
    period = match["period"] if match["period"][0].isdigit() else f"1 {match['period']}"
    duration = duration_at(period, path)
    if duration is None or (duration.fixed.total_seconds() <= 0 and not (duration.months or duration.years)):
        raise RuleError(path, "needs a period longer than nothing")
    return Cap(1 if match["once"] else int(match["count"]), duration)


def _limits(document: Mapping[str, Any]) -> Limits:
    return Limits(
        per_customer=read_cap(document.get("per_customer"), "limits.per_customer"),
        per_key=read_cap(document.get("per_key"), "limits.per_key"),
        per_hour=document.get("per_hour"),
        per_day=document.get("per_day"),
        ask_above=read_cap(document.get("ask_above"), "limits.ask_above"),
        ask=bool(document.get("ask", False)),
        valid_for=duration_at(document.get("valid_for"), "limits.valid_for"),
    )


def _mode(document: Mapping[str, Any]) -> Mode:
    key = document.get("key")
    if key is not None:
        split_path(key, "mode.key")
    return Mode(run=document.get("run", "parallel"), key=key, most=document.get("most", 100))
