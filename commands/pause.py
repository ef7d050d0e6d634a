"""`pause` and `resume`: everything stands still, and goes on."""

import click

from commands.call import ACTOR, Call, pass_call
from commands.noun import Verb
from commands.opening import open_records, write
from commands.output import cell
from core.policy.pause import find_pause
from core.policy.pause import pause as pause_all
from core.policy.pause import resume as resume_all


@click.command(
    cls=Verb, tries=True, examples=("pause", 'pause --reason "wrong prices" --still payment --still receipt')
)
@click.option("--reason", default="paused from the command line", help="Shown wherever something waits for it.")
@click.option("--still", multiple=True, help="A kind of effect that goes on all the same; may be given several times.")
@pass_call
def pause(call: Call, reason: str, still: tuple[str, ...]) -> int:
    """Stop every new effect at once; events are kept and waits stay."""
    with open_records(call) as engine:
        now = engine.clock.now()
        write(call, engine, lambda tx: pause_all(tx, reason=reason, by=ACTOR, now=now, still=still))
    told = {"paused": True, "reason": reason, "still": sorted(still)}
    call.show(told, lambda: f"paused: {reason}")
    return call.changed(1)


@click.command(cls=Verb, tries=True, examples=("resume",))
@pass_call
def resume(call: Call) -> int:
    """End the pause; what waited for it goes on."""
    with open_records(call) as engine:
        now = engine.clock.now()
        ended = write(call, engine, lambda tx: resume_all(tx, by=ACTOR, now=now))
        with engine.db.read() as conn:
            left = find_pause(conn) if not call.dry_run else None
    told = {"paused": left is not None, "ended": ended and {"reason": ended.reason, "by": ended.by, "at": ended.at}}
    call.show(
        told, lambda: f"resumed; paused since {cell(ended.at)}: {ended.reason}" if ended else "nothing was paused"
    )
    return call.changed(int(ended is not None))
