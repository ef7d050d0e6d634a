"""`replay`: rules over a folder of recorded orders, under a virtual clock; nothing is sent."""

from pathlib import Path
from typing import Any

import click

from commands.call import Call, pass_call
from commands.noun import Verb
from commands.opening import quiet_logs
from commands.output import pairs, progress_bar
from commands.replay import Order
from commands.replay import replay as run_replay
from core.durations import find_zone

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    cls=Verb,
    examples=("replay ./orders --rules ./rules --json", "replay ./orders --rules thank-you.yaml --resume"),
)
@click.argument("folder", type=_FOLDER)
@click.option("--rules", required=True, type=click.Path(exists=True, path_type=Path), help="Rule file, or folder.")
@click.option("--products", type=_FOLDER, help="Take the products from another folder.")
@click.option("--zone", default="America/Sao_Paulo", show_default=True, help="Time zone of the files and the shop.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted replay stopped.")
@pass_call
def replay(call: Call, **given: Any) -> None:
    """Run rules over a folder of recorded orders and count what they did.

    FOLDER holds orders, items, payments, reviews, customers and products as CSV files, packed or not. The runs are
    kept in a database of their own in the home folder, or in the empty one that --database names.
    """
    quiet_logs(call, "error")
    find_zone(given["zone"])
    with progress_bar("events") as moved:
        report = run_replay(Order(**given), call.settings, call.builtins, moved)
    call.show(report, lambda: _words(report))


def _words(report: dict[str, Any]) -> str:
    lines = [
        f"{rule}: {', '.join(f'{count} {word}' for word, count in counts.items())}" for rule, counts in _rules(report)
    ]
    effects = ", ".join(f"{count} {kind}" for kind, count in sorted(report["effects"].items())) or "none"
    rest = {name: report[name] for name in ("events", "seconds", "events_per_s", "peak_mb")}
    return "\n".join([*lines, f"effects: {effects}", pairs(rest)])


def _rules(report: dict[str, Any]) -> list[tuple[str, dict[str, int]]]:
    return sorted(report["runs"].items())
