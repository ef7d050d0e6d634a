"""Steps: the `then` of a rule, flattened into a short program with a cursor.

A running rule is a cursor into this program plus its variables, so it survives a restart as one row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from core.durations import Duration, parse_duration
from core.errors import InvalidInput, RuleError
from core.windows import Window, parse_time, parse_window
from rules.conditions import Condition, Scope, compile_condition
from rules.fields import Getter, getter, split_path
from rules.templates import Template, compile_template
from rules.values import read_moment

T = TypeVar("T")

#: Who keeps the same arm of a split for good.
SUBJECTS = ("customer", "key", "event")
#: Names of the picture that a loop's item cannot take.
_TAKEN = ("event", "now", "facts", "steps", "changes", "shop")

#: A wait that says nothing else is for an event about the same order, customer or SKU.
SAME_KEY = {"event.key": "{{ event.key }}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Do:
    """Run an action."""

    path: str
    name: str
    action: str
    params: Any
    account: str | None = None
    on_failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """Wait for a duration, until a moment, or for a window of the day."""

    path: str
    name: str
    duration: Duration | None = None
    #: A field to read the moment from, or a constant text.
    until: Getter | str | None = None
    at: time | None = None
    window: Window | None = None
    recheck: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Wait for an event, at most for `timeout`."""

    path: str
    name: str
    event_type: str
    #: Field of the awaited event -> wanted value (templates allowed); the first one is indexed.
    where: tuple[tuple[str, Any], ...]
    condition: Condition | None
    timeout: Duration
    recheck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Go to the first arm whose condition holds, else on to `otherwise`."""

    path: str
    arms: tuple[tuple[Condition, int], ...]
    otherwise: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Go to one arm by share; the same subject always takes the same arm."""

    path: str
    by: str
    #: (upper bound in hundredths of a percent, target)
    arms: tuple[tuple[int, int], ...]
    otherwise: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Each:
    """Start or go on with a loop over a list."""

    path: str
    name: str
    read: Getter
    most: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """Go on elsewhere."""

    path: str
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the run here."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRule:
    """Start another rule with this run's event."""

    path: str
    rule: str
    params: Any


Instruction = Do | Sleep | Await | Branch | Split | Each | Jump | Stop | RunRule


@dataclass(slots=True)
class _Program:
    scope: Scope
    code: list[Instruction | None] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    #: Items of the loops that are open here.
    items: list[str] = field(default_factory=list)

    def reserve(self) -> int:
        self.code.append(None)
        return len(self.code) - 1


def compile_steps(document: Any, scope: Scope, *, before: Sequence[Instruction] = ()) -> tuple[Instruction, ...]:
    """Return the program of a `then` list; raise RuleError naming the step."""
    program = _Program(scope, list(before))
    _sequence(program, document, "then", "")
    code = tuple(step for step in program.code if step is not None)
    if len(code) > 1000:
        raise RuleError("then", "has more than 1000 steps; split the rule")
    return code


def _sequence(program: _Program, document: Any, path: str, prefix: str, *, depth: int = 0) -> None:
    if not isinstance(document, Sequence) or isinstance(document, str):
        raise RuleError(path, "must be a list of steps")
    if depth > 10:
        raise RuleError(path, "is nested deeper than 10 levels")
    for number, step in enumerate(document, 1):
        where = f"{path}[{number - 1}]"
        if not isinstance(step, Mapping):
            raise RuleError(where, "must be a step: do, wait, choose, split, each, stop or run")
        word = next((word for word in _COMPILERS if word in step), None)
        if word is None:
            raise RuleError(where, f"is no step; a step starts with {', '.join(_COMPILERS)}")
        name = str(step.get("as") or f"{prefix}{number}")
        if "as" in step and name in program.names:
            raise RuleError(f"{where}.as", f"{name!r} is the name of an earlier step")
        program.names.add(name)
        _COMPILERS[word](program, step, where, name, depth)


def _do(program: _Program, step: Mapping[str, Any], where: str, name: str, depth: int) -> None:
    action = step["do"]
    if not isinstance(action, str) or "." not in action:
        raise RuleError(f"{where}.do", f"{action!r} is no action; write it like tasks.create")
    program.code.append(
        Do(
            path=where,
            name=name,
            action=action,
            params=compile_values(step.get("with") or {}, f"{where}.with"),
            account=step.get("account"),
            on_failure=step.get("on_failure"),
        )
    )


