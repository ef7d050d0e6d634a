"""Undo: takes back what an effect did, where its action knows how."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select, update

from core.audit import Entry, record
from core.capabilities import Action
from core.errors import Conflict, NotFound
from core.tables import effects
from core.writer import Tx

if TYPE_CHECKING:
    from rules.engine import Engine


def undo_effect(engine: "Engine", effect_id: str, *, actor: str) -> dict[str, Any]:
    """Take back one effect; raise NotFound, or Conflict where it did nothing, is undone, or cannot be undone."""
    with engine.db.read() as conn:
        row = conn.execute(select(effects).where(effects.c.id == effect_id)).one_or_none()
    if row is None:
        raise NotFound(f"no effect {effect_id!r}")
    action = _action(engine, row)
    if action.scope == "outside":
        engine.invoker.undo_outside(action, row.result, row.idempotency_key)
        engine.writer.do(lambda tx: _mark(engine, tx, row, actor))
    else:
        engine.writer.do(lambda tx: _undo_local(engine, tx, row, action, actor))
    return {"effect": row.id, "action": row.action, "object": row.object, "state": "undone"}


def find_undoable(engine: "Engine", rule_id: str, since: datetime) -> list[str]:
    """Return what a rule did since a moment, the newest first: what "undo that hour" takes back."""
    query = select(effects.c.id).where(effects.c.rule == rule_id, effects.c.at >= since, effects.c.state == "done")
    with engine.db.read() as conn:
        return list(conn.execute(query.order_by(effects.c.at.desc(), effects.c.id.desc())).scalars())


def _action(engine: "Engine", row: Row[Any]) -> Action:
    if row.state != "done":
        raise Conflict(f"the effect is {row.state}: only what was done can be undone")
    action = engine.host.find_action(row.action)
    if action is None:
        raise Conflict(f"the plugin {row.plugin}, which brings {row.action}, is switched off: switch it on first")
    if action.undo is None:
        raise Conflict(f"{row.action} cannot be undone")
    return action


def _undo_local(engine: "Engine", tx: Tx, row: Row[Any], action: Action, actor: str) -> None:
    emit = engine.intake.emitter(tx, f"vitrin/{action.plugin}", cause=f"{row.idempotency_key}/undo")
    engine.invoker.undo_local(action, row.result, tx, emit)
    _mark(engine, tx, row, actor)


def _mark(engine: "Engine", tx: Tx, row: Row[Any], actor: str) -> None:
    """Set the effect's state once: two who undo at the same moment do it once."""
    undone = update(effects).where(effects.c.id == row.id, effects.c.state == "done")
    if tx.conn.execute(undone.values(state="undone", reason=f"undone by {actor}")).rowcount != 1:
        raise Conflict("the effect was undone by somebody else at this moment")
    entry = Entry(actor=actor, action="effect.undone", object=f"effect:{row.id}", before={"object": row.object})
    record(tx, entry, engine.clock.now())
