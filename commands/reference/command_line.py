"""The page of commands, from the tree that the command line is made of."""

from collections.abc import Iterator

import click

from commands.call import PROGRAM
from commands.failure import CODES
from commands.line import make_root
from commands.reference.markdown import code, fenced, page, table
from core.settings import SETTINGS

_ABOUT = f"""\
`{PROGRAM} COMMAND --help` tells the same. Answers go to stdout, everything else to stderr. Every command takes `--json`
(answer in JSON), `--config FILE`, `--debug` and the flags of the [settings](settings.md), of which `--home` is the one
that matters most: it says which shop. A flag of a setting may stand before or after the command's name."""
_CODES = {
    0: "done",
    1: "failed, or something is wrong",
    2: "typed wrongly, or a value that is not allowed",
    3: "not found",
    4: "not allowed",
    5: "does not fit the state that things are in",
    6: "a dry run or a check: something would change",
}
_OWN = ("general_dry_run", "general_yes", "general_no_input")


def make_commands() -> str:
    """Return the page of commands."""
    root = make_root()
    ctx = click.Context(root, info_name=PROGRAM)
    names = root.list_commands(ctx)
    found = {name: root.get_command(ctx, name) for name in names}
    summaries = [(f"[{code(name)}](#{name})", _summary(command)) for name, command in found.items() if command]
    sections: list[str] = []
    told: dict[int, str] = {}
    for name, command in found.items():
        if command is None:
            continue
        first = told.setdefault(id(command), name)
        alias = [f"## {name}", f"The same as [{first}](#{first})."]
        sections += _sections(command, ctx, name, 2) if first == name else alias
    assert set(_CODES) >= {number for _, number in CODES}, "every exit code has its words"
    return page(
        "Commands",
        _ABOUT,
        table(("command", "what it does"), summaries),
        "## Exit codes",
        table(("code", "meaning"), ((number, words) for number, words in _CODES.items())),
        *sections,
    )


def _summary(command: click.Command) -> str:
    return (command.help or "").strip().partition("\n\n")[0]


def _sections(command: click.Command, parent: click.Context, name: str, level: int) -> Iterator[str]:
    ctx = click.Context(command, info_name=name, parent=parent)
    yield f"{'#' * level} {ctx.command_path.removeprefix(PROGRAM).strip()}"
    yield _paragraphs(command.help or "")
    if isinstance(command, click.Group):
        for verb in command.list_commands(ctx):
            inner = command.get_command(ctx, verb)
            if inner is not None:
                yield from _sections(inner, ctx, verb, level + 1)
        return
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    examples = [f"{PROGRAM} {example}" for example in getattr(command, "examples", ())]
    yield fenced("\n".join([usage, "", *examples] if examples else [usage]))
    yield table(("option", "what it does"), _options(command, ctx))


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _options(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, str]]:
    settings = {f"setting_{setting.name}" for setting in SETTINGS}
    for param in command.params:
        name = param.name or ""
        general = name in settings or (name.startswith("general_") and name not in _OWN)
        record = param.get_help_record(ctx) if isinstance(param, click.Option) and not general else None
        if record is not None:
            yield code(record[0]), record[1]
