"""`caps`: at most so many effects of a kind, over all rules."""

from typing import Any

import click

from commands.call import ACTOR, Call, pass_call
from commands.noun import Noun
from commands.opening import open_engine, open_records, write
from commands.output import columns
from core.policy.caps import ABOVE, MOST, PER, Cap, get_cap, list_caps, measure, remove_cap, save_cap
from rules.engine import Engine

_SHOWN = ("name", "cap", "above", "used", "reached")


@click.group(
    cls=Noun,
    examples=(
        'caps set few-messages --kind message --most 2 --in "1 day" --per customer --above skip',
        "caps list",
        "caps remove few-messages",
    ),
)
def caps() -> None:
    """Limit what all rules together do: messages, tasks, refunds, ..."""


@caps.command("list", examples=("caps list", "caps list --json"))
@pass_call
def list_(call: Call) -> None:
    """List caps, with how much of each is used now."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            found = [_told(engine, conn, cap) for cap in list_caps(conn)]
        call.show(found, lambda: columns(found, _SHOWN))
    if not found:
        call.say("no caps: only rules limit what they do")


@caps.command(
    "set",
    tries=True,
    examples=(
        'caps set few-messages --kind message --most 2 --in "1 day" --per customer --above skip',
        'caps set mail-server --kind message --most 200 --in "1 hour" --above later',
        'caps set ask-for-money --kind money --most 5 --in "1 day" --above hold',
    ),
)
@click.argument("name")
@click.option("--kind", required=True, help="The kind of effect: message, task, tag, price, money, ...")
@click.option("--most", required=True, type=click.IntRange(0, MOST), help="So many may happen.")
@click.option("--in", "period", required=True, metavar="LENGTH", help="In this time, such as '1 day' or '24 hours'.")
@click.option("--per", type=click.Choice(PER), default="shop", show_default=True, help="All together, or each person.")
@click.option(
    "--above",
    required=True,
    type=click.Choice(ABOVE),
    help="The one too many: left out, put off, or held for a person.",
)
@pass_call
def set_(call: Call, **given: Any) -> int:
    """Make or change a cap; it holds for the next effect, also in an engine that runs."""
    cap = Cap(**given)
    with open_engine(call) as engine:
        with engine.db.read() as conn:
            same = cap in list_caps(conn)
        kinds = {action.effect for action in engine.host.actions.values()}
        now = engine.clock.now()
        write(call, engine, lambda tx: save_cap(tx, cap, kinds=kinds, actor=ACTOR, now=now))
        with engine.db.read() as conn:
            told = _told(engine, conn, cap)
    call.show(told, lambda: f"{cap.name}: {cap.words}, else {cap.above}")
    return call.changed(int(not same))


@caps.command("remove", tries=True, examples=("caps remove few-messages",))
@click.argument("name", nargs=-1, required=True)
@pass_call
def remove(call: Call, name: tuple[str, ...]) -> int:
    """Take caps away; what waits for one goes on when its time has come."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            removed = [get_cap(conn, one).name for one in name]
        now = engine.clock.now()
        write(call, engine, lambda tx: [remove_cap(tx, one, actor=ACTOR, now=now) for one in removed])
    results = [{"name": one, "removed": True} for one in removed]
    call.show(results, lambda: "\n".join(f"{one} removed" for one in removed))
    return call.changed(len(removed))


def _told(engine: Engine, conn: Any, cap: Cap) -> dict[str, Any]:
    use = measure(conn, cap, engine.clock.now(), engine.zone)
    fields = ("name", "kind", "per", "most", "period", "above")
    told = {field: getattr(cap, field) for field in fields}
    return {**told, "cap": cap.words, "used": use.used, "reached": use.reached}
