"""`settings`: every setting, its value and where it came from."""

import click

from commands.call import Call, pass_call
from commands.noun import Noun
from commands.output import columns
from core.settings import SETTINGS


@click.group(cls=Noun, examples=("settings list", "settings list --json"))
def settings() -> None:
    """Show every setting, its value and where it came from."""


@settings.command("list", examples=("settings list", "settings list --home ./shop --json"))
@pass_call
def list_(call: Call) -> None:
    """List settings; passwords are masked."""
    found = call.settings
    rows = [
        {
            "name": setting.name,
            "value": found.shown(setting.name),
            "origin": found.origin(setting.name),
            "flag": setting.flag,
            "variable": setting.variable,
            "help": setting.help,
        }
        for setting in SETTINGS
    ]
    call.show(rows, lambda: columns(rows, ("name", "value", "origin", "help")))
