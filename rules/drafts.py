"""A rule's draft under edit: every change a step, undone and redone by anybody on any device, one editor at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from core.errors import Conflict, NotFound
from core.writer import Tx
from rules.store import get_rule, get_version, save_draft
from rules.tables import draft_editors, draft_steps, rules

#: Steps kept for each draft.
MOST_STEPS = 500
#: Who was not seen for this long has left.
_LEFT = timedelta(seconds=45)
_OPENED = {"text": "Opened", "values": {}}

#: What was changed: a message of the UI (English, to be translated when shown) and what is put into it.
Label = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the composer shows."""

    rule_id: str
    name: str
    text: str
    #: The step shown: an edit names it, so that two people cannot overwrite each other unknowingly.
    number: int
    saved_at: datetime | None
    #: What undo would take back, and redo would bring back.
    undo: Label | None
    redo: Label | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """Who edits a draft now."""

    session: str
    actor: str
    seen_at: datetime


def open_draft(conn: Connection, name: str) -> Draft:
    """Return the draft of a rule; where there is none, its live version is what an edit would begin from."""
    row = get_rule(conn, name)
    number = row.draft_step or 0
    steps = draft_steps.c.rule == row.id
    around = conn.execute(select(draft_steps).where(steps, draft_steps.c.number.in_((number, number + 1)))).all()
    by_number = {step.number: step for step in around}
    earlier = conn.scalar(select(func.count()).where(steps, draft_steps.c.number < number)) if number else 0
    here, following = by_number.get(number), by_number.get(number + 1)
    return Draft(
        rule_id=row.id,
        name=row.name,
        text=_text_of(conn, row),
        number=number,
        saved_at=row.draft_at,
        undo=here.label if here is not None and earlier else None,
        redo=following.label if following is not None else None,
    )


def edit(tx: Tx, name: str, text: str, *, label: Label, expected: int, actor: str, now: datetime) -> int:
    """Store the next step of a draft and return its number; raise Conflict where it is not what the person saw.

    Steps that were undone before are forgotten: the draft goes on from here.
    """
    row = _expect(tx.conn, name, expected)
    steps = draft_steps.c.rule == row.id
    tx.conn.execute(delete(draft_steps).where(steps, draft_steps.c.number > expected))
    before = _text_of(tx.conn, row)
    number = expected
    if tx.conn.scalar(select(func.count()).where(steps)) == 0:
        number += 1
        _keep(tx, rule=row.id, number=number, text=before, label=_OPENED, actor=actor, at=now)
    elif before == text:
        return expected
    number += 1
    _keep(tx, rule=row.id, number=number, text=text, label=dict(label), actor=actor, at=now)
    tx.conn.execute(delete(draft_steps).where(steps, draft_steps.c.number <= number - MOST_STEPS))
    _show(tx, row, number, text, actor=actor, now=now)
    return number


def undo(tx: Tx, name: str, *, expected: int, actor: str, now: datetime) -> Label:
    """Go one step back and return the label of what was taken back; raise Conflict at the first step."""
    row = _expect(tx.conn, name, expected)
    here, earlier = (_find_step(tx.conn, row.id, number) for number in (expected, expected - 1))
    if here is None or earlier is None:
        raise Conflict("there is nothing to undo")
    _show(tx, row, expected - 1, earlier.text, actor=actor, now=now)
    return here.label


def redo(tx: Tx, name: str, *, expected: int, actor: str, now: datetime) -> Label:
    """Go one step forward again and return its label; raise Conflict at the last step."""
    row = _expect(tx.conn, name, expected)
    following = _find_step(tx.conn, row.id, expected + 1)
    if following is None:
        raise Conflict("there is nothing to redo")
    _show(tx, row, expected + 1, following.text, actor=actor, now=now)
    return following.label


def forget_steps(tx: Tx, rule_id: str) -> None:
    """Forget a draft's steps: after publishing, or when the draft is thrown away, the next edit begins anew."""
    tx.conn.execute(delete(draft_steps).where(draft_steps.c.rule == rule_id))
    tx.conn.execute(update(rules).where(rules.c.id == rule_id).values(draft_step=None))


def take_seat(tx: Tx, rule_id: str, *, session: str, actor: str, now: datetime, force: bool = False) -> Editor:
    """Return who edits the draft: the caller where nobody else was seen lately, or where they take over."""
    found = find_editor(tx.conn, rule_id, now)
    if found is not None and found.session != session and not force:
        return found
    tx.conn.execute(delete(draft_editors).where(draft_editors.c.rule == rule_id))
    seat = {"rule": rule_id, "session": session, "actor": actor, "seen_at": now}
    tx.conn.execute(insert(draft_editors).values(seat))
    return Editor(session=session, actor=actor, seen_at=now)


def leave_seat(tx: Tx, rule_id: str, session: str) -> None:
    mine = (draft_editors.c.rule == rule_id) & (draft_editors.c.session == session)
    tx.conn.execute(delete(draft_editors).where(mine))


def find_editor(conn: Connection, rule_id: str, now: datetime) -> Editor | None:
    """Return who edits the draft and was seen lately."""
    row = conn.execute(select(draft_editors).where(draft_editors.c.rule == rule_id)).one_or_none()
    if row is None or now - row.seen_at > _LEFT:
        return None
    return Editor(session=row.session, actor=row.actor, seen_at=row.seen_at)


def _expect(conn: Connection, name: str, expected: int) -> Row[Any]:
    row = get_rule(conn, name)
    if (row.draft_step or 0) != expected:
        raise Conflict("somebody else changed this draft meanwhile; open the page again to see it")
    return row


def _text_of(conn: Connection, row: Row[Any]) -> str:
    if row.draft is not None:
        return row.draft
    if row.version is None:
        raise NotFound(f"the rule {row.name!r} has neither a draft nor a version")
    return get_version(conn, row.id, row.version).text


def _find_step(conn: Connection, rule_id: str, number: int) -> Row[Any] | None:
    wanted = (draft_steps.c.rule == rule_id) & (draft_steps.c.number == number)
    return conn.execute(select(draft_steps).where(wanted)).one_or_none()


def _keep(tx: Tx, **step: Any) -> None:
    tx.conn.execute(insert(draft_steps).values(step))


def _show(tx: Tx, row: Row[Any], number: int, text: str, *, actor: str, now: datetime) -> None:
    save_draft(tx, row.name, text, actor=actor, now=now)
    tx.conn.execute(update(rules).where(rules.c.id == row.id).values(draft_step=number))
