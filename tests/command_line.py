"""The command line in this process: words in; exit code, stdout and stderr out."""

import io
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from engines import make_engine

from commands.line import run_line
from core.clock import VirtualClock
from core.host import Builtin
from core.settings import load_settings
from plugins import BUILTINS

RULE = """\
# Comments stay.
rule: {name}
title: {{en: Thanks}}
when: {{event: order.approved}}
if: {{field: order.total, is: at_least, value: {{amount: "100", currency: TRY}}}}
then:
  - do: messages.send
    with: {{text: "Thank you for {{{{ order.id }}}}"}}
"""


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def type_words(*words: str, stdin: str | bytes = "", builtins: Mapping[str, Builtin] = BUILTINS) -> Answer:
    """Run one command as a person would."""
    out, err = io.StringIO(), io.StringIO()
    raw = stdin.encode() if isinstance(stdin, str) else stdin
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
        code = run_line(builtins, words)
    return Answer(code, out.getvalue(), err.getvalue())


class CommandLine:
    """Commands on one shop."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def database(self) -> str:
        """Return the address of the shop's database."""
        return load_settings({"home": self.home}, {}).database

    def __call__(self, *words: str, stdin: str | bytes = "") -> Answer:
        return type_words(*words, "--home", str(self.home), stdin=stdin)

    def json(self, *words: str, code: int = 0, stdin: str | bytes = "") -> Any:
        """Return a command's answer as data; fail where it ended otherwise."""
        answer = self(*words, "--json", stdin=stdin)
        assert answer.code == code, answer.err or answer.out
        return answer.data


def make_shop(home: Path) -> CommandLine:
    """Return the command line of a new shop."""
    make_engine(home, clock=VirtualClock(datetime.now(UTC))).close()
    return CommandLine(home)
