"""The command line: finds the command, runs it, and tells a failure in one line with what to do next."""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

import click

from commands.call import PROGRAM, Call
from commands.failure import tell, tell_unexpected, tell_usage
from commands.noun import Root
from core.errors import VitrinError
from core.host import Builtin

_INTERRUPTED = 130


def version() -> str:
    """Return the version of this program."""
    try:
        return metadata.version("vitrin")
    except metadata.PackageNotFoundError:
        return "0.1.0 (from source)"


def make_root() -> Root:
    """Return the whole command line."""
    root = Root(
        name="vitrin",
        help="Run a shop's automations: when something happens, if conditions hold, then do steps, within limits.",
        epilog="Settings come from flags, then VITRIN_* in the environment, then vitrin.toml: see 'settings list'.",
        examples=("demo", "run --home ./shop --port 8480", "rules test thank-you.yaml --last 50", "doctor"),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    return click.version_option(version(), prog_name="vitrin", message="%(prog)s %(version)s")(root)


def run_line(builtins: Mapping[str, Builtin], arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever fails is told in words."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale without our letters is no reason to fail
    call, root = Call(builtins), make_root()
    try:
        code = root.main(
            list(arguments), prog_name=PROGRAM, complete_var="_VITRIN_COMPLETE", standalone_mode=False, obj=call
        )
        sys.stdout.flush()
    except click.ClickException as exc:
        return tell_usage(exc, _path(root, arguments))
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our answer has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except VitrinError as exc:
        return tell(exc, call, _path(root, arguments))
    except Exception as exc:  # noqa: BLE001 - the outermost place: told in one line, kept whole in a file
        return tell_unexpected(exc, call)
    return code if isinstance(code, int) else 0


def _path(root: Root, arguments: Sequence[str]) -> str:
    """Return which command was meant: its noun, and its verb where it has one."""
    words = [word for word in arguments if not word.startswith("-")]
    if not words or words[0] not in root.list_commands(click.Context(root)):
        return ""
    command = root.get_command(click.Context(root), words[0])
    verbs = command.commands if isinstance(command, click.Group) else {}
    return " ".join(words[:2] if len(words) > 1 and words[1] in verbs else words[:1])