def _wait(program: _Program, step: Mapping[str, Any], where: str, name: str, depth: int) -> None:
    wait = step["wait"]
    if isinstance(wait, str):
        wait = {"for": wait}
    if not isinstance(wait, Mapping):
        raise RuleError(f"{where}.wait", "must be a duration or {for|until|between|event: ...}")
    where = f"{where}.wait"
    if "event" in wait:
        program.code.append(compile_await(program.scope, wait, where, name))
        return
    until = wait.get("until")
    if isinstance(until, str):
        _check_moment(until, f"{where}.until")
    offset = None
    at = _time(wait.get("at"), f"{where}.at")
    if isinstance(until, Mapping):
        offset = until.get("offset")
        at = _time(until.get("at"), f"{where}.until.at") or at
        until = getter(split_path(until.get("field", ""), f"{where}.until.field"))
    program.code.append(
        Sleep(
            path=where,
            name=name,
            duration=duration_at(wait.get("for") or offset, f"{where}.for", signed=offset is not None),
            until=until,
            at=at,
            window=_window(wait.get("between"), f"{where}.between"),
            recheck=bool(wait.get("recheck", True)),
        )
    )


def _check_moment(text: str, path: str) -> None:
    """Refuse a constant that is neither a time of day nor a moment; it would be found out only at run time."""
    if ":" in text and len(text) <= 5:
        _time(text, path)
    elif read_moment(text, ZoneInfo("UTC")) is None:
        raise RuleError(path, f"{text!r} is no time such as 18:30, and no moment such as 2026-03-01T10:00:00Z")


def compile_await(scope: Scope, wait: Mapping[str, Any], where: str, name: str) -> Await:
    given = wait.get("where") or SAME_KEY
    if not isinstance(given, Mapping):
        raise RuleError(f"{where}.where", "must be an object of fields and values")
    timeout = duration_at(wait.get("timeout"), f"{where}.timeout")
    if timeout is None:
        raise RuleError(f"{where}.timeout", "is missing: say how long to wait at most")
    for path in given:
        split_path(path, f"{where}.where")
    return Await(
        path=where,
        name=name,
        event_type=str(wait["event"]),
        where=tuple((str(path), compile_values(value, f"{where}.where.{path}")) for path, value in given.items()),
        condition=compile_condition(wait["if"], f"{where}.if", scope) if "if" in wait else None,
        timeout=timeout,
        recheck=bool(wait.get("recheck", False)),
    )


def _choose(program: _Program, step: Mapping[str, Any], where: str, name: str, depth: int) -> None:
    at = program.reserve()
    arms: list[tuple[Condition, int]] = []
    ends: list[int] = []
    for number, arm in enumerate(_list(step["choose"], f"{where}.choose")):
        here = f"{where}.choose[{number}]"
        condition = compile_condition(arm.get("if"), f"{here}.if", program.scope)
        arms.append((condition, len(program.code)))
        _sequence(program, arm.get("then", []), f"{here}.then", f"{name}_{number + 1}_", depth=depth + 1)
        ends.append(program.reserve())
    otherwise = len(program.code)
    if step.get("else"):
        _sequence(program, step["else"], f"{where}.else", f"{name}_else_", depth=depth + 1)
    program.code[at] = Branch(path=where, arms=tuple(arms), otherwise=otherwise)
    _close(program, ends, where)


def _split(program: _Program, step: Mapping[str, Any], where: str, name: str, depth: int) -> None:
    arms = _list(step["split"], f"{where}.split")
    shares = [round(float(arm.get("percent", 0)) * 100) for arm in arms]
    if sum(shares) > 10_000:
        raise RuleError(f"{where}.split", f"the shares add up to {sum(shares) / 100:g} %, which is more than 100 %")
    at = program.reserve()
    targets: list[tuple[int, int]] = []
    ends: list[int] = []
    for number, arm in enumerate(arms):
        targets.append((sum(shares[: number + 1]), len(program.code)))
        here = f"{where}.split[{number}].then"
        _sequence(program, arm.get("then", []), here, f"{name}_{number + 1}_", depth=depth + 1)
        ends.append(program.reserve())
    otherwise = len(program.code)
    by = str(step.get("by", "customer"))
    if by not in SUBJECTS:
        raise RuleError(f"{where}.by", f"must be one of {', '.join(SUBJECTS)}, not {by!r}")
    program.code[at] = Split(path=where, by=by, arms=tuple(targets), otherwise=otherwise)
    _close(program, ends, where)


