"""`bench`: measurements, by name; each is a module of `benchmarks/`."""

from importlib import import_module

import click

from commands.call import Call, pass_call
from commands.noun import Verb
from commands.opening import quiet_logs
from commands.output import pairs
from core.errors import NotFound

#: Name -> module with `run(settings, builtins) -> dict`.
BENCHES = {"replay": "benchmarks.replay"}


@click.command(cls=Verb, examples=("bench replay --json",))
@click.argument("name", type=click.Choice(sorted(BENCHES)))
@pass_call
def bench(call: Call, name: str) -> None:
    """Measure, and print the figures; they depend on the machine and on what else it does."""
    quiet_logs(call, "error")
    try:
        module = import_module(BENCHES[name])
    except ModuleNotFoundError as exc:
        raise NotFound(f"the benchmark {name} is not installed: run it from the source folder ({exc.name})") from exc
    told = module.run(call.settings, call.builtins)
    call.show(told, lambda: pairs(told))
