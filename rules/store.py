"""Rules as they are kept: drafts, immutable versions, states, and the book of what is live in this process."""

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.audit import Entry, record
from core.errors import Conflict, InvalidInput, NotFound, RuleError
from core.ids import new_id
from core.marks import read_mark, write_mark
from core.tables import marks
from core.writer import Tx
from rules.conditions import Scope
from rules.match import Matcher
from rules.rule import Rule, compile_rule, read_yaml
from rules.tables import rule_states, rule_versions, rules, wait_fields

STATES = ("off", "watching", "on", "paused")
#: States in which events start runs.
LIVE = ("watching", "on")
_STAMP = "rules.stamp"


# Writing


def save_draft(tx: Tx, name: str, text: str, *, actor: str, now: datetime) -> str:
    """Keep the text as the rule's draft, making the rule where there is none; the text need not be right yet."""
    row = find_rule(tx.conn, name)
    values = {"draft": text, "draft_at": now, "changed_at": now}
    if row is not None:
        tx.conn.execute(update(rules).where(rules.c.id == row.id).values(**values))
        return row.id
    rule_id = new_id()
    tx.conn.execute(insert(rules).values(id=rule_id, name=name, state="off", stamp=0, created_at=now, **values))
    record(tx, Entry(actor=actor, action="rule.created", object=f"rule:{name}"), now)
    return rule_id


def publish(
    tx: Tx, text: str, scope: Scope, *, actor: str, now: datetime, note: str | None = None, state: str | None = None
) -> Rule:
    """Make the text the rule's newest version and, if asked, set its state; raise RuleError where it is wrong."""
    document = read_yaml(text)
    rule = compile_rule(document, scope=scope)
    row = find_rule(tx.conn, rule.name)
    rule_id = row.id if row else save_draft(tx, rule.name, text, actor=actor, now=now)
    latest = _latest(tx.conn, rule_id)
    if latest is None or latest.text != text:
        number = 1 if latest is None else latest.version + 1
        version = {"rule": rule_id, "version": number, "text": text, "document": document}
        tx.conn.execute(insert(rule_versions).values(**version, author=actor, note=note, at=now))
        after = {"version": number, "note": note}
        record(tx, Entry(actor=actor, action="rule.published", object=f"rule:{rule.name}", after=after), now)
    else:
        number = latest.version
    _know_waits(tx.conn, rule)
    current = row.state if row else "off"
    values = {"version": number, "draft": None, "draft_at": None, "archived_at": None, "changed_at": now}
    tx.conn.execute(update(rules).where(rules.c.id == rule_id).values(**values))
    _log_state(tx, rule_id, state or current, number, actor=actor, now=now)
    return compile_rule(document, id=rule_id, version=number, scope=scope)


def set_state(tx: Tx, name: str, state: str, *, actor: str, now: datetime, reason: str | None = None) -> None:
    """Switch a rule. Switching off validates nothing and always works."""
    if state not in STATES:
        raise InvalidInput("state", f"must be one of {', '.join(STATES)}")
    row = get_rule(tx.conn, name)
    if state in LIVE and row.version is None:
        raise Conflict(f"rule {name} has no published version yet: publish it first")
    if row.state == state and row.state_reason == reason:
        return
    _log_state(tx, row.id, state, row.version, actor=actor, now=now, reason=reason)
    before, after = {"state": row.state}, {"state": state, "reason": reason}
    record(tx, Entry(actor=actor, action=f"rule.{state}", object=f"rule:{row.name}", before=before, after=after), now)


def archive(tx: Tx, name: str, *, actor: str, now: datetime) -> None:
    """Take a rule out of the lists; its runs and versions stay."""
    row = get_rule(tx.conn, name)
    set_state(tx, name, "off", actor=actor, now=now, reason="archived")
    tx.conn.execute(update(rules).where(rules.c.id == row.id).values(archived_at=now, changed_at=now))


def restore(tx: Tx, name: str, version: int, *, actor: str, now: datetime) -> None:
    """Make an old version's text the draft."""
    row = get_rule(tx.conn, name)
    save_draft(tx, name, get_version(tx.conn, row.id, version).text, actor=actor, now=now)


def _log_state(
    tx: Tx, rule_id: str, state: str, version: int | None, *, actor: str, now: datetime, reason: str | None = None
) -> None:
    number = select(func.coalesce(func.max(rule_states.c.number), 0) + 1).where(rule_states.c.rule == rule_id)
    changed = {"state": state, "state_reason": reason, "stamp": _next_stamp(tx.conn, now), "changed_at": now}
    tx.conn.execute(update(rules).where(rules.c.id == rule_id).values(**changed))
    tx.conn.execute(
        insert(rule_states).values(
            rule=rule_id,
            number=tx.conn.execute(number).scalar_one(),
            at=now,
            state=state,
            version=version,
            actor=actor,
            reason=reason,
        )
    )


def _know_waits(conn: Connection, rule: Rule) -> None:
    rows = [{"event_type": wait.event_type, "field": wait.where[0][0]} for wait in rule.waits]
    if rows:
        dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
        conn.execute(dialect.insert(wait_fields).on_conflict_do_nothing(), rows)


