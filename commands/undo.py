"""`undo`: takes back effects whose actions know how."""

from datetime import datetime
from typing import Any

import click

from commands.call import Call, pass_call
from commands.noun import Verb
from commands.opening import open_engine
from commands.output import columns
from core.durations import add, parse_duration
from core.errors import InvalidInput, VitrinError
from rules.engine import Engine
from rules.store import get_rule
from rules.undo import find_undoable, undo_effect

_SHOWN = ("effect", "action", "object", "state", "reason")


@click.command(cls=Verb, examples=("undo EFFECT_ID", 'undo --rule late-apology --since "1 hour"'))
@click.argument("effects", nargs=-1)
@click.option("--rule", help="Everything that this rule did ...")
@click.option("--since", help="... in this last while: 1 hour, 2 days.")
@pass_call
def undo(call: Call, effects: tuple[str, ...], rule: str | None, since: str | None) -> None:
    """Take back what was done. What cannot be undone is named, and the rest is undone all the same."""
    if bool(effects) == (rule is not None) or (rule is None) != (since is None):
        raise InvalidInput("effects", "name effects by id, or a --rule and a time with --since")
    with open_engine(call) as engine:
        wanted = list(effects) or _of_rule(engine, str(rule), str(since))
        told = [_undo(engine, effect) for effect in wanted]
    call.show(told, lambda: columns(told, _SHOWN, zone=engine.zone))
    if any(one["state"] != "undone" for one in told):
        raise click.exceptions.Exit(1)


def _of_rule(engine: Engine, rule: str, since: str) -> list[str]:
    moment: datetime = add(engine.clock.now(), -parse_duration(since, path="since"), engine.zone)
    with engine.db.read() as conn:
        return find_undoable(engine, get_rule(conn, rule).id, moment)


def _undo(engine: Engine, effect: str) -> dict[str, Any]:
    try:
        return undo_effect(engine, effect, actor="cli")
    except VitrinError as exc:
        return {"effect": effect, "action": None, "object": None, "state": "kept", "reason": exc.message}
