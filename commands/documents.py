"""Documents for machines: the API's description, the schema of rule files, shell completion."""

import click
from click.shell_completion import get_completion_class

from commands.call import USAGE, Call, pass_call
from commands.noun import Verb
from core.errors import InvalidInput
from rules.rule import rule_schema

_COMPLETE = "_VITRIN_COMPLETE"


@click.command(cls=Verb, examples=("schema > rule.schema.json",))
@pass_call
def schema(call: Call) -> None:
    """Print the JSON Schema of rule files; editors check and complete YAML with it."""
    call.show(rule_schema())


@click.command(cls=Verb, examples=("completion bash >> ~/.bashrc", "completion zsh > ~/.zfunc/_vitrin"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in your shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise InvalidInput("shell", f"{shell} cannot be completed")
    root = ctx.find_root().command
    click.echo(kind(root, {}, "vitrin", _COMPLETE).source())


@click.command(cls=Verb, context_settings={"ignore_unknown_options": True}, examples=("test", "test tests/rules"))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_call
def test(call: Call, arguments: tuple[str, ...]) -> int:
    """Run the tests; the launcher does this, because they need packages that the program does not."""
    call.say("the tests are run by the launcher: ./vitrin test (arguments go to pytest)")
    return USAGE
