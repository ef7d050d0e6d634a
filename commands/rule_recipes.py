"""`rules recipes`: the ready-made rules, what they need here, and a draft made of one."""

from typing import Any

import click

from commands.call import ACTOR, Call, pass_call
from commands.noun import Noun, Verb
from commands.opening import open_engine, write
from commands.output import columns, pairs
from rules.recipes import describe, find_offered, offered, use_recipe

_SHOWN = ("name", "title", "plugin", "usable", "needs", "missing")


@click.group(
    "recipes",
    cls=Noun,
    invoke_without_command=True,
    examples=("rules recipes", "rules recipes --json", "rules recipes use thank-you --as thanks-in-may"),
)
@click.pass_context
def recipes(ctx: click.Context) -> None:
    """List ready-made rules, what they need, and whether this shop has it; `use` makes a draft of one."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Call))


def _list(call: Call) -> None:
    with open_engine(call) as engine, engine.db.read() as conn:
        found = [describe(engine, conn, recipe, language=call.settings.language) for recipe in offered(engine)]
        call.show(found, lambda: columns([_row(one) for one in found], _SHOWN, zone=engine.zone))


def _row(told: dict[str, Any]) -> dict[str, Any]:
    plugins = {need["plugin"] for need in told["needs"] if need["plugin"]}
    named = sorted(plugins) + sorted(need["name"] for need in told["needs"] if need["kind"] in ("field", "rule"))
    usable = "yes" if told["usable"] else "no"
    return {**told, "usable": usable, "needs": ", ".join(named), "missing": "; ".join(told["missing"])}


@recipes.command(
    "use",
    cls=Verb,
    tries=True,
    examples=("rules recipes use thank-you", "rules recipes use thank-you --as thanks-in-may --dry-run"),
)
@click.argument("name")
@click.option("--as", "new", metavar="NEWNAME", help="The rule's name; the recipe's by default.")
@pass_call
def use(call: Call, name: str, new: str | None) -> int:
    """Make a draft of a recipe; nothing acts before it is published."""
    with open_engine(call) as engine:
        recipe = find_offered(engine, name)
        now = engine.clock.now()
        made = write(call, engine, lambda tx: use_recipe(tx, recipe, new, actor=ACTOR, now=now))
        with engine.db.read() as conn:
            missing = describe(engine, conn, recipe)["missing"]
    told = {"rule": made, "recipe": recipe.name, "result": "created", "missing": missing}
    call.show(told, lambda: pairs({"draft": made, "missing": "; ".join(missing) or "nothing"}))
    return call.changed(1)