def _next_stamp(conn: Connection, now: datetime) -> int:
    """Count up the number of changes to rules; every process compares it with the one it saw last."""
    query = select(marks.c.value).where(marks.c.name == _STAMP).with_for_update()
    stamp = (conn.execute(query).scalar_one_or_none() or 0) + 1
    write_mark(conn, _STAMP, stamp, now)
    return stamp


# Reading


def find_rule(conn: Connection, name: str) -> Row[Any] | None:
    return conn.execute(select(rules).where(rules.c.name == name)).one_or_none()


def get_rule(conn: Connection, name: str) -> Row[Any]:
    """Return a rule's row by name (or id); raise NotFound."""
    row = find_rule(conn, name) or conn.execute(select(rules).where(rules.c.id == name)).one_or_none()
    if row is None:
        raise NotFound(f"no rule {name!r}")
    return row


def get_version(conn: Connection, rule_id: str, version: int) -> Row[Any]:
    query = select(rule_versions).where(rule_versions.c.rule == rule_id, rule_versions.c.version == version)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"the rule has no version {version}")
    return row


def list_rules(conn: Connection, *, archived: bool = False) -> list[Row[Any]]:
    query = select(rules).order_by(rules.c.name)
    return list(conn.execute(query if archived else query.where(rules.c.archived_at.is_(None))))


def list_versions(conn: Connection, rule_id: str) -> list[Row[Any]]:
    query = select(rule_versions).where(rule_versions.c.rule == rule_id).order_by(rule_versions.c.version.desc())
    return list(conn.execute(query))


def _latest(conn: Connection, rule_id: str) -> Row[Any] | None:
    newest = select(rule_versions).where(rule_versions.c.rule == rule_id).order_by(rule_versions.c.version.desc())
    return conn.execute(newest.limit(1)).one_or_none()


def live_at(conn: Connection, rule_id: str, moment: datetime) -> tuple[str, int | None]:
    """Return the state and version that a rule had at a past moment; ("off", None) before it existed."""
    query = (
        select(rule_states.c.state, rule_states.c.version)
        .where(rule_states.c.rule == rule_id, rule_states.c.at <= moment)
        .order_by(rule_states.c.number.desc())
        .limit(1)
    )
    row = conn.execute(query).one_or_none()
    return ("off", None) if row is None else (row.state, row.version)


# The book


class Book:
    """What is live in this process: compiled rules, the matcher, the fields that runs wait on."""

    def __init__(self, scope: Scope | None = None) -> None:
        self.scope = scope or Scope()
        self.matcher = Matcher()
        self.watching: set[str] = set()
        #: Rules that could not be compiled, with the reason: a plugin went, an operator changed.
        self.broken: dict[str, str] = {}
        self.wait_fields: dict[str, tuple[str, ...]] = {}
        self._versions: dict[tuple[str, int], Rule] = {}
        self._stamp = 0
        self._lock = threading.RLock()

    @property
    def stamp(self) -> int:
        """Number of the last change that this book has taken in."""
        return self._stamp

    def refresh(self, conn: Connection) -> bool:
        """Take in what changed since the last look, and tell if anything did; one small query when nothing did."""
        stamp = read_mark(conn, _STAMP) or 0
        if stamp == self._stamp:
            return False
        with self._lock:
            for row in conn.execute(select(rules).where(rules.c.stamp > self._stamp)).all():
                self._take(conn, row)
            self.wait_fields = _read_wait_fields(conn)
            self._stamp = stamp
        return True

    def forget(self) -> None:
        """Let the next look take in everything anew: what was seen inside a transaction has been undone."""
        with self._lock:
            self._stamp = -1
            self._versions.clear()
            self.broken.clear()
            for rule in self.matcher:
                self.matcher.remove(rule.id)
            self.watching.clear()

    def rescope(self, conn: Connection, scope: Scope) -> None:
        """Compile everything again with other operators and facts: a plugin came or went."""
        with self._lock:
            self.scope, self._stamp = scope, 0
            self._versions.clear()
            self.broken.clear()
        self.refresh(conn)

    def _take(self, conn: Connection, row: Row[Any]) -> None:
        self.broken.pop(row.name, None)
        rule = None
        if row.state in LIVE and row.version is not None:
            try:
                rule = self.version(conn, row.id, row.version)
            except RuleError as exc:
                self.broken[row.name] = str(exc)
        # Events are matched meanwhile: a rule that only watches must never be seen as one that acts, and a changed one
        # takes the place of the older in one go.
        if rule is not None and row.state == "watching":
            self.watching.add(row.id)
        if rule is None:
            self.matcher.remove(row.id)
        else:
            self.matcher.add(rule)
        if rule is None or row.state != "watching":
            self.watching.discard(row.id)

    def version(self, conn: Connection, rule_id: str, number: int) -> Rule:
        """Return a compiled version; runs that are under way stay on theirs."""
        rule = self._versions.get((rule_id, number))
        if rule is None:
            row = get_version(conn, rule_id, number)
            rule = compile_rule(row.document, id=rule_id, version=number, scope=self.scope)
            self._versions[rule_id, number] = rule
        return rule

    def match(self, event_type: str, data: Mapping[str, Any]) -> list[Rule]:
        return self.matcher.match(event_type, data)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.matcher)


def _read_wait_fields(conn: Connection) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for kind, field in conn.execute(select(wait_fields).order_by(wait_fields.c.field)):
        found[kind] = (*found.get(kind, ()), field)
    return found
