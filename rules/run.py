"""A run: one firing of a rule, walked step by step.

`walk` knows nothing of databases. It asks a port for facts, effects, the past and the time; the engine's port
writes and calls, the simulation's port records. So a simulated rule takes exactly the steps a real one takes.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from core.durations import Duration, add, add_calendar
from core.errors import RuleError
from core.events import Event
from core.windows import next_open
from rules.conditions import FactUse
from rules.fields import MISSING, getter
from rules.fields import walk as walk_path
from rules.operators import Compared
from rules.plain import PlainData, plain
from rules.rule import Rule
from rules.steps import Await, Branch, Do, Each, Jump, RunRule, Sleep, Split, Stop, templates_in
from rules.templates import Template, resolve_value
from rules.values import read_moment
from rules.verdict import judge
from rules.words import LANGUAGES

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")
#: More steps than this in one go means a loop that does not end.
_MOST_STEPS = 20_000


@dataclass(slots=True, kw_only=True)
class Run:
    """The state of a run while it is in hand."""

    id: str
    rule: Rule
    event: Event
    key: str | None
    watching: bool = False
    cursor: int = 0
    #: {"steps": {name: result}, "loops": {cursor: index}, "item": {...}, "checked": true, ...}
    vars: dict[str, Any] = field(default_factory=dict)
    #: Where the run stands in its own time.
    at: datetime
    attempts: int = 0
    acted: int = 0
    fence: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, kind: str, path: str, **more: Any) -> None:
        """Add a line to the trace."""
        self.lines.append({"kind": kind, "path": path, "at": self.at, **more})

    def step_key(self, path: str) -> str:
        """Return the idempotency key of the effect at this step (and turn of its loops)."""
        loops = self.vars.get("loops")
        turn = "".join(f":{loops[cursor]}" for cursor in sorted(loops)) if loops else ""
        return f"{self.id}:{path}{turn}"

    def save_result(self, name: str, result: Any) -> None:
        self.vars.setdefault("steps", {})[name] = result


# What a walk ends with


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over."""

    outcome: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Sleeping:
    """The run waits for a moment."""

    until: datetime
    status: str = "waiting"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """The run waits for an event, at most until a moment."""

    step: Await
    #: Wanted value for each field of the awaited event, rendered.
    where: tuple[tuple[str, Any], ...]
    until: datetime


@dataclass(frozen=True, slots=True)
class Holding:
    """A person must say yes first."""

    reason: str


@dataclass(frozen=True, slots=True)
class Calling:
    """An outside action must be called, with no transaction open."""

    step: Do
    params: dict[str, Any]
    key: str


Pause = Ended | Sleeping | Listening | Holding | Calling


@dataclass(frozen=True, slots=True)
class Done:
    """An effect happened (or was recorded); the run goes on."""

    result: Any
    #: done, watched, skipped, failed
    state: str = "done"
    reason: str | None = None


