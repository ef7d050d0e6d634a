"""Claims: which of the runs that are due a batch takes, with everything that their walks need at hand."""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, Row, bindparam, select, update

from core.clock import Clock
from core.db import Moment
from core.errors import VitrinError
from core.events import Event
from core.key_locks import lock_names
from core.writer import Tx
from rules.backlog import Backlog
from rules.intake import Intake
from rules.lines import line_of, release_queued
from rules.port import Capabilities, caps_of
from rules.rule import Rule
from rules.run import Run
from rules.steps import Do
from rules.tables import runs
from rules.turns import Turns, class_of, rank_of

#: Classes of rules that are remembered.
_MOST_KNOWN = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be claimed."""

    now: datetime
    limit: int
    #: Only these runs, where they are given.
    only: Sequence[str] | None = None
    #: In the order they are due, whoever they belong to: a virtual clock follows them.
    in_order: bool = False
    #: Runs that this process has in hand: they are alive, whatever a jumping clock says.
    held: Container[str] = ()
    #: Plugins that have enough to do.
    full: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class _Kind:
    """What counts for a rule's turn."""

    rule: Rule
    klass: str
    #: Plugins whose outside actions it uses.
    plugins: frozenset[str]


class Claims:
    """Claims runs for the batches of one process."""

    def __init__(self, intake: Intake, host: Capabilities, clock: Clock) -> None:
        self._intake = intake
        self._host = host
        self._clock = clock
        self._turns = Turns()
        self._backlog = Backlog()
        self._kinds: dict[str, _Kind] = {}
        #: More was due than one batch takes, the last time.
        self._behind = False

    def take(self, tx: Tx, wish: Wish) -> list[tuple[Run, datetime]]:
        """Return the claimed runs, each with the moment it was due; when it is many, the most urgent class first."""
        rows = [row for row in self._find(tx.conn, wish) if row.id not in wish.held]
        events = self._intake.cache.get_many(tx.conn, {row.event for row in rows})
        found = []
        for row in rows:
            run = self._load(tx, row, events.get(row.event))
            if run is not None:
                found.append((run, row.due_at))
        if len(found) >= wish.limit and not wish.in_order:
            # While all fits into a batch, the order in which it became due is the better one.
            found.sort(key=lambda claimed: rank_of(self.class_of(claimed[0].rule)))
        lock_names(tx.conn, (name for run, _ in found for name in _names_of(run)))
        return found

    def class_of(self, rule: Rule) -> str:
        """Return the class of a rule's runs."""
        return self._kind(rule).klass

    def _find(self, conn: Connection, wish: Wish) -> Sequence[Row[Any]]:
        if wish.only is not None or wish.in_order:
            query = _DUE if wish.only is None else _DUE.where(runs.c.id.in_(wish.only))
            return _locked(conn, query, {"now": wish.now, "most": wish.limit})
        if not self._behind and not wish.full:
            rows = _locked(conn, _DUE, {"now": wish.now, "most": wish.limit})
            if len(rows) < wish.limit:
                return rows
        return self._find_fairly(conn, wish)

    def _find_fairly(self, conn: Connection, wish: Wish) -> Sequence[Row[Any]]:
        """Give every class and rule its share; what is left goes to whoever has waited longest."""
        self._backlog.look(conn, wish.now)
        held_up, classes = [], {}
        for rule_id in self._backlog.rules:
            rule = self._intake.book.matcher.get(rule_id)
            kind = None if rule is None else self._kind(rule)
            if kind is not None and not kind.plugins.isdisjoint(wish.full):
                held_up.append(rule_id)
            else:
                classes[rule_id] = "bulk" if kind is None else kind.klass
        ids = self._backlog.take(self._turns.share(classes, classes, wish.limit)) if classes else []
        found = _locked(conn, _DUE_BY_ID, {"ids": ids, "now": wish.now, "most": wish.limit}) if ids else []
        room = wish.limit - len(found)
        self._behind = room == 0
        if room:
            others = _DUE.where(runs.c.id.not_in(ids), runs.c.rule.not_in(held_up))
            more = _locked(conn, others, {"now": wish.now, "most": room})
            found = [*found, *more]
            self._behind = len(more) == room
        if not self._behind:
            self._backlog.forget()
        return found

    def _kind(self, rule: Rule) -> _Kind:
        known = self._kinds.get(rule.id)
        if known is None or known.rule is not rule:
            if len(self._kinds) > _MOST_KNOWN:
                self._kinds.clear()
            actions = (self._host.find_action(step.action) for step in rule.program if isinstance(step, Do))
            plugins = frozenset(action.plugin for action in actions if action and action.scope == "outside")
            known = _Kind(rule, class_of(rule, self._host.find_action), plugins)
            self._kinds[rule.id] = known
        return known

    def _load(self, tx: Tx, row: Row[Any], event: Event | None) -> Run | None:
        """Return a claimed run; one whose rule or event is gone is ended, so that it cannot block the others."""
        try:
            rule = self._intake.book.version(tx.conn, row.rule, row.version)
        except VitrinError as exc:
            self._give_up(tx, row, f"its rule cannot be read: {exc}")
            return None
        if event is None:
            self._give_up(tx, row, "its event is no longer stored")
            return None
        return Run(
            id=row.id,
            rule=rule,
            event=event,
            key=row.key,
            watching=row.watching,
            cursor=row.cursor,
            vars={**row.vars, "was": row.status},
            at=row.at,
            attempts=row.attempts,
            acted=row.acted,
            fence=row.fence,
        )

    def _give_up(self, tx: Tx, row: Row[Any], reason: str) -> None:
        now = self._clock.now()
        ended = {"status": "done", "outcome": "failed", "reason": reason, "due_at": None, "finished_at": now}
        tx.conn.execute(update(runs).where(runs.c.id == row.id).values(**ended))
        self._intake.tell_ready(tx, release_queued(tx.conn, [(row.rule, row.key)], now))


_UNREAD = ("customer", "outcome", "reason", "owner", "started_at", "finished_at")
#: What a walk needs of a run.
_CLAIMED = select(*(column for column in runs.c if column.name not in _UNREAD))
_UNTIL_NOW = runs.c.due_at <= bindparam("now", type_=Moment)
_DUE = _CLAIMED.where(_UNTIL_NOW).order_by(runs.c.due_at, runs.c.id).limit(bindparam("most", type_=Integer))
_DUE_BY_ID = _DUE.where(runs.c.id.in_(bindparam("ids", expanding=True)))


def _locked(conn: Connection, query: Any, asked: Mapping[str, Any]) -> Sequence[Row[Any]]:
    if conn.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True)
    return conn.execute(query, asked).all()


def _names_of(run: Run) -> list[str]:
    """Return what nobody else may decide about while this run is walked: its line, and what its caps count."""
    names = [] if run.rule.mode.run == "parallel" else [line_of(run.rule.id, run.key)]
    return names + [f"cap:{cap.name}:{cap.where}" for cap in caps_of(run.rule, run.event.customer, run.key)]
