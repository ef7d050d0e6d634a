"""`why` and `effects`: the answer to why something happened, or did not."""

from typing import Any

import click

from commands.call import Call, pass_call
from commands.noun import Verb
from commands.opening import open_engine, open_records
from commands.output import columns
from core.errors import InvalidInput
from core.listing import page_effects
from rules.explain import why as explain

_SHOWN = ("at", "kind", "action", "state", "object", "run", "reason")


@click.command(cls=Verb, examples=("why --rule late-apology --order 1042", "why --rule late-apology --event ID --json"))
@click.option("--rule", required=True, help="The rule's name.")
@click.option("--order", help="Number of the order, or phone or e-mail of the customer, or the event's key.")
@click.option("--event", help="The event's id.")
@pass_call
def why(call: Call, rule: str, order: str | None, event: str | None) -> None:
    """Say in one sentence why a rule acted for an event or an order, or why not."""
    if (order is None) == (event is None):
        raise InvalidInput("order", "name either an --order or an --event")
    with open_engine(call) as engine, engine.db.read() as conn:
        told = explain(engine, conn, rule, event_id=event, key=order, language=call.settings.language)
    call.show(told, lambda: told["sentence"])


@click.command(cls=Verb, examples=("effects --object task:ID", "effects --kind message --limit 20 --json"))
@click.option("--object", "object_", help="Only on this thing, such as task:ID or message:ID.")
@click.option("--kind", help="Only of this kind: message, task, tag, price, money, ...")
@click.option("--customer", help="Only for this customer.")
@click.option("--run", help="Only of this run.")
@click.option("--state", help="Only in this state: done, held, failed, skipped, watched, unclear, ...")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@pass_call
def effects(call: Call, limit: int, object_: str | None, **where: Any) -> None:
    """List what was done, the newest first: to what, by which rule and run."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            found = page_effects(conn, {"object": object_, **where}, limit=limit)
        call.show(found, lambda: columns(found, _SHOWN, zone=engine.zone))