def _close(program: _Program, ends: Sequence[int], where: str) -> None:
    for end in ends:
        program.code[end] = Jump(path=where, target=len(program.code))


def _each(program: _Program, step: Mapping[str, Any], where: str, name: str, depth: int) -> None:
    item = str(step.get("as") or "item")
    if item in _TAKEN or item in program.items:
        reason = "is a name of the engine's own" if item in _TAKEN else "is the item of the loop around this one"
        raise RuleError(f"{where}.as", f"{item!r} {reason}; give this loop's items another name")
    program.items.append(item)
    read = getter(split_path(step["each"], f"{where}.each"))
    at = program.reserve()
    _sequence(program, step.get("then", []), f"{where}.then", f"{name}_", depth=depth + 1)
    program.items.remove(item)
    program.code.append(Jump(path=where, target=at))
    end = len(program.code)
    program.code[at] = Each(path=where, name=item, read=read, most=int(step.get("most", 100)), end=end)


def _stop(program: _Program, step: Mapping[str, Any], where: str, name: str, depth: int) -> None:
    reason = step["stop"] if isinstance(step["stop"], str) else "the rule says stop"
    program.code.append(Stop(path=where, reason=reason))


def _run(program: _Program, step: Mapping[str, Any], where: str, name: str, depth: int) -> None:
    program.code.append(
        RunRule(path=where, rule=str(step["run"]), params=compile_values(step.get("with") or {}, f"{where}.with"))
    )


_COMPILERS = {
    "do": _do,
    "wait": _wait,
    "choose": _choose,
    "split": _split,
    "each": _each,
    "stop": _stop,
    "run": _run,
}


def compile_values(value: Any, path: str, *, channel: str = "text") -> Any:
    """Return the value with every text that holds markup turned into a compiled template.

    A parameter called `html` is HTML: what customers wrote is escaped in it.
    """
    if isinstance(value, str):
        return compile_template(value, path=path, channel=channel) if "{{" in value or "{%" in value else value
    if isinstance(value, Mapping):
        return {
            str(key): compile_values(item, f"{path}.{key}", channel="html" if key == "html" else channel)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [compile_values(item, f"{path}[{number}]", channel=channel) for number, item in enumerate(value)]
    return value


def templates_in(value: Any) -> list[Template]:
    """Return every compiled template inside compiled values."""
    if isinstance(value, Template):
        return [value]
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in templates_in(item)]
    if isinstance(value, list):
        return [found for item in value for found in templates_in(item)]
    return []


def duration_at(text: Any, path: str, *, signed: bool = False) -> Duration | None:
    """Read a duration, or "3 days before" / "1 day after" where signed; RuleError names the place."""
    if text is None:
        return None
    words = str(text).strip()
    sign = 1
    if signed:
        if words.endswith(" before") or words.startswith("-"):
            sign = -1
        words = words.removeprefix("-").removeprefix("+").removesuffix(" before").removesuffix(" after").strip()
    duration = reworded(lambda: parse_duration(words, path=path))
    return duration if sign > 0 else -duration


def _time(text: Any, path: str) -> time | None:
    return None if text is None else reworded(lambda: parse_time(str(text), path=path))


def _window(between: Any, path: str) -> Window | None:
    return None if between is None else reworded(lambda: parse_window(between, path=path))


def reworded(read: Callable[[], T]) -> T:
    """Turn a refusal of a single value into one of the rule document, with the same path and words."""
    try:
        return read()
    except InvalidInput as exc:
        raise RuleError(exc.path, exc.reason) from exc


def _list(value: Any, path: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        raise RuleError(path, "must be a list of arms")
    return value
