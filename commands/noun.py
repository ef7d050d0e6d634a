"""Nouns and verbs of the command line: help starts with examples, and every verb takes the settings as flags."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from commands.call import PROGRAM, Call
from commands.table import COMMANDS, Row
from core.settings import SETTINGS, Setting


class Verb(click.Command):
    """A command: `tries` adds --dry-run, `asks` adds --yes and --no-input, `settings` lists all settings."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        tries: bool = False,
        asks: bool = False,
        settings: bool = False,
        **given: Any,
    ) -> None:
        super().__init__(*args, **given)
        self.examples = tuple(examples)
        self.params += general_options(self.params, tries=tries, asks=asks, settings=settings)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)
        super().format_help(ctx, formatter)


class Noun(click.Group):
    """A group of verbs about one noun."""

    command_class = Verb

    def __init__(self, *args: Any, examples: Sequence[str] = (), **given: Any) -> None:
        super().__init__(*args, **given)
        self.examples = tuple(examples)
        self.params += general_options(self.params)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)
        super().format_help(ctx, formatter)


class Root(Noun):
    """The whole command line; commands are imported when they are used."""

    def __init__(self, *args: Any, rows: Mapping[str, Row] = COMMANDS, **given: Any) -> None:
        super().__init__(*args, **given)
        self._rows = rows

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = self._rows.get(cmd_name)
        if row is None:
            return None
        module, _, name = row.place.partition(":")
        return getattr(import_module(module), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in self._rows.items()])


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    if not examples:
        return
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"  {PROGRAM} {example}\n")
    formatter.write_paragraph()


def general_options(
    own: Sequence[click.Parameter], *, tries: bool = False, asks: bool = False, settings: bool = False
) -> list[click.Parameter]:
    """Return the options that every command takes, without those that it has made its own."""
    options = [
        _option("--json", "json", is_flag=True, help="Answer in JSON."),
        _option("--config", "config", type=click.Path(path_type=Path), help="Settings file."),
        _option("--debug", "debug", is_flag=True, help="Tell everything, with the place of an error."),
        *(_setting(setting, shown=settings or setting.name == "home") for setting in SETTINGS),
    ]
    if tries:
        options.append(_option("--dry-run", "dry_run", is_flag=True, help="Only say what would change (exit code 6)."))
    if asks:
        options.append(_option("--yes", "yes", is_flag=True, help="Do not ask."))
        options.append(_option("--no-input", "no_input", is_flag=True, help="Fail instead of asking."))
    taken = {flag for param in own for flag in (*param.opts, *param.secondary_opts)}
    return [option for option in options if not taken & {*option.opts, *option.secondary_opts}]


def _option(flag: str, name: str, **given: Any) -> click.Option:
    def keep(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.ensure_object(Call), name, value)

    return click.Option([flag, f"general_{name}"], expose_value=False, callback=keep, **given)


def _setting(setting: Setting, *, shown: bool) -> click.Option:
    def keep(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        if value is not None:
            ctx.ensure_object(Call).flags[setting.name] = value

    flag = setting.flag
    return click.Option(
        [f"{flag}/--no-{flag[2:]}" if setting.kind.is_flag else flag, f"setting_{setting.name}"],
        default=None,
        expose_value=False,
        callback=keep,
        hidden=not shown,
        help=setting.help,
    )
