"""One call of the command line: what was asked for in general, and what commands are handed."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from commands.output import plain_line
from core.errors import UserError
from core.host import Builtin
from core.jsontext import dumps
from core.settings import Settings, load_settings

#: What people type to start us.
PROGRAM = "./vitrin"
ACTOR = "cli"

OK, FAILED, USAGE, NOT_FOUND, NOT_ALLOWED, CONFLICT, WOULD_CHANGE = range(7)


@dataclass
class Call:
    """Handed to every command. Data goes to stdout, everything else to stderr."""

    builtins: Mapping[str, Builtin]
    #: Settings that were given as flags.
    flags: dict[str, Any] = field(default_factory=dict)
    config: Path | None = None
    json: bool = False
    debug: bool = False
    yes: bool = False
    no_input: bool = False
    dry_run: bool = False
    #: What to type next if this call fails; without it the kind of failure decides.
    next: str | None = None

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.flags, os.environ, self.config)

    # Talking

    def show(self, data: Any, words: Callable[[], str] | None = None) -> None:
        """Print the answer: as JSON where that was asked for, else in words."""
        if self.json or words is None:
            click.echo(dumps(_plain(data)).decode())
        elif text := words():
            click.echo(text)

    def say(self, text: str) -> None:
        """Tell something that is not the answer."""
        click.echo(plain_line(text), err=True)

    def changed(self, count: int) -> int:
        """Return the exit code of a command that changes something: a dry run tells whether it would have."""
        if not self.dry_run:
            return OK
        self.say("dry run: nothing was changed" if count else "dry run: nothing would change")
        return WOULD_CHANGE if count else OK

    def confirm(self, question: str) -> None:
        """Ask before something that cannot be taken back; raise UserError where nobody can be asked."""
        if self.yes or self.dry_run:
            return
        if self.no_input or not sys.stdin.isatty():
            raise UserError(f"{question} Say so with --yes")
        if not click.confirm(question, err=True):
            raise UserError("nothing was changed")


def _plain(value: Any) -> Any:
    """Return data under plain names: those of columns that SQL would quote are no plain text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


pass_call = click.make_pass_decorator(Call)
