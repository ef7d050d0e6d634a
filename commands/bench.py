"""`bench`: measurements, by name; each is a module of `benchmarks/`."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from commands.call import Call, pass_call
from commands.noun import Noun, Verb
from commands.opening import quiet_logs
from commands.output import progress_bar
from core.errors import NotFound

#: Name -> what it measures. A bench is offered where its module is: an installed program has none.
BENCHES: Mapping[str, str] = MappingProxyType(
    {
        "match": "Events a CPU second through the index, at 10 to 100,000 rules.",
        "intake": "Events a second from the webhook to the disk.",
        "queue": "Runs a second out of the durable queue.",
        "sleep": "Half a million waiting runs: putting, keeping, firing.",
        "replay": "Events a second of the recorded shop with its eight rules.",
        "growth": "Cost of an event as rules and stored events grow.",
        "soak": "An hour under load: what grows that should not.",
        "kill": "Processes killed at random under load: what is lost, what is done twice.",
    }
)


class _Benches(Noun):
    """The verbs of `bench`; a bench is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in BENCHES if find_bench(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in BENCHES or not find_bench(cmd_name):
            return None
        module = import_module(f"benchmarks.{cmd_name}")

        @pass_call
        def callback(call: Call, **options: Any) -> None:
            _measure(call, cmd_name, options)

        return Verb(
            cmd_name,
            params=list(getattr(module, "OPTIONS", ())),
            callback=callback,
            help=f"{BENCHES[cmd_name]}\n\nThe figures depend on the machine, and on what else it does.",
            examples=(f"bench {cmd_name} --json",),
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if not known:
            raise NotFound("no benchmark is installed: run it from the source folder")
        if args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"{args[0]!r} is not a benchmark; there are {', '.join(known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, BENCHES[name]) for name in self.list_commands(ctx)])


def find_bench(name: str) -> bool:
    """Tell whether this program has the bench."""
    return find_spec("benchmarks") is not None and find_spec(f"benchmarks.{name}") is not None


def _measure(call: Call, name: str, options: Mapping[str, Any]) -> None:
    quiet_logs(call, "error")
    frame = import_module("benchmarks.figures")
    with tempfile.TemporaryDirectory(prefix="vitrin-bench-") as folder, progress_bar(name) as moved:
        home = Path(folder)
        own = {"home": home, "database": f"sqlite:///{home / 'vitrin.db'}", "key_file": home / "secret.key"}
        task = frame.Task(settings=replace(call.settings, **own), builtins=call.builtins, options=options, moved=moved)
        found = list(import_module(f"benchmarks.{name}").run(task))
    call.show(frame.as_document(name, found), lambda: frame.as_table(found))


@click.command(cls=_Benches, examples=("bench match", "bench replay --json"))
def bench() -> None:
    """Measure, and print the figures; they depend on the machine and on what else it does."""
