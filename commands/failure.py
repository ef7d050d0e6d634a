"""How failures are told: one line that says what, which and what to do; a number for programs."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from commands.call import CONFLICT, FAILED, NOT_ALLOWED, NOT_FOUND, PROGRAM, USAGE, Call
from commands.output import plain_line
from core.errors import (
    Busy,
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    PluginError,
    RemoteError,
    RuleError,
    SignInError,
    StorageError,
    UserError,
    VitrinError,
)
from core.masking import mask_text

#: In this order: the first class that fits decides.
CODES: tuple[tuple[type[VitrinError], int], ...] = (
    (InvalidInput, USAGE),
    (NotFound, NOT_FOUND),
    (NotAllowed, NOT_ALLOWED),
    (Conflict, CONFLICT),
    (VitrinError, FAILED),
)

#: What to type next, from the error and the command that failed; in this order.
_NEXT: tuple[tuple[type[VitrinError], Callable[[VitrinError, str], str]], ...] = (
    (NotFound, lambda _, path: f"{path.split()[0]} list" if path and path.split()[0] in _LISTED else f"{path} --help"),
    (RuleError, lambda *_: "rules lint FILE"),
    (StorageError, lambda *_: "doctor"),
    (SignInError, lambda exc, _: f"plugins config {getattr(exc, 'plugin', 'NAME')}"),
    (PluginError, lambda exc, _: f"plugins info {getattr(exc, 'plugin', 'NAME')}"),
    (RemoteError, lambda exc, _: f"plugins test {getattr(exc, 'plugin', 'NAME')}"),
    (Busy, lambda *_: "doctor"),
    (UserError, lambda _, path: f"{path} --help"),
)
_LISTED = frozenset({"rules", "runs", "plugins", "users", "tokens", "settings"})


def tell(exc: VitrinError, call: Call, path: str) -> int:
    """Print an error of ours and what to do next; `path` is the command that failed. Return the exit code."""
    if call.debug:
        traceback.print_exception(exc)
    follow = call.next or next(
        (f"{PROGRAM} {make(exc, path)}".replace("  ", " ") for kind, make in _NEXT if isinstance(exc, kind)), None
    )
    _say("error", exc.message)
    if follow:
        _say("next", follow)
    return next(code for kind, code in CODES if isinstance(exc, kind))


def tell_usage(exc: click.ClickException, path: str) -> int:
    """Print what was typed wrongly."""
    _say("error", exc.format_message())
    _say("next", f"{PROGRAM} {path} --help".replace("  ", " "))
    return USAGE


def tell_unexpected(exc: Exception, call: Call) -> int:
    """Print one line about an error that nobody foresaw; the whole story goes to a file."""
    if call.debug:
        traceback.print_exception(exc)
    story = mask_text("".join(traceback.format_exception(exc)), one_line=False)
    said = str(exc).splitlines()[0] if str(exc) else ""
    _say("error", f"something went wrong inside: {mask_text(f'{type(exc).__name__} {said}'.strip())}")
    _say("next", f"look at {_keep(story, call)}, or do it again with --debug")
    return FAILED


def _keep(story: str, call: Call) -> Path:
    """Append the story to the home's error log, or to one in the temporary folder where that cannot be done."""
    text = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {story}\n"
    try:
        path = call.settings.home / "error.log"
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except (OSError, VitrinError):
        with tempfile.NamedTemporaryFile("w", prefix="vitrin-error-", suffix=".log", delete=False) as file:
            file.write(text)
            path = Path(file.name)
    path.chmod(0o600)
    return path


def _say(word: str, text: str) -> None:
    colour = {"error": "red", "next": "cyan"}[word]
    click.echo(f"{click.style(f'{word}:', fg=colour)} {plain_line(text)}", err=True, color=_in_colour())


def _in_colour() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
