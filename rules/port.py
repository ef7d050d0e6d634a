"""The engine's port: what a walk asks for, answered from the database inside one transaction."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import bindparam, delete, select

from core.capabilities import Action, ActionCall, Fact, FactKey
from core.clock import Clock
from core.context import Emit
from core.crash import crash_point
from core.db import Moment
from core.durations import Duration
from core.effects import Effect, Ledger
from core.errors import InvalidInput, PluginError, RemoteError, RuleError, StorageError, UserError, VitrinError
from core.events import Event, read_event, text_at
from core.policy.caps import Cap, caps_on, list_caps
from core.policy.guard import Answer, CapRule, Question, asked_caps, judge
from core.policy.pause import Pause as PauseAll
from core.tables import events
from core.writer import Tx
from rules.conditions import FactUse, find_compared
from rules.intake import Intake
from rules.operators import Compared
from rules.rule import CALLED, Rule
from rules.run import (
    Calling,
    Done,
    Holding,
    Listening,
    Pause,
    Run,
    Sleeping,
    event_matches,
    match_text,
    render,
)
from rules.steps import Do, RunRule
from rules.tables import waits
from rules.verdict import ask_facts

log = structlog.get_logger("vitrin.rules")

#: How soon a run that met a pause with exceptions looks again.
_PAUSED = timedelta(minutes=1)
#: How soon a run looks again when another process is counting what it would count.
_COUNTED_ELSEWHERE = timedelta(milliseconds=200)

HOUR, DAY = Duration(seconds=3600), Duration(days=1)


class Capabilities(Protocol):
    """What the host answers the engine."""

    def find_action(self, name: str) -> Action | None: ...

    def find_fact(self, name: str) -> Fact | None: ...

    def load_fact(self, fact: Fact, tx: Tx, keys: list[FactKey], now: datetime) -> Mapping[FactKey, Any]:
        """Ask a plugin's fact; an answer of the wrong kind raises PluginError."""
        ...

    def compare(self, plugin: str, operator: str, pairs: Sequence[tuple[Any, Any]]) -> list[bool | None]:
        """Ask a plugin's operator about (value, wanted) pairs; what the plugin gets wrong raises PluginError."""
        ...

    def run_local(self, call: ActionCall, tx: Tx, emit: Emit) -> dict[str, Any]:
        """Run a local action for this transaction; what the plugin gets wrong raises PluginError."""
        ...

    def create_task(self, tx: Tx, emit: Emit, task: dict[str, Any]) -> None:
        """Create a task for a person, in the engine's own name."""
        ...

    def refresh(self, tx: Tx, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the event's data with the shop's records in it as they are now."""
        ...


class EnginePort:
    """Answers walks of one batch; everything is written inside the batch's transaction."""

    def __init__(self, tx: Tx, host: Capabilities, intake: Intake, clock: Clock, paused: PauseAll | None) -> None:
        self.tx = tx
        self.zone: ZoneInfo = intake.zone
        self.shop = intake.shop
        self.ledger = Ledger(tx.conn)
        self._host = host
        self._intake = intake
        self._clock = clock
        self._paused = paused
        self._known: dict[tuple[str, FactKey], Any] = {}
        self._compared: dict[str, bool | None] = {}
        self._shop_caps: list[Cap] | None = None
        #: Waits that runs of this batch came with: run id -> the event that may have ended it.
        self.came_with: dict[str, str | None] = {}

    def now(self) -> datetime:
        return self._clock.now()

    # Facts

    def prefetch(self, batch: Iterable[tuple[Run, Mapping[str, Any]]]) -> None:
        """Ask for what these runs' conditions need, each fact and each operator of a plugin once."""
        batch = list(batch)
        asked: dict[str, set[FactKey]] = defaultdict(set)
        for run, data in batch:
            for use in run.rule.condition.facts:
                with _left_to_the_walk(run.id):
                    key = self._fact_key(run, use, data)
                    if key is not None:
                        asked[use.name].add(key)
        for name, keys in asked.items():
            with _left_to_the_walk(name):
                self._load(name, list(keys))
        compared: dict[tuple[str, str], dict[str, Compared]] = defaultdict(dict)
        for run, data in batch:
            if run.rule.condition.foreign:
                with _left_to_the_walk(run.id):
                    ask_facts(run.rule.condition, run, self, data)
                    for slot, question in find_compared(run.rule.condition, data).items():
                        compared[question[:2]][slot] = question
        for (_, name), questions in compared.items():
            with _left_to_the_walk(name):
                self.compare(questions)

    def load_facts(self, run: Run, uses: Sequence[FactUse], picture: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for use in uses:
            key = self._fact_key(run, use, picture)
            if key is None:
                continue
            if (use.name, key) not in self._known:
                self._load(use.name, [key])
            if (use.name, key) in self._known:
                found[use.slot] = self._known[use.name, key]
        return found

    def _fact_key(self, run: Run, use: FactUse, picture: Mapping[str, Any]) -> FactKey | None:
        fact = self._host.find_fact(use.name)
        if fact is None:
            return None
        subject = text_at({**picture, "event": {"customer": run.event.customer, "key": run.event.key}}, fact.subject)
        if subject is None:
            return None
        params = tuple((name, render(value, picture)) for name, value in use.params)
        for name, value in params:
            if isinstance(value, (list, dict)):
                raise RuleError(f"with.{name}", f"the fact {use.name} cannot be asked with a list or an object")
        # A fact is asked as of the event at first, and as of the moment after a wait.
        return subject, run.at, params

    def _load(self, name: str, keys: list[FactKey]) -> None:
        fact = self._host.find_fact(name)
        if fact is None:
            return
        for key, value in self._host.load_fact(fact, self.tx, keys, self.now()).items():
            self._known[name, key] = value

    def compare(self, compared: Mapping[str, Compared]) -> dict[str, bool | None]:
        by_operator: dict[tuple[str, str], dict[str, tuple[Any, Any]]] = defaultdict(dict)
        for slot, (plugin, operator, value, wanted) in compared.items():
            if slot not in self._compared:
                by_operator[plugin, operator][slot] = (value, wanted)
        for (plugin, operator), pairs in by_operator.items():
            answers = self._host.compare(plugin, operator, list(pairs.values()))
            self._compared.update(zip(pairs, answers, strict=True))
        return {slot: self._compared[slot] for slot in compared}

    def refresh(self, run: Run) -> dict[str, Any]:
        return self._host.refresh(self.tx, run.event.data)

    # The past

    def look_back(self, run: Run, wait: Listening) -> Event | None:
        if run.id in self.came_with:
            happened = self.came_with.pop(run.id)
            if happened is None:
                return None
            event = self._intake.cache.get(self.tx.conn, happened)
            if event is not None and event_matches(wait, event, run, self):
                return event
        return self._search(run, wait)

    def _search(self, run: Run, wait: Listening) -> Event | None:
        """Look for an event that came between the run's moment and now, in the order of intake."""
        path, wanted = wait.where[0]
        asked: dict[str, Any] = {
            "type": wait.step.event_type,
            "since": run.at,
            "until": wait.until,
            "after": run.vars.get("since", run.event.id),
        }
        query = _SINCE
        if path == "event.key":
            query, asked = _SINCE_OF_KEY, {**asked, "key": str(wanted)}
        for row in self.tx.conn.execute(query, asked):
            event = read_event(row)
            if event_matches(wait, event, run, self):
                return event
        return None

    # Effects

    def effect(self, run: Run, step: Do, params: dict[str, Any]) -> Done | Pause:
        action = self._host.find_action(step.action)
        if action is None:
            return Done(None, "failed", f"no action {step.action}: the plugin that brings it is switched off")
        try:
            if action.checker is not None:
                action.checker.check(params, path="with")
        except InvalidInput as exc:
            return Done(None, "failed", exc.message)
        key = run.step_key(step.path)
        if run.vars.get("refused") == key:
            return Done(None, "skipped", "a person refused it")
        approved = run.vars.get("approved") == key
        earlier = self.ledger.find(key) if run.fence or run.attempts or approved else None
        stop = self._ask(run, action, approved=approved, again=earlier is not None)
        if stop is not None:
            return self._not_now(run, step, action, params, stop, earlier=earlier)
        if run.watching:
            self._write(run, action, params, key, state="watched")
            return Done({}, "watched")
        if action.scope == "outside":
            return self._start_call(run, step, action, params, earlier)
        return self._run_local(run, step, action, params)

    def _ask(self, run: Run, action: Action, *, approved: bool, again: bool) -> Answer | None:
        """Ask the guards; what was let through once (`again`) can only be paused, or too late by now."""
        if self._paused is not None and action.effect not in self._paused.still:
            return Answer("later", f"paused: {self._paused.reason}", self.now() + _PAUSED)
        limits = run.rule.limits
        # A run that has acted goes on: a rule's caps count firings, not steps; the shop's count every effect.
        own = () if run.acted or again else caps_of(run.rule, run.event.customer, run.key)
        shops = () if again else self._caps_on(run, action)
        if not own and not shops and limits.valid_for is None and not limits.ask:
            return None
        question = Question(
            now=self.now(),
            due=run.at,
            valid_for=limits.valid_for,
            caps=own,
            shop_caps=shops,
            ask=limits.ask,
            approved=approved or again,
            zone=self.zone,
        )
        # What a rule's own caps count is locked since the run was claimed; what the shop's count is known only here.
        if not all(self.ledger.reserve(cap.counted) for cap in asked_caps(question) if cap.counted):
            return Answer("later", None, self.now() + _COUNTED_ELSEWHERE)
        answer = judge(question, self.ledger)
        return None if answer.word == "go" else answer

    def _caps_on(self, run: Run, action: Action) -> list[CapRule]:
        if self._shop_caps is None:
            self._shop_caps = list_caps(self.tx.conn)
        return caps_on(self._shop_caps, kind=action.effect, customer=run.event.customer, watching=run.watching)

    def _not_now(
        self, run: Run, step: Do, action: Action, params: dict[str, Any], answer: Answer, *, earlier: Any
    ) -> Done | Pause:
        key = run.step_key(step.path)
        if answer.word == "skip":
            if earlier is None:
                self._write(run, action, params, key, state="skipped", reason=answer.reason)
            else:
                # It was tried before: its row tells how that ended, and is not written twice.
                lost = earlier.state == "started" and not run.vars.pop("answered", False)
                self.ledger.settle(key, {"state": "unclear" if lost else "skipped", "reason": answer.reason})
            return Done(None, "skipped", answer.reason)
        if answer.word == "later":
            until = answer.when or self.now()
            if answer.reason is not None and run.vars.get("later") != answer.reason:
                run.tell("later", step.path, reason=answer.reason, until=until)
                run.vars["later"] = answer.reason
            return Sleeping(until, reason=answer.reason)
        if self.ledger.find(key) is None:
            self._write(run, action, params, key, state="held", reason=answer.reason)
        run.tell("held", step.path, reason=answer.reason)
        return Holding(answer.reason or "held")

    def _start_call(self, run: Run, step: Do, action: Action, params: dict[str, Any], earlier: Any) -> Done | Pause:
        """Write the idempotency key down before the call; a repeat after a crash is marked."""
        key = run.step_key(step.path)
        if earlier is None:
            self._write(run, action, params, key, state="started")
            return Calling(step, params, key)
        approved = run.vars.get("approved") == key
        unclear = earlier.state == "started" and not run.vars.pop("answered", False)
        if unclear and action.repeat == "never" and not approved:
            self.ledger.settle(key, {"state": "unclear", "reason": "it is unclear whether it was done"})
            return Holding("it is unclear whether it was done; look at the other side, then decide")
        duplicate = earlier.possible_duplicate or (unclear and not action.takes_key)
        self.ledger.settle(key, {"state": "started", "attempts": earlier.attempts + 1, "possible_duplicate": duplicate})
        return Calling(step, params, key)

    def _run_local(self, run: Run, step: Do, action: Action, params: dict[str, Any]) -> Done:
        key = run.step_key(step.path)
        call = ActionCall(action=action, params=params, key=key, event=run.event, account=step.account)
        with self.tx.alone():
            result = self._host.run_local(call, self.tx, self.emitter(run, action.plugin, key))
        self._write(run, action, params, key, state="done", result=result)
        crash_point("run.after_local_action")
        return Done(result)

    def _write(
        self,
        run: Run,
        action: Action,
        params: Any,
        key: str,
        *,
        state: str,
        reason: str | None = None,
        result: Any = None,
    ) -> None:
        told = result if isinstance(result, dict) else {}
        self.ledger.add(
            Effect(
                idempotency_key=key,
                kind=action.effect,
                action=action.name,
                plugin=action.plugin,
                state=state,
                at=self.now(),
                object=told.get("object"),
                customer=run.event.customer,
                key=run.key,
                rule=run.rule.id,
                version=run.rule.version,
                run=run.id,
                event=run.event.id,
                first=run.acted == 0,
                reason=reason,
                cost=told.get("cost"),
                undo=told.get("undo"),
                params=params,
                result=result,
            )
        )

    # Consequences

    def emitter(self, run: Run, plugin: str, cause: str) -> Emit:
        """Return the `emit` of an action: its events carry the cause, and come only once however often it is tried."""
        return self._intake.emitter(self.tx, f"vitrin/{plugin}", cause=cause, run=run)

    def call_rule(self, run: Run, step: RunRule, params: dict[str, Any]) -> None:
        emit = self.emitter(run, "rules", run.step_key(step.path))
        data = {**run.event.data, "rule": step.rule, "params": params}
        emit(CALLED, data, key=run.event.key, customer=run.event.customer)

    def wait_row(self, run: Run, wait: Listening) -> dict[str, Any]:
        """Return the row under which intake finds this wait."""
        path, value = wait.where[0]
        match = match_text(wait.step.event_type, path, value)
        return {"run": run.id, "match": match, "until": wait.until, "happened": None}

    def drop_waits(self, ids: Sequence[str]) -> None:
        if ids:
            self.tx.conn.execute(_DROP_WAITS, {"ids": list(ids)})


_SINCE = (
    select(events)
    .where(
        events.c.type == bindparam("type"),
        events.c.received_at >= bindparam("since", type_=Moment),
        events.c.received_at <= bindparam("until", type_=Moment),
        events.c.id > bindparam("after"),
    )
    .order_by(events.c.received_at, events.c.id)
)
_SINCE_OF_KEY = _SINCE.where(events.c.key == bindparam("key"))
_DROP_WAITS = delete(waits).where(waits.c.run.in_(bindparam("ids", expanding=True)))


@contextmanager
def _left_to_the_walk(what: str) -> Iterator[None]:
    """Go on when a batch cannot ask a fact or an operator: each run meets the failure again and answers for it."""
    try:
        yield
    except StorageError:
        raise
    except VitrinError as exc:
        log.warning("a fact or an operator could not be asked ahead", what=what, error=exc.message)


def caps_of(rule: Rule, customer: str | None, key: str | None) -> list[CapRule]:
    """Return the rule's caps as counts over the effect ledger."""
    limits = rule.limits
    own: tuple[tuple[str, str | bool | None], ...] = (("rule", rule.id), ("first", True))
    caps = []
    for name, cap, column, value in (
        ("per customer", limits.per_customer, "customer", customer),
        ("per key", limits.per_key, "key", key),
    ):
        if cap is not None and value is not None:
            where = (*own, (column, value))
            caps.append(CapRule(name=name, count=cap.count, period=cap.period, where=where, above="skip"))
    for name, count, period in (("per hour", limits.per_hour, HOUR), ("per day", limits.per_day, DAY)):
        if count is not None:
            caps.append(CapRule(name=name, count=count, period=period, where=own, above="later"))
    if limits.ask_above is not None:
        cap = limits.ask_above
        caps.append(CapRule(name="ask above", count=cap.count, period=cap.period, where=own, above="hold"))
    return caps


def is_final(exc: Exception) -> bool:
    """Tell whether an action's failure would come again the same way."""
    if isinstance(exc, RemoteError):
        return exc.code != "temporary"
    return isinstance(exc, (UserError, RuleError, PluginError))