class Port(Protocol):
    """What a walk asks of the world."""

    zone: ZoneInfo
    #: Its zone, currency and language, as rules may read them.
    shop: dict[str, str]

    def now(self) -> datetime: ...

    def load_facts(self, run: Run, uses: Sequence[FactUse], picture: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answers by slot; what is not known is left out."""
        ...

    def compare(self, compared: Mapping[str, Compared]) -> dict[str, bool | None]:
        """Return what plugins' operators say, by slot."""
        ...

    def effect(self, run: Run, step: Do, params: dict[str, Any]) -> Done | Pause:
        """Do it, record it, or say why not now."""
        ...

    def look_back(self, run: Run, wait: Listening) -> Event | None:
        """Return the first matching event after the run's moment and not after the wait's end."""
        ...

    def refresh(self, run: Run) -> dict[str, Any]:
        """Return the event's data with the records in it as they are today."""
        ...

    def call_rule(self, run: Run, step: RunRule, params: dict[str, Any]) -> None:
        """Start another rule with this run's event."""
        ...


def picture(run: Run, port: Port, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return everything that conditions and templates of this run may read: plain data only."""
    return {
        **(run.event.data if data is None else data),
        "event": event_fields(run.event),
        "steps": run.vars.get("steps", {}),
        **run.vars.get("item", {}),
        "shop": port.shop,
        "now": port.now().astimezone(port.zone),
        "facts": {},
    }


def event_fields(event: Event) -> dict[str, Any]:
    """Return what rules may read of the event itself."""
    return {"id": event.id, "type": event.type, "time": event.time, "key": event.key, "source": event.source}


# The walk


def walk(run: Run, port: Port) -> Pause:
    """Go on from the cursor until the run ends, waits, or needs the outside; add trace lines on the way."""
    for _ in range(_MOST_STEPS):
        pause = _arrive(run, port)
        if pause is not None:
            return pause
        if run.cursor >= len(run.rule.program):
            return _end(run)
        step = run.rule.program[run.cursor]
        pause = _STEPS[type(step)](run, step, port)
        if pause is not None:
            return pause
    raise RuleError("then", f"took more than {_MOST_STEPS} steps without a wait; a loop does not end")


def _arrive(run: Run, port: Port) -> Pause | None:
    """Check the rule's condition at the start, and again after a wait that asks for it."""
    again = bool(run.vars.get("recheck"))
    if run.vars.get("checked") and not again:
        return None
    data = picture(run, port, port.refresh(run) if again else None)
    verdict = judge(run.rule.condition, run, port, data)
    if again or run.rule.condition.needs_runner:
        run.tell("recheck" if again else "condition", "if", verdict=verdict, told=run.rule.condition.explain(data))
    run.vars["checked"] = True
    run.vars.pop("recheck", None)
    if verdict is True:
        return None
    if run.acted:
        return Ended("acted", "stopped by the condition after a wait")
    return Ended(
        "stopped" if verdict is False else "unknown",
        "the condition" + (" no longer" if again else "") + " does not hold",
    )


def _end(run: Run) -> Ended:
    if run.acted:
        return Ended("acted")
    for outcome in ("failed", "skipped"):
        if outcome in run.vars:
            return Ended(outcome, run.vars[outcome])
    return Ended("stopped", "no step acted")


def _do(run: Run, step: Do, port: Port) -> Pause | None:
    key = run.step_key(step.path)
    params = render(step.params, picture(run, port))
    answer = port.effect(run, step, params)
    if not isinstance(answer, Done):
        return answer
    return take_answer(run, step, answer, params, key)


def take_answer(run: Run, step: Do, answer: Done, params: dict[str, Any], key: str) -> Pause | None:
    """Record what an action answered and step on; a failure may end the run."""
    told = {"action": step.action, "params": params, "key": key, "state": answer.state}
    run.tell("do", step.path, **told, result=answer.result, reason=answer.reason)
    run.save_result(step.name, answer.result if isinstance(answer.result, dict) else {"value": answer.result})
    run.attempts = 0
    run.cursor += 1
    if answer.state in ("done", "watched"):
        run.acted += 1
    elif answer.state == "skipped":
        run.vars["skipped"] = answer.reason
    elif answer.state == "failed":
        then = step.on_failure or run.rule.failure.then
        if then != "continue":
            run.vars["failed_at"] = run.cursor - 1
            run.vars["failed_key"] = key
            return Ended("failed", answer.reason)
        run.vars["failed"] = answer.reason
    return None


def _sleep(run: Run, step: Sleep, port: Port) -> Pause | None:
    until = run.vars.pop("until", None)
    if until is None:
        due = _wake_at(run, step, port)
        if due is None:
            run.tell("wait", step.path, reason="the date to wait for is not known")
            return Ended("acted" if run.acted else "unknown", "the date to wait for is not known")
        run.vars["until"] = due.isoformat()
        run.tell("wait", step.path, until=due)
        return Sleeping(due)
    run.at = max(run.at, datetime.fromisoformat(until))
    run.save_result(step.name, {"outcome": "elapsed"})
    run.cursor += 1
    if step.recheck:
        run.vars["recheck"] = True
    return None


def _wake_at(run: Run, step: Sleep, port: Port) -> datetime | None:
    moment = run.at
    if step.until is not None:
        wanted = step.until if isinstance(step.until, str) else step.until(picture(run, port))
        if isinstance(wanted, str) and _TIME.fullmatch(wanted):
            found = _next_time(moment, wanted, port.zone)
        else:
            found = read_moment(None if wanted is MISSING else wanted, port.zone)
        if found is None:
            return None
        moment = found
    if step.at is not None:
        moment = add_calendar(moment, step.duration or Duration(), port.zone, step.at)
    elif step.duration is not None:
        moment = add(moment, step.duration, port.zone)
    if step.window is not None:
        moment = next_open(moment, step.window, port.zone)
    return max(moment, run.at)


def _next_time(moment: datetime, text: str, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone)
    hour, minute = (int(part) for part in text.split(":"))
    due = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (due if due > local else due + timedelta(days=1)).astimezone(moment.tzinfo)


def _await(run: Run, step: Await, port: Port) -> Pause | None:
    """Listen for an event. Whether it came in time is decided from the stored events, not from who woke first."""
    until = run.vars.get("until")
    if until is None:
        due = add(run.at, step.timeout, port.zone)
        run.vars["until"] = due.isoformat()
        run.tell("listen", step.path, event=step.event_type, until=due)
    else:
        due = datetime.fromisoformat(until)
    wait = listening(run, step, port, due)
    found = port.look_back(run, wait)
    if found is None and port.now() < due:
        return wait
    del run.vars["until"]
    run.cursor += 1
    if found is not None:
        run.at = max(run.at, found.received_at)
        # The next wait looks behind this event: one event ends one wait of a run.
        run.vars["since"] = found.id
        run.save_result(step.name, {"outcome": "happened", "event": {**found.data, "event": _stored(found)}})
        run.tell("happened", step.path, event=step.event_type, id=found.id)
    else:
        run.at = due
        run.save_result(step.name, {"outcome": "timeout"})
        run.tell("timeout", step.path, event=step.event_type)
    if step.recheck:
        run.vars["recheck"] = True
    return None


def _stored(event: Event) -> dict[str, Any]:
    return {**event_fields(event), "time": event.time.isoformat()}


def listening(run: Run, step: Await, port: Port, due: datetime) -> Listening:
    """Return the wait with its wanted values rendered."""
    values = render(dict(step.where), picture(run, port))
    return Listening(step, tuple((path, values[path]) for path, _ in step.where), due)


def _branch(run: Run, step: Branch, port: Port) -> Pause | None:
    data = picture(run, port)
    for number, (condition, target) in enumerate(step.arms):
        verdict = judge(condition, run, port, data)
        run.tell("choose", f"{step.path}[{number}]", verdict=verdict, told=condition.explain(data))
        if verdict is True:
            run.cursor = target
            return None
    run.cursor = step.otherwise
    return None


def _split(run: Run, step: Split, port: Port) -> Pause | None:
    chosen = {"customer": run.event.customer, "key": run.event.key, "event": run.event.id}[step.by]
    subject = chosen or run.event.key or run.event.id
    digest = hashlib.sha256(f"{run.rule.id}:{step.path}:{subject}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") % 10_000
    arm = next((number for number, (limit, _) in enumerate(step.arms) if share < limit), None)
    run.tell("split", step.path, arm=arm, by=step.by)
    run.cursor = step.otherwise if arm is None else step.arms[arm][1]
    return None


def _each(run: Run, step: Each, port: Port) -> Pause | None:
    loops: dict[str, int] = run.vars.setdefault("loops", {})
    slot = f"{run.cursor:04d}"
    items = step.read(picture(run, port))
    items = list(items) if isinstance(items, (list, tuple)) else []
    turn = loops.get(slot, -1) + 1
    if turn == 0 and len(items) > step.most:
        run.tell("each", step.path, count=len(items), reason=f"only the first {step.most} are taken")
    if turn >= min(len(items), step.most):
        loops.pop(slot, None)
        run.vars.get("item", {}).pop(step.name, None)
        run.cursor = step.end
        return None
    loops[slot] = turn
    run.vars.setdefault("item", {})[step.name] = items[turn]
    run.cursor += 1
    return None


def _jump(run: Run, step: Jump, port: Port) -> Pause | None:
    run.cursor = step.target
    return None


def _stop(run: Run, step: Stop, port: Port) -> Pause | None:
    run.tell("stop", step.path, reason=step.reason)
    return Ended("acted", step.reason) if run.acted else Ended("stopped", step.reason)


def _run_rule(run: Run, step: RunRule, port: Port) -> Pause | None:
    params = render(step.params, picture(run, port))
    port.call_rule(run, step, params)
    run.tell("run", step.path, rule=step.rule, params=params)
    run.acted += 1
    run.cursor += 1
    return None


_STEPS: dict[type, Any] = {
    Do: _do,
    Sleep: _sleep,
    Await: _await,
    Branch: _branch,
    Split: _split,
    Each: _each,
    Jump: _jump,
    Stop: _stop,
    RunRule: _run_rule,
}


def render(value: Any, data: Mapping[str, Any]) -> Any:
    """Return compiled values with their templates filled in; a lone {{ field }} keeps its type.

    Texts are written in the customer's language where it is known, else in the shop's.
    """
    if not templates_in(value):
        return value
    customer, shop = data.get("customer"), data.get("shop", {})
    language = customer.get("language") if isinstance(customer, Mapping) else None
    given = {"zone": data["now"].tzinfo, "currency": shop.get("currency")}
    given["language"] = language if language in LANGUAGES else shop.get("language", "en")
    return _fill(value, plain(data), given)


def _fill(value: Any, data: PlainData, given: dict[str, Any]) -> Any:
    if isinstance(value, Template):
        return resolve_value(value, data, **given)
    if isinstance(value, Mapping):
        return {key: _fill(item, data, given) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, data, given) for item in value]
    return value


def event_matches(wait: Listening, event: Event, run: Run, port: Port) -> bool:
    """Tell whether an event is the one waited for: every `where` equal, and its own condition true."""
    data = {**event.data, "event": event_fields(event)}
    for path, wanted in wait.where:
        if not same_value(walk_path(data, tuple(path.split("."))), wanted):
            return False
    condition = wait.step.condition
    if condition is None:
        return True
    whole = {
        **data,
        "shop": port.shop,
        "now": port.now().astimezone(port.zone),
        "facts": {},
        "steps": run.vars.get("steps", {}),
    }
    return judge(condition, run, port, whole) is True


def same_value(found: Any, wanted: Any) -> bool:
    """Tell whether an awaited field holds the wanted value; a list holds it when one item does."""
    if isinstance(found, list):
        return any(same_value(item, wanted) for item in found)
    return found is not MISSING and found is not None and index_text(found) == index_text(wanted)


def index_text(value: Any) -> str:
    """Return the text under which a value is filed and compared: 5, "5" and Decimal("5.0") are one."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, (float, Decimal)) and not isfinite(value):
        return str(value)
    if isinstance(value, (int, float, Decimal)) and value == int(value):
        return str(int(value))
    return str(value)


def values_at(data: Mapping[str, Any], path: str) -> list[str]:
    """Return the indexable texts at a path of an event's picture."""
    found = getter(tuple(path.split(".")))(data)
    items = found if isinstance(found, list) else [found]
    return [index_text(item) for item in items if isinstance(item, (str, int, float, bool, Decimal))]


def match_text(event_type: str, path: str, value: Any) -> str:
    """Return the text under which a wait is filed; long values are filed under their digest."""
    text = index_text(value)
    if len(text) > 200:
        text = hashlib.sha256(text.encode()).hexdigest()
    return f"{event_type} {path}={text}"
