"""`docs`: writes the reference pages from the code, or says which of them are behind it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from commands.call import WOULD_CHANGE, Call, pass_call
from commands.noun import Verb
from commands.output import columns
from commands.reference.command_line import make_commands
from commands.reference.events import make_events
from commands.reference.files import make_files
from commands.reference.hooks import make_hooks
from commands.reference.rule_format import make_rules
from commands.reference.settings import make_settings
from core.errors import NotFound, UserError
from core.host import Builtin

ROOT = Path(__file__).resolve().parents[1]
#: Page below docs/reference -> what makes it.
PAGES: Mapping[str, Callable[[Mapping[str, Builtin]], str]] = {
    "settings.md": lambda _: make_settings(),
    "hooks.md": lambda _: make_hooks(),
    "commands.md": lambda _: make_commands(),
    "rules.md": lambda _: make_rules(),
    "events.md": make_events,
    "files.md": lambda _: make_files(),
}


@click.command(cls=Verb, examples=("docs", "docs --check"))
@click.option("--check", is_flag=True, help="Write nothing; exit code 6 where a page is behind the code.")
@pass_call
def docs(call: Call, check: bool) -> int:
    """Write the pages of docs/reference from the code: settings, hooks, commands, rules, events, files."""
    folder = ROOT / "docs" / "reference"
    if not folder.parent.is_dir():
        raise NotFound(f"{folder.parent} is not there: the reference is written in the source folder")
    results = [
        {"page": name, "result": _write(folder / name, PAGES[name](call.builtins), check=check)} for name in PAGES
    ]
    call.show(results, lambda: columns(results, ("page", "result")))
    return WOULD_CHANGE if check and any(result["result"] != "same" for result in results) else 0


def _write(path: Path, text: str, *, check: bool) -> str:
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return "same"
        if check:
            return "behind"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UserError(f"{path} cannot be written: {exc.strerror}") from exc
    return "written"
