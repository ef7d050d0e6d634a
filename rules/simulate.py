"""Simulation: the same walk as a real run's, with a port that records. It writes nothing and calls nobody."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from core.capabilities import Action, ActionCall
from core.clock import VirtualClock
from core.effects import Effect
from core.errors import InvalidInput, VitrinError
from core.events import Event, read_event, text_at
from core.ids import new_id
from core.policy.caps import caps_on, list_caps
from core.policy.guard import Question
from core.policy.guard import judge as ask
from core.tables import events
from core.writer import Tx
from rules.conditions import Always, Condition, FactUse, Group, Row
from rules.intake import event_picture, new_run
from rules.operators import Compared
from rules.port import EnginePort, caps_of
from rules.rule import Mode, Rule, compile_rule, read_yaml
from rules.run import (
    Done,
    Ended,
    Holding,
    Listening,
    Pause,
    Run,
    Sleeping,
    take_answer,
    walk,
)
from rules.steps import Do, RunRule
from rules.store import find_rule
from rules.verdict import judge

if TYPE_CHECKING:
    from rules.engine import Engine

_MOST_EVENTS = 1_000


@dataclass(slots=True)
class _Result:
    """What became of one event."""

    event: Event
    outcome: str = "stopped"
    reason: str | None = None
    told: dict[str, Any] | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)

    def show(self) -> dict[str, Any]:
        return {
            "event": self.event.id,
            "type": self.event.type,
            "key": self.event.key,
            "time": self.event.time,
            "outcome": self.outcome,
            "reason": self.reason,
            "condition": self.told,
            "trace": self.lines,
            "effects": self.effects,
        }


class _Recorded:
    """A ledger in memory: caps count what this simulation did."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def add(self, effect: Effect) -> None:
        self._effects.append(effect)

    def oldest_of_newest(self, count: int, since: datetime, **where: Any) -> datetime | None:
        found = sorted(
            (
                effect.at
                for effect in self._effects
                if effect.at > since and all(getattr(effect, name) == value for name, value in where.items())
            ),
            reverse=True,
        )
        return found[count - 1] if len(found) >= count else None


class RecordingPort:
    """Answers a walk from the recorded past, and records what it would do."""

    def __init__(self, engine: "Engine", conn: Connection, clock: VirtualClock) -> None:
        self.zone = engine.zone
        self.shop = engine.intake.shop
        self.ledger = _Recorded()
        self.done: dict[str, list[dict[str, Any]]] = {}
        self._engine = engine
        self._conn = conn
        self._caps = list_caps(conn)
        self._clock = clock
        self._past = EnginePort(Tx(conn), engine.invoker, engine.intake, clock, None)

    def now(self) -> datetime:
        return self._clock.now()

    def load_facts(self, run: Run, uses: Sequence[FactUse], picture: Mapping[str, Any]) -> dict[str, Any]:
        return self._past.load_facts(run, uses, picture)

    def compare(self, compared: Mapping[str, Compared]) -> dict[str, bool | None]:
        return self._past.compare(compared)

    def look_back(self, run: Run, wait: Listening) -> Event | None:
        found = self._past.look_back(run, wait)
        if found is not None and found.received_at > self.now():
            # The recorded past knows at once what a real run would have waited for.
            self._clock.set(found.received_at)
        return found

    def refresh(self, run: Run) -> dict[str, Any]:
        return self._past.refresh(run)

    def effect(self, run: Run, step: Do, params: dict[str, Any]) -> Done | Pause:
        action = self._engine.host.find_action(step.action)
        if action is None:
            return Done(None, "failed", f"no action {step.action}: the plugin that brings it is switched off")
        try:
            if action.checker is not None:
                action.checker.check(params, path="with")
        except InvalidInput as exc:
            return Done(None, "failed", exc.message)
        stop = self._guard(run, action)
        if stop is not None:
            return stop
        key = run.step_key(step.path)
        call = ActionCall(action=action, params=params, key=key, event=run.event, account=step.account)
        preview = self._engine.invoker.preview(action, params, call, self._conn)
        self.ledger.add(
            Effect(
                idempotency_key=key,
                kind=action.effect,
                action=action.name,
                plugin=action.plugin,
                state="watched",
                at=self.now(),
                customer=run.event.customer,
                key=run.key,
                rule=run.rule.id,
                first=run.acted == 0,
            )
        )
        told = {"action": action.name, "kind": action.effect, "params": params, "preview": preview, "at": self.now()}
        self.done.setdefault(run.id, []).append(told)
        return Done({}, "watched")

    def _guard(self, run: Run, action: Action) -> Done | Pause | None:
        limits = run.rule.limits
        question = Question(
            now=self.now(),
            due=run.at,
            valid_for=limits.valid_for,
            caps=() if run.acted else caps_of(run.rule, run.event.customer, run.key),
            shop_caps=caps_on(self._caps, kind=action.effect, customer=run.event.customer, watching=True),
            ask=limits.ask,
            approved=False,
            zone=self.zone,
        )
        answer = ask(question, self.ledger)
        if answer.word == "skip":
            return Done(None, "skipped", answer.reason)
        if answer.word == "later":
            return Sleeping(answer.when or self.now(), reason=answer.reason)
        return Holding(answer.reason or "held") if answer.word == "hold" else None

    def call_rule(self, run: Run, step: RunRule, params: dict[str, Any]) -> None:
        told = {"action": "run", "kind": "rule", "params": {"rule": step.rule, **params}, "at": self.now()}
        self.done.setdefault(run.id, []).append(told)


def simulate(
    engine: "Engine",
    rule: str | Mapping[str, Any],
    *,
    last: int = 50,
    event: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what a rule (YAML text or document) would have done on the last events it listens to, or on one event.

    The answer has `events`, `counts` by outcome, `funnel` (each condition: reached, passed, unknown) and `results`.
    """
    document = read_yaml(rule) if isinstance(rule, str) else rule
    compiled = compile_rule(document, scope=engine.book.scope)
    if not 1 <= last <= _MOST_EVENTS:
        raise InvalidInput("last", f"must be between 1 and {_MOST_EVENTS}")
    with engine.db.read() as conn:
        # The stored rule's own id: a split must send the same subject down the same arm.
        stored = find_rule(conn, compiled.name)
        compiled = replace(compiled, id=stored.id if stored else new_id())
        chosen = [_given(engine, event)] if event is not None else _last(conn, compiled, last)
        results = _play(engine, conn, compiled, chosen)
        funnel = _funnel(engine, conn, compiled, chosen)
    counts = Counter(result.outcome for result in results)
    return {
        "rule": compiled.name,
        "events": len(chosen),
        "counts": dict(counts),
        "funnel": funnel,
        "results": [result.show() for result in results],
    }


def _last(conn: Connection, rule: Rule, count: int) -> list[Event]:
    query = select(events).where(events.c.type.in_(rule.trigger.types))
    # Own triggers of all rules are of the same types: more are read than wanted, and the others left out.
    newest = conn.execute(query.order_by(events.c.received_at.desc(), events.c.id.desc()).limit(count * 20))
    heard = (event for event in map(read_event, newest) if rule.hears(event.type, event.data))
    return list(islice(heard, count))[::-1]


def _given(engine: "Engine", told: Mapping[str, Any]) -> Event:
    data, now = told.get("data"), engine.clock.now()
    if not isinstance(data, dict) or not isinstance(told.get("type"), str):
        raise InvalidInput("event", "needs a type and data")
    kind = engine.host.catalogue.find(told["type"])
    return Event(
        id=new_id(),
        source="simulation",
        external_id="simulation",
        type=told["type"],
        time=now,
        received_at=now,
        key=told.get("key") or (text_at(data, kind.key) if kind and kind.key else None),
        customer=told.get("customer") or (text_at(data, kind.customer) if kind and kind.customer else None),
        data=data,
    )


def _play(engine: "Engine", conn: Connection, rule: Rule, chosen: Sequence[Event]) -> list[_Result]:
    """Walk all runs in the order of their own time, jumping over waits."""
    clock = VirtualClock(engine.clock.now())
    port = RecordingPort(engine, conn, clock)
    results = [_Result(event) for event in chosen]
    turns = _Turns(rule.mode, results)
    queue: list[tuple[datetime, int, Run]] = []
    for number, result in enumerate(results):
        event = result.event
        key = new_run(rule, event, watching=True)["key"]
        run = Run(id=new_id(), rule=rule, event=event, key=key, at=event.received_at)
        heapq.heappush(queue, (event.received_at, number, run))
    while queue:
        moment, number, run = heapq.heappop(queue)
        clock.set(moment)
        if number in turns.over or not _may_start(run, port, results[number], turns, number):
            continue
        again = _step(engine, run, port, results[number])
        if again is not None:
            heapq.heappush(queue, (max(again, moment), number, run))
        elif results[number].outcome not in ("waiting", "held"):
            following = turns.end(run.key, number)
            if following is not None:
                heapq.heappush(queue, (clock.now(), *following))
    return results


class _Turns:
    """How runs of one key stand to each other: the rule's mode, as intake applies it."""

    def __init__(self, mode: Mode, results: Sequence[_Result]) -> None:
        self._mode = mode
        self._results = results
        self._open: dict[str | None, list[int]] = defaultdict(list)
        self._behind: dict[str | None, list[tuple[int, Run]]] = defaultdict(list)
        #: Runs that a newer event has ended.
        self.over: set[int] = set()

    def start(self, run: Run, number: int) -> bool:
        """Tell whether the run goes on now; otherwise it is skipped, or waits for its turn."""
        here, behind = self._open[run.key], self._behind[run.key]
        if here and self._mode.run == "single":
            self._say(number, "skipped", "another run of this rule is under way for the same key")
            return False
        if here and self._mode.run == "restart":
            for other in here:
                self._say(other, "cancelled", "a newer event restarted the rule")
            self.over.update(here)
            here.clear()
        if here and self._mode.run == "queued":
            if len(here) + len(behind) > self._mode.most:
                self._say(number, "skipped", f"more than {self._mode.most} runs are queued for the same key")
            else:
                self._say(number, "waiting", "another run of this rule is under way for the same key")
                behind.append((number, run))
            return False
        here.append(number)
        return True

    def end(self, key: str | None, number: int) -> tuple[int, Run] | None:
        """Take an ended run out, and return the one whose turn it is now."""
        if number not in self._open[key]:
            return None
        self._open[key].remove(number)
        return self._behind[key].pop(0) if self._behind[key] else None

    def _say(self, number: int, outcome: str, reason: str) -> None:
        self._results[number].outcome, self._results[number].reason = outcome, reason


def _may_start(run: Run, port: RecordingPort, result: _Result, turns: _Turns, number: int) -> bool:
    """Match the event and apply the mode, as intake does: before any fact is asked."""
    if run.vars.get("started"):
        return True
    data = event_picture(run.event, port.now().astimezone(port.zone), port.shop)
    verdict = run.rule.condition.test(data)
    if verdict is True or (verdict is None and run.rule.condition.needs_runner):
        run.vars["started"] = turns.start(run, number)
        return run.vars["started"]
    _hear(run, port, result, data)
    return False


def _hear(run: Run, port: RecordingPort, result: _Result, data: dict[str, Any]) -> bool:
    """Check the condition with its facts; tell whether the run goes on."""
    run.vars["checked"] = True
    try:
        verdict = judge(run.rule.condition, run, port, data)
    except VitrinError as exc:
        result.outcome, result.reason = "failed", exc.message
        return False
    result.told = run.rule.condition.explain(data)
    if verdict is not True:
        result.outcome = "stopped" if verdict is False else "unknown"
    return verdict is True


def _step(engine: "Engine", run: Run, port: RecordingPort, result: _Result) -> datetime | None:
    """Walk a run as far as it goes now; return when it goes on, or None where it ends or still waits."""
    if not run.vars.get("checked"):
        data = event_picture(run.event, port.now().astimezone(port.zone), port.shop)
        if not _hear(run, port, result, data):
            return None
    pause: Pause | None = None
    while pause is None:
        try:
            pause = walk(run, port)
        except VitrinError as exc:
            step = run.rule.program[run.cursor] if run.cursor < len(run.rule.program) else None
            pause = Ended("failed", exc.message)
            if isinstance(step, Do) and not run.vars.get("recheck"):
                pause = take_answer(run, step, Done(None, "failed", exc.message), {}, run.step_key(step.path))
    result.lines, result.effects = run.lines, port.done.get(run.id, [])
    if isinstance(pause, (Sleeping, Listening)):
        if pause.until <= engine.clock.now():
            return pause.until
        result.outcome, result.reason = "waiting", f"until {pause.until.isoformat(timespec='minutes')}"
    elif isinstance(pause, Ended):
        result.outcome, result.reason = pause.outcome, pause.reason
    elif isinstance(pause, Holding):
        result.outcome, result.reason = "held", pause.reason
    return None


def _funnel(engine: "Engine", conn: Connection, rule: Rule, chosen: Sequence[Event]) -> list[dict[str, Any]]:
    """Count for each condition of the rule's `all` how many events reached it, passed it, or could not be checked."""
    parts = list(_parts(rule.condition))
    rows = [{"path": path, "told": words, "reached": 0, "passed": 0, "unknown": 0} for path, words, _ in parts]
    port = RecordingPort(engine, conn, VirtualClock(engine.clock.now()))
    for event in chosen:
        run = Run(id="", rule=rule, event=event, key=event.key, at=event.received_at)
        data = event_picture(event, event.received_at.astimezone(engine.zone), port.shop)
        for row, (_, _, condition) in zip(rows, parts, strict=True):
            try:
                verdict = judge(condition, run, port, data)
            except VitrinError:
                verdict = None  # the event's own result says why
            row["reached"] += 1
            row["passed"] += verdict is True
            row["unknown"] += verdict is None
            if verdict is not True:
                break
    return rows


def _parts(condition: Condition) -> Iterator[tuple[str, Any, Condition]]:
    if isinstance(condition, Group) and condition.kind == "all":
        for part in condition.parts:
            yield from _parts(part)
    elif isinstance(condition, Row):
        yield (
            condition.path,
            {"field": condition.subject, "is": condition.operator.name, "expected": condition.wanted},
            condition,
        )
    elif isinstance(condition, Group):
        yield condition.path, {"group": condition.kind}, condition
    elif not isinstance(condition, Always):
        yield "if", {}, condition
